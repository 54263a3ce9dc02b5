//! Edge cases and invariants of VADE.

use groupwise_core::Stream;
use proptest::prelude::*;

use super::*;

const CONTEXT: SamplerContext = SamplerContext {
    n_tasks: 6,
    num_generations: 4,
};

fn key(step: u64) -> Key {
    Key::new(11, Stream::Sampler).step(step)
}

fn stats(right: &[f64], wrong: &[f64]) -> SuccessStats {
    SuccessStats::from_counts(right.to_vec(), wrong.to_vec(), Decay::new(0.2, 0.999).unwrap()).unwrap()
}

fn outcome(task: usize, rewards: &[f64]) -> GroupOutcome {
    GroupOutcome {
        task,
        rewards: rewards.iter().map(|r| Some(*r)).collect(),
        lengths: vec![1; rewards.len()],
    }
}

#[test]
fn a_pool_no_larger_than_the_batch_is_taken_whole() {
    for draw in [Draw::Thompson, Draw::Mean] {
        let config = VadeConfig {
            draw,
            ..VadeConfig::default()
        };
        let mut sampler = config.build(&CONTEXT).unwrap();
        for n in [6, 7, 600] {
            let mut batch = sampler.next(n, key(1)).unwrap();
            batch.sort_unstable();
            assert_eq!(batch, [0, 1, 2, 3, 4, 5]);
        }
        assert!(sampler.next(0, key(1)).unwrap().is_empty());
    }
}

#[test]
fn the_mean_breaks_ties_by_key_and_ranks_by_score_otherwise() {
    let config = VadeConfig {
        draw: Draw::Mean,
        ..VadeConfig::default()
    };
    let mut sampler = config.build(&CONTEXT).unwrap();
    let cold: Vec<Vec<usize>> = (0..20).map(|t| sampler.next(1, key(t)).unwrap()).collect();
    assert!(cold.iter().any(|batch| *batch != cold[0]), "ties go by index");
    // Means 1/3 (best), 1/2 (unseen) and near 1.
    let groups = [outcome(4, &[0.0, 1.0, 0.0, 0.0]), outcome(2, &[1.0; 4])];
    sampler.observe(1, &groups).unwrap();
    for t in 0..20 {
        let batch = sampler.next(6, key(t)).unwrap();
        assert_eq!((batch[0], batch[5]), (4, 2));
    }
    assert_eq!(sampler.estimate(4), Some(2.0 / 6.0));
    assert_eq!(sampler.estimate(2), Some(5.0 / 6.0));
    assert_eq!(sampler.estimate(6), None);
}

#[test]
fn the_extra_factor_prefers_the_harder_of_two() {
    let known = stats(&[299.0, 699.0], &[699.0, 299.0]);
    assert_eq!(
        greedy(&known, GainScore::Skewed, 2).unwrap().ranking.selected,
        [0, 1]
    );
    let even = greedy(&known, GainScore::Variance, 2).unwrap();
    assert!((even.ranking.scores[0] - even.ranking.scores[1]).abs() < 1e-15);
}

#[test]
fn partial_rewards_add_their_share_to_both_counts() {
    let mut sampler = VadeConfig::default().build(&CONTEXT).unwrap();
    sampler.observe(1, &[outcome(0, &[0.5, 0.25])]).unwrap();
    assert_eq!(sampler.estimate(0), Some(1.75 / 4.0));
}

#[test]
fn refused_parameters_and_data_are_named() {
    for (text, message) in [
        (r#"{"fast_decay": 1.5}"#, "`fast_decay` = 1.5: must be in [0, 1]"),
        (r#"{"slow_decay": -1.0}"#, "`slow_decay` = -1: must be in [0, 1]"),
    ] {
        let config: VadeConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.build(&CONTEXT).unwrap_err().to_string(), message);
    }
    assert!(serde_json::from_str::<VadeConfig>(r#"{"decay": 1.0}"#).is_err());
    assert!(serde_json::from_str::<VadeConfig>(r#"{"draw": "greedy"}"#).is_err());
    let message = |result: Result<Ranking, DataError>| result.unwrap_err().to_string();
    assert_eq!(
        message(select(&[0.5], GainScore::Skewed, 0)),
        "batch: is 0, must be >= 1"
    );
    assert_eq!(
        message(select(&[0.5, 1.5], GainScore::Skewed, 1)),
        "task 1: success rate 1.5 is outside [0, 1]"
    );
    let mut counts = stats(&[1.0], &[1.0]);
    let message = |result: Result<(), DataError>| result.unwrap_err().to_string();
    assert_eq!(
        message(update(&mut counts, &[0], &[1.0], 0)),
        "group: is 0, must be >= 1"
    );
    assert_eq!(
        message(update(&mut counts, &[0], &[], 8)),
        "`successes` has 0 entries, expected 1"
    );
    assert_eq!(
        message(update(&mut counts, &[0], &[9.0], 8)),
        "task 0: 9 successes are outside 0..8"
    );
    assert_eq!(
        quantile_rates(&counts, &[0.1, 0.2]).unwrap_err().to_string(),
        "`uniforms` has 2 entries, expected 1"
    );
    let mut sampler = VadeConfig::default().build(&CONTEXT).unwrap();
    sampler.observe(3, &[]).unwrap();
    assert_eq!(
        sampler.observe(4, &[outcome(1, &[2.0])]).unwrap_err().to_string(),
        "task 1, trajectory 0: reward 2 is outside [0, 1]"
    );
    assert_eq!(
        sampler.observe(3, &[]).unwrap_err().to_string(),
        "step 3: does not come after step 3"
    );
}

#[test]
fn the_formula_shows_the_numbers_in_use() {
    let text = VadeConfig::default().formula();
    assert!(
        text.contains("a <- 0.2 a + right") && text.contains("a <- 0.999 a"),
        "{text}"
    );
    assert!(
        text.contains("Beta(a_i + 1, b_i + 1)") && text.contains("p (1 - p)^2"),
        "{text}"
    );
    let greedy = VadeConfig {
        draw: Draw::Mean,
        ..VadeConfig::default()
    };
    assert!(greedy.formula().starts_with("p_i = (a_i + 1) / (a_i + b_i + 2)"));
}

#[test]
fn idling_no_step_changes_nothing() {
    let mut counts = stats(&[6.0], &[2.0]);
    let before = counts.clone();
    idle(&mut counts, 0).unwrap();
    assert_eq!(counts, before);
}

proptest! {
    #[test]
    fn selection_has_the_batch_size_without_duplicates(
        counts in prop::collection::vec((0.0..20.0f64, 0.0..20.0f64), 1..30), n in 1usize..40, step in 0u64..1_000,
    ) {
        let (right, wrong): (Vec<f64>, Vec<f64>) = counts.into_iter().unzip();
        let rates = draw_rates(&stats(&right, &wrong), key(step)).unwrap();
        let ranking = select(&rates, GainScore::Skewed, n).unwrap();
        prop_assert!(ranking.scores.iter().all(|s| (0.0..=4.0 / 27.0 + 1e-15).contains(s)));
        let mut selected = ranking.selected.clone();
        selected.sort_unstable();
        selected.dedup();
        prop_assert_eq!(selected.len(), n.min(right.len()));
        let worst = ranking.selected.iter().map(|i| ranking.scores[*i]).fold(f64::INFINITY, f64::min);
        for i in (0..right.len()).filter(|i| !ranking.selected.contains(i)) {
            prop_assert!(ranking.scores[i] <= worst);
        }
    }

    #[test]
    fn same_key_gives_the_same_selection(
        rights in prop::collection::vec(0u8..=4, 6), n in 1usize..6, step in 1u64..1_000,
    ) {
        let mut batches = Vec::new();
        for _ in 0..2 {
            let mut sampler = VadeConfig::default().build(&CONTEXT).unwrap();
            let groups: Vec<GroupOutcome> = rights
                .iter()
                .enumerate()
                .map(|(task, right)| outcome(task, &[0, 1, 2, 3].map(|i| f64::from(u8::from(i < *right)))))
                .collect();
            sampler.observe(1, &groups).unwrap();
            batches.push(sampler.next(n, key(step)).unwrap());
        }
        prop_assert_eq!(&batches[0], &batches[1]);
    }

    #[test]
    fn expected_score_is_the_mean_over_draws(right in 0.0..15.0f64, wrong in 0.0..15.0f64, seed in 0u64..1_000) {
        let n = 3_000;
        let many = stats(&vec![right; n], &vec![wrong; n]);
        let rates = draw_rates(&many, Key::new(seed, Stream::Sampler)).unwrap();
        for score in [GainScore::Skewed, GainScore::Variance] {
            let scores = score_all(&rates, score);
            let mean = groupwise_core::stats::mean(&scores);
            let error = groupwise_core::stats::sample_std(&scores) / (n as f64).sqrt();
            let expected = score.expected(right + 1.0, wrong + 1.0);
            prop_assert!((mean - expected).abs() < 6.0 * error, "{mean} {expected} {error}");
        }
    }

    #[test]
    fn quantile_draws_and_keyed_draws_share_their_median(right in 0.0..15.0f64, wrong in 0.0..15.0f64) {
        let n = 4_000;
        let many = stats(&vec![right; n], &vec![wrong; n]);
        let median = beta_quantile(right + 1.0, wrong + 1.0, 0.5).unwrap();
        let below = draw_rates(&many, key(0)).unwrap().iter().filter(|p| **p < median).count();
        // Six standard deviations of a fair coin.
        prop_assert!((below as f64 - 2_000.0).abs() < 6.0 * (n as f64).sqrt() / 2.0, "{below}");
    }
}
