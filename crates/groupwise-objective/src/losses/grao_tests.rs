use groupwise_core::Offsets;
use groupwise_core::testing::{Inputs, Sample, evaluate_whole, samples};
use groupwise_core::{Advantages, Part};
use proptest::prelude::*;

use super::*;
use crate::aggregate::Aggregation;
use crate::objectives::PolicyGradientConfig;
use crate::surrogate::SurrogateConfig;

fn grao(change: impl FnOnce(&mut GraoConfig)) -> Grao {
    let mut config = GraoConfig::default();
    change(&mut config);
    Grao::new(&config).expect("valid")
}

fn near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() < 1e-6, "{found:?} and {expected:?}");
    }
}

/// Advantages of one group.
fn normalize(grao: Grao, rewards: &[Option<f64>], reference: Option<f64>) -> Result<(Vec<f64>, f64), String> {
    let groups = Offsets::from_lengths([rewards.len()]);
    grao.advantages(groups.spans(), rewards, &[reference])
        .map(|a| (a.samples, a.references[0]))
        .map_err(|e| e.to_string())
}

#[test]
fn the_worked_example_and_a_group_of_failures() {
    let (samples, reference) =
        normalize(grao(|_| ()), &[1.0, 0.0, 0.0, 1.0].map(Some), Some(1.0)).expect("fits");
    near(&samples, &[0.816_495, -1.224_742, -1.224_742, 0.816_495]);
    near(&[reference], &[0.816_495]);
    let (samples, reference) = normalize(grao(|_| ()), &[Some(0.0); 3], Some(1.0)).expect("fits");
    near(&samples, &[-0.577_349; 3]);
    near(&[reference], &[1.732_047]);
}

#[test]
fn a_reference_outside_of_a_pool_of_failures_explodes() {
    let outside = grao(|c| (c.pool, c.eps) = (NormalizationPool::SamplesOnly, 1e-4));
    let (samples, reference) = normalize(outside, &[Some(0.0); 2], Some(1.0)).expect("fits");
    assert_eq!((samples, reference), (vec![0.0; 2], 1e4));
    let huge = grao(|c| (c.pool, c.eps) = (NormalizationPool::SamplesOnly, 1e-300));
    assert_eq!(
        normalize(huge, &[Some(0.0); 2], Some(1e9)),
        Err("group 0: `advantage (rewards too far apart)` is inf".into())
    );
    let (_, worse) = normalize(outside, &[Some(0.0); 2], Some(-1.0)).expect("fits");
    assert_eq!(worse, -1e4);
    let (samples, reference) = normalize(outside, &[1.0, 0.0, 0.0, 1.0].map(Some), Some(1.0)).expect("fits");
    near(&samples, &[0.9998, -0.9998, -0.9998, 0.9998]);
    near(&[reference], &[0.9998]);
}

#[test]
fn equal_rewards_are_silent_though_their_mean_is_inexact() {
    for pool in [NormalizationPool::WithReference, NormalizationPool::SamplesOnly] {
        let silent = grao(|c| (c.pool, c.eps) = (pool, 1e-300));
        let (samples, reference) = normalize(silent, &[Some(0.1); 7], Some(0.1)).expect("fits");
        assert_eq!((samples, reference), (vec![0.0; 7], 0.0), "{pool:?}");
    }
}

#[test]
fn a_reference_that_differs_from_equal_samples_by_rounding_is_one_of_them() {
    let outside = grao(|c| c.pool = NormalizationPool::SamplesOnly);
    let (_, reference) = normalize(outside, &[Some(1.0), Some(1.0 + 1e-13)], Some(1.0)).expect("fits");
    assert_eq!(reference, 0.0);
}

#[test]
fn unscorable_samples_are_in_no_statistic() {
    let with = normalize(grao(|_| ()), &[Some(1.0), None, Some(0.0)], Some(1.0)).expect("fits");
    let without = normalize(grao(|_| ()), &[Some(1.0), Some(0.0)], Some(1.0)).expect("fits");
    assert_eq!(with, (vec![without.0[0], 0.0, without.0[1]], without.1));
    let (samples, reference) = normalize(grao(|_| ()), &[None, None], Some(1.0)).expect("fits");
    assert_eq!((samples, reference), (vec![0.0; 2], 0.0));
}

#[test]
fn one_sample_is_enough_only_beside_the_reference() {
    let (samples, reference) = normalize(grao(|_| ()), &[Some(0.0)], Some(1.0)).expect("fits");
    near(&samples, &[-1.0 / 1.000_002]);
    near(&[reference], &[1.0 / 1.000_002]);
    let outside = |rewards: &[Option<f64>]| {
        normalize(
            grao(|c| c.pool = NormalizationPool::SamplesOnly),
            rewards,
            Some(1.0),
        )
    };
    let message =
        "group 0: has fewer than the two scorable samples by which a reference outside of the pool is judged";
    assert_eq!(outside(&[Some(0.0)]), Err(message.into()));
    assert_eq!(outside(&[Some(0.0), None]), Err(message.into()));
    assert!(outside(&[Some(0.0), Some(1.0)]).is_ok());
}

#[test]
fn a_missing_reference_is_refused_or_skipped() {
    let rewards = [Some(1.0), Some(0.0)];
    assert_eq!(
        normalize(grao(|_| ()), &rewards, None),
        Err("group 0: has no scored reference answer, and `missing_reference` is refuse".into())
    );
    for pool in [NormalizationPool::WithReference, NormalizationPool::SamplesOnly] {
        let skip = grao(|c| (c.pool, c.missing_reference) = (pool, MissingReference::Skip));
        let (samples, reference) = normalize(skip, &rewards, None).expect("skipped");
        near(&samples, &[0.999_998, -0.999_998]);
        assert_eq!(reference, 0.0);
        let (lone, _) = normalize(skip, &[Some(1.0)], None).expect("no reference to judge");
        assert_eq!(lone, [0.0]);
        let (none, _) = normalize(skip, &[None], None).expect("an empty pool");
        assert_eq!(none, [0.0]);
    }
}

/// A prompt with two samples and a reference, and one without.
fn mixed<'a>(groups: &'a Offsets, samples: &'a Offsets, references: &'a Offsets) -> GraoBatch<'a> {
    GraoBatch {
        groups: groups.spans(),
        rewards: &[Some(1.0), Some(0.0), Some(3.0), None, Some(1.0)],
        samples: Texts {
            tokens: samples.spans(),
            mask: &[true; 5],
            logp: &[-1.0, -2.0, -3.0, f64::NAN, -4.0],
        },
        reference_rewards: &[Some(1.0), None],
        references: Texts {
            tokens: references.spans(),
            mask: &[true; 2],
            logp: &[-0.5, -1.5],
        },
    }
}

#[test]
fn prompts_without_a_reference_explore_alone() {
    let (groups, samples, references) = (
        Offsets::from_lengths([2, 3]),
        Offsets::from_lengths([1; 5]),
        Offsets::from_lengths([2, 0]),
    );
    let skip = grao(|c| (c.missing_reference, c.eps) = (MissingReference::Skip, 1e-12));
    let at = skip
        .evaluate(&mixed(&groups, &samples, &references))
        .expect("fits");
    let (a, b) = (0.5_f64.sqrt(), 2.0_f64.sqrt());
    // Pool [1, 0, 1]: A = 1/sqrt 2, -sqrt 2, 1/sqrt 2.  The other prompt: 1, -1.
    near(&at.advantages.samples, &[a, -b, 1.0, 0.0, -1.0]);
    near(&at.advantages.references, &[a, 0.0]);
    let sample_weights = [a, -b, 1.0, 0.0, -1.0].map(|w| 1.6 * w / 4.0);
    let reference_weight = (0.5 * a + 0.6 * a / 2.0) / 2.0;
    near(&at.d_samples, &sample_weights.map(|w| -w));
    near(&at.d_references, &[-reference_weight / 2.0; 2]);
    let expected =
        sample_weights[0] + 2.0 * sample_weights[1] + 3.0 * sample_weights[2] + 4.0 * sample_weights[4];
    near(&[at.loss], &[expected + reference_weight]);
    assert_eq!(at.reference_means, [-1.0, 0.0]);
}

#[test]
fn lengths_must_agree() {
    let (groups, samples, references) = (
        Offsets::from_lengths([2, 3]),
        Offsets::from_lengths([1; 5]),
        Offsets::from_lengths([2, 0]),
    );
    let skip = grao(|c| c.missing_reference = MissingReference::Skip);
    let refuse = |change: &dyn Fn(&mut GraoBatch<'_>)| {
        let mut batch = mixed(&groups, &samples, &references);
        change(&mut batch);
        skip.evaluate(&batch).expect_err("refused").to_string()
    };
    assert_eq!(
        refuse(&|b| b.rewards = &[None]),
        "`samples` has 5 entries, expected 1"
    );
    assert_eq!(
        refuse(&|b| b.reference_rewards = &[None]),
        "`reference_rewards` has 1 entries, expected 2"
    );
    assert_eq!(
        refuse(&|b| b.references.tokens = b.samples.tokens),
        "`references` has 5 entries, expected 2"
    );
    assert_eq!(
        refuse(&|b| b.samples.logp = &[0.0]),
        "`logp` has 1 entries, expected 5"
    );
    assert_eq!(
        refuse(&|b| b.samples.mask = &[true]),
        "`mask` has 1 entries, expected 5"
    );
    assert_eq!(
        refuse(&|b| b.references.logp = &[0.0]),
        "`references: logp` has 1 entries, expected 2"
    );
    let empty = Offsets::from_lengths([5, 0]);
    let batch = GraoBatch {
        groups: empty.spans(),
        ..mixed(&groups, &samples, &references)
    };
    let error = skip.evaluate(&batch).expect_err("refused").to_string();
    assert_eq!(error, "group 1: holds no trajectory");
}

#[test]
fn bad_numbers_are_named() {
    let (groups, samples, references) = (
        Offsets::from_lengths([2, 3]),
        Offsets::from_lengths([1; 5]),
        Offsets::from_lengths([2, 0]),
    );
    let skip = grao(|c| c.missing_reference = MissingReference::Skip);
    let refuse = |change: &dyn Fn(&mut GraoBatch<'_>)| {
        let mut batch = mixed(&groups, &samples, &references);
        change(&mut batch);
        skip.evaluate(&batch).expect_err("refused").to_string()
    };
    assert_eq!(
        refuse(&|b| b.references.logp = &[0.0, f64::NAN]),
        "reference 0, token 1: `logp` is NaN"
    );
    assert_eq!(
        refuse(&|b| b.samples.logp = &[-1.0, f64::NAN, -1.0, -1.0, -1.0]),
        "trajectory 1, token 0: `logp` is NaN"
    );
    assert_eq!(
        refuse(&|b| b.rewards = &[Some(1.0), Some(f64::NAN), None, None, None]),
        "group 0, trajectory 1: `reward` is NaN"
    );
    assert_eq!(
        refuse(&|b| b.reference_rewards = &[Some(f64::INFINITY), None]),
        "group 0: `reference reward` is inf"
    );
    assert_eq!(
        refuse(&|b| b.rewards = &[Some(1e308), Some(-1e308), None, None, None]),
        "group 0: `deviation (rewards too far apart)` is inf"
    );
}

#[test]
fn refused_parameters() {
    let refuse = |change: &dyn Fn(&mut GraoConfig)| {
        let mut config = GraoConfig::default();
        change(&mut config);
        Grao::new(&config).expect_err("refused").to_string()
    };
    for (value, printed) in [(-0.1, "-0.1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        assert_eq!(
            refuse(&|c| c.beta = value),
            format!("`beta` = {printed}: must be a finite number >= 0")
        );
        assert_eq!(
            refuse(&|c| c.lambda = value),
            format!("`lambda` = {printed}: must be a finite number >= 0")
        );
    }
    for (value, printed) in [(0.0, "0"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        assert_eq!(
            refuse(&|c| c.eps = value),
            format!("`eps` = {printed}: must be a finite number > 0")
        );
    }
    let _ = grao(|c| (c.beta, c.lambda) = (0.0, 0.0));
}

/// Everything a loss needs, owned: samples with rewards, and a reference per prompt.
#[derive(Clone, Debug)]
struct Drawn {
    sample: Sample,
    rewards: Vec<Option<f64>>,
    reference_rewards: Vec<Option<f64>>,
    references: Offsets,
    reference_logp: Vec<f64>,
    reference_mask: Vec<bool>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let rewards = prop::collection::vec(prop::option::weighted(0.9, -1.0..1.0f64), 25);
    let references = prop::collection::vec(
        (
            -1.0..1.0f64,
            prop::collection::vec((-3.0..0.0f64, any::<bool>()), 0..4),
        ),
        5,
    );
    (samples(), rewards, references).prop_map(|(sample, mut rewards, references)| {
        let references = &references[..sample.batch.groups.len()];
        rewards.truncate(sample.batch.n_trajectories());
        let tokens = || references.iter().flat_map(|r| r.1.iter());
        Drawn {
            reference_rewards: references.iter().map(|r| Some(r.0)).collect(),
            references: Offsets::from_lengths(references.iter().map(|r| r.1.len())),
            reference_logp: tokens().map(|t| t.0).collect(),
            reference_mask: tokens().map(|t| t.1).collect(),
            sample,
            rewards,
        }
    })
}

impl Drawn {
    fn evaluate(&self, grao: Grao) -> Result<GraoEvaluation, DataError> {
        grao.evaluate(&GraoBatch {
            groups: self.sample.batch.groups.spans(),
            rewards: &self.rewards,
            samples: Texts {
                tokens: self.sample.batch.tokens.spans(),
                mask: &self.sample.batch.mask,
                logp: &self.sample.logp,
            },
            reference_rewards: &self.reference_rewards,
            references: Texts {
                tokens: self.references.spans(),
                mask: &self.reference_mask,
                logp: &self.reference_logp,
            },
        })
    }
}

fn configs() -> impl Strategy<Value = GraoConfig> {
    (0.0..2.0f64, 0.0..2.0f64).prop_map(|(beta, lambda)| GraoConfig {
        beta,
        lambda,
        ..GraoConfig::default()
    })
}

/// Central difference of a loss by one of the entries of a vector.
fn central(
    values: &mut [f64],
    t: usize,
    loss: impl Fn(&[f64]) -> Result<f64, DataError>,
) -> Result<f64, DataError> {
    let here = values[t];
    values[t] = here + 1e-5;
    let up = loss(values)?;
    values[t] = here - 1e-5;
    let down = loss(values)?;
    values[t] = here;
    Ok((up - down) / 2e-5)
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-7 * (1.0 + a.abs().max(b.abs()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn derivatives_are_central_differences(drawn in drawn(), config in configs()) {
        let grao = Grao::new(&config)?;
        let at = drawn.evaluate(grao)?;
        let mut logp = drawn.sample.logp.clone();
        for t in 0..logp.len() {
            let loss = |logp: &[f64]| {
                let mut moved = drawn.clone();
                moved.sample.logp = logp.to_vec();
                moved.evaluate(grao).map(|at| at.loss)
            };
            prop_assert!(close(central(&mut logp, t, loss)?, at.d_samples[t]));
        }
        let mut logp = drawn.reference_logp.clone();
        for t in 0..logp.len() {
            let loss = |logp: &[f64]| {
                let moved = Drawn { reference_logp: logp.to_vec(), ..drawn.clone() };
                moved.evaluate(grao).map(|at| at.loss)
            };
            prop_assert!(close(central(&mut logp, t, loss)?, at.d_references[t]));
        }
    }

    #[test]
    fn the_loss_is_the_sum_of_its_three_terms(drawn in drawn(), config in configs()) {
        let at = drawn.evaluate(Grao::new(&config)?)?;
        let mean = |tokens: std::ops::Range<usize>, mask: &[bool], logp: &[f64]| {
            let counted: Vec<usize> = tokens.filter(|t| mask[*t]).collect();
            counted.iter().map(|t| logp[*t]).sum::<f64>() / counted.len().max(1) as f64
        };
        let batch = &drawn.sample.batch;
        let mut total = 0.0;
        for (g, members) in batch.groups.spans().iter().enumerate() {
            let e_y = mean(drawn.references.range(g), &drawn.reference_mask, &drawn.reference_logp);
            let scored = members.clone().filter(|i| drawn.rewards[*i].is_some()).count().max(1) as f64;
            let (mut explore, mut push) = (0.0, 0.0);
            for i in members {
                let e = mean(batch.tokens.range(i), &batch.mask, &drawn.sample.logp);
                explore += at.advantages.samples[i] * e / scored;
                push += at.advantages.samples[i] * (e - e_y) / scored;
            }
            total += explore + config.beta * at.advantages.references[g] * e_y + config.lambda * push;
        }
        prop_assert!((at.loss + total / batch.groups.len() as f64).abs() < 1e-9);
    }

    #[test]
    fn with_the_reference_in_the_pool_advantages_sum_to_zero(drawn in drawn()) {
        let at = drawn.evaluate(grao(|_| ()))?;
        for (g, members) in drawn.sample.batch.groups.spans().iter().enumerate() {
            let sum: f64 = at.advantages.samples[members].iter().sum::<f64>() + at.advantages.references[g];
            prop_assert!(sum.abs() < 1e-9);
        }
    }

    #[test]
    fn a_shift_of_the_rewards_changes_nothing_and_nor_does_a_scale_without_eps(
        drawn in drawn(), shift in -100i32..100, scale in prop::sample::select(vec![0.25, 4.0, 64.0]),
    ) {
        // Binary fractions, so that shift and scale are exact.
        let round = |r: &Option<f64>| r.map(|r| (r * 64.0).round() / 64.0);
        let map = |f: &dyn Fn(f64) -> f64| Drawn {
            rewards: drawn.rewards.iter().map(|r| round(r).map(f)).collect(),
            reference_rewards: drawn.reference_rewards.iter().map(|r| round(r).map(f)).collect(),
            ..drawn.clone()
        };
        let tiny = grao(|c| c.eps = 1e-300);
        let base = map(&|r| r).evaluate(tiny)?;
        for moved in [map(&|r| r + f64::from(shift)), map(&|r| r * scale)] {
            let at = moved.evaluate(tiny)?;
            for (f, e) in at.advantages.samples.iter().zip(&base.advantages.samples) {
                prop_assert!(close(*f, *e));
            }
            for (f, e) in at.advantages.references.iter().zip(&base.advantages.references) {
                prop_assert!(close(*f, *e));
            }
            prop_assert!(close(at.loss, base.loss));
        }
    }

    #[test]
    fn exploration_alone_is_reinforce_with_standardized_rewards(drawn in drawn()) {
        // One sample per group of the batch counts in full, so that means over groups are means over samples.
        let mut drawn = drawn;
        let n = drawn.sample.batch.n_trajectories();
        let rewards: Vec<Option<f64>> = drawn.rewards.iter().map(|r| Some(r.unwrap_or(0.5))).collect();
        drawn.sample.batch.mask.fill(true);
        drawn.sample.batch.groups = Offsets::from_lengths([n]);
        drawn.rewards = rewards;
        drawn.reference_rewards.truncate(1);
        let first = drawn.references.range(0).len();
        drawn.references = Offsets::from_lengths([first]);
        drawn.reference_logp.truncate(first);
        drawn.reference_mask.truncate(first);
        let at = drawn.evaluate(grao(|c| (c.beta, c.lambda) = (0.0, 0.0)))?;
        let reinforce = PolicyGradientConfig {
            surrogate: SurrogateConfig::Reinforce,
            aggregation: Aggregation::SeqMeanTokenMean,
            ..PolicyGradientConfig::default()
        };
        let mut batch = drawn.sample.batch.clone();
        batch.advantages = Advantages::Trajectory(at.advantages.samples.clone());
        let inputs = Inputs { logp: &drawn.sample.logp, entropy: None, value: None };
        let expected = evaluate_whole(reinforce.build(&())?.as_ref(), &batch, &inputs)?;
        prop_assert!((at.loss - expected.loss).abs() < 1e-12);
        for (f, e) in at.d_samples.iter().zip(&expected.grads.d_logp) {
            prop_assert!((f - e).abs() < 1e-12);
        }
        prop_assert!(at.d_references.iter().all(|d| *d == 0.0));
    }

    #[test]
    fn with_samples_only_the_reference_does_not_feel_the_regularizer(drawn in drawn(), lambda in 0.0..2.0f64) {
        let enough = drawn.sample.batch.groups.spans().iter()
            .all(|members| members.filter(|i| drawn.rewards[*i].is_some()).count() > 1);
        prop_assume!(enough);
        let with = |lambda| drawn.evaluate(grao(|c| (c.pool, c.lambda, c.eps) = (NormalizationPool::SamplesOnly, lambda, 0.1)));
        let (at, none) = (with(lambda)?, with(0.0)?);
        for (f, e) in at.d_references.iter().zip(&none.d_references) {
            prop_assert!((f - e).abs() < 1e-9);
        }
    }

    #[test]
    fn a_reference_is_pushed_away_from_where_every_sample_beats_it(
        above in prop::collection::vec(0.1..2.0f64, 1..6), beta in 0.1..2.0f64, lambda in 0.0..2.0f64, better in any::<bool>(),
    ) {
        let sign = if better { 1.0 } else { -1.0 };
        let rewards: Vec<Option<f64>> = above.iter().map(|a| Some(sign * a)).collect();
        let (groups, tokens) = (Offsets::from_lengths([rewards.len()]), Offsets::from_lengths(vec![1; rewards.len()]));
        let reference = Offsets::from_lengths([1]);
        let logp = vec![-1.0; rewards.len()];
        let mask = vec![true; rewards.len()];
        let at = grao(|c| (c.beta, c.lambda) = (beta, lambda)).evaluate(&GraoBatch {
            groups: groups.spans(),
            rewards: &rewards,
            samples: Texts { tokens: tokens.spans(), mask: &mask, logp: &logp },
            reference_rewards: &[Some(0.0)],
            references: Texts { tokens: reference.spans(), mask: &[true], logp: &[-1.0] },
        })?;
        // Minimizing: a positive derivative lowers the likelihood.
        prop_assert_eq!(at.d_references[0] > 0.0, better);
        prop_assert_eq!(at.d_references[0] < 0.0, !better);
    }
}
