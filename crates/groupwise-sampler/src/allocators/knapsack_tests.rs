//! Edge cases and invariants of the knapsack allocator.

use groupwise_core::{GroupOutcome, PromptMemory};
use proptest::prelude::*;

use super::*;

fn config(n_up: u32, fallback: Fallback) -> KnapsackConfig {
    KnapsackConfig {
        n_up,
        fallback,
        ..KnapsackConfig::default()
    }
}

fn plan(config: &KnapsackConfig, group: u32, rates: &[Option<f64>], budget: u32) -> Plan {
    Knapsack::new(config, group).unwrap().plan(rates, budget).unwrap()
}

#[test]
fn no_middle_prompt_sends_everything_to_hard_then_unknown_then_easy() {
    for fallback in [Fallback::On, Fallback::Off] {
        let rates = [Some(1.0), None, Some(0.0), Some(0.0)];
        let config = config(10, fallback);
        // Bases 2, 4, 2, 2.
        assert_eq!(plan(&config, 4, &rates, 15).counts, [2, 4, 5, 4]);
        assert_eq!(plan(&config, 4, &rates, 28).counts, [2, 6, 10, 10]);
        assert_eq!(plan(&config, 4, &rates, 35).counts, [5, 10, 10, 10]);
        let full = plan(&config, 4, &rates, 50);
        assert_eq!((full.counts, full.unspent), (vec![10; 4], 10));
        assert_eq!(full.value, 0.0);
    }
}

#[test]
fn the_pool_is_hard_else_unknown_else_easy() {
    let config = config(128, Fallback::On);
    let counts = |rates: &[Option<f64>], budget| {
        let plan = plan(&config, 8, rates, budget);
        (plan.counts, plan.surplus)
    };
    // One middle prompt of rate 1/2 needs 3 units; the rest falls back.
    assert_eq!(
        counts(&[Some(0.5), Some(0.0), None, Some(1.0)], 32),
        (vec![5, 17, 8, 2], 15)
    );
    assert_eq!(counts(&[Some(0.5), None, Some(1.0)], 24), (vec![5, 17, 2], 9));
    assert_eq!(counts(&[Some(0.5), Some(1.0)], 16), (vec![5, 11], 9));
    assert_eq!(counts(&[Some(0.5), Some(0.5)], 16), (vec![8, 8], 0));
}

#[test]
fn the_cap_binds_in_the_fallback_and_hands_the_rest_back() {
    let rates = [Some(0.5), Some(0.0), Some(1.0)];
    let plan = plan(&config(6, Fallback::On), 6, &rates, 18);
    // Room of the hard prompt 4, of 12 units; the middle one fills up to 6, the easy one takes the rest.
    assert_eq!(plan.counts, [6, 6, 6]);
    assert_eq!((plan.surplus, plan.unspent), (4, 0));
    let full = Knapsack::new(&config(6, Fallback::On), 8).unwrap();
    let full = full.plan(&rates, 24).unwrap();
    assert_eq!((full.counts, full.unspent), (vec![6, 6, 6], 6));
}

#[test]
fn a_base_above_the_cap_stays() {
    let config = KnapsackConfig {
        n_neg: Some(5),
        n_pos: Some(0),
        ..config(3, Fallback::On)
    };
    let rates = [None, Some(0.0), Some(1.0), Some(0.5)];
    let plan = plan(&config, 8, &rates, 20);
    assert_eq!((plan.counts, plan.unspent), (vec![8, 5, 3, 3], 1));
}

#[test]
fn underflow_does_not_favour_the_lower_index() {
    // Beyond 1075 rollouts of rate 1/2 every gain is 0 in f64.
    assert_eq!(allocate_greedily(&[0.5, 0.5], 2, 5_000, 7_996), [4_000, 4_000]);
    let nearly_solved = 1.0 - f64::EPSILON;
    assert_eq!(
        allocate_greedily(&[nearly_solved; 3], 1, 500, 600),
        [201, 201, 201]
    );
    assert_eq!(allocate_greedily(&[1e-300, 1e-300], 1, 500, 20), [11, 11]);
}

#[test]
fn rates_at_the_edge_of_rounding_are_middle() {
    assert_eq!(cost(1e-300, 128, 0.9), Some(128));
    assert_eq!(cost(1.0 - f64::EPSILON / 2.0, 128, 0.9), Some(128));
    assert_eq!(cost(0.5, 128, 1e-9), Some(0));
    assert_eq!(cost(0.5, 128, 0.875), Some(3));
    assert_eq!(cost(1.0, 128, 0.9), None);
    assert_eq!(value(8, 1.0), 0.0);
    assert_eq!(value(1, 0.3), 0.0);
    assert_eq!(marginal_gain(0, 0.3), 0.0);
    assert_eq!(marginal_gain(8, 0.0), 0.0);
    assert_eq!(marginal_gain(5_000, 0.5), 0.0);
}

#[test]
fn the_authors_variant_ignores_prompts_without_an_extra_rollout() {
    let authors = KnapsackConfig {
        variant: Variant::Authors,
        ..KnapsackConfig::default()
    };
    let rates = [Some(0.7), Some(0.3)];
    let theirs = plan(&authors, 3, &rates, 6);
    let ours = plan(&KnapsackConfig::default(), 3, &rates, 6);
    assert_eq!(theirs.counts, [3, 3]);
    assert_eq!(ours.counts, [2, 4]);
    assert!(ours.value > theirs.value);
    assert!(authors.formula().contains("over N_i > n_low"));
}

#[test]
fn rates_come_from_the_history_and_minus_one_counts_as_zero() {
    let mut memory = PromptMemory::new(4, 16);
    let group = |task, rewards: &[f64]| GroupOutcome {
        task,
        rewards: rewards.iter().map(|r| Some(*r)).collect(),
        lengths: vec![1; rewards.len()],
    };
    let rewards = [-1.0, 1.0, -1.0, 1.0, 1.0, 1.0, -1.0, -1.0];
    let groups = [group(0, &rewards), group(1, &[-1.0; 8]), group(2, &[1.0; 7])];
    memory.observe(1, &groups).unwrap();
    let knapsack = KnapsackConfig::default()
        .build(&AllocatorContext { num_generations: 8 })
        .unwrap();
    let prompts: Vec<_> = (0..4).map(|task| memory.stats(task)).collect();
    let allocation = knapsack.allocate(&prompts, 32).unwrap();
    // Rates 1/2, 0, unknown (7 results), unknown: bases 2, 2, 8, 8; 3 of 12 to the middle, 9 to the hard one.
    assert_eq!(allocation.counts, [5, 11, 8, 8]);
    assert_eq!((allocation.surplus, allocation.unspent), (9, 0));
    memory.observe(2, &[group(3, &[1.0, 0.5])]).unwrap();
    let prompts: Vec<_> = (0..4).map(|task| memory.stats(task)).collect();
    assert_eq!(
        knapsack.allocate(&prompts, 32).unwrap_err().to_string(),
        "task 3: reward 0.5 is not binary (1, or 0, or -1 for 0)"
    );
}

#[test]
fn refused_parameters_and_data_are_named() {
    for (text, message) in [
        (
            r#"{"n_low": 0}"#,
            "`n_low` = 0: must be in 1..=8 (num_generations)",
        ),
        (
            r#"{"n_low": 9}"#,
            "`n_low` = 9: must be in 1..=8 (num_generations)",
        ),
        (r#"{"n_up": 1}"#, "`n_up` = 1: must be >= 2 (n_low)"),
        (r#"{"confidence": 0.0}"#, "`confidence` = 0: must be in (0, 1)"),
        (r#"{"confidence": 1.0}"#, "`confidence` = 1: must be in (0, 1)"),
        (r#"{"window": 0}"#, "`window` = 0: must be >= 1"),
        (r#"{"min_count": 0}"#, "`min_count` = 0: must be >= 1"),
    ] {
        let config: KnapsackConfig = serde_json::from_str(text).unwrap();
        assert_eq!(Knapsack::new(&config, 8).unwrap_err().to_string(), message);
    }
    let nan = KnapsackConfig {
        confidence: f64::NAN,
        ..KnapsackConfig::default()
    };
    assert_eq!(
        Knapsack::new(&nan, 8).unwrap_err().to_string(),
        "`confidence` = NaN: must be in (0, 1)"
    );
    for text in [r#"{"low": 2}"#, r#"{"n_neg": -1}"#, r#"{"fallback": "maybe"}"#] {
        assert!(serde_json::from_str::<KnapsackConfig>(text).is_err());
    }
    let knapsack = Knapsack::new(&KnapsackConfig::default(), 8).unwrap();
    let message = |rates: &[Option<f64>], budget| knapsack.plan(rates, budget).unwrap_err().to_string();
    assert_eq!(message(&[], 8), "batch: holds no prompt");
    assert_eq!(
        message(&[Some(0.5), None], 9),
        "batch: budget 9 is below the 10 rollouts its prompts get at least"
    );
    for (rate, text) in [(1.5, "1.5"), (-0.1, "-0.1"), (f64::NAN, "NaN")] {
        assert_eq!(
            message(&[Some(0.5), Some(rate)], 16),
            format!("prompt 1: success rate {text} is outside [0, 1]")
        );
    }
}

/// A batch of every kind of prompt.
fn batches() -> impl Strategy<Value = Vec<Option<f64>>> {
    let rate = prop_oneof![
        2 => Just(None),
        2 => Just(Some(0.0)),
        2 => Just(Some(1.0)),
        6 => (0.001..0.999f64).prop_map(Some),
        2 => (1u32..16).prop_map(|k| Some(f64::from(k) / 16.0)),
    ];
    prop::collection::vec(rate, 1..14)
}

fn settings() -> impl Strategy<Value = (KnapsackConfig, u32)> {
    (
        1u32..4,
        0u32..5,
        0u32..5,
        0u32..20,
        0.05..0.99f64,
        prop::bool::ANY,
        0u32..6,
    )
        .prop_map(|(n_low, n_neg, n_pos, span, confidence, fallback, more)| {
            let config = KnapsackConfig {
                n_low,
                n_neg: Some(n_neg),
                n_pos: Some(n_pos),
                n_up: n_low + span,
                confidence,
                fallback: if fallback { Fallback::On } else { Fallback::Off },
                ..KnapsackConfig::default()
            };
            (config, n_low + more)
        })
}

fn least(knapsack: &Knapsack, rates: &[Option<f64>]) -> u32 {
    knapsack.bases(rates).iter().sum()
}

fn middle_value(rates: &[Option<f64>], counts: &[u32]) -> f64 {
    rates
        .iter()
        .zip(counts)
        .filter_map(|(p, n)| p.map(|p| value(*n, p)))
        .sum()
}

proptest! {
    #[test]
    fn counts_and_unspent_sum_to_the_budget(rates in batches(), (config, group) in settings(), extra in 0u32..150) {
        let knapsack = Knapsack::new(&config, group).unwrap();
        let budget = least(&knapsack, &rates) + extra;
        let plan = knapsack.plan(&rates, budget).unwrap();
        prop_assert_eq!(plan.counts.iter().sum::<u32>() + plan.unspent, budget);
        prop_assert!((plan.value - middle_value(&rates, &plan.counts)).abs() < 1e-12);
    }

    #[test]
    fn bounds_hold_and_nothing_is_unspent_while_there_is_room(
        rates in batches(), (config, group) in settings(), extra in 0u32..150,
    ) {
        let knapsack = Knapsack::new(&config, group).unwrap();
        let bases = knapsack.bases(&rates);
        let plan = knapsack.plan(&rates, bases.iter().sum::<u32>() + extra).unwrap();
        for (n, base) in plan.counts.iter().zip(&bases) {
            prop_assert!(n >= base && *n <= config.n_up.max(*base));
            prop_assert!(plan.unspent == 0 || *n >= config.n_up);
        }
    }

    #[test]
    fn greedy_value_equals_the_exact_programme(
        rates in prop::collection::vec(0.001..0.999f64, 1..8), n_low in 1u32..4, span in 0u32..20, units in 0u32..60,
    ) {
        let total = |counts: &[u32]| counts.iter().zip(&rates).map(|(n, p)| value(*n, *p)).sum::<f64>();
        let greedy = allocate_greedily(&rates, n_low, n_low + span, units);
        let exact = solve(&rates, n_low, n_low + span, units, NoExtra::Value).unwrap();
        prop_assert!((total(&greedy) - total(&exact)).abs() < 1e-12, "{greedy:?} {exact:?}");
    }

    #[test]
    fn authors_variant_never_beats_the_objective(rates in batches(), (config, group) in settings(), extra in 0u32..60) {
        let authors = KnapsackConfig { variant: Variant::Authors, ..config.clone() };
        let knapsack = Knapsack::new(&config, group).unwrap();
        let budget = least(&knapsack, &rates) + extra;
        let ours = knapsack.plan(&rates, budget).unwrap();
        let theirs = Knapsack::new(&authors, group).unwrap().plan(&rates, budget).unwrap();
        prop_assert!(ours.value >= theirs.value - 1e-12);
        prop_assert_eq!(theirs.counts.iter().sum::<u32>() + theirs.unspent, budget);
    }

    #[test]
    fn value_is_at_least_that_of_uniform_without_fallback(rates in batches(), group in 4u32..10) {
        let config = config(128, Fallback::Off);
        let knapsack = Knapsack::new(&config, group).unwrap();
        let plan = knapsack.plan(&rates, knapsack.usual_budget(rates.len())).unwrap();
        let uniform = vec![group; rates.len()];
        prop_assert!(plan.value >= middle_value(&rates, &uniform) - 1e-12);
    }

    #[test]
    fn larger_budget_never_lowers_a_group_without_fallback(
        rates in batches(), (config, group) in settings(), extra in 0u32..120,
    ) {
        let config = KnapsackConfig { fallback: Fallback::Off, ..config };
        let knapsack = Knapsack::new(&config, group).unwrap();
        let budget = least(&knapsack, &rates) + extra;
        let smaller = knapsack.plan(&rates, budget).unwrap();
        let larger = knapsack.plan(&rates, budget + 1).unwrap();
        for (a, b) in smaller.counts.iter().zip(&larger.counts) {
            prop_assert!(a <= b, "{smaller:?} {larger:?}");
        }
    }

    #[test]
    fn permuting_prompts_permutes_the_allocation_up_to_ties(
        (rates, order) in batches().prop_flat_map(|rates| {
            let order: Vec<usize> = (0..rates.len()).collect();
            (Just(rates), Just(order).prop_shuffle())
        }),
        (config, group) in settings(), extra in 0u32..150,
    ) {
        let knapsack = Knapsack::new(&config, group).unwrap();
        let budget = least(&knapsack, &rates) + extra;
        let permuted: Vec<Option<f64>> = order.iter().map(|i| rates[*i]).collect();
        let pairs = |rates: &[Option<f64>]| {
            let plan = knapsack.plan(rates, budget).unwrap();
            let mut pairs: Vec<(Option<u64>, u32)> =
                rates.iter().map(|p| p.map(f64::to_bits)).zip(plan.counts).collect();
            pairs.sort_unstable();
            pairs
        };
        prop_assert_eq!(pairs(&rates), pairs(&permuted));
    }

    #[test]
    fn middle_prompts_of_equal_rate_differ_by_at_most_one(
        p in 0.001..0.999f64, others in batches(), copies in 2usize..5, (config, group) in settings(), extra in 0u32..150,
    ) {
        let knapsack = Knapsack::new(&config, group).unwrap();
        let mut rates = others;
        for i in 0..copies {
            rates.insert((i * 3) % (rates.len() + 1), Some(p));
        }
        let plan = knapsack.plan(&rates, least(&knapsack, &rates) + extra).unwrap();
        let equal: Vec<u32> =
            rates.iter().zip(&plan.counts).filter(|(rate, _)| **rate == Some(p)).map(|(_, n)| *n).collect();
        prop_assert!(equal.iter().max().unwrap() - equal.iter().min().unwrap() <= 1, "{equal:?}");
        // The lower index is served first.
        prop_assert!(equal.windows(2).all(|w| w[0] >= w[1]), "{equal:?}");
    }

    #[test]
    fn marginal_gain_is_the_difference_of_values_and_falls(p in 0.01..0.99f64, n in 1u32..60) {
        let gain = marginal_gain(n, p);
        prop_assert!((gain - (value(n + 1, p) - value(n, p))).abs() < 1e-15);
        prop_assert!(gain > 0.0 && marginal_gain(n + 1, p) < gain);
    }

    #[test]
    fn value_is_the_chance_of_a_mixed_group_times_the_gain(p in 0.0..=1.0f64, n in 0u32..200) {
        let v = value(n, p);
        prop_assert!((0.0..=4.0 / 27.0 + 1e-15).contains(&v));
        prop_assert!(v <= GainScore::Skewed.at(p));
    }
}
