//! Policy, learner and world together: exact agreement of their numbers, and learning.

use std::ops::Range;
use std::sync::Arc;

use groupwise_core::seams::{Learner, Member, Policy, Prefix, Sampling, TokenScores, World};
use groupwise_core::{Advantages, DataError, Key, Offsets, Scope, Stream, Task, TokenBatch, TokenGrads};
use groupwise_env::envs::skill_chain::SkillChainConfig;
use groupwise_env::{WorldContext, WorldSpec};
use groupwise_tabular::{TabularConfig, TabularLearner, TabularPolicy, pair};

const SAMPLING: Sampling = Sampling {
    temperature: 1.0,
    max_new_tokens: 1,
    greedy: false,
};

fn set_up(seed: u64) -> (Box<dyn World>, Vec<Task>, TabularPolicy, TabularLearner) {
    set_up_world(seed, SkillChainConfig::default())
}

fn set_up_world(
    seed: u64,
    config: SkillChainConfig,
) -> (Box<dyn World>, Vec<Task>, TabularPolicy, TabularLearner) {
    let world = WorldSpec::SkillChain(config)
        .build(&WorldContext::default())
        .expect("builds");
    let tasks = world.train_tasks(Key::new(seed, Stream::Tasks)).expect("tasks");
    let init = Key::new(seed, Stream::Init);
    let (policy, learner) = pair(
        &TabularConfig::default(),
        &world.symbols(),
        world.initial_logits(init),
        init,
    )
    .expect("words");
    (world, tasks, policy, learner)
}

/// Tokens of all episodes so far, one after another.
#[derive(Default)]
struct Tape {
    ids: Vec<u32>,
    mask: Vec<bool>,
    logp: Vec<f64>,
}

/// Plays one episode to its end, onto the tape; returns the sum of its rewards.
fn play(
    world: &dyn World,
    task: &Task,
    policy: &mut TabularPolicy,
    (prompt, key): (&Arc<[u32]>, Key),
    tape: &mut Tape,
) -> f64 {
    let mut episode = world
        .start(task, Key::new(0, Stream::Environment))
        .expect("starts");
    let (first, mut total) = (tape.ids.len(), 0.0);
    for turn in 0.. {
        if turn > 0 {
            tape.ids
                .extend(policy.encode(&episode.observe().text).expect("a state"));
            tape.mask.push(false);
            tape.logp.push(0.0);
        }
        let member = Member {
            tail: tape.ids[first..].to_vec(),
            key: key.turn(turn),
        };
        let prefix = Prefix {
            shared: prompt,
            members: vec![member],
        };
        let next = policy
            .extend(&[prefix], &SAMPLING)
            .expect("finite")
            .remove(0)
            .remove(0);
        let outcome = episode.step(&policy.decode(&next.tokens)).expect("not over");
        tape.ids.extend(&next.tokens);
        tape.logp.extend(&next.logp);
        tape.mask.push(true);
        total += outcome.reward;
        if outcome.stop.is_some() {
            break;
        }
    }
    total
}

/// Rolls out `n` episodes of each task; returns the batch, with zero advantages, and the returns.
fn roll_out(
    world: &dyn World,
    tasks: &[&Task],
    policy: &mut TabularPolicy,
    n: u64,
    key: Key,
) -> (TokenBatch, Vec<f64>) {
    let (mut lengths, mut prompts, mut returns) = (Vec::new(), Vec::new(), Vec::new());
    let mut tape = Tape::default();
    for task in tasks {
        let prompt: Arc<[u32]> = policy.encode(&task.prompt).expect("a state").into();
        for sample in 0..n {
            let first = tape.ids.len();
            let key = key.task(task.key()).sample(sample);
            returns.push(play(world, task, policy, (&prompt, key), &mut tape));
            lengths.push(tape.ids.len() - first);
            prompts.push(Arc::clone(&prompt));
        }
    }
    let batch = TokenBatch {
        groups: Offsets::from_lengths(tasks.iter().map(|_| n as usize)),
        tokens: Offsets::from_lengths(lengths),
        prompts,
        ids: tape.ids,
        mask: tape.mask,
        logp_sampler: tape.logp,
        logp_old: None,
        logp_ref: None,
        segments: None,
        advantages: Advantages::Trajectory(vec![0.0; returns.len()]),
        temperature: 1.0,
    };
    (batch, returns)
}

/// One step of REINFORCE with the group mean as baseline, the mean over trajectories; gives the norm of the gradient.
fn reinforce(learner: &mut TabularLearner, batch: &TokenBatch, returns: &[f64], n: usize, rate: f64) -> f64 {
    let mut loss = |part: Range<usize>, scores: &TokenScores| -> Result<TokenGrads, DataError> {
        let start = batch.tokens.range_of(part.clone()).start;
        let mut d_logp = vec![0.0; scores.logp.len()];
        for i in part {
            let group = &returns[i / n * n..(i / n + 1) * n];
            let advantage = returns[i] - group.iter().sum::<f64>() / n as f64;
            for k in batch.tokens.range(i).filter(|k| batch.mask[*k]) {
                d_logp[k - start] = -advantage / returns.len() as f64;
            }
        }
        Ok(TokenGrads {
            d_logp,
            ..TokenGrads::default()
        })
    };
    learner
        .step(batch, Scope::Group, rate, &mut loss)
        .expect("finite")
        .grad_norm
}

fn mean_success(world: &dyn World, tasks: &[Task], policy: &TabularPolicy) -> f64 {
    let exact = |task| {
        world
            .exact_success(task, &|state| policy.action_probabilities(state))
            .expect("a closed form")
    };
    tasks.iter().map(exact).sum::<f64>() / tasks.len() as f64
}

#[test]
fn sampler_and_learner_give_the_same_bits() {
    let (world, tasks, mut policy, mut learner) = set_up(1);
    for step in 0..3 {
        let some: Vec<&Task> = tasks.iter().skip(40 * step).take(40).collect();
        let key = Key::new(1, Stream::Rollout).step(step as u64);
        let (batch, returns) = roll_out(world.as_ref(), &some, &mut policy, 4, key);
        assert_eq!(learner.score(&batch).expect("finite").logp, batch.logp_sampler);
        reinforce(&mut learner, &batch, &returns, 4, 8.0);
    }
    assert_eq!(policy.version(), 3);
}

#[test]
fn the_mean_return_agrees_with_exact_success() {
    // Returns of one task are independent and binary: 3.29 standard errors, alpha 0.001.
    let (world, tasks, mut policy, _) = set_up(2);
    let all: Vec<&Task> = tasks.iter().collect();
    let (_, returns) = roll_out(world.as_ref(), &all, &mut policy, 40, Key::new(2, Stream::Eval));
    let (mut expected, mut variance) = (0.0, 0.0);
    for task in &tasks {
        let p = world
            .exact_success(task, &|state| policy.action_probabilities(state))
            .expect("a closed form");
        expected += p / tasks.len() as f64;
        variance += p * (1.0 - p) * 40.0 / (returns.len() as f64).powi(2);
    }
    let found = returns.iter().sum::<f64>() / returns.len() as f64;
    assert!(
        (found - expected).abs() < 3.29 * variance.sqrt(),
        "{found}, expected {expected}"
    );
}

#[test]
fn reinforce_raises_exact_success() {
    for seed in 0..3 {
        let (world, tasks, mut policy, mut learner) = set_up(seed);
        let start = mean_success(world.as_ref(), &tasks, &policy);
        for step in 0..100 {
            let offset = step as usize * 24;
            let some: Vec<&Task> = (0..24).map(|i| &tasks[(offset + i) % tasks.len()]).collect();
            let key = Key::new(seed, Stream::Rollout).step(step);
            let (batch, returns) = roll_out(world.as_ref(), &some, &mut policy, 8, key);
            reinforce(&mut learner, &batch, &returns, 8, 8.0);
        }
        let end = mean_success(world.as_ref(), &tasks, &policy);
        assert!(end > start + 0.2, "seed {seed}: {start} to {end}");
    }
}

/// Claim of variance-aware sampling (arXiv 2509.21268) in small: what a prompt gives a fixed policy to learn from grows
/// with the variance of its reward.
#[test]
fn the_squared_gradient_norm_follows_the_variance_of_the_reward() {
    let config = SkillChainConfig {
        max_skills: 1,
        ..Default::default()
    };
    let (world, tasks, mut policy, mut learner) = set_up_world(4, config);
    let (mut squares, mut variances) = (Vec::new(), Vec::new());
    let n_groups = 200;
    for task in &tasks[..60] {
        let mut square = 0.0;
        for group in 0..n_groups {
            let key = Key::new(4, Stream::Rollout).step(group);
            let (batch, returns) = roll_out(world.as_ref(), &[task], &mut policy, 8, key);
            square += reinforce(&mut learner, &batch, &returns, 8, 0.0).powi(2) / n_groups as f64;
        }
        let p = world
            .exact_success(task, &|state| policy.action_probabilities(state))
            .expect("a closed form");
        squares.push(square);
        variances.push(p * (1.0 - p));
    }
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let moment = |x: &[f64], y: &[f64]| {
        let (mx, my) = (mean(x), mean(y));
        x.iter().zip(y).map(|(a, b)| (a - mx) * (b - my)).sum::<f64>()
    };
    let both = moment(&squares, &variances);
    let correlation = both / (moment(&squares, &squares) * moment(&variances, &variances)).sqrt();
    assert!(correlation > 0.9, "{correlation}");
}
