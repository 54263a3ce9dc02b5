//! Properties that every world keeps, the values of its draws, and the published rows where they are at hand.

use std::collections::BTreeSet;
use std::path::PathBuf;

use groupwise_core::seams::{Environment, Symbols, World};
use groupwise_core::{Key, Stream, Task};
use groupwise_env::envs::{digit_chain, digit_completion, running_sum};
use groupwise_env::{WorldContext, WorldSpec};

fn key(seed: u64) -> Key {
    Key::new(seed, Stream::Tasks)
}

fn world(name: &str) -> Box<dyn World> {
    WorldSpec::named(name)
        .expect("a known name")
        .build(&WorldContext::default())
        .expect("defaults build")
}

fn each(mut check: impl FnMut(&str, &dyn World)) {
    for name in WorldSpec::NAMES {
        check(name, world(name).as_ref());
    }
}

/// Worlds whose answers a verifier or shaper judges by more than one figure: their tests stand beside them.
const JUDGED_ELSEWHERE: &[&str] = &[
    "answer-pools",
    "class-points",
    "menu-screens",
    "answer-twice",
    "trace-answer",
    "reply-labels",
    "opinion-table",
    "trace-dialects",
    "category-arms",
];

/// Worlds that list all there is.
const SAME_UNDER_EVERY_KEY: &[&str] = &["answer-twice", "reply-labels"];

/// Plays an episode; returns what was seen and the return.
fn play(
    episode: &mut dyn Environment,
    turns: usize,
    mut act: impl FnMut(usize) -> String,
) -> (Vec<String>, f64) {
    let (mut seen, mut total) = (Vec::new(), 0.0);
    for turn in 0..turns {
        let observation = episode.observe();
        assert_eq!(
            observation.anchor.as_deref(),
            Some(observation.text.as_str()),
            "the anchor is what is seen"
        );
        seen.push(observation.text);
        let outcome = episode.step(&act(turn)).expect("the episode is not over");
        total += outcome.reward;
        if outcome.stop.is_some() {
            return (seen, total);
        }
    }
    panic!("no stop within {turns} turns");
}

#[test]
fn the_registry_is_complete_and_speaks() {
    assert_eq!(
        WorldSpec::NAMES,
        [
            "digit-chain",
            "digit-completion",
            "skill-chain",
            "interval-bins",
            "action-classes",
            "running-sum",
            "effort-choice",
            "fact-chain",
            "plan-choice",
            "answer-pools",
            "class-points",
            "menu-screens",
            "answer-twice",
            "trace-answer",
            "reply-labels",
            "opinion-table",
            "trace-dialects",
            "category-arms"
        ]
    );
    for part in WorldSpec::catalogue() {
        assert!(
            !part.formula.is_empty() && !part.source.is_empty(),
            "{}",
            part.name
        );
        let json = serde_json::json!({ part.name: part.defaults });
        let spec: WorldSpec = serde_json::from_value(json).expect("defaults read back");
        assert_eq!(Some(&spec), WorldSpec::named(part.name).as_ref());
        let text = toml::to_string(&spec).expect("a recipe can be written");
        assert_eq!(toml::from_str::<WorldSpec>(&text).expect("and read"), spec);
        let typo = format!("[{}]\nn_task = 3\n", part.name);
        assert!(
            toml::from_str::<WorldSpec>(&typo)
                .unwrap_err()
                .to_string()
                .contains("unknown field `n_task`")
        );
    }
    let held_out: WorldSpec =
        toml::from_str("[skill-chain]\nevaluate = { held-out = 12 }\n").expect("parses");
    let built = held_out.build(&WorldContext::default()).expect("builds");
    assert_eq!(built.eval_tasks(key(0)).expect("tasks").len(), 12);
}

#[test]
fn tasks_are_a_function_of_the_key_with_unique_identities() {
    each(|name, world| {
        for tasks in [World::train_tasks, World::eval_tasks] {
            let first = tasks(world, key(3)).expect("tasks");
            assert_eq!(first, tasks(world, key(3)).expect("tasks"), "{name}");
            let other = tasks(world, key(4)).expect("tasks");
            assert_eq!(first == other, SAME_UNDER_EVERY_KEY.contains(&name), "{name}");
            let ids: BTreeSet<&str> = first.iter().map(|task| task.id.as_str()).collect();
            assert_eq!(ids.len(), first.len(), "{name}");
        }
    });
}

#[test]
fn episodes_are_a_function_of_task_key_and_actions() {
    each(|name, world| {
        let tasks = world.train_tasks(key(0)).expect("tasks");
        for task in tasks.iter().take(20) {
            let run = || {
                let mut episode = world
                    .start(task, Key::new(1, Stream::Environment))
                    .expect("starts");
                play(episode.as_mut(), world.max_turns(), |turn| {
                    format!("o{}", turn % 2)
                })
            };
            assert_eq!(run(), run(), "{name}");
            assert_eq!(
                run().0[0],
                task.prompt,
                "{name}: the first observation is the prompt"
            );
        }
    });
}

#[test]
fn prompts_and_references_are_spelled_with_the_symbols() {
    each(|name, world| {
        let tasks = [world.train_tasks(key(0)), world.eval_tasks(key(0))]
            .map(|t| t.expect("tasks"))
            .concat();
        for task in tasks {
            match world.symbols() {
                Symbols::Characters(symbols) => {
                    let text = task.prompt + &task.reference;
                    assert!(text.chars().all(|c| symbols.contains(c)), "{name}: {text}");
                }
                Symbols::Words { states, .. } => {
                    assert!(states.contains(&task.prompt), "{name}: {}", task.prompt)
                }
            }
        }
    });
}

/// Whether an answer to a single-turn task is right, judged without the reference.
fn is_right(name: &str, prompt: &str, answer: &str) -> bool {
    match name {
        "digit-chain" => digit_chain::check(digit_chain::Form::default(), 10, prompt, answer).is_ok(),
        "running-sum" => {
            let sums = running_sum::running_sums(prompt, 10).expect("a prompt");
            let last = sums.last().expect("a sum").to_string();
            answer.split_once(':').is_some_and(|(_, found)| found == last)
        }
        _ => digit_completion::complete(prompt).as_deref() == Some(answer),
    }
}

#[test]
fn a_scripted_solver_solves_every_task() {
    each(|name, world| {
        if JUDGED_ELSEWHERE.contains(&name) {
            return;
        }
        for task in world.train_tasks(key(5)).expect("tasks") {
            let mut episode = world
                .start(&task, Key::new(1, Stream::Environment))
                .expect("starts");
            match world.demonstration(&task) {
                Some(text) => assert!(is_right(name, &task.prompt, &text), "{name}: {task:?}"),
                None if name == "plan-choice" => {
                    let best = task.columns["best_plan"].as_u64().expect("a plan");
                    let picks = |state: &str| if state.contains('/') { 6 } else { best };
                    let greedy =
                        |state: &str| Some((0..7).map(|a| f64::from(u8::from(a == picks(state)))).collect());
                    assert_eq!(world.exact_success(&task, &greedy), Some(0.35), "{name}");
                }
                None if task.reference.is_empty() => {
                    // A bandit: the best policy knows the column of rates.
                    let best = task.columns["best_action"].as_f64().expect("a rate");
                    let rates = task.columns["rates"].as_array().expect("rates");
                    let first = rates
                        .iter()
                        .position(|r| r.as_f64() == Some(best))
                        .expect("it is there");
                    let greedy = |_: &str| {
                        Some(
                            (0..rates.len())
                                .map(|a| f64::from(u8::from(a == first)))
                                .collect(),
                        )
                    };
                    assert_eq!(world.exact_success(&task, &greedy), Some(best), "{name}");
                }
                None => {
                    let actions = world.actions(&task.reference);
                    let (seen, total) =
                        play(episode.as_mut(), world.max_turns(), |turn| actions[turn].into());
                    assert_eq!((seen.len(), total), (actions.len(), 1.0), "{name}");
                }
            }
        }
    });
}

/// An answer of the reference's length from characters drawn at random, or a random option.
fn random_success(world: &dyn World, name: &str, task: &Task, sample: u64) -> f64 {
    let mut rng = Key::new(9, Stream::Rollout).task(task.key()).sample(sample).rng();
    match world.symbols() {
        Symbols::Characters(symbols) => {
            let symbols: Vec<char> = symbols.chars().collect();
            let mut draw = |_| symbols[rng.below(symbols.len() as u64) as usize];
            let answer: String = task.reference.chars().map(&mut draw).collect();
            f64::from(u8::from(is_right(name, &task.prompt, &answer)))
        }
        Symbols::Words { actions, .. } => {
            let mut episode = world
                .start(
                    task,
                    Key::new(1, Stream::Environment).task(task.key()).sample(sample),
                )
                .expect("starts");
            play(episode.as_mut(), world.max_turns(), |_| {
                actions[rng.below(actions.len() as u64) as usize].clone()
            })
            .1
        }
    }
}

#[test]
fn a_random_policy_earns_its_expected_floor() {
    // 3.29 standard errors of a mean of independent binary results: alpha 0.001; graded ones vary less.
    each(|name, world| {
        if JUDGED_ELSEWHERE.contains(&name) {
            return;
        }
        let tasks: Vec<Task> = world.train_tasks(key(6)).expect("tasks");
        let chance = |task: &Task| match world.symbols() {
            Symbols::Characters(symbols) => {
                (symbols.chars().count() as f64).powi(-(task.reference.len() as i32))
            }
            Symbols::Words { actions, .. } => {
                let n = actions.len();
                let uniform = |_: &str| Some(vec![1.0 / n as f64; n]);
                world.exact_success(task, &uniform).expect("a closed form")
            }
        };
        let repeats = 40;
        let n = (tasks.len() * repeats) as f64;
        let (mut expected, mut variance, mut hits) = (0.0, 0.0, 0.0);
        for task in &tasks {
            let p = chance(task);
            expected += p * repeats as f64 / n;
            variance += p * (1.0 - p) * repeats as f64 / (n * n);
            hits += (0..repeats)
                .map(|s| random_success(world, name, task, s as u64))
                .sum::<f64>()
                / n;
        }
        assert!(
            (hits - expected).abs() <= 3.29 * variance.sqrt(),
            "{name}: {hits}, expected {expected}"
        );
    });
}

#[test]
fn draws_are_pinned() {
    // Value stability: a change here changes every run ever made and is a decision, not a refactoring.
    let pinned = |name: &str, tasks: Vec<Task>| {
        let line = |t: &Task| {
            let columns = serde_json::to_string(&t.columns).expect("a map of plain values");
            format!(
                "{} {:?} {:?} {} {columns}",
                t.id, t.prompt, t.reference, t.difficulty
            )
        };
        let all: Vec<String> = tasks.iter().map(line).collect();
        // The hash covers what a long line leaves out.
        let shown: Vec<String> = all[..4].iter().map(|l| l.chars().take(120).collect()).collect();
        format!(
            "{name} {:016x}\n{}\n",
            groupwise_core::key::hash_str(&all.join("\n")),
            shown.join("\n")
        )
    };
    let mut text = String::new();
    each(|name, world| {
        text += &pinned(
            &format!("{name} train"),
            world.train_tasks(key(42)).expect("tasks"),
        );
        text += &pinned(&format!("{name} eval"), world.eval_tasks(key(42)).expect("tasks"));
    });
    let logits = world("skill-chain")
        .initial_logits(Key::new(42, Stream::Init))
        .expect("prescribed");
    text += &format!("{:?}\n{:?}\n", logits[0], &logits[59][..2]);
    assert_eq!(text, include_str!("draws.txt"));
}

/// The data folder the user gave, or the one beside the checkout.
fn data() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("GROUPWISE_DATA").map_or_else(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

#[test]
fn the_published_rows_of_digit_completion_follow_the_rule() {
    let Some(folder) = data() else {
        println!("skipped: no data at GROUPWISE_DATA or beside the checkout");
        return;
    };
    let spec: WorldSpec = serde_json::from_str(r#"{"digit-completion": {"rows": "file"}}"#).expect("parses");
    let world = spec.build(&WorldContext { data: Some(folder) }).expect("builds");
    let train = world.train_tasks(key(0)).expect("every row follows the rule");
    let prompts: BTreeSet<&str> = train.iter().map(|task| task.prompt.as_str()).collect();
    assert_eq!((train.len(), prompts.len()), (800, 736));
    let eval = world.eval_tasks(key(0)).expect("generated");
    assert_eq!(eval.len(), 100);
    assert!(eval.iter().all(|task| !prompts.contains(task.prompt.as_str())));
    // Generated rows are drawn from the same population: every published prompt is among its 1,000 triples.
    let all: WorldSpec =
        serde_json::from_str(r#"{"digit-completion": {"rows": "generated", "n_tasks": 1000, "n_eval": 0}}"#)
            .expect("parses");
    let all = all
        .build(&WorldContext::default())
        .expect("builds")
        .train_tasks(key(0))
        .expect("tasks");
    let population: BTreeSet<&str> = all.iter().map(|task| task.prompt.as_str()).collect();
    assert!(prompts.is_subset(&population));
}
