//! Invariants of section 10, edge cases of section 5.

use proptest::prelude::*;

use super::*;

const ALL: [EnsembleObjective; 3] = [
    EnsembleObjective::Mean,
    EnsembleObjective::Wco,
    EnsembleObjective::Uwo,
];

fn aggregate(
    objective: EnsembleObjective,
    lambda: f64,
    std: Spread,
    scores: &[Vec<f64>],
) -> Result<Vec<f64>, DataError> {
    RewardEnsemble::new(objective, lambda, std)
        .expect("valid")
        .aggregate(scores)
}

/// Members of equal numbers of samples.
fn ensembles() -> impl Strategy<Value = Vec<Vec<f64>>> {
    (1usize..6, 1usize..5)
        .prop_flat_map(|(k, n)| prop::collection::vec(prop::collection::vec(-5.0..5.0f64, n..=n), k..=k))
}

fn spreads() -> impl Strategy<Value = Spread> {
    prop::sample::select(vec![Spread::Sample, Spread::Population])
}

fn pools() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    // Few distinct proxies, so that ties occur.
    prop::collection::vec(
        (
            prop::sample::select(vec![-1.0, -0.0, 0.0, 0.5, 2.0]),
            -5.0..5.0f64,
        ),
        1..9,
    )
    .prop_map(|pool| pool.into_iter().unzip())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn conservative_rewards_are_at_most_the_mean(scores in ensembles(), lambda in 0.0..3.0f64, std in spreads()) {
        let of = |objective| aggregate(objective, lambda, std, &scores);
        let [mean, wco, uwo] = [of(ALL[0])?, of(ALL[1])?, of(ALL[2])?];
        for i in 0..mean.len() {
            let column: Vec<f64> = scores.iter().map(|s| s[i]).collect();
            prop_assert!(wco[i] <= mean[i] + 1e-12 && uwo[i] <= mean[i]);
            prop_assert!(column.contains(&wco[i]) && column.iter().all(|s| wco[i] <= *s));
            let k = column.len() as f64;
            let squares: f64 = column.iter().map(|s| (s - mean[i]).powi(2)).sum();
            let divisor = if std == Spread::Sample { (k - 1.0).max(1.0) } else { k };
            prop_assert!((mean[i] - column.iter().sum::<f64>() / k).abs() < 1e-12);
            prop_assert!((uwo[i] - (mean[i] - lambda * squares / divisor)).abs() < 1e-10);
        }
    }

    #[test]
    fn members_that_agree_are_one_member(
        scores in prop::collection::vec(-5.0..5.0f64, 1..5), k in 1usize..6, lambda in 0.0..3.0f64, std in spreads(),
    ) {
        for objective in ALL {
            let found = aggregate(objective, lambda, std, &vec![scores.clone(); k])?;
            for (a, b) in found.iter().zip(&scores) {
                prop_assert!((a - b).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_weight_of_0_is_the_mean(scores in ensembles(), std in spreads()) {
        prop_assert_eq!(
            aggregate(EnsembleObjective::Uwo, 0.0, std, &scores),
            aggregate(EnsembleObjective::Mean, 2.0, std, &scores)
        );
    }

    #[test]
    fn order_of_members_changes_nothing(scores in ensembles(), lambda in 0.0..3.0f64, std in spreads()) {
        let reversed: Vec<Vec<f64>> = scores.iter().rev().cloned().collect();
        for objective in ALL {
            let (a, b) = (aggregate(objective, lambda, std, &scores)?, aggregate(objective, lambda, std, &reversed)?);
            prop_assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }

    #[test]
    fn weights_of_the_estimator_sum_to_1(n_answers in 1usize..400, n in 1usize..400) {
        prop_assume!(n <= n_answers);
        let weights = best_of_n_weights(n_answers, n)?;
        prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-11);
        prop_assert_eq!(weights.iter().position(|w| *w != 0.0).map(|i| i + 1 >= n), Some(true));
        prop_assert!(weights.windows(2).all(|w| w[0] <= w[1] * (1.0 + 1e-12)));
    }

    #[test]
    fn best_of_n_is_the_mean_over_all_subsets((proxy, gold) in pools(), n in 1usize..9) {
        let size = proxy.len();
        prop_assume!(n <= size);
        let (mut sums, mut count) = ((0.0, 0.0), 0.0);
        for set in (0u32..1 << size).filter(|set| set.count_ones() as usize == n) {
            let mut best = None;
            for i in (0..size).filter(|i| set >> i & 1 == 1) {
                if best.is_none_or(|b: usize| proxy[i] >= proxy[b]) {
                    best = Some(i);
                }
            }
            let best = best.expect("sets are not empty");
            sums = (sums.0 + proxy[best], sums.1 + gold[best]);
            count += 1.0;
        }
        let found = AnswerPool::new(&proxy, &gold)?.best_of(n)?;
        prop_assert!((found.proxy - sums.0 / count).abs() < 1e-10);
        prop_assert!((found.gold - sums.1 / count).abs() < 1e-10);
    }

    #[test]
    fn one_gives_the_average_and_all_give_the_top((proxy, gold) in pools()) {
        let pool = AnswerPool::new(&proxy, &gold)?;
        let one = pool.best_of(1)?;
        prop_assert!((one.proxy - stats::mean(&proxy)).abs() < 1e-12);
        prop_assert!((one.gold - stats::mean(&gold)).abs() < 1e-12);
        prop_assert_eq!(one.kl, 0.0);
        let all = pool.best_of(proxy.len())?;
        let top = proxy.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let last = proxy.iter().rposition(|p| *p == top).expect("a top");
        prop_assert_eq!((all.proxy, all.gold), (proxy[last], gold[last]));
    }

    #[test]
    fn the_proxy_score_never_falls_with_n((proxy, gold) in pools()) {
        let pool = AnswerPool::new(&proxy, &gold)?;
        let curve: Result<Vec<BestOfN>, DataError> = (1..=proxy.len()).map(|n| pool.best_of(n)).collect();
        for pair in curve?.windows(2) {
            prop_assert!(pair[1].proxy >= pair[0].proxy - 1e-12 && pair[1].kl > pair[0].kl);
        }
    }

    #[test]
    fn the_derivative_of_the_pairwise_loss_is_the_central_difference(
        pairs in prop::collection::vec((-4.0..4.0f64, -4.0..4.0f64), 1..6),
    ) {
        let (chosen, rejected): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let grad = pairwise_loss(&chosen, &rejected)?.grad_chosen;
        for i in 0..chosen.len() {
            let at = |h: f64, on_chosen: bool| {
                let (mut c, mut r) = (chosen.clone(), rejected.clone());
                *(if on_chosen { &mut c[i] } else { &mut r[i] }) += h;
                pairwise_loss(&c, &r).map(|at| at.loss)
            };
            let slope = |on_chosen| Ok::<f64, DataError>((at(1e-5, on_chosen)? - at(-1e-5, on_chosen)?) / 2e-5);
            prop_assert!((slope(true)? - grad[i]).abs() < 1e-8);
            prop_assert!((slope(false)? + grad[i]).abs() < 1e-8);
        }
    }

    #[test]
    fn members_on_one_scale_have_mean_0_and_deviation_1(
        base in prop::collection::vec(-5.0..5.0f64, 2..9), std in spreads(),
    ) {
        prop_assume!(stats::sample_std(&base) > 1e-3);
        let scale = MemberScale::of(&base, std)?;
        let scaled: Vec<f64> = base.iter().map(|s| scale.apply(*s)).collect();
        prop_assert!(stats::mean(&scaled).abs() < 1e-9);
        prop_assert!((variance(&scaled, std) - 1.0).abs() < 1e-9);
    }
}

#[test]
fn the_worst_case_may_lie_above_the_uncertainty_weighted_mean() {
    let scores = [vec![0.0], vec![4.0]];
    assert_eq!(
        aggregate(EnsembleObjective::Wco, 2.0, Spread::Population, &scores),
        Ok(vec![0.0])
    );
    assert_eq!(
        aggregate(EnsembleObjective::Uwo, 2.0, Spread::Population, &scores),
        Ok(vec![-6.0])
    );
    assert_eq!(
        aggregate(EnsembleObjective::Uwo, 2.0, Spread::Sample, &scores),
        Ok(vec![-14.0])
    );
}

#[test]
fn the_largest_pool_of_the_paper_does_not_overflow() {
    let weights = best_of_n_weights(12_600, 6_144).unwrap();
    assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-10);
    assert_eq!(weights[12_599], 6_144.0 / 12_600.0);
    let proxy: Vec<f64> = (0..12_600).map(f64::from).collect();
    let found = AnswerPool::new(&proxy, &proxy).unwrap().best_of(6_144).unwrap();
    // The mean of the largest of n of 1..=N is n (N + 1) / (n + 1).
    assert!((found.proxy + 1.0 - 6_144.0 * 12_601.0 / 6_145.0).abs() < 1e-6);
}

#[test]
fn bad_ensembles_are_refused() {
    let new = |lambda, std| {
        RewardEnsemble::new(EnsembleObjective::Mean, lambda, std)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        new(-0.5, Spread::Sample),
        "`lambda` = -0.5: must be a finite number >= 0"
    );
    assert_eq!(
        new(f64::INFINITY, Spread::Sample),
        "`lambda` = inf: must be a finite number >= 0"
    );
    assert_eq!(
        new(0.5, Spread::Mean),
        "`std` = Mean: must be sample or population"
    );
    let refused = |scores: &[Vec<f64>]| {
        aggregate(EnsembleObjective::Uwo, 1.0, Spread::Sample, scores)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(refused(&[]), "ensemble: has no member");
    assert_eq!(refused(&[vec![], vec![]]), "ensemble: has no sample to score");
    assert_eq!(
        refused(&[vec![1.0], vec![1.0, 2.0]]),
        "`scores of member 1` has 2 entries, expected 1"
    );
    assert_eq!(
        refused(&[vec![1.0], vec![f64::NAN]]),
        "index 0: `scores of member 1` is NaN"
    );
    assert_eq!(
        refused(&[vec![1e200], vec![-1e200]]),
        "index 0: `rewards of the ensemble` is -inf"
    );
}

#[test]
fn bad_pools_pairs_and_scales_are_refused() {
    let pool = |proxy: &[f64], gold: &[f64]| AnswerPool::new(proxy, gold).unwrap_err().to_string();
    assert_eq!(pool(&[], &[]), "answers: there is none");
    assert_eq!(pool(&[1.0], &[]), "`gold` has 0 entries, expected 1");
    assert_eq!(pool(&[f64::NAN], &[1.0]), "index 0: `proxy` is NaN");
    assert_eq!(pool(&[1.0], &[f64::NEG_INFINITY]), "index 0: `gold` is -inf");
    for n in [0, 3] {
        assert_eq!(
            AnswerPool::new(&[1.0, 2.0], &[1.0, 2.0])
                .unwrap()
                .best_of(n)
                .unwrap_err()
                .to_string(),
            format!("n of best-of-n: {n} is not in 1..=2, the number of answers")
        );
    }
    let pairs = |c: &[f64], r: &[f64]| pairwise_loss(c, r).unwrap_err().to_string();
    assert_eq!(pairs(&[], &[]), "pairs: there is none");
    assert_eq!(pairs(&[1.0], &[]), "`rejected` has 0 entries, expected 1");
    assert_eq!(pairs(&[f64::NAN], &[1.0]), "index 0: `chosen` is NaN");
    assert_eq!(pairs(&[1.0], &[f64::NAN]), "index 0: `rejected` is NaN");
    assert_eq!(
        pairs(&[1e308], &[-1e308]),
        "index 0: `chosen less rejected` is inf"
    );
    let scale = |base: &[f64], std| MemberScale::of(base, std).unwrap_err().to_string();
    assert_eq!(scale(&[0.1, 0.1], Spread::Sample), "base scores: have no spread");
    assert_eq!(scale(&[], Spread::Sample), "base scores: have no spread");
    assert_eq!(
        scale(&[f64::NAN], Spread::Sample),
        "index 0: `base scores` is NaN"
    );
    assert_eq!(
        scale(&[0.0, 1.0], Spread::None),
        "scale of a member: `std` = None: must be sample or population"
    );
}
