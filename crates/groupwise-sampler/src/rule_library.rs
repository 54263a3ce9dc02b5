//! A list of written rules before every prompt: what learns when no weight does.
//!
//! [`RuleLibrary`] holds the rules and applies edits to them, [`informative_groups`] says which questions are worth comparing,
//! [`merge_edits`] joins what the groups of a batch propose, and [`question_batches`] cuts an epoch.

use groupwise_core::{DataError, Key, ParamError};
use serde::{Deserialize, Serialize};

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name: `G0`, `G1`, .. after every step.
    pub id: String,
    /// What it says.
    pub text: String,
}

/// What an edit does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EditOperation {
    /// Appends a rule.
    #[default]
    Add,
    /// Replaces the text of a rule where it stands; appends one if the id is unknown.
    Update,
    /// Removes a rule; does nothing if the id is unknown.
    Delete,
    /// Does nothing, like every other word.
    #[serde(other)]
    None,
}

/// One edit, as a critic writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleEdit {
    /// What it does; adds if it is missing.
    pub operation: EditOperation,
    /// The rule it touches.
    pub id: Option<String>,
    /// The rule's new text. An edit without content does nothing, whatever its operation.
    pub content: Option<String>,
}

impl RuleEdit {
    fn content(&self) -> Option<&str> {
        self.content.as_deref().filter(|content| !content.is_empty())
    }
}

/// An ordered list of rules.
///
/// # Formula
/// Edits are applied in order to a copy: `ADD`, or `UPDATE` of an unknown id, appends under the provisional id `|E|`, `|E| + 1`,
/// ..; then all rules are named `G0`, `G1`, .. in their order.
///
/// # Edge cases
/// - An edit without content does nothing, so a deletion has to repeat the rule.
/// - A later edit can touch a rule by its provisional id; a provisional id that is taken is left out.
/// - A plan of nothing but `NONE` changes ids only.
///
/// # Errors
/// [`DataError`] for two rules of one id.
///
/// # Source
/// Training-Free GRPO, arXiv 2510.08191; `utu/practice/experience_updater.py` of TencentCloudADP/youtu-agent.
///
/// # Example
/// ```
/// use groupwise_sampler::rule_library::{RuleEdit, RuleLibrary};
/// let library = RuleLibrary::numbered(["check parity", "add the carry"]);
/// let plan: Vec<RuleEdit> = serde_json::from_str(
///     r#"[{"operation": "DELETE", "id": "G0", "content": "check parity"}, {"content": "keep the minus"}]"#,
/// )?;
/// assert_eq!(library.edited(&plan).prompt_text(), "[G0]. add the carry\n[G1]. keep the minus");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleLibrary {
    rules: Vec<Rule>,
}

impl RuleLibrary {
    /// Rules named `G0`, `G1`, ..
    pub fn numbered<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> Self {
        let rule = |(at, text): (usize, S)| Rule {
            id: format!("G{at}"),
            text: text.into(),
        };
        Self {
            rules: texts.into_iter().enumerate().map(rule).collect(),
        }
    }

    /// Rules as they stand, for example from a file.
    ///
    /// # Errors
    /// [`DataError`] naming the first id that stands twice.
    pub fn new(rules: Vec<Rule>) -> Result<Self, DataError> {
        let twice = |(at, rule): &(usize, &Rule)| rules.iter().take(*at).any(|other| other.id == rule.id);
        match rules.iter().enumerate().find(twice) {
            Some((at, rule)) => Err(DataError::value(
                format!("rule {at}"),
                format!("id `{}` stands twice", rule.id),
            )),
            None => Ok(Self { rules }),
        }
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What stands before a prompt: one line `[id]. text` for each rule, nothing without rules.
    pub fn prompt_text(&self) -> String {
        let lines: Vec<String> = self
            .rules
            .iter()
            .map(|rule| format!("[{}]. {}", rule.id, rule.text))
            .collect();
        lines.join("\n")
    }

    /// The prompt with `instruction` and the rules after it; without rules the prompt as it is.
    ///
    /// # Example
    /// ```
    /// use groupwise_sampler::rule_library::RuleLibrary;
    /// let rules = RuleLibrary::numbered(["add the carry"]);
    /// assert_eq!(rules.put_after("7 + 5", "First read:"), "7 + 5\nFirst read:\n[G0]. add the carry");
    /// assert_eq!(RuleLibrary::default().put_after("7 + 5", "First read:"), "7 + 5");
    /// ```
    pub fn put_after(&self, prompt: &str, instruction: &str) -> String {
        if self.rules.is_empty() {
            return prompt.to_owned();
        }
        [prompt, instruction, &self.prompt_text()].join("\n")
    }

    /// The list after a plan; `self` is not changed.
    #[must_use]
    pub fn edited(&self, plan: &[RuleEdit]) -> Self {
        let mut rules = self.rules.clone();
        let mut counter = rules.len();
        for edit in plan {
            let Some(content) = edit.content() else {
                continue;
            };
            let known = edit
                .id
                .as_ref()
                .and_then(|id| rules.iter().position(|rule| rule.id == *id));
            match (edit.operation, known) {
                (EditOperation::Update, Some(at)) => {
                    if let Some(rule) = rules.get_mut(at) {
                        content.clone_into(&mut rule.text);
                    }
                }
                (EditOperation::Delete, Some(at)) => {
                    rules.remove(at);
                }
                (EditOperation::Add, _) | (EditOperation::Update, None) => {
                    while rules.iter().any(|rule| rule.id == counter.to_string()) {
                        counter += 1;
                    }
                    rules.push(Rule {
                        id: counter.to_string(),
                        text: content.to_owned(),
                    });
                    counter += 1;
                }
                (EditOperation::Delete, None) | (EditOperation::None, _) => {}
            }
        }
        Self::numbered(rules.into_iter().map(|rule| rule.text))
    }
}

/// Whether rollouts are compared by what is known to be right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroundTruth {
    /// The rewards decide which groups are worth comparing.
    #[default]
    Given,
    /// They do not: every group is.
    Withheld,
}

/// Groups in which some rollouts are better than others, by index.
///
/// # Formula
/// A group is kept iff `0 < mean(r) < 1`.
///
/// # Shapes
/// `rewards[g][i]` in [0, 1].
///
/// # Edge cases
/// - Without ground truth, or with a `group_size` of 1, all are kept.
/// - A group of equal rewards between 0 and 1 is kept: the test is on the mean, not on the spread.
///
/// # Errors
/// [`ParamError`] for a `group_size` of 0; [`DataError`] for an empty group or a reward outside [0, 1], with its place.
///
/// # Source
/// Training-Free GRPO, arXiv 2510.08191, `utu/practice/training_free_grpo.py`; that a group of one is no filter is the authors' older
/// branch, as the newer one keeps nothing then.
///
/// # Example
/// ```
/// use groupwise_sampler::rule_library::{GroundTruth, informative_groups};
/// let rewards = [vec![1.0, 1.0], vec![0.0, 1.0], vec![0.5, 0.5]];
/// assert_eq!(informative_groups(&rewards, GroundTruth::Given, 2)?, [1, 2]);
/// assert_eq!(informative_groups(&rewards, GroundTruth::Withheld, 2)?, [0, 1, 2]);
/// # Ok::<(), groupwise_sampler::rule_library::RuleError>(())
/// ```
pub fn informative_groups(
    rewards: &[Vec<f64>],
    truth: GroundTruth,
    group_size: usize,
) -> Result<Vec<usize>, RuleError> {
    ParamError::check(group_size >= 1, "group_size", group_size, ">= 1")?;
    for (g, group) in rewards.iter().enumerate() {
        if group.is_empty() {
            return Err(DataError::value(format!("group {g}"), "it has no rollout").into());
        }
        if let Some(i) = group.iter().position(|r| !(0.0..=1.0).contains(r)) {
            let reward = group.get(i).copied().unwrap_or(f64::NAN);
            let place = format!("group {g}, trajectory {i}");
            return Err(DataError::value(place, format!("reward {reward} is outside [0, 1]")).into());
        }
    }
    let all = truth == GroundTruth::Withheld || group_size == 1;
    let mixed = |group: &[f64]| {
        let mean = groupwise_core::stats::mean(group);
        0.0 < mean && mean < 1.0
    };
    let kept = rewards
        .iter()
        .enumerate()
        .filter(|(_, group)| all || mixed(group));
    Ok(kept.map(|(g, _)| g).collect())
}

/// What this module refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// A parameter.
    Param(ParamError),
    /// Data.
    Data(DataError),
}

impl From<ParamError> for RuleError {
    fn from(error: ParamError) -> Self {
        Self::Param(error)
    }
}

impl From<DataError> for RuleError {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}

impl std::fmt::Display for RuleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Param(error) => error.fmt(f),
            Self::Data(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RuleError {}

/// One plan from the edits that the groups of a batch propose, each against the same list.
///
/// # Formula
/// By id, in order of first appearance: a deletion beats updates, of several updates the text that most groups propose stays
/// (the first of equally many); equal additions become one.  What does nothing is left out.
///
/// # Source
/// The merge of Training-Free GRPO, arXiv 2510.08191, which asks a language model; the vote among updates is ours.
///
/// # Example
/// ```
/// use groupwise_sampler::rule_library::{RuleEdit, merge_edits};
/// let edits: Vec<RuleEdit> = serde_json::from_str(
///     r#"[{"operation": "UPDATE", "id": "G1", "content": "a"}, {"content": "new"}, {"content": "new"},
///         {"operation": "DELETE", "id": "G1", "content": "old"}]"#,
/// )?;
/// let plan = merge_edits(&edits);
/// assert_eq!(plan, [edits[3].clone(), edits[1].clone()]);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn merge_edits(edits: &[RuleEdit]) -> Vec<RuleEdit> {
    let works = |edit: &&RuleEdit| edit.operation != EditOperation::None && edit.content().is_some();
    let touches = |edit: &RuleEdit| match edit.operation {
        EditOperation::Add => None,
        _ => edit.id.clone(),
    };
    let working: Vec<&RuleEdit> = edits.iter().filter(works).collect();
    let mut plan: Vec<RuleEdit> = Vec::new();
    for edit in &working {
        let id = touches(edit);
        let Some(id) = id else {
            let known = plan
                .iter()
                .any(|other| touches(other).is_none() && other.content == edit.content);
            if !known {
                plan.push((*edit).clone());
            }
            continue;
        };
        if plan.iter().any(|other| touches(other).as_ref() == Some(&id)) {
            continue;
        }
        let same: Vec<&RuleEdit> = working
            .iter()
            .copied()
            .filter(|e| touches(e).as_ref() == Some(&id))
            .collect();
        let deletion = same.iter().find(|e| e.operation == EditOperation::Delete);
        let votes = |e: &RuleEdit| same.iter().filter(|other| other.content == e.content).count();
        // The last of equals is taken, so from the end.
        let favourite = || same.iter().rev().max_by_key(|e| votes(e));
        plan.extend(deletion.or_else(favourite).map(|e| (*e).clone()));
    }
    plan
}

/// Questions of one epoch in batches, by index: shuffled, cut, the rest dropped.
///
/// # Edge cases
/// The same key gives the same batches; another epoch needs another key.
///
/// # Errors
/// [`ParamError`] for a batch of 0 questions, or of more than there are.
///
/// # Source
/// Training-Free GRPO, arXiv 2510.08191.  The authors' store reads batches back in the order of the data set; here the shuffle
/// reaches them.
///
/// # Example
/// ```
/// use groupwise_core::{Key, Stream};
/// use groupwise_sampler::rule_library::question_batches;
/// let batches = question_batches(7, 3, Key::new(1, Stream::Sampler))?;
/// assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
pub fn question_batches(
    n_questions: usize,
    batch_size: usize,
    key: Key,
) -> Result<Vec<Vec<usize>>, ParamError> {
    let range = format!("between 1 and the number of questions, {n_questions}");
    ParamError::check(
        (1..=n_questions).contains(&batch_size),
        "batch_size",
        batch_size,
        &range,
    )?;
    let mut order: Vec<usize> = (0..n_questions).collect();
    key.rng().shuffle(&mut order);
    Ok(order.chunks_exact(batch_size).map(<[usize]>::to_vec).collect())
}

#[cfg(test)]
#[path = "rule_library_tests.rs"]
mod tests;
