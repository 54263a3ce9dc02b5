//! Entity match: a set of names against the true set.

use std::collections::BTreeSet;

use groupwise_core::{ParamError, Part, Task, Verifier};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::{last_block, references};
use crate::qa::normal_form;
use crate::response::{Judge, Judged, UNCLOSED_THINKING, after_thinking};
use crate::verdict::Verdict;

/// What a set of names is paid by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntityMetric {
    /// F1 of the two sets.
    #[default]
    F1,
    /// Equal sets.
    Exact,
}

/// How far two sets of names agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EntityScores {
    /// The sets are equal.
    pub exact: bool,
    /// F1 of the sets.
    pub f1: f64,
}

/// Compares two lists of names as sets.
///
/// # Formula
/// With P and G the sets of normal forms: `exact = [P = G]`, `f1 = 2 |P and G| / (|P| + |G|)`.
///
/// # Edge cases
/// - Names are composed (NFC) and put into [`normal_form`]; what then is equal counts once.
/// - Both sets empty: equal, F1 1.  A name of articles alone is an empty name, equal to others of its kind.
///
/// # Source
/// Reconstructed, after the exact match of question answering; no authors' code was found.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::entity_scores;
/// let scores = entity_scores(&["the Alps", "Rome"], &["Alps"]);
/// assert!(!scores.exact);
/// assert_eq!(scores.f1, 2.0 / 3.0);
/// ```
pub fn entity_scores<S: AsRef<str>, T: AsRef<str>>(predicted: &[S], gold: &[T]) -> EntityScores {
    scores_of(&forms(predicted), &forms(gold))
}

fn scores_of(predicted: &BTreeSet<String>, gold: &BTreeSet<String>) -> EntityScores {
    let n = predicted.len() + gold.len();
    let common = predicted.intersection(gold).count();
    EntityScores {
        exact: predicted == gold,
        f1: if n == 0 {
            1.0
        } else {
            2.0 * common as f64 / n as f64
        },
    }
}

fn forms<S: AsRef<str>>(names: &[S]) -> BTreeSet<String> {
    let form = |name: &str| {
        if name.is_ascii() {
            normal_form(name)
        } else {
            normal_form(&name.nfc().collect::<String>())
        }
    };
    names.iter().map(|name| form(name.as_ref())).collect()
}

/// Reward of a set of names.
///
/// # Formula
/// `r = F1` of predicted and true names as sets, or `[sets equal]`; see [`entity_scores`].
///
/// # Shapes
/// True names: the task's `reference`, a name or a JSON list of names, and the lists in its columns `references` and
/// `golds`.  Predicted: the last answer block behind the thinking, or all behind it; a JSON list of texts, or one name a
/// line with bullets removed.
///
/// # Edge cases
/// - Junk beside the right names costs precision.
/// - No true name with words: unscorable.
///
/// # Source
/// As [`entity_scores`].
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::EntityMatchConfig;
/// let score = |text| EntityMatchConfig::default().verdict(text, &["Rome", "Paris"]).score;
/// assert_eq!(score(r#"<answer>["paris", "Rome"]</answer>"#), Some(1.0));
/// assert_eq!(score("- Rome\n- Oslo"), Some(0.5));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EntityMatchConfig {
    /// What a set of names is paid by.
    pub metric: EntityMetric,
}

impl EntityMatchConfig {
    /// Verdict on a response; see the type for rules and example.
    pub fn verdict<S: AsRef<str>>(&self, response: &str, gold: &[S]) -> Verdict {
        match after_thinking(response) {
            None => Verdict::judged(false, UNCLOSED_THINKING),
            Some(text) => self.verdict_on_names(&named(last_block(text, "answer").unwrap_or(text)), gold),
        }
    }

    /// Verdict on names that were read already.
    pub fn verdict_on_names<S: AsRef<str>, T: AsRef<str>>(&self, predicted: &[S], gold: &[T]) -> Verdict {
        let (predicted, gold) = (forms(predicted), forms(gold));
        if gold.iter().all(String::is_empty) {
            return Verdict::unscorable("no true name has words");
        }
        let scores = scores_of(&predicted, &gold);
        let verdict = match self.metric {
            EntityMetric::F1 => Verdict::scored(scores.f1, "F1 of the sets"),
            EntityMetric::Exact => Verdict::judged(scores.exact, "equality of the sets"),
        };
        let joined =
            |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(" | ");
        verdict.normal_forms(joined(&predicted), joined(&gold))
    }
}

/// The names a text lists.
fn named(text: &str) -> Vec<String> {
    serde_json::from_str(text.trim()).unwrap_or_else(|_| {
        text.lines()
            .map(|line| line.trim().trim_start_matches(['-', '*', '\u{2022}']).trim())
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    })
}

impl Judge for EntityMatchConfig {
    fn name(&self) -> &'static str {
        "entity-match"
    }

    fn judge(&self, task: &Task, response: &str) -> Verdict {
        self.verdict(response, &references(task))
    }
}

impl Part<dyn Verifier> for EntityMatchConfig {
    const SOURCE: &'static str =
        "Reconstructed: names in the normal form of SQuAD (arXiv 1606.05250), as sets";

    fn formula(&self) -> String {
        match self.metric {
            EntityMetric::F1 => "r = 2 |P and G| / (|P| + |G|), names as sets",
            EntityMetric::Exact => "r = [P = G], names as sets",
        }
        .to_owned()
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        Ok(Box::new(Judged(self.clone())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_composed_and_count_once() {
        let scores = |p: &[&str], g: &[&str]| {
            let s = entity_scores(p, g);
            (s.exact, s.f1)
        };
        assert_eq!(scores(&["Cafe\u{301}"], &["caf\u{e9}"]), (true, 1.0));
        assert_eq!(scores(&["Rome", "ROME!"], &["rome"]), (true, 1.0));
        assert_eq!(scores(&["Rome", "Oslo", "Bern"], &["Rome"]), (false, 0.5));
        assert_eq!(scores(&[], &["Rome"]), (false, 0.0));
        assert_eq!(scores(&[], &[]), (true, 1.0));
        assert_eq!(scores(&["New York"], &["New York City"]), (false, 0.0));
    }

    #[test]
    fn names_are_listed_in_json_or_lines() {
        let exact = EntityMatchConfig {
            metric: EntityMetric::Exact,
        };
        let score = |text: &str| exact.verdict(text, &["Rome", "Paris"]).score;
        for text in [
            "Rome\nParis",
            "* Paris\n\n* Rome",
            "[\"Rome\", \"Paris\"]",
            "<think>Oslo</think>\u{2022} Rome\n\u{2022} Paris",
            "Oslo <answer>Rome\nParis</answer>",
        ] {
            assert_eq!(score(text), Some(1.0), "{text}");
        }
        for text in ["Rome, Paris", "[\"Rome\", 5]", "<think>Rome\nParis", ""] {
            assert_eq!(score(text), Some(0.0), "{text}");
        }
        assert_eq!(exact.verdict("Rome", &["the"]).score, None);
        let shown = exact.verdict("Rome", &["Rome", "Paris"]);
        assert_eq!(
            (shown.normal_form.as_deref(), shown.reference.as_deref()),
            (Some("rome"), Some("paris | rome"))
        );
    }

    proptest! {
        #[test]
        fn sets_have_no_order_and_f1_is_symmetric(
            a in prop::collection::vec("[ab\u{e9}\u{301}e]{0,3}", 0..5), b in prop::collection::vec("[ab\u{e9}\u{301}e]{0,3}", 0..5),
        ) {
            let scores = entity_scores(&a, &b);
            prop_assert_eq!(scores, entity_scores(&b, &a));
            let mut turned = a.clone();
            turned.reverse();
            turned.extend(a.clone());
            prop_assert_eq!(scores, entity_scores(&turned, &b));
            prop_assert_eq!(scores.exact, scores.f1 == 1.0);
            prop_assert!(entity_scores(&a, &a).exact);
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let score = EntityMatchConfig::default().verdict(&text, &["x"]).score;
            prop_assert!(score.is_some_and(|s| (0.0..=1.0).contains(&s)));
        }
    }
}
