//! PTA-GRPO with split credit: plans compared with plans, solutions with those under the same plan.

use std::ops::Range;

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, Offsets, ParamError, Part, RewardBatch, Scope, Spread,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig};
use crate::inputs;

const NAME: &str = "pta-grpo";

/// Split credit for rollouts that branch: joint credit is the shaper of this name before `grpo`.
///
/// # Formula
/// With `r_ab` the reward of solution b of plan a: `q_a = mean_b r_ab`; the plan's tokens get
/// `(q_a - mean(q)) / (s(q) + eps)` over the plans of the group, the solution's
/// `(r_ab - mean_b r_ab) / (s(r_a) + eps)` over the solutions of its plan.
///
/// # Shapes
/// One advantage per token.  Member i solved under plan `floor(i / solutions)`, i its number in the group, as the scaffold
/// of this name rolls out; the plan is its first turn.  A plan's tokens occur in each of its solutions and count there.
///
/// # Edge cases
/// - Plans that tie, solutions of a plan that tie, one plan, one solution: 0.
/// - A plan with a solution that is missing or unscorable is in no comparison of plans and gets 0; its other solutions
///   are compared among themselves.  Unscorable solution: 0.
/// - A trajectory without turns is solution from its first token on.
///
/// # Errors
/// Parameters: `solutions` 0, `eps` negative or not finite.  Data: missing tokens, mask or trajectories; a turn whose
/// tokens leave its trajectory; those of [`GroupRelative`].
///
/// # Source
/// An arm of ours beside PTA-GRPO, arXiv 2510.01833, which multiplies plan and solution by one advantage.
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// let spec: AdvantageSpec = serde_json::from_str(r#"{"pta-grpo": {"solutions": 3}}"#)?;
/// assert!(spec.build(&()).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PtaGrpoConfig {
    /// Solutions z of each plan, >= 1; the number of the scaffold.
    pub solutions: u64,
    /// What the centred reward is divided by.
    #[serde(alias = "std")]
    pub spread: Spread,
    /// Added to the deviation, >= 0.
    pub eps: f64,
}

impl Default for PtaGrpoConfig {
    fn default() -> Self {
        Self {
            solutions: 3,
            spread: Spread::Sample,
            eps: 1e-6,
        }
    }
}

impl PtaGrpoConfig {
    fn settings(&self) -> GroupRelativeConfig {
        GroupRelativeConfig {
            spread: self.spread,
            eps: self.eps,
            ..GroupRelativeConfig::default()
        }
    }
}

impl Part<dyn AdvantageEstimator> for PtaGrpoConfig {
    const SOURCE: &'static str = "split credit, ours, beside PTA-GRPO, arXiv 2510.01833";

    fn formula(&self) -> String {
        format!(
            "{}; first turn: r = mean of the plan's {} solutions, over plans; later turns: over the solutions of a plan",
            self.settings().formula(),
            self.solutions
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        ParamError::check(self.solutions >= 1, "solutions", self.solutions, ">= 1")?;
        Ok(Box::new(PtaGrpo {
            relative: GroupRelative::new(self.settings())?,
            solutions: self.solutions,
        }))
    }
}

#[derive(Debug)]
struct PtaGrpo {
    relative: GroupRelative,
    solutions: u64,
}

impl PtaGrpo {
    /// Mean reward of a plan's solutions; `None` unless all of them are there and can be scored.
    fn score(&self, rewards: &[Option<f64>]) -> Option<f64> {
        let scored: Vec<f64> = rewards.iter().copied().collect::<Option<_>>()?;
        let whole = scored.len() as u64 == self.solutions;
        whole.then(|| scored.iter().sum::<f64>() / scored.len() as f64)
    }
}

impl AdvantageEstimator for PtaGrpo {
    fn needs(&self) -> Needs {
        Needs::TOKENS | Needs::TRAJECTORIES
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let (tokens, mask) = inputs::tokens(batch, NAME)?;
        let trajectories = inputs::trajectories(batch, NAME)?;
        // Group -> plans, and plan -> solutions.
        let (mut n_plans, mut n_solutions) = (Vec::new(), Vec::new());
        let plan_of = |i: &usize| trajectories[*i].sample / self.solutions;
        for members in batch.groups.iter() {
            let places: Vec<usize> = members.collect();
            let before = n_solutions.len();
            n_solutions.extend(
                places
                    .chunk_by(|a, b| plan_of(a) == plan_of(b))
                    .map(<[usize]>::len),
            );
            n_plans.push(n_solutions.len() - before);
        }
        let (plans, solutions) = (Offsets::from_lengths(n_plans), Offsets::from_lengths(n_solutions));
        let scores: Vec<Option<f64>> = solutions
            .spans()
            .iter()
            .map(|own| self.score(&batch.rewards[own]))
            .collect();
        let of_plans = self.relative.advantages(plans.spans(), &scores)?;
        let of_solutions = self.relative.advantages(solutions.spans(), batch.rewards)?;
        let mut out = vec![0.0; mask.len()];
        for (own, of_plan) in solutions.spans().iter().zip(&of_plans) {
            for i in own {
                let span = tokens.range(i);
                let plan = plan_tokens(i, &trajectories[i].turns, &span)?;
                for t in span.filter(|t| mask[*t]) {
                    out[t] = if plan.contains(&t) {
                        *of_plan
                    } else {
                        of_solutions[i]
                    };
                }
            }
        }
        Ok(Advantages::Token(out))
    }
}

/// Tokens of the first turn, in the batch.
fn plan_tokens(
    i: usize,
    turns: &[groupwise_core::Turn],
    span: &Range<usize>,
) -> Result<Range<usize>, DataError> {
    let Some(first) = turns.first() else {
        return Ok(span.start..span.start);
    };
    let Range { start, end } = first.tokens;
    if start > end || end > span.len() {
        let place = format!("trajectory {i}, step 0");
        let what = format!("tokens {start}..{end} leave the trajectory's {}", span.len());
        return Err(DataError::value(place, what));
    }
    Ok(span.start + start..span.start + end)
}

#[cfg(test)]
mod tests {
    use groupwise_core::{StopReason, Trajectory, Turn};
    use proptest::prelude::*;

    use super::*;

    /// A plan of two tokens, an observation of one, a solution of two.
    fn trajectory(sample: u64) -> Trajectory {
        let turn = |tokens: Range<usize>| Turn {
            anchor: None,
            action: String::new(),
            tokens,
            reward: 0.0,
            valid: true,
        };
        Trajectory {
            task: 0,
            sample,
            agent: None,
            prompt: [1].into(),
            completion: vec![0; 5],
            mask: vec![true, true, false, true, true],
            logp: vec![0.0; 5],
            entropy: vec![0.0; 5],
            turns: vec![turn(0..2), turn(3..5)],
            version: 0,
            stop: StopReason::EndToken,
        }
    }

    /// Advantages of plan and solution of each trajectory of one group.
    fn run(samples: &[u64], rewards: &[Option<f64>]) -> Result<Vec<(f64, f64)>, DataError> {
        let all: Vec<Trajectory> = samples.iter().map(|s| trajectory(*s)).collect();
        estimate(&all, rewards)
    }

    fn estimate(all: &[Trajectory], rewards: &[Option<f64>]) -> Result<Vec<(f64, f64)>, DataError> {
        estimate_by(&PtaGrpoConfig::default(), all, rewards)
    }

    fn estimate_by(
        config: &PtaGrpoConfig,
        all: &[Trajectory],
        rewards: &[Option<f64>],
    ) -> Result<Vec<(f64, f64)>, DataError> {
        let groups = Offsets::from_lengths([all.len()]);
        let tokens = Offsets::from_lengths(all.iter().map(|t| t.completion.len()));
        let mask: Vec<bool> = all.iter().flat_map(|t| t.mask.clone()).collect();
        let mut batch = RewardBatch::new(groups.spans(), rewards);
        batch.tokens = Some(tokens.spans());
        batch.mask = Some(&mask);
        batch.trajectories = Some(all);
        let Advantages::Token(a) = config.build(&()).expect("valid").estimate(&batch)? else {
            return Err(DataError::value("test", "not per token"));
        };
        for one in a.chunks(5) {
            assert_eq!((one[0], one[2], one[3]), (one[1], 0.0, one[4]));
        }
        Ok(a.chunks(5).map(|one| (one[0], one[4])).collect())
    }

    #[test]
    fn the_worked_example_is_split() {
        let rewards = [1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0].map(Some);
        let found = run(&(0..9).collect::<Vec<_>>(), &rewards).expect("data");
        let (q, s, l) = (0.999_997, 0.577_349, 1.154_699);
        let expected = [
            (q, s),
            (q, s),
            (q, -l),
            (0.0, -s),
            (0.0, -s),
            (0.0, l),
            (-q, 0.0),
            (-q, 0.0),
            (-q, 0.0),
        ];
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found.0 - expected.0).abs() < 1e-6 && (found.1 - expected.1).abs() < 1e-6,
                "{found:?}"
            );
        }
    }

    #[test]
    fn without_a_spread_both_levels_are_differences_from_their_mean() {
        let config = PtaGrpoConfig {
            spread: Spread::None,
            ..PtaGrpoConfig::default()
        };
        let all: Vec<Trajectory> = (0..6).map(trajectory).collect();
        let rewards = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0].map(Some);
        let found = estimate_by(&config, &all, &rewards).expect("data");
        let (p, s, l) = (1.0 / 6.0, 1.0 / 3.0, 2.0 / 3.0);
        let expected = [(p, s), (p, s), (p, -l), (-p, -s), (-p, l), (-p, -s)];
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found.0 - expected.0).abs() < 1e-12,
                "{found:?}, not {expected:?}"
            );
            assert!(
                (found.1 - expected.1).abs() < 1e-12,
                "{found:?}, not {expected:?}"
            );
        }
    }

    #[test]
    fn a_plan_that_is_not_whole_is_not_compared() {
        // Plan 1 lost a solution, plan 2 has one that cannot be scored.
        let samples = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11];
        let mut rewards = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0].map(Some);
        rewards[7] = None;
        let found = run(&samples, &rewards).expect("data");
        let of_plans: Vec<bool> = found.iter().map(|a| a.0 == 0.0).collect();
        assert_eq!(
            of_plans,
            [[false; 3].as_slice(), &[true; 5], &[false; 3]].concat()
        );
        assert!(found[3].1 > 0.0 && found[4].1 < 0.0 && found[5].1 > 0.0 && found[7].1 == 0.0);
    }

    #[test]
    fn turns_must_lie_in_their_trajectory_and_may_be_absent() {
        let mut all: Vec<Trajectory> = (0..3).map(trajectory).collect();
        all[1].turns.clear();
        let rewards = [1.0, 0.0, 0.0].map(Some);
        let groups = Offsets::from_lengths([3]);
        let tokens = Offsets::from_lengths([5, 5, 5]);
        let mask = vec![true; 15];
        let mut batch = RewardBatch::new(groups.spans(), &rewards);
        batch.tokens = Some(tokens.spans());
        batch.mask = Some(&mask);
        batch.trajectories = Some(&all);
        let estimator = PtaGrpoConfig::default().build(&()).expect("valid");
        let Advantages::Token(a) = estimator.estimate(&batch).expect("data") else {
            panic!("per token");
        };
        assert_eq!((a[5], a[0]), (a[9], 0.0));
        let mut odd = all.clone();
        odd[2].turns[0].tokens = 2..6;
        batch.trajectories = Some(&odd);
        assert_eq!(
            estimator.estimate(&batch).expect_err("refused").to_string(),
            "trajectory 2, step 0: tokens 2..6 leave the trajectory's 5"
        );
    }

    #[test]
    fn bad_parameters_are_refused() {
        let refused = |config: PtaGrpoConfig| config.build(&()).map(|_| ()).expect_err("refused").to_string();
        let zero = PtaGrpoConfig {
            solutions: 0,
            ..PtaGrpoConfig::default()
        };
        assert_eq!(refused(zero), "`solutions` = 0: must be >= 1");
        let eps = PtaGrpoConfig {
            eps: f64::NAN,
            ..PtaGrpoConfig::default()
        };
        assert!(refused(eps).starts_with("`eps` = NaN"));
    }

    proptest! {
        #[test]
        fn advantages_sum_to_zero_over_plans_and_within_each(bits in prop::collection::vec(any::<bool>(), 12)) {
            let rewards: Vec<Option<f64>> = bits.iter().map(|b| Some(f64::from(u8::from(*b)))).collect();
            let found = run(&(0..12).collect::<Vec<_>>(), &rewards)?;
            let plans: f64 = found.iter().map(|a| a.0).sum();
            prop_assert!(plans.abs() < 1e-9);
            for plan in found.chunks(3) {
                prop_assert!(plan.iter().map(|a| a.1).sum::<f64>().abs() < 1e-9);
                prop_assert!(plan.iter().all(|a| a.0 == plan[0].0));
            }
        }
    }
}
