use proptest::prelude::*;

use super::*;
use crate::item_response::ResponseCurve;

fn rounds(n_units: usize, first_rate: f64) -> HintRounds {
    HintRounds::new(HintTarget::new(0.5).unwrap(), n_units, first_rate).unwrap()
}

#[test]
fn lengths_follow_the_worked_example() {
    for (rate, n_units, length) in [
        (0.0, 8, 0),
        (0.1, 5, 0),
        (0.3, 5, 2),
        (0.5, 7, 4),
        (0.875, 8, 7),
        (1.0, 4, 3),
        (0.25, 10, 2),
        (0.75, 2, 1),
        (1.0, 1, 0),
    ] {
        assert_eq!(hint_length(rate, n_units), Ok(length), "{rate} of {n_units}");
    }
    let cold: Vec<f64> = [1, 4, 5, 8].map(|n| cold_start_rate(n).unwrap()).to_vec();
    assert_eq!(cold, [0.0, 0.75, 0.8, 0.875]);
}

#[test]
fn bad_rates_lengths_and_targets_are_refused() {
    assert_eq!(
        hint_length(0.5, 0).unwrap_err().to_string(),
        "solution: has no units to show"
    );
    assert_eq!(
        cold_start_rate(0).unwrap_err().to_string(),
        "solution: has no units to show"
    );
    for (rate, printed) in [(1.01, "1.01"), (-0.1, "-0.1"), (f64::NAN, "NaN")] {
        let message = format!("hint rate: {printed} is outside [0, 1]");
        assert_eq!(hint_length(rate, 3).unwrap_err().to_string(), message);
    }
    for (target, printed) in [(0.0, "0"), (1.0, "1"), (f64::NAN, "NaN")] {
        let message = format!("`target` = {printed}: must be a number > 0 and < 1");
        assert_eq!(HintTarget::new(target).unwrap_err().to_string(), message);
    }
    let target = HintTarget::new(0.25).unwrap();
    assert_eq!(target.accuracy(), 0.25);
    assert!(HintRounds::new(target, 0, 0.5).is_err());
    assert!(HintRounds::new(target, 5, 1.5).is_err());
}

#[test]
fn a_round_adds_the_rate_that_was_shown() {
    let mut search = rounds(10, 0.86);
    assert_eq!(
        (search.length(), search.rate(), search.wanted_rate()),
        (9, 0.9, 0.86)
    );
    search.record(&[Some(1.0), None, Some(0.5)]).unwrap();
    let first = Measured {
        rate: 0.9,
        accuracy: 0.75,
    };
    assert_eq!(search.measured(), [first]);
    let fit = fit_curve(&[first], &CurveBounds::default()).unwrap();
    assert_eq!(search.wanted_rate(), fit.curve.hint_rate(0.5));
    assert_eq!(Ok(search.length()), hint_length(search.wanted_rate(), 10));
}

#[test]
fn nothing_scorable_changes_nothing() {
    let mut search = rounds(10, 0.5);
    search.record(&[None, None]).unwrap();
    search.record(&[]).unwrap();
    assert_eq!(search, rounds(10, 0.5));
}

#[test]
fn a_reward_that_is_no_accuracy_is_named() {
    let mut search = rounds(10, 0.5);
    search.record(&[Some(0.0)]).unwrap();
    for (reward, printed) in [(-1.0, "-1"), (1.5, "1.5"), (f64::NAN, "NaN")] {
        assert_eq!(
            search.record(&[None, Some(reward)]).unwrap_err().to_string(),
            format!("round 2, rollout 1: reward {printed} is outside [0, 1]")
        );
    }
    assert_eq!(search.measured().len(), 1);
}

#[test]
fn one_unit_is_never_shown() {
    let mut search = rounds(1, 1.0);
    for _ in 0..4 {
        assert_eq!((search.length(), search.rate()), (0, 0.0));
        search.record(&[Some(0.0); 8]).unwrap();
    }
}

#[test]
fn right_without_a_hint_carries_no_hint() {
    let mut search = rounds(12, 0.0);
    for _ in 0..4 {
        search.record(&[Some(1.0); 8]).unwrap();
    }
    assert_eq!((search.wanted_rate(), search.length()), (0.0, 0));
}

#[test]
fn wrong_at_the_largest_hint_keeps_it() {
    let mut search = rounds(8, 0.875);
    for _ in 0..4 {
        search.record(&[Some(0.0); 8]).unwrap();
        assert_eq!(search.length(), 7);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn something_is_always_left_to_generate(rate in 0.0..=1.0f64, n_units in 1..200usize) {
        let length = hint_length(rate, n_units).unwrap();
        prop_assert!(length < n_units);
        // No other length up to the last but one is nearer.
        let off = (length as f64 - rate * n_units as f64).abs();
        prop_assert!(off <= 0.5 || length == n_units - 1);
        prop_assert_eq!(hint_length(cold_start_rate(n_units).unwrap(), n_units), Ok(n_units - 1));
    }

    #[test]
    fn lengths_do_not_decrease_with_the_rate(p in 0.0..=1.0f64, q in 0.0..=1.0f64, n_units in 1..200usize) {
        prop_assert!(hint_length(p.min(q), n_units).unwrap() <= hint_length(p.max(q), n_units).unwrap());
    }

    #[test]
    fn rounds_come_near_the_target_of_a_known_curve(
        k in 6.0..20.0f64, mu in -0.8..-0.2f64, n_units in 40..80usize,
    ) {
        let curve = ResponseCurve::new(k, mu, 0.0).unwrap();
        let mut search = rounds(n_units, cold_start_rate(n_units).unwrap());
        for _ in 0..8 {
            let accuracy = curve.accuracy(search.rate());
            search.record(&[Some(accuracy)]).unwrap();
        }
        let reached = curve.accuracy(search.rate());
        prop_assert!((reached - 0.5).abs() < 0.2, "{reached} at {}", search.rate());
    }
}
