//! E-GRPO: wrong answers earn a little by the ground-truth entities named in thoughts.

use std::collections::BTreeSet;

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::accuracy::{check_correct_at, correctness};
use super::{check_first, check_group};

const NAME: &str = "e-grpo";

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EGrpoStatus {
    /// The answer is right.
    Correct,
    /// The answer is wrong.
    Wrong,
    /// The environment could not understand it.
    Format,
    /// It was cut off.
    Overlength,
}

impl EGrpoStatus {
    /// Reward of a rollout with this normalized bonus.
    ///
    /// # Formula
    /// Correct: 1; wrong: `alpha bonus`; otherwise 0.
    pub fn reward(self, alpha: f64, bonus: f64) -> f64 {
        match self {
            Self::Correct => 1.0,
            Self::Wrong => alpha * bonus,
            Self::Format | Self::Overlength => 0.0,
        }
    }

    /// False if its tokens stay out of the loss.
    pub fn is_trained(self) -> bool {
        self != Self::Overlength
    }
}

/// How many of the entities a rollout named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityMatches {
    /// Entities found.
    pub matched: usize,
    /// Different entities there are.
    pub total: usize,
}

impl EntityMatches {
    /// `matched / total`; 0 without entities.
    pub fn rate(self) -> f64 {
        self.matched as f64 / self.total.max(1) as f64
    }
}

/// Counts the entities that occur in thoughts.
///
/// # Formula
/// An entity counts once if it is a contiguous part of some thought, letter by letter: case matters, and it may not run
/// from one thought into the next.
///
/// # Edge cases
/// Equal entities are one.  An entity also occurs inside of a longer word.
///
/// # Errors
/// An empty entity, named by its place.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::entity_matches;
/// let found = entity_matches(&["Leonardo", "Titanic"], &["the film was TITANIC", "so Leonardo is the actor"])?;
/// assert_eq!((found.matched, found.total, found.rate()), (1, 2, 0.5));
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn entity_matches<E: AsRef<str>, T: AsRef<str>>(
    entities: &[E],
    thoughts: &[T],
) -> Result<EntityMatches, DataError> {
    if let Some(i) = entities.iter().position(|e| e.as_ref().is_empty()) {
        return Err(DataError::value(format!("entity {i}"), "is empty"));
    }
    let different: BTreeSet<&str> = entities.iter().map(AsRef::as_ref).collect();
    let named = |entity: &&&str| thoughts.iter().any(|t| t.as_ref().contains(**entity));
    Ok(EntityMatches {
        matched: different.iter().filter(named).count(),
        total: different.len(),
    })
}

/// Hits of each member relative to the best of its group.
///
/// # Formula
/// `hits_i / max_j hits_j`: the number of entities cancels, so that one that nobody can reach changes nothing.
///
/// # Edge cases
/// Nobody hit anything: zeros.  `None`: unscorable, and not in the maximum.
///
/// # Errors
/// More hits than `total`, named by the member.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::group_normalized_bonus;
/// let bonus = group_normalized_bonus(&[Some(3), Some(4), None, Some(0)], 5)?;
/// assert_eq!(bonus, [Some(0.75), Some(1.0), None, Some(0.0)]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn group_normalized_bonus(hits: &[Option<usize>], total: usize) -> Result<Vec<Option<f64>>, DataError> {
    for (i, hits) in hits.iter().enumerate().filter_map(|(i, h)| Some((i, (*h)?))) {
        if hits > total {
            return Err(DataError::value(
                format!("trajectory {i}"),
                format!("matches {hits} of {total} entities"),
            ));
        }
    }
    let most = hits.iter().flatten().max().copied().unwrap_or(0).max(1);
    Ok(hits.iter().map(|h| h.map(|h| h as f64 / most as f64)).collect())
}

/// The thoughts of a text: what stands between `open` and `close`.
///
/// # Edge cases
/// A thought that is not closed runs to the end of the text.  Thoughts do not nest: the first `close` ends one.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::thoughts;
/// let found = thoughts("<think>a</think> b <think>c", "<think>", "</think>");
/// assert_eq!(found, ["a", "c"]);
/// ```
pub fn thoughts<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((_, inside)) = rest.split_once(open) {
        let (thought, behind) = inside.split_once(close).unwrap_or((inside, ""));
        out.push(thought);
        rest = behind;
    }
    out
}

/// One member, as [`EGrpo::shape_group`] reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EGrpoMember {
    /// How it ended; `None`: unscorable.
    pub status: Option<EGrpoStatus>,
    /// Entities that its thoughts name.
    pub matches: usize,
}

/// What a group becomes; `None`: unscorable.
#[derive(Clone, Debug, PartialEq)]
pub struct EGrpoShaped {
    /// Matches relative to the best of the group.
    pub bonuses: Vec<Option<f64>>,
    /// Rewards.
    pub rewards: Vec<Option<f64>>,
    /// False where a member's tokens stay out of the loss.
    pub trained: Vec<bool>,
}

/// E-GRPO's reward; advantages are GRPO's, the loss clips higher and has no KL term.
///
/// # Formula
/// `r_i` = 1 if right, `alpha g_i / max_j g_j` if wrong, 0 on a format or overlength error, with `g_i` the share of the
/// prompt's entities that occur in the thoughts of member i ([`entity_matches`]); 0 if no member names any.  The maximum
/// runs over the whole group, errors included, as equation 3 is written.
///
/// # Shapes
/// Thoughts are what stands between `open` and `close` in a member's actions, never what a tool said; entities are a
/// list of texts in the column of the task that `entities` names.  `g_i` is logged as component `e-grpo`.
///
/// # Edge cases
/// - Truncated member: overlength; it counts in the statistics of the group and contributes no token to the loss.
/// - Member without turns, or with an action that the environment did not understand: format error; trained on.
/// - No entities: nothing is paid.  Equal entities are one.
/// - Unscorable member: stays so, and is not in the maximum.
/// - The accuracy is that of the verifier: name its component in `accuracy` if there are several.
///
/// # Errors
/// Parameters: `alpha` outside [0, 1]; `entities`, `open` or `close` empty; `correct_at` not finite.  Data: rewards and members
/// that differ in number; a task whose column is absent, no list of texts, or holds an empty one; no component of that
/// name, or several and none named; a component `e-grpo` already there.
///
/// # Source
/// "Repurposing synthetic data for fine-grained search agent supervision", arXiv 2510.24694, equations 1 to 5 and
/// appendices B and C.  Alibaba-NLP/DeepResearch at f72f75d8 holds no training code for it.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::{EGrpo, EGrpoConfig, EGrpoMember, EGrpoStatus};
/// use EGrpoStatus::{Correct, Overlength, Wrong};
/// let egrpo = EGrpo::new(&EGrpoConfig::default())?;
/// let group = [(Correct, 3), (Wrong, 4), (Wrong, 2), (Overlength, 3)]
///     .map(|(status, matches)| EGrpoMember { status: Some(status), matches });
/// let shaped = egrpo.shape_group(&group, 5)?;
/// assert_eq!(shaped.bonuses, [0.75, 1.0, 0.5, 0.75].map(Some));
/// assert_eq!(shaped.rewards, [1.0, 0.3, 0.15, 0.0].map(Some));
/// assert_eq!(shaped.trained, [true, true, true, false]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EGrpoConfig {
    /// What the best wrong answer earns, in [0, 1]; 0 is GRPO.  Paper: 0.3.
    pub alpha: f64,
    /// Column of a task that lists its entities.
    pub entities: String,
    /// Text that opens a thought, not empty.
    pub open: String,
    /// Text that closes a thought, not empty.
    pub close: String,
    /// Component that is the accuracy; absent: the only one there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<String>,
    /// Accuracy from which an answer is right.
    pub correct_at: f64,
}

impl Default for EGrpoConfig {
    fn default() -> Self {
        Self {
            alpha: 0.3,
            entities: "entities".to_owned(),
            open: "<think>".to_owned(),
            close: "</think>".to_owned(),
            accuracy: None,
            correct_at: 1.0,
        }
    }
}

impl Part<dyn RewardShaper> for EGrpoConfig {
    const SOURCE: &'static str =
        "E-GRPO, arXiv 2510.24694 (ICLR 2026), equations 1-5 (no authors' training code)";

    fn formula(&self) -> String {
        let Self {
            alpha,
            entities,
            open,
            close,
            correct_at,
            ..
        } = self;
        format!(
            "r_i = 1 right (accuracy >= {correct_at}), {alpha} g_i / max(g) wrong, 0 badly formed or truncated; g: share \
             of the task's `{entities}` inside {open}..{close} of i; truncated members stay out of the loss"
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        Ok(Box::new(EGrpo::new(self)?))
    }
}

/// E-GRPO's reward, valid by construction.
#[derive(Clone, Debug, PartialEq)]
pub struct EGrpo {
    config: EGrpoConfig,
}

impl EGrpo {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &EGrpoConfig) -> Result<Self, ParamError> {
        ParamError::check(
            (0.0..=1.0).contains(&config.alpha),
            "alpha",
            config.alpha,
            "a number in [0, 1]",
        )?;
        for (key, text) in [
            ("entities", &config.entities),
            ("open", &config.open),
            ("close", &config.close),
        ] {
            ParamError::check(!text.is_empty(), key, "\"\"", "a text that is not empty")?;
        }
        check_correct_at(config.correct_at)?;
        Ok(Self {
            config: config.clone(),
        })
    }

    /// Bonuses, rewards and who is trained on, of one group; see [`EGrpoConfig`] for formula and example.
    ///
    /// # Shapes
    /// `total`: different entities of the prompt.
    ///
    /// # Errors
    /// More matches than entities, named by the member.
    pub fn shape_group(&self, members: &[EGrpoMember], total: usize) -> Result<EGrpoShaped, DataError> {
        let hits: Vec<Option<usize>> = members.iter().map(|m| m.status.map(|_| m.matches)).collect();
        let bonuses = group_normalized_bonus(&hits, total)?;
        let reward = |(member, bonus): (&EGrpoMember, &Option<f64>)| {
            let (status, bonus) = member.status.zip(*bonus)?;
            Some(status.reward(self.config.alpha, bonus))
        };
        Ok(EGrpoShaped {
            rewards: members.iter().zip(&bonuses).map(reward).collect(),
            trained: members
                .iter()
                .map(|m| m.status.is_none_or(EGrpoStatus::is_trained))
                .collect(),
            bonuses,
        })
    }

    /// The entities of a task.
    fn entities<'a>(&self, task: &'a Task) -> Result<Vec<&'a str>, DataError> {
        let column = &self.config.entities;
        task.columns
            .get(column)
            .and_then(|value| value.as_array()?.iter().map(|e| e.as_str()).collect())
            .ok_or_else(|| {
                DataError::value(
                    format!("task `{}`", task.id),
                    format!("column `{column}` must be a list of texts"),
                )
            })
    }

    fn status(&self, member: &Trajectory, right: bool) -> EGrpoStatus {
        let well_formed = !member.turns.is_empty() && member.turns.iter().all(|turn| turn.valid);
        match right {
            _ if member.stop.is_truncation() => EGrpoStatus::Overlength,
            _ if !well_formed => EGrpoStatus::Format,
            true => EGrpoStatus::Correct,
            false => EGrpoStatus::Wrong,
        }
    }

    fn matches(&self, member: &Trajectory, entities: &[&str]) -> Result<EntityMatches, DataError> {
        let actions = member.turns.iter().map(|turn| turn.action.as_str());
        let thoughts: Vec<&str> = actions
            .flat_map(|action| thoughts(action, &self.config.open, &self.config.close))
            .collect();
        entity_matches(entities, &thoughts)
    }
}

impl RewardShaper for EGrpo {
    fn shape(
        &self,
        task: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        check_first(rewards, NAME, "the reward would be replaced twice")?;
        let right = correctness(rewards, self.config.accuracy.as_deref(), self.config.correct_at)?;
        let entities = self.entities(task)?;
        let (mut group, mut rates, mut total) = (Vec::new(), Vec::new(), 0);
        for (member, right) in members.iter().zip(&right) {
            let found = self.matches(member, &entities)?;
            total = found.total;
            rates.push(right.map(|_| found.rate()));
            group.push(EGrpoMember {
                status: right.map(|right| self.status(member, right)),
                matches: found.matched,
            });
        }
        let shaped = self.shape_group(&group, total)?;
        rewards.rewards = shaped.rewards;
        for (slot, trained) in rewards.trained.iter_mut().zip(shaped.trained) {
            *slot &= trained;
        }
        rewards.components.insert(NAME.to_owned(), rates);
        Ok(())
    }
}

#[cfg(test)]
#[path = "e_grpo_tests.rs"]
mod tests;
