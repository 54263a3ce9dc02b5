//! Short answers to questions, judged by exact match or token F1.

use groupwise_core::{ParamError, Part, Task, Verifier};
use serde::{Deserialize, Serialize};

use super::answer_recall::AnswerPart;
use super::{last_block, references};
use crate::qa::{F1Rule, exact_match_verdict, is_sub_exact_match, normal_form, token_f1};
use crate::response::{Judge, Judged, UNCLOSED_THINKING, after_thinking};
use crate::verdict::Verdict;

/// Tags of one kind a response may hold before a right answer pays a quarter only.
const MOST_TAGS: usize = 10;

/// What an answer is paid by.  Parts of an answer are not among it: listing every candidate would win
/// ([`sub_exact_match`] is for evaluation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QaMetric {
    /// Equal normal forms.
    #[default]
    ExactMatch,
    /// F1 of tokens as in SQuAD.
    F1Squad,
    /// F1 of tokens as in HotpotQA.
    F1Hotpot,
}

/// Reward of a short answer, best over the references.
///
/// # Formula
/// `exact-match`: `r = 1` if the normal form of the answer is that of a reference, a quarter of it if the response holds
/// more than ten opening or closing answer tags; `format_score` if it is not; 0 without an answer.  `f1-*`: `r` is the
/// best F1 of tokens.  Normal form: [`normal_form`](crate::qa::normal_form).
///
/// # Shapes
/// In [0, 1].  References: the task's `reference`, a text or a JSON list of texts, and the lists in its columns
/// `references` and `golds`.
///
/// # Edge cases
/// - The answer is the last closed `<answer>` block behind the thinking.
/// - References whose normal form is empty ("the") are passed over, for an empty answer would win; none left:
///   unscorable.
/// - Tags are counted over the whole response, thinking included; only where answers stand in tags.
///
/// # Errors
/// Parameters: `format_score` outside [0, 1).
///
/// # Source
/// Search-R1 (arXiv 2503.09516), PeterGriffinJin/Search-R1 @a14dc3a4ffc6, `qa_em.py`; verl
/// `search_r1_like_qa_em.py` @b178a3cd56f5 for the rule of ten tags.  Both read answers inside the thinking, too; here
/// they do not count.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::QaMatchConfig;
/// let search = QaMatchConfig { format_score: 0.1, ..Default::default() };
/// let score = |response| search.verdict(response, &["Paris"]).score;
/// assert_eq!(score("<think>..</think><answer>the PARIS!</answer>"), Some(1.0));
/// assert_eq!(score("<answer>London</answer>"), Some(0.1));
/// assert_eq!(score("Paris"), Some(0.0));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QaMatchConfig {
    /// What an answer is paid by.
    pub metric: QaMetric,
    /// Which part of the response is the answer.
    pub answer: AnswerPart,
    /// What a wrong answer earns by exact match, in [0, 1).
    pub format_score: f64,
}

impl QaMatchConfig {
    /// Verdict on a response; see the type for rules and example.
    pub fn verdict<S: AsRef<str>>(&self, response: &str, golds: &[S]) -> Verdict {
        let golds: Vec<&str> = golds
            .iter()
            .map(AsRef::as_ref)
            .filter(|gold| !normal_form(gold).is_empty())
            .collect();
        if golds.is_empty() {
            return Verdict::unscorable("no reference has words");
        }
        let answer = match answer_of(response, self.answer) {
            Ok(answer) => answer,
            Err(reason) => return Verdict::judged(false, reason),
        };
        let f1 = |rule| {
            let best = |gold: &&&str| token_f1(answer, &[**gold], rule);
            let gold = golds.iter().max_by(|a, b| best(a).total_cmp(&best(b)));
            Verdict::scored(token_f1(answer, &golds, rule), "F1 of tokens, best reference")
                .extracted(answer)
                .normal_forms(normal_form(answer), normal_form(gold.copied().unwrap_or("")))
        };
        match self.metric {
            QaMetric::F1Squad => return f1(F1Rule::Squad),
            QaMetric::F1Hotpot => return f1(F1Rule::Hotpot),
            QaMetric::ExactMatch => {}
        }
        let mut verdict = exact_match_verdict(answer, &golds);
        if !verdict.is_correct() {
            verdict.score = Some(self.format_score);
        } else if self.answer == AnswerPart::Tag && has_many_tags(response) {
            verdict.score = Some(0.25);
            verdict.reason = "equal normal forms, among more than ten answer tags".into();
        }
        verdict
    }
}

/// The answer of a response, or why there is none.
fn answer_of(response: &str, part: AnswerPart) -> Result<&str, &'static str> {
    let text = after_thinking(response).ok_or(UNCLOSED_THINKING)?;
    match part {
        AnswerPart::Whole => Ok(text.trim()),
        AnswerPart::Tag => last_block(text, "answer")
            .map(str::trim)
            .ok_or("no closed answer tag"),
    }
}

fn has_many_tags(response: &str) -> bool {
    ["<answer>", "</answer>"]
        .iter()
        .any(|tag| response.matches(tag).count() > MOST_TAGS)
}

/// Score of a response whose last answer tag holds the normal form of a reference somewhere, for evaluation.
///
/// # Formula
/// 1 if it does, `format_score` if it does not, 0 without a tag.
///
/// # Edge cases
/// Naming many candidates pays: never train on this.  The number of tags does not count.
///
/// # Source
/// `compute_score_subem` of verl's `search_r1_like_qa_em.py` @b178a3cd56f5.
pub fn sub_exact_match<S: AsRef<str>>(response: &str, golds: &[S], format_score: f64) -> f64 {
    match answer_of(response, AnswerPart::Tag) {
        Err(_) => 0.0,
        Ok(answer) if is_sub_exact_match(answer, golds) => 1.0,
        Ok(_) => format_score,
    }
}

impl Judge for QaMatchConfig {
    fn name(&self) -> &'static str {
        "qa-match"
    }

    fn judge(&self, task: &Task, response: &str) -> Verdict {
        self.verdict(response, &references(task))
    }
}

impl Part<dyn Verifier> for QaMatchConfig {
    const SOURCE: &'static str =
        "SQuAD, HotpotQA, Search-R1 (arXiv 2503.09516); verl search_r1_like_qa_em.py @b178a3cd56f5";

    fn formula(&self) -> String {
        let place = match self.answer {
            AnswerPart::Tag => "the last answer tag",
            AnswerPart::Whole => "the whole response",
        };
        let rule = match (self.metric, self.answer) {
            (QaMetric::ExactMatch, AnswerPart::Tag) => format!(
                "[normal forms equal], / 4 past {MOST_TAGS} tags; else {}",
                self.format_score
            ),
            (QaMetric::ExactMatch, AnswerPart::Whole) => {
                format!("[normal forms equal]; else {}", self.format_score)
            }
            (QaMetric::F1Squad, _) => "F1 of tokens (SQuAD)".to_owned(),
            (QaMetric::F1Hotpot, _) => "F1 of tokens (HotpotQA)".to_owned(),
        };
        format!("r = {rule}; answer: {place} behind the thinking")
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        let wrong = self.format_score;
        ParamError::check((0.0..1.0).contains(&wrong), "format_score", wrong, "in [0, 1)")?;
        Ok(Box::new(Judged(self.clone())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config() -> QaMatchConfig {
        QaMatchConfig {
            format_score: 0.1,
            ..Default::default()
        }
    }

    fn score(response: &str) -> f64 {
        config().verdict(response, &["Paris"]).score.unwrap()
    }

    #[test]
    fn the_last_tag_behind_the_thinking_counts() {
        for (response, expected) in [
            ("<answer>Paris</answer><answer>Rome</answer>", 0.1),
            ("<answer>Rome</answer> no: <answer>Paris</answer>", 1.0),
            ("<think><answer>Paris</answer></think>", 0.0),
            ("<think><answer>Paris</answer>", 0.0),
            ("<think><answer>Rome</answer></think><answer>Paris</answer>", 1.0),
            ("<answer>Paris", 0.0),
            ("Paris</answer>", 0.0),
            ("<answer>in <answer>Paris</answer>", 0.1),
            ("<answer>\nParis\n</answer>", 1.0),
            ("<answer></answer>", 0.1),
        ] {
            assert_eq!(score(response), expected, "{response}");
        }
    }

    #[test]
    fn more_than_ten_tags_of_a_kind_pay_a_quarter() {
        let many = |n: usize, tag: &str| format!("{}<answer>Paris</answer>", tag.repeat(n));
        assert_eq!(score(&many(9, "</answer>")), 1.0);
        assert_eq!(score(&many(10, "</answer>")), 0.25);
        assert_eq!(score(&many(10, "<answer></answer>")), 0.25);
        assert_eq!(
            score(&many(10, "<answer>x</answer>").replace("Paris", "Rome")),
            0.1
        );
        assert_eq!(sub_exact_match(&many(10, "</answer>"), &["Paris"], 0.1), 1.0);
        let whole = QaMatchConfig {
            answer: AnswerPart::Whole,
            ..config()
        };
        assert_eq!(whole.verdict("Paris", &["Paris"]).score, Some(1.0));
    }

    #[test]
    fn listing_pays_in_evaluation_only() {
        let list = "<answer>Rome, Paris, London</answer>";
        assert_eq!(score(list), 0.1);
        assert_eq!(sub_exact_match(list, &["Paris"], 0.1), 1.0);
        assert_eq!(sub_exact_match("<answer>Rome</answer>", &["Paris"], 0.1), 0.1);
        assert_eq!(sub_exact_match("Paris", &["Paris"], 0.1), 0.0);
    }

    #[test]
    fn references_come_from_the_task_in_several_forms() {
        let judge = |reference: &str, columns: serde_json::Value| {
            let mut task = Task::new("t", "", reference);
            if let serde_json::Value::Object(columns) = columns {
                task.columns = columns;
            }
            QaMatchConfig::default().judge(&task, "<answer>red lamp</answer>")
        };
        let none = serde_json::json!({});
        assert!(judge("Red lamp", none.clone()).is_correct());
        assert!(judge(r#"["chair", "red lamp"]"#, none.clone()).is_correct());
        assert!(judge("", serde_json::json!({"golds": ["red lamp"]})).is_correct());
        assert!(judge("chair", serde_json::json!({"references": [4, "red lamp"]})).is_correct());
        assert_eq!(judge("[chair", none.clone()).score, Some(0.0));
        for without in ["", " ", "the", "?!", "[]"] {
            assert_eq!(judge(without, none.clone()).score, None, "{without}");
        }
    }

    #[test]
    fn f1_is_paid_whole_and_shows_the_best_reference() {
        let f1 = QaMatchConfig {
            metric: QaMetric::F1Hotpot,
            ..Default::default()
        };
        let verdict = f1.verdict("<answer>red lamp</answer>", &["chair", "lamp", "yes"]);
        assert_eq!(verdict.score, Some(2.0 / 3.0));
        assert_eq!(verdict.reference.as_deref(), Some("lamp"));
        assert_eq!(f1.verdict("red lamp", &["lamp"]).score, Some(0.0));
        assert_eq!(
            f1.formula(),
            "r = F1 of tokens (HotpotQA); answer: the last answer tag behind the thinking"
        );
    }

    #[test]
    fn parameters_have_a_range() {
        for bad in [-0.1, 1.0, f64::NAN] {
            let config = QaMatchConfig {
                format_score: bad,
                ..Default::default()
            };
            assert_eq!(
                config.build(&()).unwrap_err().to_string(),
                format!("`format_score` = {bad}: must be in [0, 1)")
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_earns_0_the_format_score_a_quarter_or_1(
            response in "(<answer>|</answer>|<think>|</think>|Paris|the |Rome){0,16}",
        ) {
            let score = score(&response);
            prop_assert!([0.0, 0.1, 0.25, 1.0].contains(&score));
            let whole = score > 0.1;
            prop_assert!(!whole || sub_exact_match(&response, &["Paris"], 0.1) == 1.0);
        }

        #[test]
        fn no_text_panics_and_the_order_of_references_is_free(response in any::<String>(), a in any::<String>()) {
            for metric in [QaMetric::ExactMatch, QaMetric::F1Squad, QaMetric::F1Hotpot] {
                let config = QaMatchConfig { metric, answer: AnswerPart::Whole, ..config() };
                let (ab, ba) = (config.verdict(&response, &[&a, "b"]), config.verdict(&response, &["b", &a]));
                prop_assert_eq!(ab.score, ba.score);
            }
        }
    }
}
