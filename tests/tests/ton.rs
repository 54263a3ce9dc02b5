//! TON's loss is the objective `grpo` on the policy that sampled: its invariants there.

use groupwise_advantage::{GroupRelative, GroupRelativeConfig};
use groupwise_core::Offsets;
use groupwise_objective::ObjectiveSpec;
use groupwise_objective::nested::{NestedAdvantages, NestedBatch, NestedEvaluation, evaluate_nested};
use groupwise_objective::objectives::GrpoConfig;
use proptest::prelude::*;

/// One response: advantage, and log-probability and that of the reference per token.
type Response = (f64, Vec<(f64, f64)>);

fn responses() -> impl Strategy<Value = Vec<Response>> {
    let token = (-3.0..-0.1f64, -3.0..-0.1f64);
    prop::collection::vec((-2.0..2.0f64, prop::collection::vec(token, 1..6)), 1..5)
}

fn loss(beta: f64, responses: &[Response]) -> Result<NestedEvaluation, TestCaseError> {
    let column = |of: fn(&(f64, f64)) -> f64| {
        vec![
            responses
                .iter()
                .map(|(_, row)| row.iter().map(of).collect())
                .collect(),
        ]
    };
    let config = GrpoConfig {
        beta,
        ..GrpoConfig::default()
    };
    let batch = NestedBatch {
        logp: column(|t| t.0),
        logp_old: Some(column(|t| t.0)),
        logp_ref: Some(column(|t| t.1)),
        mask: None,
        advantages: NestedAdvantages::Trajectory(vec![responses.iter().map(|r| r.0).collect()]),
    };
    Ok(evaluate_nested(
        ObjectiveSpec::Grpo(config).build(&())?.as_ref(),
        &batch,
    )?)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn without_kl_the_gradient_of_a_response_sums_to_its_share_of_the_advantage(responses in responses()) {
        let at = loss(0.0, &responses)?;
        for ((a, _), gradient) in responses.iter().zip(&at.grad_logp[0]) {
            let expected = -a / responses.len() as f64;
            prop_assert!((gradient.iter().sum::<f64>() - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn the_gradient_of_a_token_is_the_derivative_of_the_specified_loss(responses in responses(), beta in 0.01..0.5f64) {
        let at = loss(beta, &responses)?;
        for ((a, row), gradient) in responses.iter().zip(&at.grad_logp[0]) {
            let scale = (row.len() * responses.len()) as f64;
            for ((logp, logp_ref), g) in row.iter().zip(gradient) {
                // d/dlogp of -(rho A - beta (exp(d) - d - 1)) at rho = 1, d = logp_ref - logp; the specification's own
                // line has the sign of the second term reversed.
                let expected = -(a + beta * ((logp_ref - logp).exp() - 1.0)) / scale;
                prop_assert!((g - expected).abs() < 1e-9 * (1.0 + expected.abs()));
            }
        }
    }

    #[test]
    fn advantages_of_a_group_sum_to_zero(rewards in prop::collection::vec(prop::sample::select(vec![0.0, 1.0, 2.0]), 1..9)) {
        let block = GroupRelative::new(GroupRelativeConfig { eps: 1e-4, ..GroupRelativeConfig::default() })?;
        let groups = Offsets::from_lengths([rewards.len()]);
        let rewards: Vec<Option<f64>> = rewards.into_iter().map(Some).collect();
        let a = block.advantages(groups.spans(), &rewards)?;
        prop_assert!(a.iter().sum::<f64>().abs() < 1e-12);
    }
}
