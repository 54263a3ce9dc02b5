//! A synthetic ablation on disk: run folders as the pipeline writes them, with keyed noise and known effects.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use groupwise_core::event::{BillKind, EVENT_VERSION, Event};
use groupwise_core::{Key, Stream};
use serde_json::json;

/// How an arm of the synthetic ablation behaves.
pub(crate) struct Arm {
    /// Its name.
    pub(crate) name: &'static str,
    /// Steps until the median task is half learned.
    pub(crate) half: f64,
    /// Group sizes it draws from; `None`: always 8.
    pub(crate) spread: bool,
    /// Groups that a filter discards, of those without mixed reward.
    pub(crate) discards: bool,
}

/// Three arms: a baseline, one that learns faster, one that hardly differs.
pub(crate) const ARMS: [Arm; 3] = [
    Arm {
        name: "uniform",
        half: 46.0,
        spread: false,
        discards: false,
    },
    Arm {
        name: "knapsack",
        half: 36.0,
        spread: true,
        discards: false,
    },
    Arm {
        name: "vade",
        half: 44.0,
        spread: false,
        discards: true,
    },
];

/// Writes `<root>/<hash>/` for every cell and `<root>/ablations/<name>/`; returns the latter.
pub(crate) fn write_ablation(root: &Path, name: &str, arms: &[Arm], seeds: &[u64], steps: u64) -> PathBuf {
    let mut cells = Vec::new();
    for arm in arms {
        for seed in seeds {
            let run = run_hash(arm.name, *seed);
            write_run(&root.join(&run), name, arm, *seed, steps);
            cells.push(json!({"arm": arm.name, "seed": seed, "run": run}));
        }
    }
    let dir = root.join("ablations").join(name);
    fs::create_dir_all(&dir).expect("the test folder can be written");
    let manifest = json!({
        "name": name, "description": "Do uneven budgets or a variance-aware sampler beat uniform sampling at equal cost?", "baseline": arms[0].name, "arms": arms.iter().map(|a| a.name).collect::<Vec<_>>(),
        "seeds": seeds, "metric": "eval/success", "cells": cells,
        "claims": [{"text": "Knapsack budgets beat uniform ones at equal rollouts.", "arm": "knapsack", "metric": "final:eval/success", "control": arms[0].name, "direction": "higher", "least_effect": 0.01}],
    });
    fs::write(
        dir.join("ablation.json"),
        serde_json::to_string_pretty(&manifest).expect("is JSON"),
    )
    .expect("the test folder can be written");
    dir
}

/// Name of a run folder.
pub(crate) fn run_hash(arm: &str, seed: u64) -> String {
    format!("{:016x}", Key::new(seed, Stream::Init).named(arm, 0).bits())
}

fn write_run(dir: &Path, name: &str, arm: &Arm, seed: u64, steps: u64) {
    fs::create_dir_all(dir).expect("the test folder can be written");
    let run = run_hash(arm.name, seed);
    let info =
        json!({"name": name, "arm": arm.name, "seed": seed, "run": run, "steps": steps, "n_tasks": 512});
    fs::write(dir.join("run.json"), info.to_string()).expect("the test folder can be written");
    let allocator = if arm.spread {
        "[allocator.knapsack]\nmax = 32\n"
    } else {
        "[allocator.uniform]\n"
    };
    let recipe =
        format!("seed = {seed}\nlearning_rate = 0.003\nnum_generations = 8\n{allocator}[advantage.grpo]\n");
    fs::write(dir.join("recipe.toml"), recipe).expect("the test folder can be written");
    let events = simulate(arm, seed, steps);
    let lines: String = events
        .iter()
        .map(|e| serde_json::to_string(e).expect("events are JSON") + "\n")
        .collect();
    fs::write(dir.join("events.jsonl"), lines).expect("the test folder can be written");
    let timing: String = (1..=steps)
        .map(|step| {
            let s = 0.8 + 0.4 * Key::new(seed, Stream::Bootstrap).named(arm.name, step).uniform();
            json!({"step": step, "seconds": s, "phase": {"rollout": 0.7 * s, "update": 0.3 * s}}).to_string()
                + "\n"
        })
        .collect();
    fs::write(dir.join("timing.jsonl"), timing).expect("the test folder can be written");
    fs::write(dir.join("done"), "").expect("the test folder can be written");
}

/// Success on a task after some steps: seeds differ in speed, arms in the half-way point.
fn success(arm: &Arm, seed: u64, step: f64, difficulty: f64) -> f64 {
    let shared = 8.0 * (Key::new(seed, Stream::Tasks).uniform() - 0.5);
    let own = 3.0 * (Key::new(seed, Stream::Init).named(arm.name, 1).uniform() - 0.5);
    let half = arm.half + shared + own + 9.0 * (difficulty - 3.0);
    0.03 + 0.92 / (1.0 + (-(step - half) / 9.0).exp())
}

fn simulate(arm: &Arm, seed: u64, steps: u64) -> Vec<Event> {
    let (mut rollouts, mut tokens) = (0u64, 0u64);
    let mut billed: BTreeMap<BillKind, u64> = BTreeMap::new();
    let mut events = vec![Event::Start {
        version: EVENT_VERSION,
        seed,
        run: run_hash(arm.name, seed),
        steps,
        n_tasks: 512,
    }];
    events.push(evaluate(arm, seed, 0, 0, 0));
    for step in 1..=steps {
        let mut rewards_of_step = Vec::new();
        for (group, size) in sizes(arm, seed, step).into_iter().enumerate() {
            let drawn = draw_group(arm, seed, step, (group as u64, size));
            rollouts += size;
            tokens += drawn.lengths.iter().map(|l| *l as u64).sum::<u64>();
            *billed.entry(drawn.kind).or_default() += size;
            rewards_of_step.extend(drawn.rewards.iter().flatten().copied());
            events.push(Event::Group {
                step,
                task: format!("task-{group}"),
                difficulty: drawn.difficulty,
                kind: drawn.kind,
                rewards: drawn.rewards,
                lengths: drawn.lengths,
                estimate: None,
            });
        }
        let reward = rewards_of_step.iter().sum::<f64>() / rewards_of_step.len() as f64;
        let metrics = BTreeMap::from([("reward".to_owned(), reward)]);
        events.push(Event::Step {
            step,
            rollouts,
            tokens,
            metrics,
        });
        if step % 5 == 0 {
            events.push(evaluate(arm, seed, step, rollouts, tokens));
        }
    }
    let weights = format!(
        "{:064x}",
        u128::from(Key::new(seed, Stream::Init).named(arm.name, 2).bits())
    );
    events.push(Event::Finish {
        step: steps,
        rollouts,
        tokens,
        billed,
        weights,
    });
    events
}

/// What one group brought.
struct Drawn {
    difficulty: f64,
    kind: BillKind,
    rewards: Vec<Option<f64>>,
    lengths: Vec<usize>,
}

/// Draws a task and the rewards and lengths of its rollouts.
fn draw_group(arm: &Arm, seed: u64, step: u64, (group, size): (u64, u64)) -> Drawn {
    let key = Key::new(seed, Stream::Rollout).named(arm.name, step).task(group);
    let difficulty = 1.0 + (key.uniform() * 5.0).floor();
    let p = success(arm, seed, step as f64, difficulty);
    let rewards: Vec<Option<f64>> = (0..size)
        .map(|i| Some(f64::from(u8::from(key.sample(i).uniform() < p))))
        .collect();
    let lengths = (0..size)
        .map(|i| 24 + (key.sample(i).turn(1).uniform() * 40.0) as usize)
        .collect();
    let mixed = rewards.iter().any(|r| *r != rewards[0]);
    let kind = if arm.discards && !mixed {
        BillKind::Discarded
    } else {
        BillKind::Train
    };
    Drawn {
        difficulty,
        kind,
        rewards,
        lengths,
    }
}

fn evaluate(arm: &Arm, seed: u64, step: u64, rollouts: u64, tokens: u64) -> Event {
    let key = Key::new(seed, Stream::Eval).named(arm.name, step);
    let n = 256;
    let hits = (0..n)
        .filter(|i| key.task(*i).uniform() < success(arm, seed, step as f64, 1.0 + (i % 5) as f64))
        .count();
    let length = 44.0 - 6.0 * success(arm, seed, step as f64, 3.0) + key.uniform();
    let mut metrics = BTreeMap::from([
        ("eval/success".to_owned(), hits as f64 / n as f64),
        ("eval/mean_length".to_owned(), length),
        ("eval/unscorable".to_owned(), 0.0),
    ]);
    for difficulty in 1..=5u32 {
        let p = success(arm, seed, step as f64, f64::from(difficulty));
        metrics.insert(format!("eval/success/difficulty={difficulty}"), p);
    }
    Event::Eval {
        step,
        rollouts,
        tokens,
        metrics,
    }
}

/// Sixteen groups of 8, or the same 128 rollouts spread unevenly.
fn sizes(arm: &Arm, seed: u64, step: u64) -> Vec<u64> {
    if !arm.spread {
        return vec![8; 16];
    }
    let mut rng = Key::new(seed, Stream::Sampler).named(arm.name, step).rng();
    let mut sizes = vec![2u64; 16];
    for _ in 0..96 {
        let at = rng.below(16).min(rng.below(16)) as usize;
        sizes[at] += 1;
    }
    sizes
}
