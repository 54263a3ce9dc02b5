//! Ranked list: titles in order, judged by recall or cumulative gain.

use groupwise_core::{ParamError, Part, Task, Verifier};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::last_block;
use crate::ranking::{Title, ndcg_at, ndcg_returned_at, recall_at, title_hits};
use crate::response::{Judge, Judged, UNCLOSED_THINKING, after_thinking};
use crate::verdict::Verdict;

/// What a list is paid by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListMetric {
    /// [`ndcg_at`].
    #[default]
    Ndcg,
    /// [`ndcg_returned_at`]: short lists score higher.
    NdcgReturned,
    /// [`recall_at`].
    Recall,
}

/// Reward of a recommendation: titles in order, one a line.
///
/// # Formula
/// `ndcg`, `ndcg-returned` or `recall` of the first k ranks; hits by [`title_hits`].
///
/// # Shapes
/// In [0, 1].  Relevant items: the task's column `relevant_items` or its reference, a JSON list of `[title, year]`;
/// columns `seen` (titles) and `catalogue` (`[title, year]`) may be there.  A line of the answer is
/// `3. The Matrix (1999)`, its number and bullet free.
///
/// # Edge cases
/// - The last answer block behind the thinking is read, or all behind it.
/// - A line without a year is a rank without a hit.  Blank lines are none.
/// - No relevant item, or a column of another form: unscorable.
///
/// # Errors
/// Parameters: k 0.
///
/// # Source
/// Rank-GRPO (arXiv 2510.20150); yaochenzhu/Rank-GRPO at 0808d82c, `metrics.py`, `metrics_align.py`.
///
/// # Example
/// ```
/// use groupwise_core::Task;
/// use groupwise_reward::Judge;
/// use groupwise_reward::verifiers::RankedListConfig;
/// let task = Task::new("t", "", r#"[["Heat", 1995]]"#);
/// let verdict = RankedListConfig::default().judge(&task, "1. Alien (1979)\n2. Heat (1995)");
/// assert!((verdict.score.unwrap() - 1.0 / 3f64.log2()).abs() < 1e-15);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RankedListConfig {
    /// Ranks that count, >= 1.
    pub k: usize,
    /// What a list is paid by.
    pub metric: ListMetric,
}

impl Default for RankedListConfig {
    fn default() -> Self {
        Self {
            k: 20,
            metric: ListMetric::Ndcg,
        }
    }
}

/// Titles of a text, one a line, without numbers and bullets.
///
/// # Example
/// ```
/// use groupwise_reward::ranking::Title;
/// use groupwise_reward::verifiers::read_list;
/// assert_eq!(read_list("1. Heat (1995)\n\n- 1917 (2019)"), [Title::new("Heat", 1995), Title::new("1917", 2019)]);
/// ```
pub fn read_list(text: &str) -> Vec<Title> {
    let item = |line: &str| {
        let line = line.trim().trim_start_matches(['-', '*']).trim_start();
        let unnumbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let numbered = unnumbered.len() < line.len();
        let rest = unnumbered.strip_prefix(['.', ')']).filter(|_| numbered);
        // "1917 (2019)" has no mark behind its number, "3.10 to Yuma" no blank behind the mark.
        let rest = rest.filter(|rest| rest.starts_with(char::is_whitespace));
        Title::parse(rest.unwrap_or(line))
    };
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(item)
        .collect()
}

/// Titles of a JSON list of `[title, year]`; `None` for anything of another form.
fn titles(value: &Value) -> Option<Vec<Title>> {
    let title = |pair: &Value| {
        let pair = pair.as_array().filter(|pair| pair.len() == 2)?;
        let year = match pair.get(1)? {
            Value::String(text) => text.trim().parse().ok(),
            year => year.as_i64().and_then(|year| i32::try_from(year).ok()),
        };
        Some(Title {
            name: pair.first()?.as_str()?.to_owned(),
            year,
        })
    };
    value.as_array()?.iter().map(title).collect()
}

/// What a list is compared with.
struct Truth {
    relevant: Vec<Title>,
    seen: Vec<String>,
    catalogue: Option<Vec<Title>>,
}

impl Truth {
    fn of(task: &Task) -> Option<Self> {
        let reference: Value = serde_json::from_str(&task.reference).unwrap_or_default();
        let seen = |title: &Value| match title {
            Value::String(title) => Some(title.clone()),
            pair => Some(pair.get(0)?.as_str()?.to_owned()),
        };
        Some(Self {
            relevant: titles(task.columns.get("relevant_items").unwrap_or(&reference))?,
            seen: match task.columns.get("seen") {
                Some(list) => list.as_array()?.iter().map(seen).collect::<Option<_>>()?,
                None => Vec::new(),
            },
            catalogue: match task.columns.get("catalogue") {
                Some(list) => Some(titles(list)?),
                None => None,
            },
        })
    }
}

impl Judge for RankedListConfig {
    fn name(&self) -> &'static str {
        "ranked-list"
    }

    fn judge(&self, task: &Task, response: &str) -> Verdict {
        let truth = Truth::of(task).filter(|truth| !truth.relevant.is_empty());
        let Some(Truth {
            relevant,
            seen,
            catalogue,
        }) = truth
        else {
            return Verdict::unscorable(format!(
                "task `{}` has no list of relevant titles and years",
                task.id
            ));
        };
        let Some(text) = after_thinking(response) else {
            return Verdict::judged(false, UNCLOSED_THINKING);
        };
        let list = read_list(last_block(text, "answer").unwrap_or(text));
        let hits = title_hits(&list, &relevant, &seen, catalogue.as_deref(), list.len());
        let (n, k) = (relevant.len(), self.k);
        let score = match self.metric {
            ListMetric::Ndcg => ndcg_at(&hits, n, k),
            ListMetric::NdcgReturned => ndcg_returned_at(&hits, n, k),
            ListMetric::Recall => recall_at(&hits, n, k),
        };
        let marks: String = hits.iter().map(|hit| if *hit { '1' } else { '0' }).collect();
        let n_hits = hits.iter().take(k).filter(|hit| **hit).count();
        Verdict::scored(
            score.unwrap_or(0.0),
            format!("{n_hits} of {n} relevant among the first {k}"),
        )
        .normal_forms(marks, format!("{n} relevant"))
    }
}

impl Part<dyn Verifier> for RankedListConfig {
    const SOURCE: &'static str =
        "Rank-GRPO (arXiv 2510.20150); yaochenzhu/Rank-GRPO at 0808d82c metrics.py, metrics_align.py";

    fn formula(&self) -> String {
        let metric = match self.metric {
            ListMetric::Ndcg => "NDCG",
            ListMetric::NdcgReturned => "NDCG against the best list of the length returned",
            ListMetric::Recall => "recall",
        };
        format!("r = {metric} of the first {} ranks", self.k)
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        ParamError::check(self.k >= 1, "k", self.k, ">= 1")?;
        Ok(Box::new(Judged(self.clone())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn judge(metric: ListMetric, columns: Value, reference: &str, response: &str) -> Option<f64> {
        let mut task = Task::new("t", "", reference);
        if let Value::Object(columns) = columns {
            task.columns = columns;
        }
        RankedListConfig { k: 2, metric }.judge(&task, response).score
    }

    #[test]
    fn lines_lose_numbers_and_bullets_only_where_they_are_some() {
        let names = |text: &str| read_list(text).into_iter().map(|t| t.name).collect::<Vec<_>>();
        assert_eq!(
            names("1) Heat (1995)\n 12. Up (2009) \n* Alien (1979)"),
            ["Heat", "Up", "Alien"]
        );
        assert_eq!(
            names("1917 (2019)\n3.10 to Yuma (2007)\n2. 300 (2006)"),
            ["1917", "3.10 to Yuma", "300"]
        );
        assert!(names("\n \n").is_empty());
    }

    #[test]
    fn metrics_and_columns_are_read() {
        let gold = r#"[["Heat", 1995], ["Up", "2009"]]"#;
        let list = "1. Heat (1995)\n2. Alien (1979)\n3. Up (2009)";
        let score = |metric, columns| judge(metric, columns, gold, list);
        assert_eq!(score(ListMetric::Recall, json!({})), Some(0.5));
        let ideal = 1.0 + 1.0 / 3f64.log2();
        assert_eq!(score(ListMetric::Ndcg, json!({})), Some(1.0 / ideal));
        assert_eq!(
            judge(ListMetric::NdcgReturned, json!({}), gold, "Heat (1995)"),
            Some(1.0)
        );
        assert_eq!(score(ListMetric::Recall, json!({"seen": ["Heat"]})), Some(0.0));
        assert_eq!(
            score(ListMetric::Recall, json!({"seen": [["Heat", 1995]]})),
            Some(0.0)
        );
        assert_eq!(
            score(ListMetric::Recall, json!({"catalogue": [["Up", 2009]]})),
            Some(0.0)
        );
        assert_eq!(
            score(ListMetric::Recall, json!({"relevant_items": [["Alien", 1979]]})),
            Some(1.0)
        );
        for bad in ["", "[]", "7", "[\"Heat\"]", "[[1, 2]]"] {
            assert_eq!(judge(ListMetric::Recall, json!({}), bad, list), None, "{bad}");
        }
        assert_eq!(score(ListMetric::Recall, json!({"seen": 5})), None);
        assert_eq!(
            judge(ListMetric::Recall, json!({}), gold, "<think>Heat (1995)"),
            Some(0.0)
        );
        assert!(
            RankedListConfig {
                k: 0,
                ..Default::default()
            }
            .build(&())
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_list_with_a_share(text in any::<String>(), near in "([0-9]\\. |Heat|\\(1995\\)|\n|<think>){0,12}") {
            for text in [text, near] {
                for metric in [ListMetric::Ndcg, ListMetric::NdcgReturned, ListMetric::Recall] {
                    let score = judge(metric, json!({}), r#"[["Heat", 1995]]"#, &text);
                    prop_assert!(score.is_some_and(|s| (0.0..=1.0 + 1e-12).contains(&s)));
                }
            }
        }
    }
}
