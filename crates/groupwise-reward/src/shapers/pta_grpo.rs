//! PTA-GRPO: a plan is rewarded by what is achieved under it.
//!
//! Plain functions, and both rules of credit.  In a recipe joint credit is the shaper `pta-grpo` before the estimator
//! `grpo`, split credit the estimator `pta-grpo`; both need the scaffold of that name, under which rollouts branch.

use groupwise_core::{DataError, Offsets, ParamError, Spans};
use serde::{Deserialize, Serialize};

/// Which tokens get which advantage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanCredit {
    /// Plan and solution alike get the advantage of the whole reward among all solutions of the prompt.
    #[default]
    Joint,
    /// Plans are compared with plans by their scores, solutions with those of the same plan by the rest of the reward.
    Split,
}

/// Parameters of [`PtaGrpo`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PtaGrpoConfig {
    /// Weight of the solution's own outcome, >= 0.
    pub w_outcome: f64,
    /// Weight of the plan's score, >= 0; 0 is GRPO with shared prefixes.
    pub w_plan: f64,
    /// Weight of the format, >= 0.
    pub w_format: f64,
    /// Which tokens get which advantage.
    pub credit: PlanCredit,
}

impl Default for PtaGrpoConfig {
    fn default() -> Self {
        Self {
            w_outcome: 1.0,
            w_plan: 1.0,
            w_format: 1.0,
            credit: PlanCredit::Joint,
        }
    }
}

/// Rewards of solutions that were sampled under plans.
///
/// # Formula
/// `q_a = mean_b c_ab`, `R_ab = w_outcome c_ab + w_plan q_a + w_format f_ab`.
/// Joint credit: the group advantage of R over all solutions.  Split: plans get the group advantage of q over the
/// plans, solutions that of `w_outcome c_ab + w_format f_ab` within their plan.
///
/// # Shapes
/// One prompt; `plans`: plan a -> its solutions b; `outcomes` c and `formats` f per solution, usually 0 or 1.
///
/// # Edge cases
/// - One solution per plan: q = c, so that the plan term only rescales.  One plan: the plan term is a constant.
/// - q contains the solution's own outcome: it is no independent estimate.
///
/// # Errors
/// Parameters: a weight negative or not finite.  Data: no plan, a plan without solutions, plans with different numbers
/// of them, an outcome or format that is not finite, rewards too large to add.
///
/// # Source
/// PTA-GRPO, arXiv 2510.01833, as its public reviews describe it; no code was found.  The weights and the grouping are
/// reconstructed, split credit is ours.
///
/// # Example
/// ```
/// use groupwise_core::Offsets;
/// use groupwise_reward::shapers::{PtaGrpo, PtaGrpoConfig};
/// let plans = Offsets::from_lengths([3, 3, 3]);
/// let outcomes = [1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
/// let found = PtaGrpo::new(&PtaGrpoConfig::default())?.rewards(plans.spans(), &outcomes, &[1.0; 9])?;
/// assert_eq!(found.plan_scores, [2.0 / 3.0, 1.0 / 3.0, 0.0]);
/// assert!((found.total[0] - 8.0 / 3.0).abs() < 1e-12 && (found.total[5] - 7.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PtaGrpo {
    config: PtaGrpoConfig,
}

/// What [`PtaGrpo::rewards`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanRewards {
    /// Score q of each plan.
    pub plan_scores: Vec<f64>,
    /// Reward R of each solution.
    pub total: Vec<f64>,
    /// Its part that does not depend on the other solutions of the plan, `w_outcome c + w_format f`.
    pub own: Vec<f64>,
}

/// What [`PtaGrpo::advantages`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanAdvantages {
    /// Advantage of each plan's tokens under split credit; under joint credit they share those of the solutions.
    pub plans: Option<Vec<f64>>,
    /// Advantage of each solution.
    pub solutions: Vec<f64>,
}

impl PtaGrpo {
    /// Validates the weights.
    ///
    /// # Errors
    /// See [`PtaGrpo`].
    pub fn new(config: &PtaGrpoConfig) -> Result<Self, ParamError> {
        for (key, weight) in [
            ("w_outcome", config.w_outcome),
            ("w_plan", config.w_plan),
            ("w_format", config.w_format),
        ] {
            ParamError::check_coefficient(key, weight)?;
        }
        Ok(Self {
            config: config.clone(),
        })
    }

    /// The formula with these weights.
    pub fn formula(&self) -> String {
        let PtaGrpoConfig {
            w_outcome,
            w_plan,
            w_format,
            credit,
        } = self.config;
        let credit = match credit {
            PlanCredit::Joint => "r compared over all solutions",
            PlanCredit::Split => "q compared over plans, the rest within each plan",
        };
        format!("r_ab = {w_outcome} c_ab + {w_plan} q_a + {w_format} f_ab, q_a = mean_b c_ab; {credit}")
    }

    /// Scores of the plans of a prompt and rewards of their solutions.
    ///
    /// # Errors
    /// See [`PtaGrpo`].
    pub fn rewards(
        &self,
        plans: Spans<'_>,
        outcomes: &[f64],
        formats: &[f64],
    ) -> Result<PlanRewards, DataError> {
        check_plans(plans)?;
        plans.check_covers("outcomes", outcomes.len())?;
        DataError::check_len("formats", formats.len(), outcomes.len())?;
        DataError::check_finite("outcomes", outcomes)?;
        DataError::check_finite("formats", formats)?;
        let PtaGrpoConfig {
            w_outcome,
            w_plan,
            w_format,
            ..
        } = self.config;
        // A plain sum of zeros and ones is exact, whatever their order.
        let score = |b: std::ops::Range<usize>| outcomes[b.clone()].iter().sum::<f64>() / b.len() as f64;
        let plan_scores: Vec<f64> = plans.iter().map(score).collect();
        let own: Vec<f64> = outcomes
            .iter()
            .zip(formats)
            .map(|(c, f)| w_outcome * c + w_format * f)
            .collect();
        let mut total = own.clone();
        for (members, q) in plans.iter().zip(&plan_scores) {
            for r in &mut total[members] {
                *r += w_plan * q;
            }
        }
        DataError::check_finite("total", &total)?;
        Ok(PlanRewards {
            plan_scores,
            total,
            own,
        })
    }

    /// Advantages by the rule of credit; `relative` compares rewards within groups, one advantage each.
    ///
    /// # Errors
    /// See [`PtaGrpo`]; whatever `relative` refuses.
    pub fn advantages<E: From<DataError>>(
        &self,
        plans: Spans<'_>,
        rewards: &PlanRewards,
        relative: impl Fn(Spans<'_>, &[f64]) -> Result<Vec<f64>, E>,
    ) -> Result<PlanAdvantages, E> {
        check_plans(plans)?;
        DataError::check_len("plan_scores", rewards.plan_scores.len(), plans.len())?;
        DataError::check_len("total", rewards.total.len(), plans.total())?;
        DataError::check_len("own", rewards.own.len(), plans.total())?;
        Ok(match self.config.credit {
            PlanCredit::Joint => PlanAdvantages {
                plans: None,
                solutions: relative(Offsets::from_lengths([plans.total()]).spans(), &rewards.total)?,
            },
            PlanCredit::Split => PlanAdvantages {
                plans: Some(relative(
                    Offsets::from_lengths([plans.len()]).spans(),
                    &rewards.plan_scores,
                )?),
                solutions: relative(plans, &rewards.own)?,
            },
        })
    }
}

fn check_plans(plans: Spans<'_>) -> Result<(), DataError> {
    let Some(first) = plans.iter().next().map(|members| members.len()) else {
        return Err(DataError::value("prompt", "has no plan"));
    };
    for (a, members) in plans.iter().enumerate() {
        let found = members.len();
        if found == 0 {
            return Err(DataError::value(format!("plan {a}"), "has no solution"));
        }
        if found != first {
            let what = format!(
                "has {found} solutions, plan 0 has {first}: every plan needs the same number of solutions"
            );
            return Err(DataError::value(format!("plan {a}"), what));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "pta_grpo_tests.rs"]
mod tests;
