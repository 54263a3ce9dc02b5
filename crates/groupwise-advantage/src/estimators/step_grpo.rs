//! Step-GRPO (R1-Router): every step of a question is a group of its own.

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, ParamError, Part, RewardBatch, Scope, Spread,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig};
use crate::inputs;
use crate::keyed::Clusters;

const NAME: &str = "step-grpo";

/// Where the samples of one step stand in a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepLayout {
    /// Each trajectory is a sample of one step, on a prompt with the reference history; a group of the batch is the
    /// step, and the outcome reward is the step's.
    #[default]
    Rows,
    /// Each trajectory is a whole rollout; its steps have rewards of their own.
    Turns,
}

/// Step-GRPO's advantage: a step is compared with samples of the same step only.
///
/// # Formula
/// `A = (r - mean(r)) / (s(r) + eps)` over the samples with the same key (question, number of the step).
///
/// # Shapes
/// `rows`: one advantage per trajectory, key = group of the batch.  `turns`: one per token, key = (group, position of
/// the step in its rollout); masked tokens and
/// tokens outside a step get 0.
///
/// # Edge cases
/// - One sample, or no spread: 0; so is, under `turns`, a step that only one rollout reached.
/// - Unscorable trajectory: 0, and its steps are in no statistic.
/// - One step per question: GRPO, and `rows` is GRPO always: there the method is in how questions become rows.
///
/// # Errors
/// Parameters: `eps` negative or not finite.  Data: under `turns`, no tokens, steps, step rewards or tokens of steps, a
/// step outside its trajectory, a step reward that is not finite; those of [`GroupRelative`].
///
/// # Source
/// R1-Router, arXiv 2505.22095; OpenBMB/R1-Router, `Easy-R1/verl/trainer/ray_trainer.py` (a group id per row) and
/// `rl_dataset.py` (a row per step).  `turns` is the same grouping on live rollouts, where the prompts of a step differ;
/// the authors train teacher-forced (`rows`).  The typed step rewards are in `groupwise_reward`.
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch};
/// // Two steps of one question, four samples each.
/// let groups = Offsets::from_lengths([4, 4]);
/// let rewards = [0.9, 0.4, 0.4, 0.9, 0.0, 0.0, 0.0, 0.0].map(Some);
/// let step = AdvantageSpec::StepGrpo(Default::default()).build(&())?;
/// let a = step.estimate(&RewardBatch::new(groups.spans(), &rewards))?;
/// let Advantages::Trajectory(a) = a else { unreachable!("rows have one advantage each") };
/// assert!((a[0] - 0.8660224037948311).abs() < 1e-12);
/// assert_eq!(a[4..], [0.0; 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StepGrpoConfig {
    /// Where the samples of one step stand.
    pub layout: StepLayout,
    /// What the centred reward is divided by.
    #[serde(alias = "std")]
    pub spread: Spread,
    /// Added to the deviation, >= 0.
    pub eps: f64,
}

impl Default for StepGrpoConfig {
    fn default() -> Self {
        Self {
            layout: StepLayout::Rows,
            spread: Spread::Sample,
            eps: 1e-6,
        }
    }
}

impl StepGrpoConfig {
    fn settings(&self) -> GroupRelativeConfig {
        GroupRelativeConfig {
            spread: self.spread,
            eps: self.eps,
            ..GroupRelativeConfig::default()
        }
    }
}

impl Part<dyn AdvantageEstimator> for StepGrpoConfig {
    const SOURCE: &'static str =
        "Step-GRPO of R1-Router, arXiv 2505.22095; OpenBMB/R1-Router Easy-R1/verl/trainer/ray_trainer.py";

    fn formula(&self) -> String {
        let key = match self.layout {
            StepLayout::Rows => "group = rows of one step",
            StepLayout::Turns => "r the step's reward, group = (question, number of the step)",
        };
        format!("{}; {key}", self.settings().formula())
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        Ok(Box::new(StepGrpo {
            relative: GroupRelative::new(self.settings())?,
            layout: self.layout,
        }))
    }
}

#[derive(Debug)]
struct StepGrpo {
    relative: GroupRelative,
    layout: StepLayout,
}

impl AdvantageEstimator for StepGrpo {
    fn needs(&self) -> Needs {
        match self.layout {
            StepLayout::Rows => Needs::empty(),
            StepLayout::Turns => Needs::TOKENS | Needs::STEP_REWARDS,
        }
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        match self.layout {
            StepLayout::Rows => {
                let a = self.relative.advantages(batch.groups, batch.rewards)?;
                Ok(Advantages::Trajectory(a))
            }
            StepLayout::Turns => self.turns(batch),
        }
    }
}

impl StepGrpo {
    fn turns(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let (tokens, mask) = inputs::tokens(batch, NAME)?;
        let (steps, ranges) = inputs::steps(batch, tokens, NAME)?;
        let rewards = batch.step_rewards.ok_or(DataError::Missing {
            what: "step_rewards",
            part: NAME,
        })?;
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (g, members) in batch.groups.iter().enumerate() {
            for i in members {
                for (position, k) in steps.range(i).enumerate() {
                    if !rewards[k].is_finite() {
                        return Err(DataError::NonFinite {
                            place: format!("group {g}, trajectory {i}, step {position}"),
                            what: "reward".into(),
                            value: rewards[k].to_string(),
                        });
                    }
                    keys.push((g, position));
                    values.push(batch.rewards[i].map(|_| rewards[k]));
                }
            }
        }
        let a = self
            .relative
            .advantages_by_key(&Clusters::from_keys(keys), &values)?;
        inputs::token_advantages(&a, ranges, mask)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use groupwise_core::Offsets;
    use proptest::prelude::*;

    use super::*;

    /// Group -> rollout: outcome and rewards of its steps.
    type Batch = Vec<Vec<(Option<f64>, Vec<f64>)>>;

    const TURNS: StepGrpoConfig = StepGrpoConfig {
        layout: StepLayout::Turns,
        spread: Spread::Sample,
        eps: 1e-6,
    };

    /// Advantage of every step; a step is two tokens behind one masked token.
    fn run(batch: &Batch) -> Result<Vec<Vec<f64>>, DataError> {
        let rollouts: Vec<_> = batch.iter().flatten().collect();
        let groups = Offsets::from_lengths(batch.iter().map(Vec::len));
        let steps = Offsets::from_lengths(rollouts.iter().map(|r| r.1.len()));
        let tokens = Offsets::from_lengths(rollouts.iter().map(|r| 3 * r.1.len()));
        let ranges: Vec<Range<usize>> = (0..steps.total()).map(|k| 3 * k + 1..3 * k + 3).collect();
        let mask: Vec<bool> = (0..tokens.total()).map(|t| t % 3 != 0).collect();
        let outcome: Vec<Option<f64>> = rollouts.iter().map(|r| r.0).collect();
        let rewards: Vec<f64> = rollouts.iter().flat_map(|r| r.1.iter().copied()).collect();
        let mut rows = RewardBatch::new(groups.spans(), &outcome);
        rows.tokens = Some(tokens.spans());
        rows.mask = Some(&mask);
        rows.steps = Some(steps.spans());
        rows.step_tokens = Some(&ranges);
        rows.step_rewards = Some(&rewards);
        let Advantages::Token(a) = TURNS.build(&()).expect("valid").estimate(&rows)? else {
            return Err(DataError::value("test", "not per token"));
        };
        for k in 0..steps.total() {
            assert_eq!((a[3 * k], a[3 * k + 1]), (0.0, a[3 * k + 2]));
        }
        Ok(steps
            .spans()
            .iter()
            .map(|own| own.map(|k| a[3 * k + 1]).collect())
            .collect())
    }

    fn batches() -> impl Strategy<Value = Batch> {
        let rollout = (
            prop::option::weighted(0.85, Just(1.0)),
            prop::collection::vec(prop::sample::select(vec![0.0, 0.4, 0.9, 1.0]), 0..4),
        );
        prop::collection::vec(prop::collection::vec(rollout, 1..5), 1..4)
    }

    #[test]
    fn steps_of_live_rollouts_are_compared_with_the_same_step() {
        // First steps 0.9, 0.4, 0.4, 0.9: the worked example.  Second steps: only two rollouts have one.
        let batch = vec![vec![
            (Some(1.0), vec![0.9, 1.0]),
            (Some(0.0), vec![0.4]),
            (Some(0.0), vec![0.4, 0.0]),
            (Some(0.0), vec![0.9]),
        ]];
        let a = run(&batch).expect("valid");
        let (one, two) = (0.866_022_403_794_831_1, 0.5 / (0.5_f64.sqrt() + 1e-6));
        let expected = [vec![one, two], vec![-one], vec![-one, -two], vec![one]];
        for (found, expected) in a.concat().iter().zip(expected.concat()) {
            assert!((found - expected).abs() < 1e-12, "{a:?}");
        }
    }

    #[test]
    fn a_step_only_one_rollout_reached_and_unscorable_rollouts_get_nothing() {
        let batch = vec![vec![
            (Some(1.0), vec![0.5, 0.5, 0.9]),
            (Some(0.0), vec![0.5, 0.5]),
            (None, vec![9.0]),
        ]];
        assert_eq!(
            run(&batch).expect("valid"),
            [vec![0.0; 3], vec![0.0; 2], vec![0.0]]
        );
    }

    #[test]
    fn every_refusal_is_named() {
        let config = StepGrpoConfig {
            eps: f64::NAN,
            ..Default::default()
        };
        assert_eq!(
            config.build(&()).map(|_| ()).expect_err("refused").to_string(),
            "`eps` = NaN: must be a finite number >= 0"
        );
        let bad = run(&vec![
            vec![(Some(1.0), vec![0.0])],
            vec![(Some(1.0), vec![0.0, f64::NAN])],
        ]);
        assert_eq!(
            bad.expect_err("refused").to_string(),
            "group 1, trajectory 1, step 1: `reward` is NaN"
        );
        let (groups, rewards, mask) = (Offsets::from_lengths([1]), [Some(1.0)], [true]);
        let part = TURNS.build(&()).expect("valid");
        assert_eq!(part.needs(), Needs::TOKENS | Needs::STEP_REWARDS);
        let mut batch = RewardBatch::new(groups.spans(), &rewards);
        batch.tokens = Some(groups.spans());
        batch.mask = Some(&mask);
        batch.steps = Some(groups.spans());
        batch.step_tokens = Some(&[std::ops::Range { start: 0, end: 1 }]);
        assert_eq!(
            part.estimate(&batch).expect_err("refused").to_string(),
            "`step_rewards` is missing, and `step-grpo` needs it"
        );
    }

    #[test]
    fn the_formula_names_the_layout() {
        let rows = StepGrpoConfig::default();
        assert!(
            rows.formula()
                .ends_with("lone member: 0; group = rows of one step")
        );
        assert!(
            TURNS
                .formula()
                .ends_with("r the step's reward, group = (question, number of the step)")
        );
        assert_eq!(rows.build(&()).expect("valid").needs(), Needs::empty());
        let aliased: StepGrpoConfig = serde_json::from_str(r#"{"std": "population"}"#).expect("known");
        assert_eq!(aliased.spread, Spread::Population);
    }

    #[test]
    fn the_population_deviation_divides_by_the_number_of_rows() {
        // Rewards 1 and 0: squared deviations 1/2, so 1/2 over n = 2 and sqrt(1/2) over n - 1.
        let groups = Offsets::from_lengths([2]);
        let batch = RewardBatch::new(groups.spans(), &[Some(1.0), Some(0.0)]);
        for (spread, s) in [(Spread::Population, 0.5), (Spread::Sample, 0.5_f64.sqrt())] {
            let config = StepGrpoConfig {
                spread,
                eps: 0.25,
                ..Default::default()
            };
            let found = config.build(&()).expect("valid").estimate(&batch).expect("data");
            let a = 0.5 / (s + 0.25);
            assert_eq!(found, Advantages::Trajectory(vec![a, -a]));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn groups_never_mix_steps(batch in batches(), position in 0usize..3, shift in -5.0..5.0f64) {
            // Moving every reward of one step number of the first question changes nothing anywhere.
            let mut moved = batch.clone();
            for (_, rewards) in &mut moved[0] {
                if let Some(r) = rewards.get_mut(position) {
                    *r += shift;
                }
            }
            for (a, b) in run(&batch)?.concat().iter().zip(run(&moved)?.concat()) {
                prop_assert!((a - b).abs() < 1e-6);
            }
        }

        #[test]
        fn with_one_step_it_is_grpo_in_both_layouts(
            rewards in prop::collection::vec(prop::collection::vec(prop::option::weighted(0.9, -1.0..1.0f64), 1..5), 1..4),
        ) {
            let groups = Offsets::from_lengths(rewards.iter().map(Vec::len));
            let flat = rewards.concat();
            let grpo = GroupRelative::new(GroupRelativeConfig::default())?.advantages(groups.spans(), &flat)?;
            let rows = StepGrpoConfig::default().build(&()).expect("valid");
            let rows = rows.estimate(&RewardBatch::new(groups.spans(), &flat))?;
            prop_assert_eq!(rows, Advantages::Trajectory(grpo.clone()));
            let live: Batch =
                rewards.iter().map(|g| g.iter().map(|r| (*r, vec![r.unwrap_or(0.0)])).collect()).collect();
            prop_assert_eq!(run(&live)?.concat(), grpo);
        }

        #[test]
        fn advantages_of_a_step_sum_to_zero(batch in batches()) {
            let a = run(&batch)?;
            let mut next = a.iter();
            for group in &batch {
                let own: Vec<_> = next.by_ref().take(group.len()).collect();
                for position in 0..3 {
                    let total: f64 = own.iter().filter_map(|r| r.get(position)).sum();
                    prop_assert!(total.abs() < 1e-8);
                }
            }
        }
    }
}
