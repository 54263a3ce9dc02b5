use groupwise_core::Offsets;
use proptest::prelude::*;

use super::*;

fn run(config: GroupRelativeConfig, rewards: &[Option<f64>]) -> Vec<f64> {
    let groups = Offsets::from_lengths([rewards.len()]);
    GroupRelative::new(config)
        .unwrap()
        .advantages(groups.spans(), rewards)
        .unwrap()
}

fn run_scored(config: GroupRelativeConfig, rewards: &[f64]) -> Vec<f64> {
    run(config, &rewards.iter().copied().map(Some).collect::<Vec<_>>())
}

fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (x - y).abs() <= tolerance)
}

fn any_config() -> impl Strategy<Value = GroupRelativeConfig> {
    let centres = prop::sample::select(vec![Centre::Mean, Centre::LeaveOneOut, Centre::None]);
    let spreads = prop::sample::select(vec![
        Spread::Sample,
        Spread::Population,
        Spread::LeaveOneOut,
        Spread::Mean,
        Spread::None,
    ]);
    let scopes = prop::sample::select(vec![ScaleRewards::Group, ScaleRewards::Batch, ScaleRewards::None]);
    let lone = prop::sample::select(vec![Singleton::Zero, Singleton::Raw, Singleton::OwnBaseline]);
    let zero = prop::sample::select(vec![ZeroSpread::Skip, ZeroSpread::Divide]);
    (centres, spreads, scopes, lone, zero, 1e-9..1e-2f64)
        .prop_map(
            |(centre, spread, scale_rewards, singleton, zero_spread, eps)| GroupRelativeConfig {
                centre,
                spread,
                scale_rewards,
                eps,
                singleton,
                zero_spread,
            },
        )
        .prop_filter("refused by new", |c| GroupRelative::new(*c).is_ok())
}

fn rewards(n: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(
        prop_oneof![prop::sample::select(vec![0.0, 1.0, 0.1]), -1.0..1.0f64],
        n,
    )
}

proptest! {
    #[test]
    fn a1_sums_to_zero_with_two_or_more_scorable(r in rewards(2..12), gaps in prop::collection::vec(any::<bool>(), 12)) {
        let keep = |(i, r): (usize, &f64)| (i < 2 || !gaps[i]).then_some(*r);
        let given: Vec<Option<f64>> = r.iter().enumerate().map(keep).collect();
        for spread in [Spread::Sample, Spread::Population, Spread::None] {
            let a = run(GroupRelativeConfig { spread, ..Default::default() }, &given);
            prop_assert!(a.iter().sum::<f64>().abs() < 1e-9);
        }
    }

    #[test]
    fn a_common_shift_changes_nothing(r in rewards(2..12), shift in -1e6..1e6f64, config in any_config()) {
        let config = GroupRelativeConfig {
            centre: if config.centre == Centre::None { Centre::Mean } else { config.centre },
            spread: if config.spread == Spread::Mean { Spread::Sample } else { config.spread },
            zero_spread: ZeroSpread::Skip,
            ..config
        };
        let shifted: Vec<f64> = r.iter().map(|r| r + shift).collect();
        // Adding the shift rounds by up to 1e-10, which a spread of 1e-3 amplifies to 1e-7 and eps hides no more.
        let gaps = r.iter().flat_map(|a| r.iter().map(move |b| (a - b).abs()));
        prop_assume!(gaps.filter(|d| *d > 0.0).fold(1.0, f64::min) > 1e-3);
        prop_assert!(close(&run_scored(config, &r), &run_scored(config, &shifted), 1e-5));
    }

    #[test]
    fn an_exact_shift_by_a_million_keeps_eight_digits(r in prop::collection::vec(0u32..64, 2..12), sign in prop::sample::select(vec![-1e6, 1e6])) {
        // Multiples of 1/64 survive the shift exactly, so only the block's own rounding is left.
        let r: Vec<f64> = r.iter().map(|k| f64::from(*k) / 64.0).collect();
        let shifted: Vec<f64> = r.iter().map(|r| r + sign).collect();
        let config = GroupRelativeConfig { eps: 0.0, ..Default::default() };
        prop_assert!(close(&run_scored(config, &r), &run_scored(config, &shifted), 1e-8));
    }

    #[test]
    fn with_eps_zero_a_positive_scale_changes_nothing(r in rewards(2..12), scale in 1e-3..1e3f64) {
        let gap = r.iter().flat_map(|a| r.iter().map(move |b| (a - b).abs())).filter(|d| *d > 0.0).fold(1.0, f64::min);
        prop_assume!(gap > 1e-6);
        let config = GroupRelativeConfig { eps: 0.0, ..Default::default() };
        let scaled: Vec<f64> = r.iter().map(|r| r * scale).collect();
        prop_assert!(close(&run_scored(config, &r), &run_scored(config, &scaled), 1e-8));
    }

    #[test]
    fn leave_one_out_is_g_over_g_minus_one_times_the_centred_reward(r in rewards(2..12)) {
        let centred = run_scored(GroupRelativeConfig::centred(Centre::Mean, Singleton::Zero), &r);
        let left_out = run_scored(GroupRelativeConfig::centred(Centre::LeaveOneOut, Singleton::Zero), &r);
        let g = r.len() as f64;
        let expected: Vec<f64> = centred.iter().map(|a| a * g / (g - 1.0)).collect();
        prop_assert!(close(&left_out, &expected, 1e-12));
        for i in 0..r.len() {
            let direct = if stats::is_constant(&r) { 0.0 } else { r[i] - stats::leave_one_out_mean(&r, i) };
            prop_assert!((left_out[i] - direct).abs() < 1e-12);
        }
    }

    #[test]
    fn permuting_a_group_permutes_the_result(r in rewards(1..10), turn in 0usize..10, config in any_config()) {
        let r: Vec<f64> = r.iter().map(|r| r.abs()).collect();
        let turn = turn % r.len();
        let mut turned = r.clone();
        turned.rotate_left(turn);
        let mut a = run_scored(config, &r);
        a.rotate_left(turn);
        let b = run_scored(config, &turned);
        prop_assert!(a.iter().zip(&b).all(|(x, y)| (x - y).abs() <= 1e-9 * x.abs().max(1.0)));
    }

    #[test]
    fn an_unscorable_member_changes_nobody_else(r in rewards(1..10), at in 0usize..10, config in any_config()) {
        let r: Vec<f64> = r.iter().map(|r| r.abs()).collect();
        let at = at % (r.len() + 1);
        let mut given: Vec<Option<f64>> = r.iter().copied().map(Some).collect();
        given.insert(at, None);
        let mut a = run(config, &given);
        prop_assert_eq!(a.remove(at), 0.0);
        prop_assert_eq!(a, run_scored(config, &r));
    }

    #[test]
    fn finite_rewards_give_finite_advantages_or_an_error(
        r in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL, 1..8),
        config in any_config(),
    ) {
        let given: Vec<Option<f64>> = r.iter().copied().map(Some).collect();
        let groups = Offsets::from_lengths([r.len()]);
        if let Ok(a) = GroupRelative::new(config).unwrap().advantages(groups.spans(), &given) {
            prop_assert!(a.iter().all(|a| a.is_finite()));
        }
    }

    #[test]
    fn rewards_near_each_other_stay_bounded(
        base in -1e6..1e6f64, steps in prop::collection::vec(0i32..4, 2..10), ulps in 1.0..64.0f64,
    ) {
        // The one-pass variance of a system that shipped it returned -2075 here.
        let r: Vec<f64> = steps.iter().map(|k| base + f64::from(*k) * ulps * f64::EPSILON * base.abs().max(1.0)).collect();
        let n = r.len() as f64;
        for eps in [0.0, 1e-6] {
            let a = run_scored(GroupRelativeConfig { eps, ..Default::default() }, &r);
            // No member lies further than (n-1)/sqrt(n) sample deviations from the mean.
            prop_assert!(a.iter().all(|a| a.abs() <= (n - 1.0) / n.sqrt() + 1e-6), "{a:?}");
        }
    }

    #[test]
    fn batch_scope_divides_all_groups_by_one_number(a in rewards(2..6), b in rewards(2..6)) {
        let all: Vec<f64> = a.iter().chain(&b).copied().collect();
        prop_assume!(!stats::is_constant(&all));
        let given: Vec<Option<f64>> = all.iter().copied().map(Some).collect();
        let groups = Offsets::from_lengths([a.len(), b.len()]);
        let centred = GroupRelativeConfig::centred(Centre::Mean, Singleton::Zero);
        let centred = GroupRelative::new(centred).unwrap().advantages(groups.spans(), &given).unwrap();
        for (spread, s) in [
            (Spread::Sample, stats::sample_std(&all)),
            (Spread::Population, stats::population_std(&all)),
        ] {
            let config = GroupRelativeConfig { spread, scale_rewards: ScaleRewards::Batch, ..Default::default() };
            let scaled = GroupRelative::new(config).unwrap().advantages(groups.spans(), &given).unwrap();
            prop_assert!(scaled.iter().zip(&centred).all(|(x, c)| (x - c / (s + 1e-6)).abs() < 1e-9));
        }
    }
}

#[test]
fn equal_rewards_give_exactly_zero_though_their_mean_is_inexact() {
    for spread in [
        Spread::Sample,
        Spread::Population,
        Spread::LeaveOneOut,
        Spread::Mean,
        Spread::None,
    ] {
        for eps in [0.0, 1e-9] {
            let config = GroupRelativeConfig {
                spread,
                eps,
                ..Default::default()
            };
            assert_eq!(run_scored(config, &[0.1; 7]), [0.0; 7]);
            assert_eq!(run_scored(config, &[1e6 + 0.1; 3]), [0.0; 3]);
        }
    }
}

#[test]
fn a_lone_scorable_member_follows_the_rule() {
    let lone = |singleton, scale_rewards| {
        let config = GroupRelativeConfig {
            singleton,
            scale_rewards,
            eps: 0.25,
            ..Default::default()
        };
        run(config, &[None, Some(2.0), None])
    };
    assert_eq!(lone(Singleton::Zero, ScaleRewards::Group), [0.0; 3]);
    assert_eq!(lone(Singleton::OwnBaseline, ScaleRewards::Group), [0.0; 3]);
    assert_eq!(lone(Singleton::Raw, ScaleRewards::Group), [0.0, 1.6, 0.0]);
    assert_eq!(lone(Singleton::Raw, ScaleRewards::None), [0.0, 2.0, 0.0]);
    // Where nothing is compared there is no lone member.
    let raw = GroupRelativeConfig::centred(Centre::None, Singleton::Zero);
    assert_eq!(run(raw, &[None, Some(2.0), None]), [0.0, 2.0, 0.0]);
}

#[test]
fn settings_that_only_centre_divide_by_nothing_whichever_key_is_read() {
    let config = GroupRelativeConfig::centred(Centre::LeaveOneOut, Singleton::Raw);
    let expected = GroupRelativeConfig {
        centre: Centre::LeaveOneOut,
        spread: Spread::None,
        scale_rewards: ScaleRewards::None,
        eps: 0.0,
        singleton: Singleton::Raw,
        zero_spread: ZeroSpread::Skip,
    };
    assert_eq!(config, expected);
    assert!(!config.divides());
}

#[test]
fn others_are_equal_by_the_size_of_the_rewards() {
    let config = |zero_spread| GroupRelativeConfig {
        centre: Centre::LeaveOneOut,
        spread: Spread::LeaveOneOut,
        zero_spread,
        ..Default::default()
    };
    // The others of the first differ by 1e-7, a part 1e-13 of their size: rounding, no spread to divide by.
    let r = [2e6, 1e6, 1e6 + 1e-7];
    let undivided = run_scored(config(ZeroSpread::Skip), &r)[0];
    assert!((undivided - 1e6).abs() < 1e-6, "{undivided}");
    // The others of the second do differ: 1e6 / sqrt 2.
    let divided = run_scored(config(ZeroSpread::Skip), &r)[1];
    assert!((divided + 0.5_f64.sqrt()).abs() < 1e-6, "{divided}");
}

#[test]
fn no_scorable_member_gives_zeros_and_an_empty_group_is_an_error() {
    assert_eq!(run(GroupRelativeConfig::default(), &[None, None]), [0.0; 2]);
    let groups = Offsets::from_lengths([1, 0]);
    let block = GroupRelative::new(GroupRelativeConfig::default()).unwrap();
    let error = block.advantages(groups.spans(), &[Some(1.0)]).unwrap_err();
    assert_eq!(error.to_string(), "group 1: holds no trajectory");
}

#[test]
fn a_spread_of_zero_is_skipped_or_divided_by_eps() {
    let config = |zero_spread| GroupRelativeConfig {
        centre: Centre::LeaveOneOut,
        spread: Spread::LeaveOneOut,
        zero_spread,
        ..Default::default()
    };
    assert_eq!(run_scored(config(ZeroSpread::Skip), &[1.0, 0.0, 0.0])[0], 1.0);
    let divided = run_scored(config(ZeroSpread::Divide), &[1.0, 0.0, 0.0])[0];
    assert!((divided - 1e6).abs() < 1e-3);
    assert_eq!(
        run_scored(config(ZeroSpread::Skip), &[0.3, 0.8]),
        [-0.5, 0.5],
        "two members leave one other"
    );
    let raw = GroupRelativeConfig {
        centre: Centre::None,
        ..Default::default()
    };
    assert_eq!(
        run_scored(raw, &[2.0, 2.0]),
        [2.0, 2.0],
        "without a centre equal rewards stay"
    );
}

#[test]
fn the_one_pass_failure_of_a_shipped_system_does_not_occur() {
    let r: Vec<f64> = [0.8, 0.8, 0.8, 0.8 + 6e-8]
        .iter()
        .map(|r| f64::from(*r as f32))
        .collect();
    let config = GroupRelativeConfig {
        centre: Centre::LeaveOneOut,
        spread: Spread::LeaveOneOut,
        ..Default::default()
    };
    assert!(run_scored(config, &r).iter().all(|a| a.abs() < 1.0));
}

#[test]
fn rewards_too_far_apart_are_an_error_that_names_the_group() {
    let groups = Offsets::from_lengths([2, 2]);
    let block = GroupRelative::new(GroupRelativeConfig::default()).unwrap();
    let given = [Some(0.0), Some(1.0), Some(f64::MAX), Some(f64::MIN)];
    let error = block.advantages(groups.spans(), &given).unwrap_err();
    assert_eq!(
        error.to_string(),
        "group 1: `advantage (rewards too far apart)` is NaN"
    );
}

#[test]
fn bad_settings_are_refused_with_key_value_and_range() {
    let message = |config| GroupRelative::new(config).unwrap_err().to_string();
    let base = GroupRelativeConfig::default();
    for eps in [-1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(
            message(GroupRelativeConfig { eps, ..base }),
            format!("`eps` = {eps}: must be a finite number >= 0")
        );
    }
    let divide = GroupRelativeConfig {
        eps: 0.0,
        zero_spread: ZeroSpread::Divide,
        ..base
    };
    assert_eq!(
        message(divide),
        "`eps` = 0: must be > 0 where `zero_spread` is divide"
    );
    let batch = |spread| GroupRelativeConfig {
        spread,
        scale_rewards: ScaleRewards::Batch,
        ..base
    };
    assert_eq!(
        message(batch(Spread::LeaveOneOut)),
        "`spread` = leave-one-out: must be sample or population where `scale_rewards` is batch"
    );
    assert_eq!(
        message(batch(Spread::Mean)),
        "`spread` = mean: must be sample or population where `scale_rewards` is batch"
    );
}

#[test]
fn a_negative_reward_cannot_be_divided_by_the_mean() {
    let config = GroupRelativeConfig {
        spread: Spread::Mean,
        eps: 0.0,
        ..Default::default()
    };
    assert_eq!(run_scored(config, &[1.0, 0.0, 0.0, 0.0]), [3.0, -1.0, -1.0, -1.0]);
    let undivided = GroupRelativeConfig {
        scale_rewards: ScaleRewards::None,
        ..config
    };
    assert_eq!(run_scored(undivided, &[1.0, -0.5]), [0.75, -0.75]);
    let groups = Offsets::from_lengths([2]);
    let block = GroupRelative::new(config).unwrap();
    let error = block
        .advantages(groups.spans(), &[Some(1.0), Some(-0.5)])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "group 0: reward -0.5 is negative, and dividing by the mean needs rewards >= 0"
    );
}

#[test]
fn the_formula_prints_the_numbers() {
    assert_eq!(
        GroupRelativeConfig::default().formula(),
        "A_i = (r_i - mean(r)) / (std(r; n - 1) + 1e-6); equal rewards: 0; spread 0: undivided; lone member: 0"
    );
    assert_eq!(
        GroupRelativeConfig::centred(Centre::LeaveOneOut, Singleton::Raw).formula(),
        "A_i = r_i - mean(r without i); lone member: r"
    );
    assert_eq!(
        GroupRelativeConfig::centred(Centre::None, Singleton::Zero).formula(),
        "A_i = r_i"
    );
    let batch = GroupRelativeConfig {
        scale_rewards: ScaleRewards::Batch,
        spread: Spread::Population,
        ..Default::default()
    };
    assert_eq!(
        batch.formula(),
        "A_i = (r_i - mean(r)) / (std(all r of the batch; n) + 1e-6); equal rewards: 0; spread 0: undivided; lone \
         member: 0"
    );
}
