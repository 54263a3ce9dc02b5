//! Invariants of section 10, edge cases of section 5.

use groupwise_core::Offsets;
use proptest::prelude::*;

use super::*;
use crate::estimators::GrpoConfig;

const MODES: [Mode; 4] = [Mode::Soft, Mode::Anchor, Mode::Scale, Mode::Plain];

fn config(mode: Mode) -> TempsampR1Config {
    TempsampR1Config {
        mode,
        ..TempsampR1Config::default()
    }
}

/// One group; `off` is the place of the reference.
fn run(config: &TempsampR1Config, rewards: &[Option<f64>], off: Option<usize>) -> TempsampShaped {
    let groups = Offsets::from_lengths([rewards.len()]);
    let flags: Vec<bool> = (0..rewards.len()).map(|i| Some(i) == off).collect();
    TempsampR1::new(config)
        .expect("valid")
        .advantages(groups.spans(), rewards, &flags)
        .expect("data")
}

fn scored(rewards: &[f64]) -> Vec<Option<f64>> {
    rewards.iter().copied().map(Some).collect()
}

/// A group and the place of its reference.
fn groups() -> impl Strategy<Value = (Vec<Option<f64>>, usize)> {
    let reward = prop_oneof![6 => (0.0..=1.0f64).prop_map(Some), 2 => Just(Some(1.0)), 1 => Just(None)];
    prop::collection::vec(reward, 1..9).prop_flat_map(|g| {
        let n = g.len();
        (Just(g), 0..n)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_transform_increases_fixes_tau_and_is_bounded(
        tau in 0.05..=1.0f64, a1 in 0.001..1.0f64, a2 in 0.01..20.0f64, r in 0.0..1.0f64, step in 1e-4..0.5f64,
    ) {
        let soft = |r| soft_reward(r, tau, a1, a2);
        prop_assert_eq!(soft(tau), tau);
        prop_assert!(soft(r + step) > soft(r));
        prop_assert!(soft(r) <= tau + a1 * (2.0 - tau).ln() + 1e-15);
        // The literal formula.
        let literal = if r >= tau {
            tau + a1 * (r - tau + 1.0).ln()
        } else {
            tau - ((a2 * (tau - r)).exp() - 1.0) / (a2.exp() - 1.0)
        };
        prop_assert!((soft(r) - literal).abs() < 1e-12);
        // Continuous at tau.
        prop_assert!((soft(tau - 1e-9) - tau).abs() < 1e-7 && (soft(tau + 1e-9) - tau).abs() < 1e-7);
    }

    #[test]
    fn joint_modes_sum_to_0_and_keep_the_order((rewards, off) in groups()) {
        for mode in [Mode::Soft, Mode::Scale, Mode::Plain] {
            let found = run(&config(mode), &rewards, Some(off));
            prop_assert!(found.advantages.iter().sum::<f64>().abs() < 1e-6, "{mode:?}");
            for (i, a) in found.advantages.iter().enumerate() {
                prop_assert!(rewards[i].is_some() || *a == 0.0);
                for (j, b) in found.advantages.iter().enumerate().filter(|(j, _)| found.rewards[i] < found.rewards[*j]) {
                    prop_assert!(rewards[i].is_none() || a <= b, "{mode:?} {i} {j}");
                }
            }
        }
    }

    #[test]
    fn anchored_sampled_members_sum_to_0_and_the_reference_is_never_negative((rewards, off) in groups(), factor in 0.1..3.0f64) {
        let config = TempsampR1Config { lambda_off: factor, ..config(Mode::Anchor) };
        let a = run(&config, &rewards, Some(off)).advantages;
        let sampled: Vec<f64> = (0..a.len()).filter(|i| *i != off).map(|i| a[i]).collect();
        prop_assert!(sampled.iter().sum::<f64>().abs() < 1e-6);
        let best = sampled.iter().fold(0.0_f64, |m, a| m.max(*a));
        prop_assert_eq!(a[off], if rewards[off].is_some() { factor * best } else { 0.0 });
        // They are normalized as if the reference were not there.
        let mut alone = rewards.clone();
        alone.remove(off);
        if !alone.is_empty() {
            prop_assert_eq!(sampled, run(&config, &alone, None).advantages);
        }
    }

    #[test]
    fn plain_without_reference_is_grpo((rewards, off) in groups()) {
        let grpo = GrpoConfig { eps: Some(1e-4), ..GrpoConfig::default() }.build(&())?;
        let groups = Offsets::from_lengths([rewards.len()]);
        let expected = grpo.estimate(&RewardBatch::new(groups.spans(), &rewards))?;
        let found = run(&config(Mode::Plain), &rewards, None);
        prop_assert_eq!(&found.rewards, &rewards);
        prop_assert_eq!(Advantages::Trajectory(found.advantages.clone()), expected);
        // Nor does plain look at the flag, and without a reference the other linear modes are plain.
        prop_assert_eq!(&run(&config(Mode::Plain), &rewards, Some(off)), &found);
        prop_assert_eq!(&run(&config(Mode::Anchor), &rewards, None), &found);
        prop_assert_eq!(&run(&config(Mode::Scale), &rewards, None), &found);
    }
}

#[test]
fn only_the_reference_is_scaled() {
    let half = TempsampR1Config {
        off_scale: 0.5,
        ..config(Mode::Scale)
    };
    let found = run(&half, &scored(&[0.25, 1.0, 0.75]), Some(2));
    assert_eq!(found.rewards, scored(&[0.25, 1.0, 0.375]));
    assert!(found.advantages[1] > 0.0 && found.advantages[2] < 0.0);
}

#[test]
fn the_population_deviation_divides_by_n() {
    // Mean 1/2, squared deviations 1/2: over n = 2 a deviation of 1/2, over n - 1 of sqrt(1/2).
    let over = |spread| TempsampR1Config {
        spread,
        eps: 0.5,
        ..config(Mode::Plain)
    };
    let found = |spread| run(&over(spread), &scored(&[0.0, 1.0]), None).advantages[1];
    assert_eq!(found(Spread::Population), 0.5);
    assert!((found(Spread::Sample) - 0.5 / (0.5_f64.sqrt() + 0.5)).abs() < 1e-12);
}

#[test]
fn anchor_with_equal_sampled_rewards_teaches_nothing_and_soft_still_does() {
    let rewards = scored(&[0.3, 0.3, 0.3, 1.0]);
    assert_eq!(run(&config(Mode::Anchor), &rewards, Some(3)).advantages, [0.0; 4]);
    let soft = run(&config(Mode::Soft), &rewards, Some(3)).advantages;
    assert!(soft[3] > 0.0 && soft[0] < 0.0);
    // Two references are treated alike, and a lone sampled member has nothing to be compared with.
    let groups = Offsets::from_lengths([3]);
    let both = TempsampR1::new(&config(Mode::Anchor)).expect("valid").advantages(
        groups.spans(),
        &scored(&[0.2, 1.0, 0.9]),
        &[false, true, true],
    );
    assert_eq!(both.expect("data").advantages, [0.0; 3]);
}

#[test]
fn no_spread_or_fewer_than_two_is_0() {
    for mode in MODES {
        assert_eq!(run(&config(mode), &scored(&[0.4]), None).advantages, [0.0]);
        assert_eq!(run(&config(mode), &scored(&[0.4; 3]), None).advantages, [0.0; 3]);
        assert_eq!(
            run(&config(mode), &[Some(0.4), None, None], Some(1)).advantages,
            [0.0; 3]
        );
    }
}

#[test]
fn samples_far_below_tau_stay_negative() {
    let a = run(&config(Mode::Soft), &scored(&[0.3, 0.35, 0.4, 1.0]), Some(3)).advantages;
    assert!(a[..3].iter().all(|a| *a < 0.0));
}

#[test]
fn a_large_rate_does_not_overflow() {
    assert_eq!(soft_reward(0.3, 0.8, 0.01, 5000.0), 0.8);
    assert_eq!(soft_reward(0.0, 1.0, 0.01, 5000.0), 0.0);
    assert!((soft_reward(0.3, 0.8, 0.01, 1e-9) - 0.3).abs() < 1e-8);
}

#[test]
fn the_flags_are_asked_for_only_where_they_change_something() {
    let groups = Offsets::from_lengths([3]);
    let rewards = scored(&[0.2, 0.6, 1.0]);
    let mut batch = RewardBatch::new(groups.spans(), &rewards);
    for mode in MODES {
        let part = config(mode).build(&()).expect("valid");
        let needed = matches!(mode, Mode::Anchor | Mode::Scale);
        assert_eq!(part.needs() == Needs::OFF_POLICY, needed, "{mode:?}");
        assert_eq!(part.needs() == Needs::empty(), !needed, "{mode:?}");
        batch.off_policy = None;
        let found = part.estimate(&batch);
        if needed {
            let error = found.expect_err("refused").to_string();
            assert_eq!(error, "`off_policy` is missing, and `tempsamp-r1` needs it");
        } else {
            let expected = run(&config(mode), &rewards, None).advantages;
            assert_eq!(found, Ok(Advantages::Trajectory(expected)));
        }
        batch.off_policy = Some(&[false, false, true]);
        let expected = run(&config(mode), &rewards, Some(2)).advantages;
        assert_eq!(part.estimate(&batch), Ok(Advantages::Trajectory(expected)));
    }
    let part = TempsampR1::new(&config(Mode::Soft)).expect("valid");
    let error = part
        .advantages(groups.spans(), &rewards, &[true])
        .expect_err("refused");
    assert_eq!(error.to_string(), "`off_policy` has 1 entries, expected 3");
    let bad = part.advantages(groups.spans(), &scored(&[0.1, f64::NAN, 0.2]), &[false; 3]);
    assert_eq!(
        bad.expect_err("refused").to_string(),
        "group 0, trajectory 1: `reward` is NaN"
    );
    let huge = TempsampR1Config {
        lambda_off: f64::MAX,
        ..config(Mode::Anchor)
    };
    let huge = TempsampR1::new(&huge).expect("valid");
    let rewards = scored(&[1.0, 0.0, 0.0, 0.0, 1.0]);
    let group = Offsets::from_lengths([5]);
    let flags = [false, false, false, false, true];
    let error = huge
        .advantages(group.spans(), &rewards, &flags)
        .expect_err("refused");
    assert_eq!(error.to_string(), "index 4: `advantage` is inf");
    let far = part.advantages(groups.spans(), &scored(&[0.1, -1e9, 0.2]), &[false; 3]);
    assert_eq!(
        far.expect_err("refused").to_string(),
        "group 0, trajectory 1: `reward` is -inf"
    );
}

#[test]
fn refused_parameters() {
    let refuse = |json: &str| {
        let config: TempsampR1Config = serde_json::from_str(json).expect("parses");
        config.build(&()).map(|_| ()).expect_err("refused").to_string()
    };
    for (key, range, bad) in [
        ("tau", "a number > 0 and <= 1", ["0.0", "-0.1", "1.01"]),
        ("off_scale", "a number > 0 and <= 1", ["0.0", "-0.1", "1.01"]),
        ("alpha1", "a finite number > 0", ["0.0", "-1.0", "-0.5"]),
        ("alpha2", "a finite number > 0", ["0.0", "-1.0", "-0.5"]),
        ("lambda_off", "a finite number > 0", ["0.0", "-1.0", "-0.5"]),
    ] {
        for value in bad {
            let number: f64 = value.parse().expect("a number");
            assert_eq!(
                refuse(&format!("{{\"{key}\": {value}}}")),
                format!("`{key}` = {number}: must be {range}")
            );
        }
    }
    for key in ["alpha1", "alpha2", "lambda_off"] {
        for bad in [f64::NAN, f64::INFINITY] {
            let mut config = TempsampR1Config::default();
            match key {
                "alpha1" => config.alpha1 = bad,
                "alpha2" => config.alpha2 = bad,
                _ => config.lambda_off = bad,
            }
            let error = TempsampR1::new(&config).expect_err("refused").to_string();
            assert_eq!(error, format!("`{key}` = {bad}: must be a finite number > 0"));
        }
    }
    assert_eq!(
        refuse(r#"{"eps": -1.0}"#),
        "`eps` = -1: must be a finite number >= 0"
    );
    for name in ["leave-one-out", "mean", "none"] {
        assert_eq!(
            refuse(&format!("{{\"spread\": \"{name}\"}}")),
            format!("`spread` = {name}: must be sample or population")
        );
    }
    assert!(serde_json::from_str::<TempsampR1Config>(r#"{"mode": "hard"}"#).is_err());
    let edge: TempsampR1Config = serde_json::from_str(
        r#"{"tau": 1.0, "off_scale": 1.0, "std": "population", "anchor": 2.0, "eps": 0.0}"#,
    )
    .expect("parses");
    assert_eq!((edge.spread, edge.lambda_off), (Spread::Population, 2.0));
    assert!(edge.build(&()).is_ok());
}

#[test]
fn the_formula_says_which_mode_is_active() {
    let relative = TempsampR1Config::default().relative().formula();
    assert_eq!(
        relative,
        "A_i = (r_i - mean(r)) / (std(r; n - 1) + 1e-4); equal rewards: 0; spread 0: undivided; lone member: 0"
    );
    for (mode, end) in [
        (
            Mode::Soft,
            "; r = 0.8 + 0.01 ln(reward - 0.8 + 1) from 0.8 up, else 0.8 - (exp(1 (0.8 - reward)) - 1) / (exp(1) - 1)",
        ),
        (
            Mode::Anchor,
            ", over the sampled members; A_reference = 1.2 max_i A_i",
        ),
        (Mode::Scale, "; r = reward, of the reference 0.8 reward"),
        (Mode::Plain, ""),
    ] {
        assert_eq!(config(mode).formula(), format!("{relative}{end}"));
    }
}
