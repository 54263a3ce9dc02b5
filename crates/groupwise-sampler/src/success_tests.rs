//! Edge cases and invariants of the counts and of the windowed rate.

use groupwise_core::PromptMemory;
use proptest::prelude::*;

use super::*;

fn decay(fast: f64, slow: f64) -> Decay {
    Decay::new(fast, slow).unwrap()
}

fn tally(task: usize, right: f64, attempts: u32) -> Tally {
    Tally {
        task,
        right,
        attempts,
    }
}

fn outcome(task: usize, rewards: &[Option<f64>]) -> GroupOutcome {
    GroupOutcome {
        task,
        rewards: rewards.to_vec(),
        lengths: vec![1; rewards.len()],
    }
}

#[test]
fn aborted_rollouts_enter_neither_count_and_still_decay() {
    let mut stats = SuccessStats::from_counts(vec![2.0; 2], vec![4.0; 2], decay(0.5, 1.0)).unwrap();
    let groups = [
        outcome(0, &[None, None]),
        outcome(1, &[Some(1.0), None, Some(0.25)]),
    ];
    stats.observe(1, &groups).unwrap();
    assert_eq!(stats.right(), [1.0, 2.25]);
    assert_eq!(stats.wrong(), [2.0, 2.75]);
    assert_eq!(stats.counts(2), None);
    assert_eq!(stats.clock(), Some(1));
}

#[test]
fn two_groups_of_one_prompt_decay_once() {
    let mut stats = SuccessStats::from_counts(vec![10.0], vec![10.0], decay(0.5, 1.0)).unwrap();
    stats.record(1, &[tally(0, 1.0, 2), tally(0, 2.0, 2)]).unwrap();
    assert_eq!((stats.right()[0], stats.wrong()[0]), (8.0, 6.0));
}

#[test]
fn last_visit_only_keeps_exactly_the_last_group() {
    let mut stats = SuccessStats::new(2, decay(0.0, 1.0));
    stats.record(3, &[tally(0, 4.0, 8), tally(1, 1.0, 8)]).unwrap();
    stats.record(4, &[tally(0, 1.0, 4)]).unwrap();
    assert_eq!(stats.right(), [1.0, 1.0]);
    assert_eq!(stats.wrong(), [3.0, 7.0]);
}

#[test]
fn refused_data_is_named_and_changes_nothing() {
    let mut stats = SuccessStats::new(2, decay(0.2, 0.999));
    stats.record(5, &[tally(1, 1.0, 2)]).unwrap();
    let before = stats.clone();
    let cases: [(u64, Tally, &str); 6] = [
        (6, tally(2, 0.0, 1), "task 2: is not in the pool of 2"),
        (6, tally(0, 9.0, 8), "task 0: 9 successes are outside 0..8"),
        (6, tally(0, -1.0, 8), "task 0: -1 successes are outside 0..8"),
        (6, tally(0, f64::NAN, 8), "task 0: NaN successes are outside 0..8"),
        (5, tally(0, 1.0, 8), "step 5: does not come after step 5"),
        (4, tally(0, 1.0, 8), "step 4: does not come after step 5"),
    ];
    for (step, bad, message) in cases {
        let error = stats.record(step, &[tally(1, 1.0, 1), bad]).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(stats, before);
    }
    let error = stats
        .observe(6, &[outcome(0, &[Some(1.0), Some(-0.5)])])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "task 0, trajectory 1: reward -0.5 is outside [0, 1]"
    );
    assert_eq!(stats, before);
    for (right, wrong, message) in [
        (
            vec![1.0, f64::NAN],
            vec![0.0; 2],
            "task 1: count NaN is not a finite number >= 0",
        ),
        (
            vec![1.0],
            vec![-0.5],
            "task 0: count -0.5 is not a finite number >= 0",
        ),
        (vec![1.0], vec![], "`wrong` has 0 entries, expected 1"),
    ] {
        let error = SuccessStats::from_counts(right, wrong, decay(1.0, 1.0)).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn refused_states_change_nothing() {
    let mut stats = SuccessStats::new(1, decay(0.2, 0.999));
    stats.record(2, &[tally(0, 1.0, 2)]).unwrap();
    let before = stats.clone();
    let touched_late = serde_json::json!({ "clock": 1, "right": [1.0], "wrong": [0.0], "touched": [2] });
    for (state, message) in [
        (
            SuccessStats::new(2, decay(0.2, 0.999)).save(),
            "`success counts` has 2 entries, expected 1",
        ),
        (touched_late, "task 0: was touched at step 2, after step 1"),
        (
            State::Null,
            "success counts: invalid type: null, expected struct Memory",
        ),
    ] {
        assert_eq!(stats.load(&state).unwrap_err().to_string(), message);
        assert_eq!(stats, before);
    }
}

#[test]
fn decay_factors_outside_the_unit_interval_are_refused() {
    for (fast, slow, message) in [
        (1.5, 0.5, "`fast_decay` = 1.5: must be in [0, 1]"),
        (0.5, -0.1, "`slow_decay` = -0.1: must be in [0, 1]"),
        (f64::NAN, 0.5, "`fast_decay` = NaN: must be in [0, 1]"),
    ] {
        assert_eq!(Decay::new(fast, slow).unwrap_err().to_string(), message);
    }
}

#[test]
fn the_window_uses_a_large_last_group_whole_and_spans_visits_otherwise() {
    let window = Window::new(4, 3).unwrap();
    let estimate = |visits: &[&[f64]]| {
        window
            .estimate(0, visits.iter().copied(), Success::Binary)
            .unwrap()
    };
    let of = |known, rate| RateEstimate { known, rate };
    assert_eq!(estimate(&[]), of(false, None));
    assert_eq!(estimate(&[&[]]), of(false, None));
    assert_eq!(estimate(&[&[1.0, -1.0]]), of(false, Some(0.5)));
    assert_eq!(estimate(&[&[1.0], &[0.0, 0.0]]), of(true, Some(1.0 / 3.0)));
    // Six results in the last group: all six, not the last four.
    assert_eq!(
        estimate(&[&[1.0; 4], &[1.0, 1.0, 0.0, 0.0, 0.0, 0.0]]),
        of(true, Some(1.0 / 3.0))
    );
    // An earlier large group is cut to the window.
    assert_eq!(
        estimate(&[&[1.0, 1.0, 0.0, 0.0, 0.0, 0.0], &[1.0]]),
        of(true, Some(0.25))
    );
    // A visit without a scored result changes nothing.
    assert_eq!(estimate(&[&[1.0, 0.0, 0.0, 0.0], &[]]), of(true, Some(0.25)));
}

#[test]
fn rewards_that_cannot_be_judged_are_refused() {
    let window = Window::new(16, 8).unwrap();
    let message = |reward: f64, success| {
        let visits: [&[f64]; 2] = [&[reward], &[1.0; 16]];
        window.estimate(7, visits, success).unwrap_err().to_string()
    };
    assert_eq!(
        message(0.5, Success::Binary),
        "task 7: reward 0.5 is not binary (1, or 0, or -1 for 0)"
    );
    assert_eq!(
        message(f64::NAN, Success::Binary),
        "task 7: reward NaN is not binary (1, or 0, or -1 for 0)"
    );
    assert_eq!(message(f64::NAN, Success::Above(0.5)), "task 7: reward is NaN");
    let visits: [&[f64]; 1] = [&[0.5, 0.51, 2.0, -3.0]];
    let estimate = window.estimate(7, visits, Success::Above(0.5)).unwrap();
    assert_eq!(estimate.rate, Some(0.5));
    assert_eq!(estimate.if_known(), None);
    for (window, min_count, message) in [
        (0, 8, "`window` = 0: must be >= 1"),
        (16, 0, "`min_count` = 0: must be >= 1"),
    ] {
        assert_eq!(Window::new(window, min_count).unwrap_err().to_string(), message);
    }
}

#[test]
fn forgotten_results_still_make_a_prompt_known() {
    let mut memory = PromptMemory::new(1, 2);
    for step in 0..4 {
        memory
            .observe(step, &[outcome(0, &[Some(1.0), Some(0.0)])])
            .unwrap();
    }
    assert_eq!(memory.history(0).visits.len(), 1);
    let estimate = Window::new(2, 8)
        .unwrap()
        .of(&memory.stats(0), Success::Binary)
        .unwrap();
    assert_eq!(estimate.if_known(), Some(0.5));
}

/// Steps of (prompt, successes) with groups of four.
fn histories(n_tasks: usize) -> impl Strategy<Value = Vec<Vec<(usize, u32)>>> {
    prop::collection::vec(prop::collection::vec((0..n_tasks, 0u32..=4), 0..4), 1..60)
}

/// The definition, step by step over the whole pool.
fn eager(history: &[Vec<(usize, u32)>], n_tasks: usize, fast: f64, slow: f64) -> Vec<Counts> {
    let mut counts = vec![Counts::default(); n_tasks];
    for step in history {
        for (task, count) in counts.iter_mut().enumerate() {
            let results: Vec<f64> = step
                .iter()
                .filter(|(t, _)| *t == task)
                .map(|(_, right)| f64::from(*right))
                .collect();
            let factor = if results.is_empty() { slow } else { fast };
            *count = count.times(factor);
            for right in results {
                *count = count.plus(Counts {
                    right,
                    wrong: 4.0 - right,
                });
            }
        }
    }
    counts
}

fn lazy(history: &[Vec<(usize, u32)>], n_tasks: usize, fast: f64, slow: f64) -> SuccessStats {
    let mut stats = SuccessStats::new(n_tasks, decay(fast, slow));
    for (step, groups) in history.iter().enumerate() {
        let tallies: Vec<Tally> = groups
            .iter()
            .map(|(task, right)| tally(*task, f64::from(*right), 4))
            .collect();
        stats.record(step as u64 + 1, &tallies).unwrap();
    }
    stats
}

proptest! {
    #[test]
    fn lazy_decay_equals_eager_decay(history in histories(5), fast in 0.0..=1.0f64, slow in 0.0..=1.0f64) {
        let stats = lazy(&history, 5, fast, slow);
        for (a, b) in stats.iter().zip(eager(&history, 5, fast, slow)) {
            prop_assert!((a.right - b.right).abs() <= 1e-12 * (1.0 + b.right), "{a:?} {b:?}");
            prop_assert!((a.wrong - b.wrong).abs() <= 1e-12 * (1.0 + b.wrong), "{a:?} {b:?}");
        }
    }

    #[test]
    fn counts_never_become_negative(history in histories(3), fast in 0.0..=1.0f64, slow in 0.0..=1.0f64) {
        for counts in lazy(&history, 3, fast, slow).iter() {
            prop_assert!(counts.right >= 0.0 && counts.wrong >= 0.0);
            prop_assert!(counts.mean() > 0.0 && counts.mean() < 1.0);
        }
    }

    #[test]
    fn memory_of_a_prompt_is_bounded_by_group_over_one_minus_fast(
        rights in prop::collection::vec(0u32..=8, 1..80), fast in 0.0..0.99f64,
    ) {
        let mut stats = SuccessStats::new(1, decay(fast, 1.0));
        for (step, right) in rights.iter().enumerate() {
            stats.record(step as u64, &[tally(0, f64::from(*right), 8)]).unwrap();
            let counts = stats.counts(0).unwrap();
            prop_assert!(counts.right + counts.wrong <= 8.0 / (1.0 - fast) + 1e-9);
        }
    }

    #[test]
    fn never_selected_prompt_keeps_slow_to_the_power_of_the_steps(
        right in 0.0..100.0f64, wrong in 0.0..100.0f64, slow in 0.9..=1.0f64, steps in 1u64..500,
    ) {
        let mut stats = SuccessStats::from_counts(vec![right, 0.0], vec![wrong, 0.0], decay(0.2, slow)).unwrap();
        for step in 1..=steps {
            stats.record(step, &[tally(1, 1.0, 2)]).unwrap();
        }
        let counts = stats.counts(0).unwrap();
        let factor = slow.powf(steps as f64);
        prop_assert!((counts.right - factor * right).abs() <= 1e-11 * (1.0 + right));
        prop_assert!((counts.wrong - factor * wrong).abs() <= 1e-11 * (1.0 + wrong));
    }

    #[test]
    fn no_decay_is_plain_counting(history in histories(4)) {
        let stats = lazy(&history, 4, 1.0, 1.0);
        for (task, counts) in stats.iter().enumerate() {
            let groups: Vec<u32> =
                history.iter().flatten().filter(|(t, _)| *t == task).map(|(_, right)| *right).collect();
            let right: u32 = groups.iter().sum();
            prop_assert_eq!(counts.right, f64::from(right));
            prop_assert_eq!(counts.wrong, f64::from(4 * groups.len() as u32 - right));
        }
    }

    #[test]
    fn saved_counts_come_back_to_the_last_bit(history in histories(4), fast in 0.0..=1.0f64, slow in 0.0..=1.0f64) {
        let stats = lazy(&history, 4, fast, slow);
        let text = serde_json::to_string(&stats.save()).unwrap();
        let mut other = SuccessStats::new(4, decay(fast, slow));
        other.load(&serde_json::from_str(&text).unwrap()).unwrap();
        prop_assert_eq!(other, stats);
    }

    #[test]
    fn windowed_rate_is_the_mean_of_the_most_recent_results(
        visits in prop::collection::vec(prop::collection::vec(prop::bool::ANY, 0..7), 0..8),
    ) {
        let visits: Vec<Vec<f64>> =
            visits.iter().map(|v| v.iter().map(|right| f64::from(u8::from(*right))).collect()).collect();
        let window = Window::new(8, 1).unwrap();
        let estimate = window.estimate(0, visits.iter().map(Vec::as_slice), Success::Binary).unwrap();
        let all: Vec<f64> = visits.iter().flatten().copied().collect();
        let recent = &all[all.len().saturating_sub(8)..];
        let expected = (!recent.is_empty()).then(|| recent.iter().sum::<f64>() / recent.len() as f64);
        prop_assert_eq!(estimate.rate, expected);
        prop_assert_eq!(estimate.known, !all.is_empty());
    }
}
