//! The claim of action grouping (arXiv 2306.12981) in small: the best number of groups grows with the samples.
//!
//! A random process of 8 states and 64 actions in 8 true groups; a model of grouped actions is estimated from N samples
//! spread evenly over (state, group), one plans on it and plays the plan, members uniform, in the true process.  What is
//! lost is the largest `V* - V` over states.

use groupwise_core::key::KeyedRng;
use groupwise_core::{Key, Stream};
use groupwise_tabular::grouping::{Grouping, Mdp};
use rand_distr::{Distribution, Gamma, StandardNormal};

const STATES: usize = 8;
const ACTIONS: usize = 64;
const TRUE_GROUPS: usize = 8;
const OWN: f64 = 0.15;
const GAMMA: f64 = 0.9;
const NOISE: f64 = 0.5;
const SEEDS: u64 = 8;
const GROUPS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Kernels `[a][s][s']` and rewards `[s][a]`.
struct Process {
    transition: Vec<Vec<Vec<f64>>>,
    reward: Vec<Vec<f64>>,
}

/// From Dirichlet(0.3).
fn draw_row(rng: &mut KeyedRng) -> Vec<f64> {
    let gamma = Gamma::new(0.3, 1.0).expect("a valid shape");
    let weights: Vec<f64> = (0..STATES).map(|_| gamma.sample(rng)).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| w / sum).collect()
}

/// Every action is `1 - OWN` of its true group and `OWN` of a draw of its own.
fn draw_process(key: Key) -> Process {
    let mut rng = key.rng();
    let kernels = |rng: &mut KeyedRng, n: usize| -> Vec<Vec<Vec<f64>>> {
        (0..n)
            .map(|_| (0..STATES).map(|_| draw_row(rng)).collect())
            .collect()
    };
    let (of_groups, own) = (kernels(&mut rng, TRUE_GROUPS), kernels(&mut rng, ACTIONS));
    let mix = |group: f64, own: f64| (1.0 - OWN) * group + OWN * own;
    let group = |a: usize| a * TRUE_GROUPS / ACTIONS;
    let transition = (0..ACTIONS)
        .map(|a| {
            let rows = of_groups[group(a)].iter().zip(&own[a]);
            rows.map(|(g, o)| g.iter().zip(o).map(|(g, o)| mix(*g, *o)).collect())
                .collect()
        })
        .collect();
    let reward = (0..STATES)
        .map(|_| {
            let groups: Vec<f64> = (0..TRUE_GROUPS).map(|_| rng.uniform()).collect();
            (0..ACTIONS)
                .map(|a| mix(groups[group(a)], rng.uniform()))
                .collect()
        })
        .collect();
    Process { transition, reward }
}

fn draw_index(row: &[f64], rng: &mut KeyedRng) -> usize {
    let mut left = rng.uniform();
    for (i, p) in row.iter().enumerate() {
        left -= p;
        if left < 0.0 {
            return i;
        }
    }
    row.len() - 1
}

/// The grouped process as `samples` in all show it.
fn estimate(process: &Process, n_groups: usize, samples: usize, key: Key) -> Mdp {
    let (size, each) = (ACTIONS / n_groups, samples / (STATES * n_groups));
    let mut transition = vec![vec![vec![0.0; STATES]; STATES]; n_groups];
    let mut reward = vec![vec![0.0; n_groups]; STATES];
    let mut rng = key.rng();
    for (group, kernel) in transition.iter_mut().enumerate() {
        for (state, row) in kernel.iter_mut().enumerate() {
            for _ in 0..each {
                let action = group * size + rng.below(size as u64) as usize;
                row[draw_index(&process.transition[action][state], &mut rng)] += 1.0 / each as f64;
                let noise: f64 = StandardNormal.sample(&mut rng);
                reward[state][group] += (process.reward[state][action] + NOISE * noise) / each as f64;
            }
        }
    }
    Mdp::new(&transition, &reward).expect("rows are distributions")
}

fn loss(process: &Process, n_groups: usize, samples: usize, key: Key) -> f64 {
    let truth = Mdp::new(&process.transition, &process.reward).expect("a process");
    let labels: Vec<usize> = (0..ACTIONS).map(|a| a * n_groups / ACTIONS).collect();
    let grouping = Grouping::new(&labels).expect("no gap");
    let plan = estimate(process, n_groups, samples, key)
        .best(GAMMA)
        .expect("a discount");
    let lifted = grouping.lift(&plan.policy).expect("a plan in groups");
    let value = truth.value_of(&lifted, GAMMA).expect("a policy");
    let best = truth.best(GAMMA).expect("a discount").value;
    best.iter().zip(value).map(|(b, v)| b - v).fold(0.0, f64::max)
}

/// Mean loss over the seeds for every number of groups.
fn curve(samples: usize) -> Vec<f64> {
    let of_seed = |groups: usize, seed: u64| {
        let key = Key::new(seed, Stream::Tasks);
        let process = draw_process(key.named("process", 0));
        let draws = key
            .named("samples", samples as u64)
            .named("groups", groups as u64);
        loss(&process, groups, samples, draws)
    };
    let mean = |groups: &usize| (0..SEEDS).map(|s| of_seed(*groups, s)).sum::<f64>() / SEEDS as f64;
    GROUPS.iter().map(mean).collect()
}

fn best(curve: &[f64]) -> usize {
    (0..curve.len())
        .min_by(|a, b| curve[*a].total_cmp(&curve[*b]))
        .expect("not empty")
}

#[test]
fn the_best_number_of_groups_grows_with_the_samples() {
    let (few, some, many) = (curve(512), curve(2048), curve(32_768));
    let found = [&few, &some, &many].map(|c| GROUPS[best(c)]);
    assert!(found[0] < found[2], "{found:?}: {few:?} {many:?}");
    assert!(
        found[0] <= found[1] && found[1] <= found[2],
        "{found:?}: {some:?}"
    );
    assert!(found[0] < 64, "no grouping is best at 512 samples: {few:?}");
    // Both errors are there: too coarse and, with few samples, too fine.
    assert!(
        few[0] > few[best(&few)] + 0.5 && few[6] > few[best(&few)] + 0.3,
        "{few:?}"
    );
}
