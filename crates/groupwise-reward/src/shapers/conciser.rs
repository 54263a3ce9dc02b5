//! ConciseR, second stage: shorter is better where the whole group is right.

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::accuracy::{check_correct_at, correctness};
use super::{check_first, check_group};

const NAME: &str = "conciser";

/// What the second stage does with groups that are not all right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixedGroups {
    /// They are trained on for correctness.
    #[default]
    Accuracy,
    /// They stay out of the loss.
    Skip,
}

/// What a group becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct ConciserShaped {
    /// What is added to the reward of each member; `None`: unscorable.
    pub bonuses: Vec<Option<f64>>,
    /// False where the group stays out of the loss.
    pub trained: bool,
}

/// L-GRPO's reward: length is paid for only in groups in which every answer is right.
///
/// # Formula
/// All scorable members right: `r_i += lambda (1 - min(l_i, l_max) / l_max)`.  Otherwise nothing is added, and
/// `mixed = "skip"` leaves the group out of the loss.
///
/// In an all-right group the reward is affine in the length, so that `A_i = (mean l - l_i) / std l`, up to eps, for every
/// `lambda > 0` and every `l_max` above the lengths.
///
/// # Shapes
/// `l_i`: tokens the policy chose.  The addition is logged as component `conciser`, in `[0, lambda]`.
///
/// # Edge cases
/// - Lengths above `l_max` count as `l_max`.  `lambda = 0` is the first stage.
/// - Unscorable member: stays so, and does not keep its group from being all right.  A group without scorable members is
///   not all right.
/// - The accuracy is that of the verifier, never a shaped reward: name its component in `accuracy` if there are several.
/// - The filter `dynamic-sampling`, which is of the first stage, would drop exactly the groups that this reward needs.
/// - Both stages are one run with `start_step`, or runs of their own: the second starts at the weights the first ended with.
///   In the first stage every group is trained on for correctness.
///
/// # Errors
/// Parameters: `lambda` negative or not finite, `l_max` 0, `correct_at` not finite.  Data: rewards and members that differ in
/// number; no component of that name, or several and none named; a component `conciser` already there.
///
/// # Source
/// ConciseR, arXiv 2505.21178.  The authors' repository (nick7nlp/ConciseR at 01d9caec) holds no code; the form of the
/// length reward, `lambda` and `mixed` are reconstructed.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::{Conciser, ConciserConfig};
/// let conciser = Conciser::new(&ConciserConfig { l_max: 100, ..ConciserConfig::default() })?;
/// let all = conciser.shape_group(&[Some(true); 4], &[20, 40, 60, 80])?;
/// assert_eq!(all.bonuses, [Some(0.8), Some(0.6), Some(0.4), Some(0.19999999999999996)]);
/// let mixed = conciser.shape_group(&[Some(true), Some(false)], &[20, 40])?;
/// assert_eq!(mixed.bonuses, [Some(0.0), Some(0.0)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConciserConfig {
    /// Weight of the length reward, >= 0; its size hardly matters, but keep it near 1: a tiny one drowns in eps.
    pub lambda: f64,
    /// Length that earns nothing, >= 1: the generation limit.
    pub l_max: usize,
    /// What happens to groups that are not all right.
    pub mixed: MixedGroups,
    /// Training steps of the first stage, in which length is not paid for; 0: there is none.
    pub start_step: u64,
    /// Component that is the accuracy; absent: the only one there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<String>,
    /// Accuracy from which an answer is right.
    pub correct_at: f64,
}

impl Default for ConciserConfig {
    fn default() -> Self {
        Self {
            lambda: 1.0,
            l_max: 1024,
            mixed: MixedGroups::Accuracy,
            start_step: 0,
            accuracy: None,
            correct_at: 1.0,
        }
    }
}

impl Part<dyn RewardShaper> for ConciserConfig {
    const SOURCE: &'static str =
        "ConciseR, arXiv 2505.21178 (no code at nick7nlp/ConciseR; length reward reconstructed)";

    fn formula(&self) -> String {
        let mixed = match self.mixed {
            MixedGroups::Accuracy => "trained on as they are",
            MixedGroups::Skip => "left out of the loss",
        };
        let from = match self.start_step {
            0 => String::new(),
            steps => format!("after {steps} steps, "),
        };
        format!(
            "{from}whole group right (accuracy >= {}): r_i += {} (1 - min(len_i, {l_max}) / {l_max}); other groups: {mixed}",
            self.correct_at,
            self.lambda,
            l_max = self.l_max,
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        Ok(Box::new(Conciser::new(self)?))
    }
}

/// True if there are scorable members and all of them are right.
///
/// # Shapes
/// One entry per member; `None`: unscorable.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::all_correct;
/// assert!(all_correct(&[Some(true), None]));
/// assert!(!all_correct(&[Some(true), Some(false)]) && !all_correct(&[None]));
/// ```
pub fn all_correct(correct: &[Option<bool>]) -> bool {
    let mut scorable = correct.iter().flatten().peekable();
    scorable.peek().is_some() && scorable.all(|c| *c)
}

/// L-GRPO's reward, valid by construction.
#[derive(Clone, Debug, PartialEq)]
pub struct Conciser {
    config: ConciserConfig,
}

impl Conciser {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &ConciserConfig) -> Result<Self, ParamError> {
        ParamError::check_coefficient("lambda", config.lambda)?;
        ParamError::check(config.l_max >= 1, "l_max", config.l_max, ">= 1")?;
        check_correct_at(config.correct_at)?;
        Ok(Self {
            config: config.clone(),
        })
    }

    /// Additions to the rewards of one group; see [`ConciserConfig`] for formula and example.
    ///
    /// # Shapes
    /// `correct` and `lengths`: one entry per member; `None`: unscorable.
    ///
    /// # Errors
    /// Inputs that differ in length.
    pub fn shape_group(
        &self,
        correct: &[Option<bool>],
        lengths: &[usize],
    ) -> Result<ConciserShaped, DataError> {
        DataError::check_len("lengths", lengths.len(), correct.len())?;
        let ConciserConfig { lambda, l_max, .. } = self.config;
        let pays = all_correct(correct);
        let bonus = |length: usize| match pays {
            true => lambda * (1.0 - length.min(l_max) as f64 / l_max as f64),
            false => 0.0,
        };
        Ok(ConciserShaped {
            bonuses: correct
                .iter()
                .zip(lengths)
                .map(|(correct, length)| correct.map(|_| bonus(*length)))
                .collect(),
            trained: pays || self.config.mixed == MixedGroups::Accuracy,
        })
    }
}

impl RewardShaper for Conciser {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        memory: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        check_first(rewards, NAME, "length would count twice")?;
        let correct = correctness(rewards, self.config.accuracy.as_deref(), self.config.correct_at)?;
        let lengths: Vec<usize> = members.iter().map(Trajectory::n_policy_tokens).collect();
        let ConciserShaped { bonuses, trained } = if memory.last_step() < self.config.start_step {
            ConciserShaped {
                bonuses: correct.iter().map(|correct| correct.map(|_| 0.0)).collect(),
                trained: true,
            }
        } else {
            self.shape_group(&correct, &lengths)?
        };
        for (reward, bonus) in rewards.rewards.iter_mut().zip(&bonuses) {
            *reward = reward.zip(*bonus).map(|(r, b)| r + b);
        }
        for slot in &mut rewards.trained {
            *slot &= trained;
        }
        rewards.components.insert(NAME.to_owned(), bonuses);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::stats::{mean, sample_std};
    use groupwise_core::{GroupOutcome, StopReason};
    use proptest::prelude::*;

    use super::super::testing::member;
    use super::*;

    fn conciser(lambda: f64, l_max: usize, mixed: MixedGroups) -> Conciser {
        let config = ConciserConfig {
            lambda,
            l_max,
            mixed,
            ..ConciserConfig::default()
        };
        Conciser::new(&config).expect("valid")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn where_all_are_right_the_reward_falls_with_length(
            lengths in prop::collection::vec(0usize..100, 2..9), lambda in 0.01..10.0f64,
        ) {
            let correct = vec![Some(true); lengths.len()];
            let shaped = conciser(lambda, 100, MixedGroups::Skip).shape_group(&correct, &lengths)?;
            prop_assert!(shaped.trained);
            for (i, a) in lengths.iter().enumerate() {
                for (j, b) in lengths.iter().enumerate() {
                    prop_assert_eq!(a < b, shaped.bonuses[i] > shaped.bonuses[j]);
                }
            }
        }

        #[test]
        fn where_all_are_right_advantages_do_not_depend_on_lambda_or_l_max(
            lengths in prop::collection::vec(0usize..100, 2..9), lambda in 0.01..10.0f64, l_max in 100usize..500,
        ) {
            let values: Vec<f64> = lengths.iter().map(|l| *l as f64).collect();
            prop_assume!(sample_std(&values) > 0.0);
            let correct = vec![Some(true); lengths.len()];
            let shaped = conciser(lambda, l_max, MixedGroups::Accuracy).shape_group(&correct, &lengths)?;
            let bonuses: Vec<f64> = shaped.bonuses.into_iter().flatten().collect();
            for (b, l) in bonuses.iter().zip(&values) {
                let found = (b - mean(&bonuses)) / sample_std(&bonuses);
                let expected = (mean(&values) - l) / sample_std(&values);
                prop_assert!((found - expected).abs() < 1e-9);
            }
        }

        #[test]
        fn one_wrong_answer_switches_length_off_for_the_group(
            lengths in prop::collection::vec(0usize..100, 1..9), wrong in 0usize..9, skip in any::<bool>(),
        ) {
            let mut correct = vec![Some(true); lengths.len()];
            correct[wrong % lengths.len()] = Some(false);
            let mixed = if skip { MixedGroups::Skip } else { MixedGroups::Accuracy };
            let shaped = conciser(1.0, 100, mixed).shape_group(&correct, &lengths)?;
            prop_assert_eq!(shaped.trained, !skip);
            prop_assert_eq!(shaped.bonuses, vec![Some(0.0); lengths.len()]);
        }
    }

    #[test]
    fn lengths_are_capped_and_lambda_0_adds_nothing() {
        let bonuses = |lambda| {
            let shaped =
                conciser(lambda, 10, MixedGroups::Accuracy).shape_group(&[Some(true); 4], &[0, 5, 10, 99]);
            shaped.expect("data").bonuses
        };
        assert_eq!(bonuses(2.0), [Some(2.0), Some(1.0), Some(0.0), Some(0.0)]);
        assert_eq!(bonuses(0.0), [Some(0.0); 4]);
    }

    #[test]
    fn unscorable_members_have_no_say() {
        let skip = conciser(1.0, 10, MixedGroups::Skip);
        let shaped = skip.shape_group(&[None, Some(true)], &[0, 5]).expect("data");
        assert_eq!((shaped.bonuses, shaped.trained), (vec![None, Some(0.5)], true));
        let shaped = skip.shape_group(&[None], &[0]).expect("data");
        assert_eq!((shaped.bonuses, shaped.trained), (vec![None], false));
        assert_eq!(
            skip.shape_group(&[None], &[]).expect_err("refused").to_string(),
            "`lengths` has 0 entries, expected 1"
        );
    }

    fn shape(config: &ConciserConfig, rewards: &mut GroupRewards) -> Result<(), DataError> {
        let members = [
            member(2, 30, StopReason::EndToken),
            member(5, 0, StopReason::EndToken),
        ];
        let (task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        let shaper = config.build(&()).expect("valid");
        shaper.shape(&task, &members, rewards, &memory)
    }

    #[test]
    fn the_verifier_decides_and_the_policys_tokens_are_counted() {
        let config = ConciserConfig {
            l_max: 10,
            correct_at: 0.5,
            mixed: MixedGroups::Skip,
            ..ConciserConfig::default()
        };
        let mut rewards = GroupRewards::new("v", vec![Some(0.5), Some(1.0)]);
        rewards.rewards = vec![Some(-1.0), Some(3.0)];
        rewards.trained[1] = false;
        shape(&config, &mut rewards).expect("data");
        assert_eq!(rewards.components["conciser"], [Some(0.8), Some(0.5)]);
        assert_eq!(rewards.rewards, [Some(-0.19999999999999996), Some(3.5)]);
        // What another shaper kept out stays out.
        assert_eq!(rewards.trained, [true, false]);
        let named = ConciserConfig {
            accuracy: Some("v".into()),
            ..config.clone()
        };
        assert_eq!(
            shape(&named, &mut rewards).expect_err("refused").to_string(),
            "component `conciser`: is already there: length would count twice"
        );
        let mut rewards = GroupRewards::new("v", vec![Some(0.4), Some(1.0)]);
        shape(&config, &mut rewards).expect("data");
        assert_eq!(rewards.rewards, [Some(0.4), Some(1.0)]);
        assert_eq!(rewards.trained, [false, false]);
    }

    #[test]
    fn in_the_first_stage_correctness_is_all_that_counts() {
        let config = ConciserConfig {
            l_max: 10,
            mixed: MixedGroups::Skip,
            start_step: 2,
            ..ConciserConfig::default()
        };
        let shaper = config.build(&()).expect("valid");
        let members = [
            member(2, 0, StopReason::EndToken),
            member(5, 0, StopReason::EndToken),
        ];
        let (task, mut memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        let mut shaped = |step: u64| {
            if step > 0 {
                let outcome = GroupOutcome {
                    task: 0,
                    rewards: vec![Some(1.0)],
                    lengths: vec![1],
                };
                memory.observe(step, &[outcome]).expect("in the pool");
            }
            [[1.0, 1.0], [0.0, 1.0]].map(|scores| {
                let mut rewards = GroupRewards::new("v", scores.map(Some).to_vec());
                shaper
                    .shape(&task, &members, &mut rewards, &memory)
                    .expect("data");
                (rewards.rewards, rewards.trained)
            })
        };
        let plain = [[1.0, 1.0], [0.0, 1.0]].map(|r| (r.map(Some).to_vec(), vec![true; 2]));
        assert_eq!(shaped(0), plain);
        assert_eq!(shaped(1), plain);
        let second = [
            (vec![Some(1.8), Some(1.5)], vec![true; 2]),
            (vec![Some(0.0), Some(1.0)], vec![false; 2]),
        ];
        assert_eq!(shaped(2), second);
        assert!(config.formula().starts_with("after 2 steps, whole group right"));
    }

    #[test]
    fn bad_parameters_are_refused() {
        let refused =
            |config: ConciserConfig| config.build(&()).map(|_| ()).expect_err("refused").to_string();
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            let config = ConciserConfig {
                lambda: bad,
                ..ConciserConfig::default()
            };
            assert_eq!(
                refused(config),
                format!("`lambda` = {bad}: must be a finite number >= 0")
            );
        }
        let config = ConciserConfig {
            l_max: 0,
            ..ConciserConfig::default()
        };
        assert_eq!(refused(config), "`l_max` = 0: must be >= 1");
        let config = ConciserConfig {
            correct_at: f64::NAN,
            ..ConciserConfig::default()
        };
        assert_eq!(refused(config), "`correct_at` = NaN: must be a finite number");
    }

    #[test]
    fn the_formula_prints_what_is_active() {
        assert_eq!(
            ConciserConfig::default().formula(),
            "whole group right (accuracy >= 1): r_i += 1 (1 - min(len_i, 1024) / 1024); other groups: trained on as \
             they are"
        );
        let skip: ConciserConfig =
            serde_json::from_str(r#"{"mixed": "skip", "lambda": 0.5, "l_max": 64}"#).expect("parses");
        assert_eq!(
            skip.formula(),
            "whole group right (accuracy >= 1): r_i += 0.5 (1 - min(len_i, 64) / 64); other groups: left out of the loss"
        );
    }
}
