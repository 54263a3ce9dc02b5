//! What a verifier found, with everything needed to see why.

use std::borrow::Cow;

use groupwise_core::Score;
use serde::Serialize;

/// Finding on one response: the score, and what led to it.
///
/// # Edge cases
/// `score` is `None` where there is nothing to judge by (a reference that cannot be parsed): such a row gives no
/// reward, neither 0 nor 1.  A response that cannot be parsed has failed: its score is that of a wrong answer.
///
/// # Example
/// ```
/// use groupwise_core::Score;
/// use groupwise_reward::Verdict;
/// let verdict = Verdict::scored(1.0, "equal").extracted("42");
/// assert!(verdict.is_correct());
/// assert_eq!(Score::from(&verdict), Score::Value(1.0));
/// assert!(!Verdict::unscorable("the reference is empty").is_correct());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The reward, 1 for a right answer unless the verifier says otherwise; `None` if the row is unscorable.
    pub score: Option<f64>,
    /// The part of the response that was judged, as it stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extracted: Option<String>,
    /// Its normal form: what was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normal_form: Option<String>,
    /// Normal form of the reference it was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The step that decided.
    pub reason: Cow<'static, str>,
}

impl Verdict {
    /// A score with its reason.
    pub fn scored(score: f64, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            score: Some(score),
            ..Self::unscorable(reason)
        }
    }

    /// 1 if `right`, else 0, with its reason.
    pub fn judged(right: bool, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::scored(f64::from(u8::from(right)), reason)
    }

    /// A row that cannot be judged, with the reason.
    pub fn unscorable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            score: None,
            extracted: None,
            normal_form: None,
            reference: None,
            reason: reason.into(),
        }
    }

    /// With the part of the response that was judged.
    #[must_use]
    pub fn extracted(mut self, text: impl Into<String>) -> Self {
        self.extracted = Some(text.into());
        self
    }

    /// With the normal forms of answer and reference.
    #[must_use]
    pub fn normal_forms(mut self, answer: impl Into<String>, reference: impl Into<String>) -> Self {
        self.normal_form = Some(answer.into());
        self.reference = Some(reference.into());
        self
    }

    /// True if the answer earned everything (a score of 1 or more).
    pub fn is_correct(&self) -> bool {
        self.score.is_some_and(|score| score >= 1.0)
    }
}

impl From<&Verdict> for Score {
    fn from(verdict: &Verdict) -> Self {
        match verdict.score {
            Some(score) => Self::Value(score),
            None => Self::Unscorable(verdict.reason.clone().into_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_not_written() {
        let plain = serde_json::to_value(Verdict::judged(false, "no answer")).unwrap();
        assert_eq!(plain, serde_json::json!({"score": 0.0, "reason": "no answer"}));
        let whole = Verdict::judged(true, "equal numbers")
            .extracted("0.5")
            .normal_forms("1/2", "1/2");
        let whole = serde_json::to_value(whole).unwrap();
        assert_eq!(whole["extracted"], "0.5");
        assert_eq!(
            (&whole["normal_form"], &whole["reference"]),
            (&"1/2".into(), &"1/2".into())
        );
    }

    #[test]
    fn an_unscorable_row_keeps_its_reason_and_no_number() {
        let verdict = Verdict::unscorable("no parse");
        assert_eq!(Score::from(&verdict), Score::Unscorable("no parse".to_owned()));
        assert!(!verdict.is_correct());
        assert!(!Verdict::scored(0.25, "partly").is_correct());
    }
}
