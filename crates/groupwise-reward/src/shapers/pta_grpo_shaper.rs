//! The named shaper of PTA-GRPO: joint credit, for rollouts that branch.

use groupwise_core::{
    DataError, GroupRewards, Offsets, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::accuracy::accuracies;
use super::{PlanCredit, PtaGrpo, PtaGrpoConfig, check_first, check_group};

const NAME: &str = "pta-grpo";

/// PTA-GRPO's reward: a solution earns what its plan achieved beside what it achieved itself.
///
/// # Formula
/// `r_ab = w_outcome c_ab + w_plan q_a + w_format f_ab`, `q_a = mean_b c_ab` over the z = `solutions` members of plan a.
///
/// # Shapes
/// Member i solved under plan `floor(i / solutions)`, i its number in the group, as the scaffold of the same name rolls
/// out; a plan is the first turn.  `c` is the verifier's score, `f` 1 where every turn was understood and the answer was not
/// cut off, else 0.  `q` is logged as component `pta-grpo`.
///
/// # Edge cases
/// - One solution per plan: q = c.  One plan: the plan term is a constant.
/// - A solution that is missing (aborted) or cannot be scored: its plan would be scored by fewer than the others, and all
///   of its members become unscorable.
/// - The outcome is that of the verifier: name its component in `accuracy` if there are several.
///
/// # Errors
/// Parameters: `solutions` 0; a weight negative or not finite.  Data: rewards and members that differ in number; members of
/// one plan that began differently; an outcome that is not finite; no component of that name, or several and none named; a
/// component `pta-grpo` already there.
///
/// # Source
/// PTA-GRPO, arXiv 2510.01833, by its public reviews; no code was found, the weights are reconstructed.
///
/// # Example
/// ```
/// use groupwise_reward::ShaperSpec;
/// let spec: ShaperSpec = serde_json::from_str(r#"{"pta-grpo": {"solutions": 3, "w_format": 0.0}}"#)?;
/// assert!(spec.build(&()).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanRewardConfig {
    /// Solutions z of each plan, >= 1; the number of the scaffold.
    pub solutions: u64,
    /// Weight of the solution's own outcome, >= 0.
    pub w_outcome: f64,
    /// Weight of the plan's score, >= 0; 0 is GRPO with shared prefixes.
    pub w_plan: f64,
    /// Weight of the format, >= 0.
    pub w_format: f64,
    /// Component that is the outcome; absent: the only one there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<String>,
}

impl Default for PlanRewardConfig {
    fn default() -> Self {
        let PtaGrpoConfig {
            w_outcome,
            w_plan,
            w_format,
            ..
        } = PtaGrpoConfig::default();
        Self {
            solutions: 3,
            w_outcome,
            w_plan,
            w_format,
            accuracy: None,
        }
    }
}

impl PlanRewardConfig {
    fn method(&self) -> Result<PtaGrpo, ParamError> {
        PtaGrpo::new(&PtaGrpoConfig {
            w_outcome: self.w_outcome,
            w_plan: self.w_plan,
            w_format: self.w_format,
            credit: PlanCredit::Joint,
        })
    }
}

impl Part<dyn RewardShaper> for PlanRewardConfig {
    const SOURCE: &'static str =
        "PTA-GRPO, arXiv 2510.01833, by its public reviews (no code found; weights reconstructed)";

    fn formula(&self) -> String {
        format!(
            "r_ab = {} c_ab + {} q_a + {} f_ab, q_a = mean_b c_ab, plan a = {} consecutive members",
            self.w_outcome, self.w_plan, self.w_format, self.solutions
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        ParamError::check(self.solutions >= 1, "solutions", self.solutions, ">= 1")?;
        Ok(Box::new(PlanReward {
            method: self.method()?,
            config: self.clone(),
        }))
    }
}

#[derive(Debug)]
struct PlanReward {
    config: PlanRewardConfig,
    method: PtaGrpo,
}

impl PlanReward {
    /// Places of the members of every plan all of whose solutions are there and can be scored.
    fn whole_plans(
        &self,
        members: &[Trajectory],
        outcomes: &[Option<f64>],
    ) -> Result<Vec<Vec<usize>>, DataError> {
        let plan_of = |i: &usize| members[*i].sample / self.config.solutions;
        let places: Vec<usize> = (0..members.len()).collect();
        let mut whole = Vec::new();
        for plan in places.chunk_by(|a, b| plan_of(a) == plan_of(b)) {
            let begin = |i: &usize| members[*i].turns.first().map(|turn| turn.action.as_str());
            if let Some(i) = plan.iter().find(|i| begin(i) != begin(&plan[0])) {
                return Err(DataError::value(
                    format!("trajectory {i}"),
                    format!("begins unlike trajectory {}, under whose plan it stands", plan[0]),
                ));
            }
            let all_there = plan.len() as u64 == self.config.solutions;
            if all_there && plan.iter().all(|i| outcomes[*i].is_some()) {
                whole.push(plan.to_vec());
            }
        }
        Ok(whole)
    }
}

impl RewardShaper for PlanReward {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        check_first(rewards, NAME, "the plan would count twice")?;
        let scores = accuracies(rewards, self.config.accuracy.as_deref())?;
        let scored = rewards.rewards.iter().zip(scores);
        let outcomes: Vec<Option<f64>> = scored.map(|(reward, score)| reward.and(*score)).collect();
        let plans = self.whole_plans(members, &outcomes)?;
        let mut totals = vec![None; members.len()];
        let mut plan_scores = vec![None; members.len()];
        if !plans.is_empty() {
            let places = plans.concat();
            let outcomes: Vec<f64> = places.iter().filter_map(|i| outcomes[*i]).collect();
            let formats: Vec<f64> = places.iter().map(|i| format_of(&members[*i])).collect();
            let spans = Offsets::from_lengths(plans.iter().map(Vec::len));
            let found = self.method.rewards(spans.spans(), &outcomes, &formats)?;
            for (i, total) in places.iter().zip(found.total) {
                totals[*i] = Some(total);
            }
            for (plan, score) in plans.iter().zip(found.plan_scores) {
                plan.iter().for_each(|i| plan_scores[*i] = Some(score));
            }
        }
        rewards.rewards = totals;
        rewards.components.insert(NAME.to_owned(), plan_scores);
        Ok(())
    }
}

/// 1 if every turn was understood and nothing was cut off.
fn format_of(member: &Trajectory) -> f64 {
    let understood = !member.turns.is_empty() && member.turns.iter().all(|turn| turn.valid);
    f64::from(u8::from(understood && !member.stop.is_truncation()))
}

#[cfg(test)]
mod tests {
    use groupwise_core::{StopReason, Turn};
    use proptest::prelude::*;

    use super::super::testing;
    use super::*;

    fn member(sample: u64, plan: &str, valid: bool) -> Trajectory {
        let turn = |action: &str, valid| Turn {
            anchor: None,
            action: action.to_owned(),
            tokens: 0..0,
            reward: 0.0,
            valid,
        };
        Trajectory {
            sample,
            turns: vec![turn(plan, true), turn("w", valid)],
            ..testing::member(2, 0, StopReason::EndToken)
        }
    }

    fn group(size: u64, solutions: u64) -> Vec<Trajectory> {
        (0..size)
            .map(|i| member(i, &format!("p{}", i / solutions), true))
            .collect()
    }

    fn shape(
        config: &PlanRewardConfig,
        members: &[Trajectory],
        scores: Vec<Option<f64>>,
    ) -> Result<GroupRewards, DataError> {
        let mut rewards = GroupRewards::new("v", scores);
        let (task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        let shaper = config.build(&()).expect("valid");
        shaper.shape(&task, members, &mut rewards, &memory)?;
        Ok(rewards)
    }

    const SCORES: [f64; 9] = [1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];

    #[test]
    fn the_worked_example_comes_out_of_branched_rollouts() {
        let found = shape(
            &PlanRewardConfig::default(),
            &group(9, 3),
            SCORES.map(Some).to_vec(),
        );
        let found = found.expect("data");
        let expected = [8.0, 8.0, 5.0, 4.0, 4.0, 7.0, 3.0, 3.0, 3.0].map(|r| r / 3.0);
        for (r, e) in found.rewards.iter().zip(expected) {
            assert!((r.expect("scored") - e).abs() < 1e-12);
        }
        assert_eq!(found.components["pta-grpo"][3..6], [Some(1.0 / 3.0); 3]);
    }

    #[test]
    fn a_badly_formed_solution_loses_its_format_only() {
        let mut members = group(9, 3);
        members[4] = member(4, "p1", false);
        members[5].stop = StopReason::TurnLimit;
        let found = shape(&PlanRewardConfig::default(), &members, SCORES.map(Some).to_vec());
        let found = found.expect("data").rewards;
        assert!((found[4].expect("scored") - 1.0 / 3.0).abs() < 1e-12);
        assert!((found[5].expect("scored") - 4.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_plan_with_a_missing_or_unscorable_solution_is_left_out() {
        let config = PlanRewardConfig::default();
        let mut members = group(9, 3);
        members.remove(4);
        let scores = |n: usize| vec![Some(1.0); n];
        let found = shape(&config, &members, scores(8)).expect("data");
        let scored = |rewards: &GroupRewards| rewards.rewards.iter().map(Option::is_some).collect::<Vec<_>>();
        assert_eq!(scored(&found), [true, true, true, false, false, true, true, true]);
        let mut one = scores(9);
        one[8] = None;
        let found = shape(&config, &group(9, 3), one).expect("data");
        assert_eq!(scored(&found), [[true; 3], [true; 3], [false; 3]].concat());
        let found = shape(&config, &group(2, 3), scores(2)).expect("data");
        assert_eq!(found.rewards, [None, None]);
    }

    #[test]
    fn members_of_a_plan_must_begin_alike() {
        let mut members = group(6, 3);
        members[4] = member(4, "other", true);
        assert_eq!(
            shape(&PlanRewardConfig::default(), &members, vec![Some(1.0); 6])
                .expect_err("refused")
                .to_string(),
            "trajectory 4: begins unlike trajectory 3, under whose plan it stands"
        );
    }

    #[test]
    fn bad_parameters_are_refused_and_the_formula_speaks() {
        let refused =
            |config: PlanRewardConfig| config.build(&()).map(|_| ()).expect_err("refused").to_string();
        let zero = PlanRewardConfig {
            solutions: 0,
            ..PlanRewardConfig::default()
        };
        assert_eq!(refused(zero), "`solutions` = 0: must be >= 1");
        let negative = PlanRewardConfig {
            w_plan: -1.0,
            ..PlanRewardConfig::default()
        };
        assert_eq!(refused(negative), "`w_plan` = -1: must be a finite number >= 0");
        assert_eq!(
            PlanRewardConfig::default().formula(),
            "r_ab = 1 c_ab + 1 q_a + 1 f_ab, q_a = mean_b c_ab, plan a = 3 consecutive members"
        );
    }

    proptest! {
        #[test]
        fn every_plan_gets_its_mean_whatever_the_order_of_its_solutions(
            m in 1u64..4, z in 1u64..4, bits in prop::collection::vec(any::<bool>(), 9), w in 0.0..3.0f64,
        ) {
            let n = (m * z) as usize;
            let config = PlanRewardConfig { solutions: z, w_plan: w, w_format: 0.0, ..PlanRewardConfig::default() };
            let scores: Vec<f64> = bits[..n].iter().map(|b| f64::from(u8::from(*b))).collect();
            let found = shape(&config, &group(m * z, z), scores.iter().map(|s| Some(*s)).collect())?;
            for (i, r) in found.rewards.iter().enumerate() {
                let plan = i / z as usize * z as usize;
                let q = scores[plan..plan + z as usize].iter().sum::<f64>() / z as f64;
                prop_assert!((r.unwrap() - (scores[i] + w * q)).abs() < 1e-12);
            }
        }
    }
}
