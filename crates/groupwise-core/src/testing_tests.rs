//! Tests of the checks: a right objective passes, every flaw is found.

use super::*;
use crate::batch::{Denominators, Frozen, TokenGrads};
use crate::reward::Needs;

/// What is wrong with the objective below.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    Gradient,
    EntropyGradient,
    ValueGradient,
    MaskedGradient,
    LocalDenominator,
    FirstGroupOnly,
    CountsPadding,
}

/// `w sum mask (A logp^2 - entropy + value^2)`, with one flaw.
#[derive(Debug)]
struct Toy(Flaw);

impl Objective for Toy {
    fn needs(&self) -> Needs {
        Needs::ENTROPY | Needs::VALUES
    }
    fn scope(&self) -> Scope {
        Scope::Token
    }
    fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError> {
        let counted = match self.0 {
            Flaw::CountsPadding => batch.n_tokens(),
            _ => batch.mask.iter().filter(|m| **m).count().max(1),
        };
        Ok(Denominators {
            trajectory: vec![],
            scalars: vec![1.0 / counted as f64],
        })
    }
    fn freeze(&self, whole: &Denominators, view: &TokenView<'_>) -> Result<Frozen, DataError> {
        let counted = view.mask.iter().filter(|m| **m).count().max(1) as f64;
        let w = if self.0 == Flaw::LocalDenominator {
            1.0 / counted
        } else {
            whole.scalars[0]
        };
        Ok(Frozen {
            scalars: vec![w],
            ..Frozen::default()
        })
    }
    fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
        let (n, w) = (view.logp.len(), frozen.scalars[0]);
        let (entropy, value) = (view.entropy.unwrap_or(&[]), view.value.unwrap_or(&[]));
        let (mut d_logp, mut d_entropy, mut d_value) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        let mut loss = 0.0;
        for (i, tokens) in view.tokens.iter().enumerate() {
            let skip = self.0 == Flaw::FirstGroupOnly && i >= view.groups.range(0).end;
            for t in tokens.clone().filter(|_| !skip) {
                let a = view.advantage_row(i).at(t - tokens.start);
                if view.mask[t] {
                    loss += w * (a * view.logp[t].powi(2) - entropy[t] + value[t].powi(2));
                    d_logp[t] = w * a * view.logp[t] * if self.0 == Flaw::Gradient { 1.9 } else { 2.0 };
                    d_entropy[t] = if self.0 == Flaw::EntropyGradient { w } else { -w };
                    d_value[t] = if self.0 == Flaw::ValueGradient {
                        0.0
                    } else {
                        2.0 * w * value[t]
                    };
                } else if self.0 == Flaw::MaskedGradient {
                    d_logp[t] = w;
                }
            }
        }
        let grads = TokenGrads {
            d_logp,
            d_entropy: Some(d_entropy),
            d_value: Some(d_value),
        };
        Ok(Evaluation {
            loss,
            grads,
            terms: vec![("policy_loss", loss)],
        })
    }
}

fn check_all(flaw: Flaw, sample: &Sample) -> Result<usize, CheckFailure> {
    let (toy, inputs) = (Toy(flaw), sample.inputs());
    let compared = check_gradient_away_from(&toy, &sample.batch, &inputs, &|_, _| f64::INFINITY)?;
    check_split(&toy, &sample.batch, &inputs)?;
    check_permutation(&toy, &sample.batch, &inputs)?;
    check_padding(&toy, &sample.batch, &inputs)?;
    Ok(compared)
}

proptest! {
    #[test]
    fn generated_batches_are_well_formed_and_a_right_objective_passes(sample in samples()) {
        sample.batch.check()?;
        let n = sample.batch.n_tokens();
        prop_assert!(sample.logp.iter().all(|l| *l < 0.0));
        let segments = sample.batch.segments.as_ref().expect("generated with some");
        for row in sample.batch.tokens.spans().iter().map(|tokens| &segments[tokens]) {
            prop_assert!(row[0] == 0 && row.windows(2).all(|w| w[1] - w[0] <= 1));
        }
        prop_assert_eq!(check_all(Flaw::None, &sample)?, 3 * n);
    }
}

fn fixed() -> Sample {
    let n = 7;
    Sample {
        batch: TokenBatch {
            groups: Offsets::from_lengths([2, 1]),
            tokens: Offsets::from_lengths([2, 2, 3]),
            prompts: vec![Arc::from([1u32]); 3],
            ids: vec![0; n],
            mask: vec![true, true, true, false, true, true, true],
            logp_sampler: vec![-1.0; n],
            logp_old: None,
            logp_ref: None,
            segments: None,
            advantages: Advantages::Trajectory(vec![1.0, -0.5, 0.7]),
            temperature: 1.0,
        },
        logp: vec![-0.1, -0.2, -0.3, -0.4, -0.5, -0.6, -0.7],
        entropy: vec![0.5; n],
        value: vec![0.3; n],
    }
}

#[test]
fn every_flaw_is_found_and_named() {
    let sample = fixed();
    assert_eq!(check_all(Flaw::None, &sample), Ok(21));
    for (flaw, message) in [
        (Flaw::Gradient, "d loss / d logp of token 0 is -3"),
        (Flaw::EntropyGradient, "d loss / d entropy of token 0 is 1.6"),
        (Flaw::ValueGradient, "d loss / d value of token 0 is 0e0"),
        (
            Flaw::MaskedGradient,
            "token 3 is masked, yet d loss / d logp = 1.6",
        ),
        (
            Flaw::LocalDenominator,
            "cut into trajectories [0..1, 1..2, 2..3]: loss",
        ),
        (
            Flaw::FirstGroupOnly,
            "cut into trajectories [0..1, 1..2, 2..3]: loss",
        ),
        (Flaw::CountsPadding, "padded: loss"),
    ] {
        let found = check_all(flaw, &sample).unwrap_err().to_string();
        assert!(found.starts_with(message), "{flaw:?}: {found}");
    }
    let order = check_permutation(&Toy(Flaw::FirstGroupOnly), &sample.batch, &sample.inputs());
    assert!(
        order
            .unwrap_err()
            .to_string()
            .starts_with("groups reversed: loss")
    );
}

#[test]
fn tokens_near_a_kink_are_left_out() {
    let sample = fixed();
    let distance = |view: &TokenView<'_>, t: usize| (view.logp[t] + 0.3).abs();
    let compared = check_gradient_away_from(&Toy(Flaw::None), &sample.batch, &sample.inputs(), &distance);
    assert_eq!(compared, Ok(18));
}

#[test]
fn a_derivative_without_its_input_is_refused() {
    let sample = fixed();
    let found = check_gradient(&NoEntropy, &sample.batch, &sample.logp, None).unwrap_err();
    assert_eq!(
        found.to_string(),
        "there is a derivative by entropy, but the view holds none"
    );
}

#[derive(Debug)]
struct NoEntropy;
impl Objective for NoEntropy {
    fn needs(&self) -> Needs {
        Needs::empty()
    }
    fn scope(&self) -> Scope {
        Scope::Token
    }
    fn denominators(&self, _: &TokenBatch) -> Result<Denominators, DataError> {
        Ok(Denominators::default())
    }
    fn freeze(&self, _: &Denominators, _: &TokenView<'_>) -> Result<Frozen, DataError> {
        Ok(Frozen::default())
    }
    fn evaluate(&self, _: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
        let zeros = vec![0.0; view.logp.len()];
        let grads = TokenGrads {
            d_logp: zeros.clone(),
            d_entropy: Some(zeros),
            d_value: None,
        };
        Ok(Evaluation {
            loss: 0.0,
            grads,
            terms: vec![],
        })
    }
}
