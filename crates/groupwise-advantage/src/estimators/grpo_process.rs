//! GRPO with process supervision: what a token led to, not what the whole answer earned.

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, ParamError, Part, ProcessRewards, RewardBatch, Scope,
    stats,
};
use serde::{Deserialize, Serialize};

use crate::inputs;

/// Rewards of judged steps, normalized over all steps of the group, summed from each token to the end.
///
/// # Formula
/// With `R` the rewards of all judged steps of the group's scorable members:
/// `A_it = sum over steps j of member i that end at t or later of (r_ij - mean(R)) / (s(R) + eps)`,
/// `s` the sample standard deviation.  A token after the last judged step gets 0: it decided nothing.
///
/// # Shapes
/// One advantage per token, without unit.
///
/// # Edge cases
/// - All judged rewards of a group equal (or none): 0.
/// - An unscorable member: 0, and its steps enter neither mean nor deviation.
/// - A masked token: 0.
///
/// # Errors
/// Parameters: `eps` negative or not finite.  Data: no process rewards; a step that ends outside its trajectory;
/// those of [`RewardBatch::check`].
///
/// # Source
/// DeepSeekMath (arXiv 2402.03300), section 4.1.3, process supervision.  The paper leaves open which deviation; the
/// sample one is used, as in its outcome form here.
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, JudgedStep, Offsets, ProcessRewards, RewardBatch};
/// // Two members of three tokens: the first gets two steps right and one wrong, the second fails at once.
/// let (groups, tokens) = (Offsets::from_lengths([2]), Offsets::from_lengths([3, 3]));
/// let (rewards, mask) = ([Some(1.0), Some(0.0)], [true; 6]);
/// let step = |end, reward| JudgedStep { end, reward };
/// let judged = [step(0, 0.5), step(1, 0.5), step(2, 0.0), step(0, 0.0)];
/// let spans = Offsets::from_lengths([3, 1]);
/// let mut batch = RewardBatch::new(groups.spans(), &rewards);
/// batch.tokens = Some(tokens.spans());
/// batch.mask = Some(&mask);
/// batch.process = Some(ProcessRewards { spans: spans.spans(), steps: &judged });
/// let spec: AdvantageSpec = serde_json::from_str(r#"{"grpo-process": {"eps": 0.0}}"#)?;
/// let Advantages::Token(a) = spec.build(&())?.estimate(&batch)? else { unreachable!("per token") };
/// // mean 1/4, deviation sqrt(1/12): a right step counts +0.866, a wrong one -0.866.
/// let one = 0.75_f64.sqrt();
/// for (found, expected) in a.iter().zip([one, 0.0, -one, -one, 0.0, 0.0]) {
///     assert!((found - expected).abs() < 1e-12);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpoProcessConfig {
    /// Added to the deviation, >= 0.
    pub eps: f64,
}

impl Default for GrpoProcessConfig {
    fn default() -> Self {
        Self { eps: 1e-6 }
    }
}

impl Part<dyn AdvantageEstimator> for GrpoProcessConfig {
    const SOURCE: &'static str = "DeepSeekMath, arXiv 2402.03300, section 4.1.3 (process supervision)";

    fn formula(&self) -> String {
        format!(
            "A_it = sum_(steps j of i ending at t or later) (r_ij - mean(R)) / (std(R) + {}), R all judged steps of the group",
            self.eps
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        ParamError::check_coefficient("eps", self.eps)?;
        Ok(Box::new(GrpoProcess { eps: self.eps }))
    }
}

#[derive(Debug)]
struct GrpoProcess {
    eps: f64,
}

impl AdvantageEstimator for GrpoProcess {
    fn needs(&self) -> Needs {
        Needs::TOKENS | Needs::PROCESS_REWARDS
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let (tokens, mask) = inputs::tokens(batch, "grpo-process")?;
        let process = batch.process.ok_or(DataError::Missing {
            what: "process",
            part: "grpo-process",
        })?;
        let mut out = vec![0.0; tokens.total()];
        let mut pooled = Vec::new();
        for members in batch.groups.iter() {
            pooled.clear();
            for i in members.clone().filter(|i| batch.rewards[*i].is_some()) {
                pooled.extend(process.steps[process.spans.range(i)].iter().map(|s| s.reward));
            }
            if stats::is_constant(&pooled) {
                continue;
            }
            let (mean, scale) = (stats::mean(&pooled), stats::sample_std(&pooled) + self.eps);
            for i in members.filter(|i| batch.rewards[*i].is_some()) {
                let span = tokens.range(i);
                sum_to_go(i, &process, mean, scale, &mut out[span.clone()])?;
                for t in span.filter(|t| !mask[*t]) {
                    out[t] = 0.0;
                }
            }
        }
        inputs::check_result(&out)?;
        Ok(Advantages::Token(out))
    }
}

/// Writes the sums of one trajectory, from its last judged step backwards.
fn sum_to_go(
    i: usize,
    process: &ProcessRewards<'_>,
    mean: f64,
    scale: f64,
    row: &mut [f64],
) -> Result<(), DataError> {
    let mut sum = 0.0;
    let mut upper = row.len();
    for step in process.steps[process.spans.range(i)].iter().rev() {
        if step.end >= upper {
            let what = format!("a judged step ends at token {}, expected below {upper}", step.end);
            return Err(DataError::value(format!("trajectory {i}"), what));
        }
        let behind = step.end + 1;
        row[behind..upper].fill(sum);
        sum += (step.reward - mean) / scale;
        upper = behind;
    }
    row[..upper].fill(sum);
    Ok(())
}

#[cfg(test)]
mod tests {
    use groupwise_core::{JudgedStep, Offsets};
    use proptest::prelude::*;

    use super::*;

    /// Per member: tokens, reward, rewards of its steps, one per token from the first.
    type Member = (usize, Option<f64>, Vec<f64>);

    fn run(members: &[Member]) -> Result<Vec<Vec<f64>>, DataError> {
        let groups = Offsets::from_lengths([members.len()]);
        let tokens = Offsets::from_lengths(members.iter().map(|m| m.0));
        let rewards: Vec<Option<f64>> = members.iter().map(|m| m.1).collect();
        let mask = vec![true; tokens.total()];
        let spans = Offsets::from_lengths(members.iter().map(|m| m.2.len()));
        let steps: Vec<JudgedStep> = members
            .iter()
            .flat_map(|m| {
                m.2.iter()
                    .enumerate()
                    .map(|(end, reward)| JudgedStep { end, reward: *reward })
            })
            .collect();
        let mut batch = RewardBatch::new(groups.spans(), &rewards);
        batch.tokens = Some(tokens.spans());
        batch.mask = Some(&mask);
        batch.process = Some(ProcessRewards {
            spans: spans.spans(),
            steps: &steps,
        });
        match GrpoProcessConfig::default()
            .build(&())
            .expect("valid")
            .estimate(&batch)?
        {
            Advantages::Token(a) => Ok(tokens.spans().iter().map(|r| a[r].to_vec()).collect()),
            Advantages::Trajectory(_) => Err(DataError::value("test", "not per token")),
        }
    }

    fn members() -> impl Strategy<Value = Vec<Member>> {
        let member = (1usize..7, prop::option::weighted(0.8, Just(1.0)))
            .prop_flat_map(|(n, r)| (Just(n), Just(r), prop::collection::vec(-1.0..1.0f64, 0..=n)));
        prop::collection::vec(member, 1..6)
    }

    proptest! {
        #[test]
        fn first_tokens_sum_to_zero_over_the_group(members in members()) {
            // Every judged step ends at or after the first token, so the first tokens carry all of R, centred.
            let a = run(&members)?;
            let total: f64 = a.iter().map(|row| row[0]).sum();
            prop_assert!(total.abs() < 1e-8, "{total}");
        }

        #[test]
        fn tokens_behind_the_last_step_and_unscorable_members_get_nothing(members in members()) {
            for (row, (_, reward, steps)) in run(&members)?.iter().zip(&members) {
                let decided = if reward.is_some() { steps.len() } else { 0 };
                prop_assert!(row[decided..].iter().all(|a| *a == 0.0));
            }
        }

        #[test]
        fn a_shift_of_all_step_rewards_changes_nothing(members in members(), shift in -5.0..5.0f64) {
            let moved: Vec<Member> =
                members.iter().map(|(n, r, s)| (*n, *r, s.iter().map(|x| x + shift).collect())).collect();
            for (a, b) in run(&members)?.concat().iter().zip(run(&moved)?.concat()) {
                prop_assert!((a - b).abs() < 1e-6 * (1.0 + a.abs()));
            }
        }

        #[test]
        fn order_of_members_is_carried_along(members in members()) {
            let mut reversed = members.clone();
            reversed.reverse();
            let mut back = run(&reversed)?;
            back.reverse();
            for (a, b) in run(&members)?.concat().iter().zip(back.concat()) {
                prop_assert!((a - b).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn one_step_per_member_at_the_end_is_outcome_grpo() {
        let a = run(&[
            (1, Some(1.0), vec![1.0]),
            (1, Some(0.0), vec![0.0]),
            (1, Some(0.0), vec![0.0]),
        ]);
        let s = (1.0_f64 / 3.0).sqrt() + 1e-6;
        let expected = [2.0 / 3.0 / s, -1.0 / 3.0 / s, -1.0 / 3.0 / s];
        for (found, expected) in a.expect("valid").concat().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn bad_input_is_named() {
        let bad = GrpoProcessConfig { eps: -1.0 }
            .build(&())
            .map(|_| ())
            .expect_err("refused");
        assert_eq!(bad.to_string(), "`eps` = -1: must be a finite number >= 0");
        let outside = run(&[(1, Some(1.0), vec![1.0, 0.0])]).expect_err("refused");
        assert_eq!(
            outside.to_string(),
            "trajectory 0: a judged step ends at token 1, expected below 1"
        );
        let groups = Offsets::from_lengths([1]);
        let (rewards, mask, tokens) = ([Some(1.0)], [true], Offsets::from_lengths([1]));
        let mut batch = RewardBatch::new(groups.spans(), &rewards);
        batch.tokens = Some(tokens.spans());
        batch.mask = Some(&mask);
        let missing = GrpoProcessConfig::default()
            .build(&())
            .expect("valid")
            .estimate(&batch)
            .expect_err("refused");
        assert_eq!(
            missing.to_string(),
            "`process` is missing, and `grpo-process` needs it"
        );
    }
}
