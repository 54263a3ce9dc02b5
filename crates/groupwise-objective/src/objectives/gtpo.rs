//! GTPO's loss: on-policy ratio, mean over groups of the mean over members of token means.

use groupwise_core::{
    DataError, Denominators, Evaluation, Frozen, Needs, Objective, ParamError, Part, Scope, TokenBatch,
    TokenGrads, TokenView,
};
use serde::{Deserialize, Serialize};

use super::engine::check_view;
use crate::exp::exp;
use crate::ratio::{has_slope, log_ratio};

/// How the members of a group are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupReduction {
    /// Their mean: the formula.
    #[default]
    Mean,
    /// Their sum: the authors' code.
    Sum,
}

/// Parameters of GTPO's loss; the advantages come from the estimator `gtpo`.
///
/// # Formula
/// `loss = -1/P sum_g 1/G_g sum_i 1/n_i sum_t r_it a_it`, `r = exp(logp - sg(logp))`: 1 in value, so that
/// `d loss / d logp_it = -a_it / (P G_g n_i)`.  P groups, `G_g` members, `n_i` counted tokens.  No clip and no KL.
///
/// # Shapes
/// Log-probabilities in nats per token; advantages per trajectory or per token.
///
/// # Edge cases
/// - A member without counted tokens adds 0 and stays in `G_g`: a dropped answer does not raise the others' weight.
/// - Groups without members are not counted in P.
/// - With groups of equal size and no empty member the gradient is that of `reinforce` with `seq-mean-token-mean`.
///
/// # Errors
/// Slices that do not fit; a counted log-probability or advantage that is not finite, named by trajectory and token.
///
/// # Source
/// GTPO (arXiv 2508.03772), README of winstonsmith1897/GTPO; its `gtpo/gtpo_training.py` sums over the group
/// (`group_reduction = "sum"`).
///
/// # Example
/// ```
/// use groupwise_core::Part;
/// use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested};
/// use groupwise_objective::objectives::GtpoConfig;
/// let at = evaluate_nested(GtpoConfig::default().build(&())?.as_ref(), &NestedBatch {
///     logp: vec![vec![vec![-0.5, -1.0], vec![-2.0]]],
///     logp_old: None,
///     logp_ref: None,
///     mask: None,
///     advantages: NestedAdvantages::Token(vec![vec![vec![1.0, 2.0], vec![-0.5]]]),
/// })?;
/// assert_eq!((at.loss, &at.grad_logp[0][0]), (-0.5, &vec![-0.25, -0.5]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GtpoConfig {
    /// How the members of a group are joined.
    pub group_reduction: GroupReduction,
}

impl Part<dyn Objective> for GtpoConfig {
    const SOURCE: &'static str = "GTPO (trajectory-based), arXiv 2508.03772; README of winstonsmith1897/GTPO";

    fn formula(&self) -> String {
        let members = match self.group_reduction {
            GroupReduction::Mean => "1/G_g sum_i",
            GroupReduction::Sum => "sum_i",
        };
        format!("loss = -1/P sum_g {members} 1/n_i sum_t A_it exp(logp - sg(logp))")
    }

    fn build(&self, _: &()) -> Result<Box<dyn Objective>, ParamError> {
        Ok(Box::new(Gtpo {
            group_reduction: self.group_reduction,
        }))
    }
}

#[derive(Debug)]
struct Gtpo {
    group_reduction: GroupReduction,
}

impl Objective for Gtpo {
    fn needs(&self) -> Needs {
        Needs::TOKENS
    }

    fn scope(&self) -> Scope {
        Scope::Token
    }

    fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError> {
        batch
            .groups
            .spans()
            .check_covers("trajectories", batch.n_trajectories())?;
        DataError::check_len("mask", batch.mask.len(), batch.n_tokens())?;
        let filled = batch.groups.spans().iter().filter(|g| !g.is_empty()).count() as f64;
        let mut trajectory = Vec::with_capacity(batch.n_trajectories());
        for group in batch.groups.spans().iter() {
            let members = match self.group_reduction {
                GroupReduction::Mean => group.len() as f64,
                GroupReduction::Sum => 1.0,
            };
            trajectory.extend(group.map(|i| {
                let counted = batch.mask[batch.tokens.range(i)].iter().filter(|m| **m).count();
                if counted > 0 {
                    1.0 / (filled * members * counted as f64)
                } else {
                    0.0
                }
            }));
        }
        Ok(Denominators {
            trajectory,
            scalars: Vec::new(),
        })
    }

    fn freeze(&self, denominators: &Denominators, view: &TokenView<'_>) -> Result<Frozen, DataError> {
        check_view(view)?;
        let weights = denominators.of_view(view)?;
        Ok(Frozen {
            trajectory: weights.to_vec(),
            token: view.logp.to_vec(),
            scalars: Vec::new(),
        })
    }

    fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
        check_view(view)?;
        DataError::check_len("frozen weights", frozen.trajectory.len(), view.n_trajectories())?;
        DataError::check_len("frozen tokens", frozen.token.len(), view.logp.len())?;
        let (mut loss, mut d_logp) = (0.0, vec![0.0; view.logp.len()]);
        for ((i, tokens), w) in view.tokens.iter().enumerate().zip(&frozen.trajectory) {
            let advantages = view.advantage_row(i);
            let mut row = 0.0;
            for t in tokens.clone().filter(|t| view.mask[*t]) {
                let (place, d) = (t - tokens.start, log_ratio(view.logp[t], frozen.token[t]));
                let one = -advantages.at(place) * exp(d);
                // A log-probability that is not finite vanishes in the clamp on the log-ratio.
                for (what, read, value) in [
                    ("logp", view.logp[t], view.logp[t]),
                    ("advantage", one, advantages.at(place)),
                ] {
                    if !read.is_finite() {
                        return Err(DataError::NonFinite {
                            place: format!("trajectory {}, token {place}", view.first_trajectory + i),
                            what: what.into(),
                            value: value.to_string(),
                        });
                    }
                }
                row += one;
                d_logp[t] = if has_slope(d) { w * one } else { 0.0 };
            }
            loss += w * row;
        }
        Ok(Evaluation {
            loss,
            grads: TokenGrads {
                d_logp,
                d_entropy: None,
                d_value: None,
            },
            terms: vec![("policy_loss", loss)],
        })
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::testing::{Inputs, check_gradient, check_invariance, evaluate_whole, samples};
    use groupwise_core::{Advantages, Offsets};
    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::Aggregation;
    use crate::nested::{NestedAdvantages, NestedBatch, evaluate_nested};
    use crate::objectives::ReinforceConfig;

    fn build(group_reduction: GroupReduction) -> Box<dyn Objective> {
        GtpoConfig { group_reduction }.build(&()).expect("valid")
    }

    const BOTH: [GroupReduction; 2] = [GroupReduction::Mean, GroupReduction::Sum];

    proptest! {
        #[test]
        fn gradient_split_order_and_padding(sample in samples()) {
            for reduction in BOTH {
                let objective = build(reduction);
                check_gradient(objective.as_ref(), &sample.batch, &sample.logp, None)?;
                check_invariance(objective.as_ref(), &sample.batch, &sample.inputs())?;
            }
        }

        #[test]
        fn it_is_the_mean_over_groups_whatever_the_old_policy(sample in samples()) {
            let batch = &sample.batch;
            let view = batch.view(0..batch.n_trajectories(), &sample.logp, None)?;
            let means = |g: std::ops::Range<usize>| -> f64 {
                g.map(|i| {
                    let tokens = view.tokens.range(i);
                    let counted: Vec<usize> = tokens.clone().filter(|t| view.mask[*t]).collect();
                    let sum: f64 = counted.iter().map(|t| view.advantage_row(i).at(t - tokens.start)).sum();
                    sum / counted.len().max(1) as f64
                })
                .sum()
            };
            let (mut mean, mut sum) = (0.0, 0.0);
            for g in batch.groups.spans().iter() {
                mean -= means(g.clone()) / g.len() as f64 / batch.groups.len() as f64;
                sum -= means(g) / batch.groups.len() as f64;
            }
            for (reduction, expected) in [(GroupReduction::Mean, mean), (GroupReduction::Sum, sum)] {
                let at = evaluate_whole(build(reduction).as_ref(), batch, &sample.inputs())?;
                prop_assert!((at.loss - expected).abs() < 1e-12);
                prop_assert_eq!(&at.terms, &vec![("policy_loss", at.loss)]);
            }
        }

        #[test]
        fn with_equal_groups_its_gradient_is_that_of_reinforce(mut sample in samples()) {
            let n = sample.batch.n_trajectories();
            sample.batch.groups = Offsets::from_lengths(vec![1; n]);
            sample.batch.mask.fill(true);
            let config = ReinforceConfig { aggregation: Aggregation::SeqMeanTokenMean, ..Default::default() };
            let reinforce = evaluate_whole(config.build(&())?.as_ref(), &sample.batch, &sample.inputs())?;
            let found = evaluate_whole(build(GroupReduction::Mean).as_ref(), &sample.batch, &sample.inputs())?;
            for (a, b) in found.grads.d_logp.iter().zip(&reinforce.grads.d_logp) {
                prop_assert!((a - b).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn an_empty_member_stays_in_its_group_and_an_empty_group_is_none() {
        let batch = NestedBatch {
            logp: vec![vec![vec![-1.0], vec![]], vec![], vec![vec![-1.0, -2.0]]],
            logp_old: None,
            logp_ref: None,
            mask: None,
            advantages: NestedAdvantages::Trajectory(vec![vec![1.0, 5.0], vec![], vec![2.0]]),
        };
        let loss = |reduction| {
            evaluate_nested(build(reduction).as_ref(), &batch)
                .expect("fits")
                .loss
        };
        assert_eq!(loss(GroupReduction::Mean), -(0.5 + 2.0) / 2.0);
        assert_eq!(loss(GroupReduction::Sum), -(1.0 + 2.0) / 2.0);
    }

    fn tiny() -> (TokenBatch, Vec<f64>) {
        let batch = NestedBatch {
            logp: vec![vec![vec![-1.0], vec![-1.0, -2.0]]],
            logp_old: None,
            logp_ref: None,
            mask: None,
            advantages: NestedAdvantages::Trajectory(vec![vec![1.0, -1.0]]),
        };
        batch.to_batch().expect("fits")
    }

    #[test]
    fn what_is_not_finite_or_does_not_fit_is_named() {
        let objective = build(GroupReduction::Mean);
        let refuse = |batch: &TokenBatch, logp: &[f64]| {
            let inputs = Inputs {
                logp,
                entropy: None,
                value: None,
            };
            let error = evaluate_whole(objective.as_ref(), batch, &inputs).expect_err("refused");
            error.to_string().replace("the objective refused the batch: ", "")
        };
        let (mut batch, logp) = tiny();
        for bad in [f64::NAN, f64::NEG_INFINITY] {
            let error = refuse(&batch, &[logp[0], logp[1], bad]);
            assert_eq!(error, format!("trajectory 1, token 1: `logp` is {bad}"));
        }
        batch.advantages = Advantages::Trajectory(vec![1.0, f64::INFINITY]);
        assert_eq!(refuse(&batch, &logp), "trajectory 1, token 0: `advantage` is inf");
    }

    #[test]
    fn tokens_and_their_mask_are_all_it_asks_for() {
        for reduction in BOTH {
            let objective = build(reduction);
            assert_eq!(
                (objective.needs(), objective.scope()),
                (Needs::TOKENS, Scope::Token)
            );
        }
    }

    #[test]
    fn frozen_parts_must_fit_the_view() {
        let objective = build(GroupReduction::Mean);
        let (batch, logp) = tiny();
        let view = batch.view(0..2, &logp, None).expect("fits");
        let denominators = objective.denominators(&batch).expect("fits");
        let frozen = objective.freeze(&denominators, &view).expect("fits");
        let late = TokenView {
            first_trajectory: 1,
            ..view.clone()
        };
        assert_eq!(
            objective
                .freeze(&denominators, &late)
                .expect_err("refused")
                .to_string(),
            "`denominators` has 2 entries, expected 3"
        );
        let short = Frozen {
            token: vec![],
            ..frozen.clone()
        };
        assert_eq!(
            objective
                .evaluate(&short, &view)
                .expect_err("refused")
                .to_string(),
            "`frozen tokens` has 0 entries, expected 3"
        );
        let short = Frozen {
            trajectory: vec![],
            ..frozen
        };
        assert_eq!(
            objective
                .evaluate(&short, &view)
                .expect_err("refused")
                .to_string(),
            "`frozen weights` has 0 entries, expected 2"
        );
        let mut bad = batch;
        bad.mask.pop();
        assert_eq!(
            objective.denominators(&bad).expect_err("refused").to_string(),
            "`mask` has 2 entries, expected 3"
        );
    }

    #[test]
    fn the_formula_says_how_groups_are_joined() {
        let formula = |group_reduction| GtpoConfig { group_reduction }.formula();
        assert_eq!(
            formula(GroupReduction::Mean),
            "loss = -1/P sum_g 1/G_g sum_i 1/n_i sum_t A_it exp(logp - sg(logp))"
        );
        assert_eq!(
            formula(GroupReduction::Sum),
            "loss = -1/P sum_g sum_i 1/n_i sum_t A_it exp(logp - sg(logp))"
        );
    }
}
