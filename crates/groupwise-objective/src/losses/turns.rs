//! A policy loss over rollouts made of turns, each turn a sample of its own.

use groupwise_core::{
    DataError, Denominators, Evaluation, Objective, Offsets, ParamError, Part, Spans, TokenView,
    TurnAggregation, batch::AdvantageView,
};

use crate::objectives::PolicyGradientConfig;

/// Rollouts of turns with one advantage per turn.
#[derive(Clone, Copy, Debug)]
pub struct TurnBatch<'a> {
    /// Group -> rollouts.
    pub groups: Spans<'a>,
    /// Rollout -> turns.
    pub turns: Spans<'a>,
    /// Turn -> tokens.
    pub tokens: Spans<'a>,
    /// True where a token counts.
    pub mask: &'a [bool],
    /// Current log-probabilities, nats.
    pub logp: &'a [f64],
    /// Log-probabilities at the start of the update, nats.
    pub logp_old: &'a [f64],
    /// Log-probabilities under the reference policy, nats.
    pub logp_ref: Option<&'a [f64]>,
    /// Advantage of each turn.
    pub advantages: &'a [f64],
}

/// Flow-GRPO's loss: any surrogate and KL term, averaged over turns and rollouts, valid by construction.
///
/// # Formula
/// `loss = sum over turns of w sum over counted tokens of (l(A, rho) + beta k)`, `w` by [`TurnAggregation`], the
/// surrogate l, ratio rho and KL estimate k those of the [`PolicyGradientConfig`], whose `aggregation` is not used.  A
/// ratio of the whole sequence is one of the turn.
///
/// # Shapes
/// One advantage per turn; log-probabilities in nats per token.  The derivative: one per token.
///
/// # Edge cases
/// A rollout without turns and a turn without counted tokens take no part; no counted token at all: loss 0.
///
/// # Errors
/// Parameters: those of [`PolicyGradientConfig`].  Data: slices that do not fit, a missing `logp_ref` where a KL term
/// needs it, a counted number that is not finite.
///
/// # Source
/// Flow-GRPO, arXiv 2510.05592, objective reconstructed; lupantech/AgentFlow trains the turns as independent samples
/// under verl's token mean.
///
/// # Example
/// ```
/// use groupwise_core::{Offsets, TurnAggregation};
/// use groupwise_objective::losses::{TurnBatch, TurnLoss};
/// use groupwise_objective::objectives::PolicyGradientConfig;
/// // Two rollouts: two turns of 1 and 2 tokens, and one turn of 1 token; on policy every ratio is 1.
/// let (groups, turns) = (Offsets::from_lengths([2]), Offsets::from_lengths([2, 1]));
/// let tokens = Offsets::from_lengths([1, 2, 1]);
/// let logp = [-0.5, -1.0, -0.25, -2.0];
/// let loss = TurnLoss::new(&PolicyGradientConfig::default(), TurnAggregation::RolloutTurnToken)?;
/// let at = loss.evaluate(&TurnBatch {
///     groups: groups.spans(),
///     turns: turns.spans(),
///     tokens: tokens.spans(),
///     mask: &[true; 4],
///     logp: &logp,
///     logp_old: &logp,
///     logp_ref: None,
///     advantages: &[1.0, 1.0, -1.0],
/// })?;
/// assert_eq!((at.loss, at.grads.d_logp), (0.0, vec![-0.25, -0.125, -0.125, 0.5]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TurnLoss {
    objective: Box<dyn Objective>,
    aggregation: TurnAggregation,
}

impl TurnLoss {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &PolicyGradientConfig, aggregation: TurnAggregation) -> Result<Self, ParamError> {
        let objective = PolicyGradientConfig {
            aggregation: crate::aggregate::Aggregation::TokenMean,
            ..config.clone()
        }
        .build(&())?;
        Ok(Self {
            objective,
            aggregation,
        })
    }

    /// Loss, derivative and terms.
    ///
    /// # Errors
    /// See [`TurnLoss`].
    pub fn evaluate(&self, batch: &TurnBatch<'_>) -> Result<Evaluation, DataError> {
        batch.tokens.check_covers("mask", batch.mask.len())?;
        let count = |own: std::ops::Range<usize>| batch.mask[own].iter().filter(|m| **m).count();
        let counted: Vec<usize> = batch.tokens.iter().map(count).collect();
        let weights = self.aggregation.weigh(batch.groups, batch.turns, &counted)?;
        let turns_of = |members: std::ops::Range<usize>| members.map(|i| batch.turns.len_of(i)).sum();
        let view = TokenView {
            groups: Offsets::from_lengths(batch.groups.iter().map(turns_of)),
            tokens: batch.tokens,
            first_trajectory: 0,
            mask: batch.mask,
            logp: batch.logp,
            logp_old: batch.logp_old,
            logp_ref: batch.logp_ref,
            entropy: None,
            value: None,
            segments: None,
            advantages: AdvantageView::Trajectory(batch.advantages),
        };
        let denominators = Denominators {
            trajectory: weights,
            scalars: vec![counted.iter().sum::<usize>() as f64],
        };
        let frozen = self.objective.freeze(&denominators, &view)?;
        self.objective.evaluate(&frozen, &view)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::regularizer::KlEstimator;
    use crate::surrogate::{ClipParams, SurrogateConfig};

    const ALL: [TurnAggregation; 3] = [
        TurnAggregation::RolloutTurnToken,
        TurnAggregation::TurnToken,
        TurnAggregation::TokenMean,
    ];

    fn config(beta: f64) -> PolicyGradientConfig {
        PolicyGradientConfig {
            surrogate: SurrogateConfig::Clip(ClipParams {
                epsilon: 0.2,
                epsilon_high: Some(0.3),
                ..ClipParams::default()
            }),
            beta,
            kl_estimator: KlEstimator::K3,
            ..PolicyGradientConfig::default()
        }
    }

    #[derive(Clone, Debug)]
    struct Token {
        counted: bool,
        logp: f64,
        old: f64,
        reference: f64,
    }

    /// Group -> rollout -> turn: advantage and tokens.
    type Nested = Vec<Vec<Vec<(f64, Vec<Token>)>>>;

    fn tokens() -> impl Strategy<Value = Token> {
        (
            prop::bool::weighted(0.8),
            -3.0..-0.1f64,
            -0.6..0.6f64,
            -0.6..0.6f64,
        )
            .prop_map(|(counted, logp, a, b)| Token {
                counted,
                logp,
                old: logp + a,
                reference: logp + b,
            })
    }

    fn batches() -> impl Strategy<Value = Nested> {
        let turn = (-2.0..2.0f64, prop::collection::vec(tokens(), 0..4));
        let rollout = prop::collection::vec(turn, 0..4);
        prop::collection::vec(prop::collection::vec(rollout, 1..4), 1..3)
    }

    fn flat(batch: &Nested) -> Vec<Token> {
        batch
            .iter()
            .flatten()
            .flatten()
            .flat_map(|turn| turn.1.clone())
            .collect()
    }

    /// The loss at other log-probabilities.
    fn at(loss: &TurnLoss, batch: &Nested, logp: &[f64]) -> Evaluation {
        let groups = Offsets::from_lengths(batch.iter().map(Vec::len));
        let turns = Offsets::from_lengths(batch.iter().flatten().map(Vec::len));
        let rows: Vec<_> = batch.iter().flatten().flatten().collect();
        let tokens = Offsets::from_lengths(rows.iter().map(|turn| turn.1.len()));
        let flat = flat(batch);
        let column = |f: &dyn Fn(&Token) -> f64| flat.iter().map(f).collect::<Vec<f64>>();
        loss.evaluate(&TurnBatch {
            groups: groups.spans(),
            turns: turns.spans(),
            tokens: tokens.spans(),
            mask: &flat.iter().map(|t| t.counted).collect::<Vec<_>>(),
            logp,
            logp_old: &column(&|t| t.old),
            logp_ref: Some(&column(&|t| t.reference)),
            advantages: &rows.iter().map(|turn| turn.0).collect::<Vec<_>>(),
        })
        .expect("fits")
    }

    fn here(batch: &Nested) -> Vec<f64> {
        flat(batch).iter().map(|t| t.logp).collect()
    }

    #[test]
    fn parameters_are_checked() {
        let bad = TurnLoss::new(&config(-1.0), TurnAggregation::TokenMean).expect_err("refused");
        assert_eq!(bad.key, "beta");
    }

    #[test]
    fn slices_must_fit() {
        let (one, two) = (Offsets::from_lengths([1]), Offsets::from_lengths([2]));
        let good = TurnBatch {
            groups: one.spans(),
            turns: one.spans(),
            tokens: two.spans(),
            mask: &[true; 2],
            logp: &[-1.0; 2],
            logp_old: &[-1.0; 2],
            logp_ref: None,
            advantages: &[1.0],
        };
        let loss = TurnLoss::new(&config(0.0), TurnAggregation::TokenMean).expect("valid");
        assert_eq!(loss.evaluate(&good).expect("fits").loss, -1.0);
        let refuse = |batch: &TurnBatch<'_>| loss.evaluate(batch).expect_err("refused").to_string();
        let mut bad = [good; 6];
        bad[0].mask = &[true];
        bad[1].turns = two.spans();
        bad[2].groups = two.spans();
        bad[3].logp = &[-1.0];
        bad[4].advantages = &[];
        bad[5].logp_old = &[-1.0, f64::NAN];
        let messages = [
            "`mask` has 1 entries, expected 2",
            "`turns` has 1 entries, expected 2",
            "`rollouts` has 1 entries, expected 2",
            "`logp` has 1 entries, expected 2",
            "`advantages` has 0 entries, expected 1",
            "trajectory 0, token 1: `logp_old` is NaN",
        ];
        for (batch, message) in bad.iter().zip(messages) {
            assert_eq!(refuse(batch), message);
        }
        let with_kl = TurnLoss::new(&config(0.1), TurnAggregation::TokenMean).expect("valid");
        assert!(
            with_kl
                .evaluate(&good)
                .expect_err("refused")
                .to_string()
                .contains("logp_ref")
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn gradients_are_central_differences(batch in batches(), how in prop::sample::select(ALL.to_vec())) {
            let loss = TurnLoss::new(&config(0.05), how)?;
            let (logp, tokens) = (here(&batch), flat(&batch));
            let grad = at(&loss, &batch, &logp).grads.d_logp;
            for t in 0..logp.len() {
                let kink = |edge: f64| (logp[t] - tokens[t].old - edge.ln()).abs() < 1e-4;
                if kink(0.8) || kink(1.3) {
                    continue;
                }
                let side = |h: f64| {
                    let mut moved = logp.clone();
                    moved[t] += h;
                    at(&loss, &batch, &moved).loss
                };
                let numeric = (side(1e-5) - side(-1e-5)) / 2e-5;
                prop_assert!((grad[t] - numeric).abs() < 1e-8 + 1e-6 * numeric.abs(), "{t}: {} {numeric}", grad[t]);
                prop_assert!(tokens[t].counted || grad[t] == 0.0);
            }
        }

        #[test]
        fn the_loss_is_the_nested_mean(batch in batches()) {
            let beta = 0.05;
            let token = |a: f64, t: &Token| {
                let rho = (t.logp - t.old).exp();
                let u = t.reference - t.logp;
                -(rho * a).min(rho.clamp(0.8, 1.3) * a) + beta * (u.exp() - u - 1.0)
            };
            let mean = |x: Vec<f64>| (!x.is_empty()).then(|| x.iter().sum::<f64>() / x.len() as f64);
            let turn = |(a, tokens): &(f64, Vec<Token>)| {
                mean(tokens.iter().filter(|t| t.counted).map(|t| token(*a, t)).collect())
            };
            let rollout = |turns: &Vec<(f64, Vec<Token>)>| mean(turns.iter().filter_map(turn).collect());
            let group = |rollouts: &Vec<Vec<_>>| mean(rollouts.iter().filter_map(rollout).collect());
            let all_turns = batch.iter().flatten().flatten();
            let all_tokens = all_turns.clone()
                .flat_map(|(a, tokens)| tokens.iter().filter(|t| t.counted).map(|t| token(*a, t)).collect::<Vec<_>>());
            for (how, expected) in [
                (TurnAggregation::RolloutTurnToken, mean(batch.iter().filter_map(group).collect())),
                (TurnAggregation::TurnToken, mean(all_turns.filter_map(turn).collect())),
                (TurnAggregation::TokenMean, mean(all_tokens.collect())),
            ] {
                let found = at(&TurnLoss::new(&config(beta), how)?, &batch, &here(&batch)).loss;
                prop_assert!((found - expected.unwrap_or(0.0)).abs() < 1e-10, "{how:?}: {found} {expected:?}");
            }
        }

        #[test]
        fn doubling_the_turns_of_one_rollout_keeps_the_nested_mean(batch in batches()) {
            let mut doubled = batch.clone();
            let turns = doubled[0][0].clone();
            doubled[0][0].extend(turns);
            let loss = TurnLoss::new(&config(0.05), TurnAggregation::RolloutTurnToken)?;
            let (one, two) = (at(&loss, &batch, &here(&batch)).loss, at(&loss, &doubled, &here(&doubled)).loss);
            prop_assert!((one - two).abs() < 1e-10);
        }
    }
}
