//! Reward ensemble: the scores that several learned rewards gave an answer, reduced to one.

use groupwise_core::{ParamError, Part, Score, Spread, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};

use super::refuse_aborted;
use crate::ensemble::{EnsembleObjective, RewardEnsemble};

/// The aggregate of member scores that the task holds for the answer.
///
/// # Formula
/// Over the scores `R_j` of the members: `mean`: `r = mean_j R_j`; `wco`: `r = min_j R_j`; `uwo`:
/// `r = mean_j R_j - lambda var_j R_j`.  See [`RewardEnsemble`].
///
/// # Shapes
/// Column `member_scores` of the task: an object of answers, each with a list of numbers, one per member.  r is in units
/// of the scores; put the members on one scale first.
///
/// # Edge cases
/// - An answer without entry, an entry that is no list of finite numbers, or none at all: unscorable.
/// - One member, or members that agree: all objectives are the same.
///
/// # Errors
/// Parameters: `lambda` negative or not finite; a spread that is neither sample nor population.
///
/// # Source
/// arXiv 2310.02743; tlc4418/llm_optimization at 416b03cc, `ppo_reward_functions.py` for RL, with lambda 0.1 and the
/// sample variance there; the defaults here are those of best-of-n.
///
/// # Example
/// ```
/// use groupwise_core::{Score, Task, Trajectory};
/// use groupwise_reward::VerifierSpec;
/// let spec: VerifierSpec = serde_json::from_str(r#"{"reward-ensemble": {"objective": "wco"}}"#)?;
/// let mut task = Task::new("t", "p", "");
/// task.columns.insert("member_scores".into(), serde_json::json!({"a7": [2.0, -1.0, 3.0]}));
/// let verdict = spec.build(&())?.score(&task, &Trajectory::of_reply("a7", 1));
/// assert_eq!(verdict, Score::Value(-1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewardEnsembleConfig {
    /// How the members are reduced.
    pub objective: EnsembleObjective,
    /// Weight of the variance, >= 0.
    pub lambda: f64,
    /// Divisor of the variance: sample or population.
    pub std: Spread,
}

impl Default for RewardEnsembleConfig {
    fn default() -> Self {
        Self {
            objective: EnsembleObjective::Mean,
            lambda: 0.5,
            std: Spread::Population,
        }
    }
}

impl Part<dyn Verifier> for RewardEnsembleConfig {
    const SOURCE: &'static str =
        "Reward model ensembles, arXiv 2310.02743; tlc4418/llm_optimization at 416b03cc";

    fn formula(&self) -> String {
        match self.objective {
            EnsembleObjective::Mean => "r = mean_j R_j".to_owned(),
            EnsembleObjective::Wco => "r = min_j R_j".to_owned(),
            EnsembleObjective::Uwo => {
                let k = if self.std == Spread::Sample { "k - 1" } else { "k" };
                format!("r = mean_j R_j - {} var_j(R_j; {k})", self.lambda)
            }
        }
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        Ok(Box::new(Ensemble(RewardEnsemble::new(
            self.objective,
            self.lambda,
            self.std,
        )?)))
    }
}

#[derive(Debug)]
struct Ensemble(RewardEnsemble);

impl Ensemble {
    fn judge(&self, task: &Task, answer: &str) -> Result<f64, String> {
        let scores = task
            .columns
            .get("member_scores")
            .and_then(|column| column.get(answer))
            .and_then(|scores| scores.as_array())
            .ok_or_else(|| format!("column `member_scores` has no list for {answer:?}"))?;
        let members: Vec<[f64; 1]> = scores
            .iter()
            .map(|score| score.as_f64().map(|s| [s]))
            .collect::<Option<_>>()
            .ok_or_else(|| format!("a score of {answer:?} is no number"))?;
        let reward = self.0.aggregate(&members).map_err(|e| e.to_string())?;
        reward.first().copied().ok_or_else(|| "no reward".to_owned())
    }
}

impl Verifier for Ensemble {
    fn name(&self) -> &str {
        "reward-ensemble"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_aborted(trajectory) {
            return score;
        }
        match self.judge(task, trajectory.answer()) {
            Ok(reward) => Score::Value(reward),
            Err(why) => Score::Unscorable(format!("task `{}`: {why}", task.id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::StopReason;
    use proptest::prelude::*;

    use super::super::testing::trajectory;
    use super::*;

    fn score(config: &RewardEnsembleConfig, scores: serde_json::Value) -> Score {
        let mut task = Task::new("t", "p", "");
        task.columns
            .insert("member_scores".into(), serde_json::json!({"a": scores}));
        let verifier = config.build(&()).unwrap();
        verifier.score(&task, &trajectory(&[("a", 9.0)], StopReason::EndToken))
    }

    fn config(objective: EnsembleObjective, lambda: f64, std: Spread) -> RewardEnsembleConfig {
        RewardEnsembleConfig {
            objective,
            lambda,
            std,
        }
    }

    #[test]
    fn the_worked_example() {
        // The first two samples of section 9 of the specification.
        let of = |objective, std, scores: [f64; 3]| {
            score(&config(objective, 0.5, std), serde_json::json!(scores))
                .value()
                .unwrap()
        };
        let (first, second) = ([1.0, 1.2, 0.8], [2.0, -1.0, 3.0]);
        assert!((of(EnsembleObjective::Mean, Spread::Population, second) - 4.0 / 3.0).abs() < 1e-12);
        assert_eq!(of(EnsembleObjective::Wco, Spread::Population, first), 0.8);
        assert!((of(EnsembleObjective::Uwo, Spread::Population, first) - 0.986_666_666_666).abs() < 1e-9);
        assert!((of(EnsembleObjective::Uwo, Spread::Population, second) + 1.0 / 9.0).abs() < 1e-12);
        assert!((of(EnsembleObjective::Uwo, Spread::Sample, first) - 0.98).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_reduced_is_unscorable() {
        let mean = RewardEnsembleConfig::default();
        let why = |value| match score(&mean, value) {
            Score::Unscorable(why) => why,
            Score::Value(value) => panic!("scored {value}"),
        };
        assert_eq!(
            why(serde_json::json!(1.0)),
            "task `t`: column `member_scores` has no list for \"a\""
        );
        assert_eq!(
            why(serde_json::json!([1.0, "x"])),
            "task `t`: a score of \"a\" is no number"
        );
        assert_eq!(why(serde_json::json!([])), "task `t`: ensemble: has no member");
        let bare = mean.build(&()).unwrap();
        let reply = trajectory(&[("b", 0.0)], StopReason::EndToken);
        let verdict = bare.score(&Task::new("t", "p", ""), &reply);
        assert_eq!(
            verdict,
            Score::Unscorable("task `t`: column `member_scores` has no list for \"b\"".into())
        );
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        let refuse = |c: RewardEnsembleConfig| c.build(&()).map(|_| ()).unwrap_err().to_string();
        assert_eq!(
            refuse(config(EnsembleObjective::Uwo, -1.0, Spread::Sample)),
            "`lambda` = -1: must be a finite number >= 0"
        );
        assert!(refuse(config(EnsembleObjective::Uwo, 1.0, Spread::None)).starts_with("`std` = "));
    }

    proptest! {
        #[test]
        fn conservative_aggregates_are_never_above_the_mean(
            scores in prop::collection::vec(-5.0..5.0f64, 1..8), lambda in 0.0..3.0f64, sample in any::<bool>(),
        ) {
            let std = if sample { Spread::Sample } else { Spread::Population };
            let of = |objective| score(&config(objective, lambda, std), serde_json::json!(scores)).value().unwrap();
            let mean = of(EnsembleObjective::Mean);
            prop_assert!(of(EnsembleObjective::Wco) <= mean + 1e-12);
            prop_assert!(of(EnsembleObjective::Uwo) <= mean + 1e-12);
            prop_assert!((mean - scores.iter().sum::<f64>() / scores.len() as f64).abs() < 1e-12);
            if scores.len() == 1 {
                prop_assert_eq!(of(EnsembleObjective::Wco), mean);
                prop_assert_eq!(of(EnsembleObjective::Uwo), mean);
            }
        }
    }
}
