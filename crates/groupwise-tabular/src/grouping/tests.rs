use groupwise_core::{Key, Stream};
use proptest::prelude::*;

use super::*;

/// Two states; stay, move, and almost stay.
fn worked_example() -> Mdp {
    let stay = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
    let swap = vec![vec![0.0, 1.0], vec![1.0, 0.0]];
    let almost = vec![vec![0.9, 0.1], vec![0.1, 0.9]];
    Mdp::new(&[stay, swap, almost], &[vec![0.0, 0.0, 0.1], vec![1.0, 0.5, 0.9]]).unwrap()
}

fn analysis(gamma: f64, samples: u64) -> ActionGrouping {
    ActionGrouping::new(GroupingConfig {
        gamma,
        samples,
        delta: 0.05,
    })
    .unwrap()
}

fn grouping(labels: &[usize]) -> Grouping {
    Grouping::new(labels).unwrap()
}

fn singles(n: usize) -> Grouping {
    grouping(&(0..n).collect::<Vec<_>>())
}

/// Kernels and rewards drawn under a seed, the rewards of range `scale` about `shift`.
fn tables(n_states: usize, n_actions: usize, seed: u64) -> (Vec<Vec<Vec<f64>>>, Vec<Vec<f64>>) {
    let mut rng = Key::new(seed, Stream::Tasks).rng();
    let mut draw = || f64::from(rng.below(1000) as u32) / 1000.0;
    let row = |draw: &mut dyn FnMut() -> f64| {
        let weights: Vec<f64> = (0..n_states).map(|_| draw().powi(3) + 1e-3).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|w| w / sum).collect::<Vec<f64>>()
    };
    let transition = (0..n_actions)
        .map(|_| (0..n_states).map(|_| row(&mut draw)).collect())
        .collect();
    let reward = (0..n_states)
        .map(|_| (0..n_actions).map(|_| draw()).collect())
        .collect();
    (transition, reward)
}

fn process() -> impl Strategy<Value = Mdp> {
    (1usize..5, 1usize..6, any::<u64>()).prop_map(|(s, a, seed)| {
        let (transition, reward) = tables(s, a, seed);
        Mdp::new(&transition, &reward).unwrap()
    })
}

/// Any labels, renumbered without gaps in order of first appearance.
fn partition(raw: &[usize], n_actions: usize) -> Vec<usize> {
    let mut seen: Vec<usize> = Vec::new();
    let number = |label: &usize| {
        seen.iter().position(|s| s == label).unwrap_or_else(|| {
            seen.push(*label);
            seen.len() - 1
        })
    };
    raw[..n_actions].iter().map(number).collect()
}

fn raw_labels() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0usize..4, 5)
}

fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_loss_lies_between_0_and_its_bound(mdp in process(), raw in raw_labels(), gamma in 0.0..0.95f64) {
        let labels = partition(&raw, mdp.n_actions());
        let found = analysis(gamma, 100).report(&mdp, &grouping(&labels))?;
        prop_assert!(found.loss <= found.bounds.approximation + 1e-9, "{found:?}");
        prop_assert!(found.optimal_value.iter().zip(&found.grouped_value).all(|(v, g)| *v >= g - 1e-9));
    }

    #[test]
    fn the_lifted_policy_earns_the_grouped_value(mdp in process(), raw in raw_labels(), gamma in 0.0..0.95f64) {
        let grouping = grouping(&partition(&raw, mdp.n_actions()));
        let found = analysis(gamma, 100).report(&mdp, &grouping)?;
        let lifted = grouping.lift(&found.grouped_policy)?;
        prop_assert!(close(&mdp.value_of(&lifted, gamma)?, &found.grouped_value, 1e-9));
    }

    #[test]
    fn the_best_value_is_that_of_the_best_fixed_policy(seed in any::<u64>(), gamma in 0.0..0.95f64) {
        let (transition, reward) = tables(2, 3, seed);
        let mdp = Mdp::new(&transition, &reward)?;
        let best = mdp.best(gamma)?;
        let mut largest = vec![f64::NEG_INFINITY; 2];
        for (a, b) in (0..9).map(|i| (i / 3, i % 3)) {
            let policy = singles(3).lift(&[a, b])?;
            let value = mdp.value_of(&policy, gamma)?;
            // The two equations of a fixed policy, solved by Cramer's rule.
            let (p, q) = (mdp.kernel(a, 0), mdp.kernel(b, 1));
            let (r, s) = (mdp.reward(0, a), mdp.reward(1, b));
            let matrix = [1.0 - gamma * p[0], -gamma * p[1], -gamma * q[0], 1.0 - gamma * q[1]];
            let det = matrix[0] * matrix[3] - matrix[1] * matrix[2];
            let exact = [(r * matrix[3] - matrix[1] * s) / det, (matrix[0] * s - r * matrix[2]) / det];
            prop_assert!(close(&value, &exact, 1e-9));
            largest = largest.iter().zip(&exact).map(|(l, v)| l.max(*v)).collect();
        }
        prop_assert!(close(&best.value, &largest, 1e-9));
        let played = singles(3).lift(&best.policy)?;
        prop_assert!(close(&mdp.value_of(&played, gamma)?, &best.value, 1e-9));
    }

    #[test]
    fn identical_members_cost_nothing(s in 1usize..5, seed in any::<u64>(), labels in prop::sample::select(
        vec![vec![0, 0, 1], vec![0, 1, 1], vec![0, 1, 0, 1], vec![0, 0, 0]],
    )) {
        let n_groups = labels.iter().max().unwrap() + 1;
        let (kernels, rewards) = tables(s, n_groups, seed);
        let transition: Vec<_> = labels.iter().map(|g| kernels[*g].clone()).collect();
        let reward: Vec<Vec<f64>> = rewards.iter().map(|row| labels.iter().map(|g| row[*g]).collect()).collect();
        let found = analysis(0.9, 100).report(&Mdp::new(&transition, &reward)?, &grouping(&labels))?;
        prop_assert!(found.gaps.reward < 1e-12 && found.gaps.kernel < 1e-12 && found.loss.abs() < 1e-9);
    }

    #[test]
    fn one_group_per_action_has_no_gap(mdp in process(), gamma in 0.0..0.95f64) {
        let found = analysis(gamma, 100).report(&mdp, &singles(mdp.n_actions()))?;
        prop_assert_eq!((found.gaps.reward, found.gaps.kernel, found.bounds.approximation), (0.0, 0.0, 0.0));
        prop_assert!(found.loss.abs() < 1e-9);
    }

    #[test]
    fn refining_never_lowers_the_value_and_at_most_doubles_the_gaps(
        mdp in process(), raw in raw_labels(), split in prop::collection::vec(0usize..2, 5), gamma in 0.0..0.95f64,
    ) {
        let n = mdp.n_actions();
        let refined: Vec<usize> = raw.iter().zip(&split).map(|(g, half)| 2 * g + half).collect();
        let coarse = analysis(gamma, 100).report(&mdp, &grouping(&partition(&raw, n)))?;
        let fine = analysis(gamma, 100).report(&mdp, &grouping(&partition(&refined, n)))?;
        prop_assert!(fine.grouped_value.iter().zip(&coarse.grouped_value).all(|(f, c)| *f >= c - 1e-9));
        prop_assert!(fine.gaps.reward <= 2.0 * coarse.gaps.reward + 1e-12);
        prop_assert!(fine.gaps.kernel <= 2.0 * coarse.gaps.kernel + 1e-12);
        prop_assert!(fine.bounds.estimation >= coarse.bounds.estimation);
    }

    #[test]
    fn the_estimation_bound_grows_with_pairs_and_falls_with_samples(
        pairs in 1usize..50, samples in 1u64..1000, gamma in 0.01..0.99f64, range in 0.1..3.0f64,
    ) {
        let bound = |pairs, samples| estimation_bound(range, pairs, &GroupingConfig { gamma, samples, delta: 0.05 });
        prop_assert!(bound(pairs + 1, samples) > bound(pairs, samples));
        prop_assert!(bound(pairs, samples + 1) < bound(pairs, samples));
        prop_assert!((bound(pairs, 4 * samples) * 2.0 / bound(pairs, samples) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn relabelling_groups_changes_nothing(mdp in process(), raw in raw_labels(), gamma in 0.0..0.95f64) {
        let labels = partition(&raw, mdp.n_actions());
        let last = *labels.iter().max().unwrap();
        let turned: Vec<usize> = labels.iter().map(|g| last - g).collect();
        let a = analysis(gamma, 100).report(&mdp, &grouping(&labels))?;
        let b = analysis(gamma, 100).report(&mdp, &grouping(&turned))?;
        prop_assert_eq!(&a.grouped_value, &b.grouped_value);
        prop_assert_eq!((a.gaps, a.bounds, a.loss), (b.gaps, b.bounds, b.loss));
    }

    #[test]
    fn action_probabilities_sum_to_1_and_are_equal_inside_a_group(
        raw in raw_labels(), logits in prop::collection::vec(-30.0..30.0f64, 5),
    ) {
        let grouping = grouping(&partition(&raw, 5));
        let policy = group_softmax(&logits[..grouping.n_groups()], &grouping)?;
        let p = policy.probabilities();
        prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        for a in 0..5 {
            prop_assert!((policy.logp(a)?.exp() - p[a]).abs() < 1e-12);
            for b in (0..5).filter(|b| grouping.labels()[a] == grouping.labels()[*b]) {
                prop_assert_eq!(p[a], p[b]);
                prop_assert_eq!(policy.grad_logits(a)?, policy.grad_logits(b)?);
            }
        }
        let entropy: f64 = policy.group_probabilities().iter().map(|p| -p * p.ln()).sum();
        prop_assert!((policy.group_entropy() - entropy).abs() < 1e-9);
    }

    #[test]
    fn the_gradient_is_the_central_difference_of_the_log_probability(
        raw in raw_labels(), logits in prop::collection::vec(-3.0..3.0f64, 5), action in 0usize..5,
    ) {
        let grouping = grouping(&partition(&raw, 5));
        let logits = &logits[..grouping.n_groups()];
        let gradient = group_softmax(logits, &grouping)?.grad_logits(action)?;
        for (g, found) in gradient.iter().enumerate() {
            let at = |h: f64| {
                let mut moved = logits.to_vec();
                moved[g] += h;
                group_softmax(&moved, &grouping).unwrap().logp(action).unwrap()
            };
            prop_assert!(((at(1e-5) - at(-1e-5)) / 2e-5 - found).abs() < 1e-8);
        }
    }

    #[test]
    fn candidates_are_nested_and_merge_the_nearest_pair(mdp in process(), gamma in 0.0..0.95f64) {
        let found = analysis(gamma, 100).candidates(&mdp);
        prop_assert_eq!(found.len(), mdp.n_actions());
        prop_assert_eq!(&found[0], &singles(mdp.n_actions()));
        let weight = gamma * mdp.reward_range() / (1.0 - gamma) / 2.0;
        for (fine, coarse) in found.iter().zip(&found[1..]) {
            prop_assert_eq!(coarse.n_groups() + 1, fine.n_groups());
            prop_assert_eq!(coarse, &grouping(coarse.labels()));
            prop_assert_eq!(coarse.labels(), &partition(coarse.labels(), coarse.n_actions())[..]);
            // Which two became one, and whether none were nearer: from the grouped process itself.
            let grouped = mdp.grouped(fine)?;
            let distance = |i: usize, j: usize| {
                (0..mdp.n_states()).fold(0.0_f64, |largest, s| {
                    let reward = (grouped.reward(s, i) - grouped.reward(s, j)).abs();
                    let kernel = grouped.kernel(i, s).iter().zip(grouped.kernel(j, s));
                    let kernel: f64 = kernel.map(|(a, b)| (a - b).abs()).sum();
                    largest.max(reward).max(weight * kernel)
                })
            };
            let image = |g: usize| {
                let a = fine.labels().iter().position(|label| *label == g).unwrap();
                coarse.labels()[a]
            };
            let pairs = (0..fine.n_groups()).flat_map(|j| (0..j).map(move |i| (i, j)));
            let least = pairs.clone().map(|(i, j)| distance(i, j)).fold(f64::INFINITY, f64::min);
            for (i, j) in pairs.filter(|(i, j)| image(*i) == image(*j)) {
                prop_assert!(distance(i, j) <= least + 1e-12);
            }
        }
    }
}

#[test]
fn the_worked_example_comes_out() {
    let (mdp, analysis) = (worked_example(), analysis(0.9, 1000));
    let two = analysis.report(&mdp, &grouping(&[0, 1, 0])).unwrap();
    assert!(close(&two.optimal_value, &[9.0, 10.0], 1e-9));
    assert!(close(&two.grouped_value, &[90.0 / 11.0, 100.0 / 11.0], 1e-9));
    assert_eq!(two.grouped_policy, [1, 0]);
    assert!((two.gaps.reward - 0.05).abs() < 1e-12 && (two.gaps.kernel - 0.1).abs() < 1e-12);
    assert!((two.loss - 10.0 / 11.0).abs() < 1e-9);
    let one = analysis.report(&mdp, &grouping(&[0, 0, 0])).unwrap();
    assert!((one.gaps.reward - 0.3).abs() < 1e-12 && (one.gaps.kernel - 3.8 / 3.0).abs() < 1e-12);
    assert!((one.bounds.approximation - 60.0).abs() < 1e-9);
    assert!((one.loss - 5.337_719).abs() < 1e-6);
    assert!((one.bounds.score() - one.bounds.approximation - one.bounds.estimation).abs() < 1e-12);
}

#[test]
fn few_samples_prefer_coarse_groupings_and_many_fine_ones() {
    let mdp = worked_example();
    let options = [[0, 0, 0], [0, 1, 0], [0, 1, 2]].map(|labels| grouping(&labels));
    let selected = |samples| analysis(0.9, samples).choose(&mdp, &options).unwrap().selected;
    assert_eq!([1, 200, 100_000].map(selected), [0, 1, 2]);
    let twice = [options[1].clone(), options[1].clone()];
    assert_eq!(analysis(0.9, 200).choose(&mdp, &twice).unwrap().selected, 0);
    let candidates = analysis(0.9, 200).candidates(&mdp);
    assert_eq!(candidates[1].labels(), [0, 1, 0]);
}

#[test]
fn equally_near_groups_merge_by_index_and_equally_good_actions_tie() {
    let kernel = vec![vec![1.0]];
    let mdp = Mdp::new(&vec![kernel; 4], &[vec![0.1 + 0.2, 0.3, 0.3, 0.1]]).unwrap();
    assert_eq!(mdp.best(0.9).unwrap().policy, [0]);
    let reversed = Mdp::new(&vec![vec![vec![1.0]]; 2], &[vec![0.3, 0.1 + 0.2]]).unwrap();
    assert_eq!(reversed.best(0.9).unwrap().policy, [0]);
    let even = Mdp::new(&vec![vec![vec![1.0]]; 4], &[vec![0.0, 1.0, 2.0, 3.0]]).unwrap();
    let labels: Vec<Vec<usize>> = analysis(0.5, 10)
        .candidates(&even)
        .iter()
        .map(|g| g.labels().to_vec())
        .collect();
    assert_eq!(labels, [[0, 1, 2, 3], [0, 0, 1, 2], [0, 0, 1, 1], [0, 0, 0, 0]]);
}

#[test]
fn discounts_at_the_ends_and_negative_rewards_are_solved() {
    let mdp = worked_example();
    assert_eq!(mdp.best(0.0).unwrap().value, [0.1, 1.0]);
    let patient = mdp.best(0.999).unwrap();
    assert!(close(&patient.value, &[999.0, 1000.0], 1e-8));
    let debts = Mdp::new(&[vec![vec![1.0]], vec![vec![1.0]]], &[vec![-2.0, -1.0]]).unwrap();
    let best = debts.best(0.5).unwrap();
    assert!((best.value[0] + 2.0).abs() < 1e-12);
    assert_eq!((best.policy, debts.reward_range()), (vec![1], 1.0));
}

#[test]
fn bad_processes_are_refused() {
    let good = vec![vec![0.5, 0.5], vec![1.0, 0.0]];
    let reward = vec![vec![0.0], vec![1.0]];
    let refused = |transition: &[Vec<Vec<f64>>], reward: &[Vec<f64>]| {
        Mdp::new(transition, reward).unwrap_err().to_string()
    };
    let with_row = |row: &[f64]| vec![vec![good[0].clone(), row.to_vec()]];
    assert_eq!(
        refused(&[], &reward),
        "process: has 2 states and 0 actions, and needs one of each"
    );
    assert_eq!(
        refused(std::slice::from_ref(&good), &[]),
        "process: has 0 states and 1 actions, and needs one of each"
    );
    assert_eq!(
        refused(&with_row(&[0.5, 0.75]), &reward),
        "transition of action 0 in state 1: the probabilities sum to 1.25"
    );
    assert!(Mdp::new(&with_row(&[0.5, 0.5 + 2e-9]), &reward).is_err());
    assert!(Mdp::new(&with_row(&[0.5, 0.5 - 5e-10]), &reward).is_ok());
    assert_eq!(
        refused(&with_row(&[1.5, -0.5]), &reward),
        "transition of action 0 in state 1: -0.5 is no probability"
    );
    assert_eq!(
        refused(&with_row(&[f64::NAN, 1.0]), &reward),
        "transition of action 0 in state 1: NaN is no probability"
    );
    assert_eq!(
        refused(&with_row(&[1.0]), &reward),
        "`transition of action 0 in state 1` has 1 entries, expected 2"
    );
    assert_eq!(
        refused(&[vec![good[0].clone()]], &reward),
        "`transition of action 0` has 1 entries, expected 2"
    );
    assert_eq!(
        refused(std::slice::from_ref(&good), &[vec![0.0], vec![]]),
        "`reward of state 1` has 0 entries, expected 1"
    );
    assert_eq!(
        refused(&[good], &[vec![0.0], vec![f64::INFINITY]]),
        "index 0: `reward of state 1` is inf"
    );
}

#[test]
fn bad_groupings_policies_and_parameters_are_refused() {
    let text = |labels: &[usize]| Grouping::new(labels).unwrap_err().to_string();
    assert_eq!(text(&[]), "groups: hold no action");
    assert_eq!(text(&[1, 1]), "groups: group 0 has no action, but group 1 has");
    assert_eq!(
        text(&[0, usize::MAX]),
        format!("groups: group 1 has no action, but group {} has", usize::MAX)
    );
    let (mdp, two) = (worked_example(), grouping(&[0, 1]));
    let short = "`groups` has 2 entries, expected 3";
    assert_eq!(
        analysis(0.9, 1).report(&mdp, &two).unwrap_err().to_string(),
        short
    );
    assert_eq!(
        analysis(0.9, 1)
            .choose(&mdp, std::slice::from_ref(&two))
            .unwrap_err()
            .to_string(),
        short
    );
    assert_eq!(
        analysis(0.9, 1).choose(&mdp, &[]).unwrap_err().to_string(),
        "options: are empty, and none can be chosen"
    );
    assert_eq!(
        two.lift(&[0, 2]).unwrap_err().to_string(),
        "state 1: group 2 is not one of 2"
    );
    assert_eq!(
        group_softmax(&[0.0], &two).unwrap_err().to_string(),
        "`logits` has 1 entries, expected 2"
    );
    assert_eq!(
        group_softmax(&[0.0, f64::NAN], &two).unwrap_err().to_string(),
        "index 1: `logits` is NaN"
    );
    let policy = group_softmax(&[0.0, 0.0], &two).unwrap();
    let outside = "action 2: is not one of 2";
    assert_eq!(policy.logp(2).unwrap_err().to_string(), outside);
    assert_eq!(policy.grad_logits(2).unwrap_err().to_string(), outside);
    let value = |policy: &[Vec<f64>], gamma| mdp.value_of(policy, gamma).unwrap_err().to_string();
    let uniform = vec![vec![1.0, 0.0, 0.0]; 2];
    assert_eq!(value(&uniform, 1.0), "policy: `gamma` = 1: must be in [0, 1)");
    assert_eq!(value(&uniform[..1], 0.9), "`policy` has 1 entries, expected 2");
    assert_eq!(
        value(&[uniform[0].clone(), vec![1.0]], 0.9),
        "`policy of state 1` has 1 entries, expected 3"
    );
    for row in [vec![0.5, 0.0, 0.0], vec![1.5, -0.5, 0.0]] {
        assert_eq!(
            value(&[uniform[0].clone(), row], 0.9),
            "policy of state 1: is no distribution over actions"
        );
    }
}

#[test]
fn bad_parameters_are_refused() {
    let refused = |gamma, samples, delta| {
        let config = GroupingConfig {
            gamma,
            samples,
            delta,
        };
        ActionGrouping::new(config).unwrap_err().to_string()
    };
    for (gamma, given) in [(1.0, "1"), (-0.1, "-0.1"), (f64::NAN, "NaN")] {
        let expected = format!("`gamma` = {given}: must be in [0, 1)");
        assert_eq!(refused(gamma, 1, 0.05), expected);
        assert_eq!(worked_example().best(gamma).unwrap_err().to_string(), expected);
    }
    assert_eq!(refused(0.9, 0, 0.05), "`samples` = 0: must be >= 1");
    for (delta, given) in [(0.0, "0"), (1.0, "1"), (f64::NAN, "NaN")] {
        assert_eq!(
            refused(0.9, 1, delta),
            format!("`delta` = {given}: must be in (0, 1)")
        );
    }
}
