//! What a run computes: metrics, bills, failures, on the tabular policy.

use std::collections::BTreeMap;

use crate::common::{Tabular, plan, recipe, run, steps};
use groupwise_core::event::BillKind;
use groupwise_core::seams::Score;
use groupwise_core::{Event, Task, Trajectory, Verifier};

const FACTORY: Tabular = Tabular {
    learner: true,
    poisoned_step: None,
};

fn events(text: &str) -> Vec<Event> {
    let runs = tempfile::tempdir().expect("a folder");
    let mut heard = Vec::new();
    run(&plan(text), runs.path(), usize::MAX, &mut heard, &FACTORY).expect("a run");
    heard
}

fn evals(events: &[Event]) -> Vec<f64> {
    let success = |e: &Event| {
        if let Event::Eval { metrics, .. } = e {
            Some(metrics["eval/success"])
        } else {
            None
        }
    };
    events.iter().filter_map(success).collect()
}

#[test]
fn a_step_reports_in_the_vocabulary_of_trl() {
    let events = events(&recipe("[advantage.grpo]\n"));
    let steps = steps(&events);
    assert_eq!(steps.len(), 12);
    for name in [
        "loss",
        "grad_norm",
        "learning_rate",
        "reward",
        "reward_std",
        "frac_reward_zero_std",
        "rewards/environment/mean",
        "completions/mean_length",
        "completions/clipped_ratio",
        "completions/mean_terminated_length",
        "entropy",
        "num_tokens",
        "effective_gradient_ratio",
        "coverage",
        "sampling/sampling_logp_difference/max",
        "sampling/importance_sampling_ratio/mean",
    ] {
        assert!(
            steps[0].contains_key(name),
            "{name} is missing from {:?}",
            steps[0].keys()
        );
    }
    for metrics in steps {
        assert!(metrics["sampling/sampling_logp_difference/max"] <= 1e-12);
        let ratio = metrics["effective_gradient_ratio"];
        assert!((0.0..=1.0).contains(&ratio));
        assert!(
            (metrics["frac_reward_zero_std"] - (1.0 - ratio)).abs() < 1e-12,
            "equal group sizes"
        );
    }
}

#[test]
fn a_step_tells_how_much_the_allocator_sent_to_its_fallback_pool() {
    let surplus = |extra: &str| -> Vec<f64> {
        let events = events(&recipe(extra));
        steps(&events).iter().map(|m| m["rollouts/surplus"]).collect()
    };
    assert_eq!(surplus(""), [0.0; 12]);
    assert!(surplus("[allocator.knapsack]\n").iter().any(|s| *s > 0.0));
}

#[test]
fn estimators_see_the_replies_and_the_task_of_each_group() {
    let norms = |extra: &str| -> Vec<f64> {
        let events = events(&recipe(extra));
        steps(&events)
            .iter()
            .filter_map(|m| m.get("grad_norm").copied())
            .collect()
    };
    let plain = norms("[advantage.dr-grpo]\n");
    assert_eq!(norms("[advantage.seed-grpo]\nalpha = 0.0\n"), plain);
    assert_ne!(norms("[advantage.seed-grpo]\nalpha = 1.0\n"), plain);
    // Weighs the replies by their nearness to the task's reference, which it must have seen.
    assert_ne!(norms("[advantage.dr-irl]\n"), plain);
}

#[test]
fn a_shaper_may_rank_the_members_by_the_samplers_log_probabilities() {
    let events = events(&recipe("[[shapers]]\n[shapers.unlikeliness]\npenalty = 0.5\n"));
    let steps = steps(&events);
    assert_eq!(steps.len(), 12);
    let raw: f64 = steps.iter().map(|m| m["rewards/environment/mean"]).sum();
    let shaped: f64 = steps.iter().map(|m| m["reward"]).sum();
    assert!(shaped < raw, "{shaped} {raw}");
}

#[test]
fn training_raises_success() {
    let text = recipe("")
        .replace("steps = 12", "steps = 60")
        .replace("eval_steps = 4", "eval_steps = 20");
    let success = evals(&events(&text));
    assert_eq!(success.len(), 4);
    assert!(success[3] > success[0] + 0.1, "{success:?}");
}

#[test]
fn every_rollout_is_billed_once() {
    for extra in [
        "",
        "[allocator.knapsack]\n",
        "[filter.dynamic-sampling]\nmax_gen_batches = 50\n",
    ] {
        let events = events(&recipe(extra));
        let mut counted: BTreeMap<BillKind, u64> = BTreeMap::new();
        let mut tokens = 0;
        for event in &events {
            if let Event::Group {
                kind,
                rewards,
                lengths,
                ..
            } = event
            {
                *counted.entry(*kind).or_default() += rewards.len() as u64;
                tokens += lengths.iter().sum::<usize>() as u64;
            }
        }
        let Some(Event::Finish {
            billed,
            rollouts,
            tokens: billed_tokens,
            ..
        }) = events.last()
        else {
            panic!("no finish")
        };
        assert_eq!(&counted, billed, "{extra}");
        assert_eq!(*rollouts, counted.values().sum::<u64>());
        assert_eq!(*billed_tokens, tokens);
        if extra.contains("dynamic") {
            assert!(counted[&BillKind::Discarded] > 0);
            let flat: Vec<f64> = steps(&events).iter().map(|m| m["frac_reward_zero_std"]).collect();
            assert!(
                flat.iter().all(|f| *f == 0.0),
                "only mixed groups are trained on: {flat:?}"
            );
        } else {
            assert_eq!(counted[&BillKind::Train], 12 * 24);
        }
    }
}

#[test]
fn a_budget_in_rollouts_ends_the_run() {
    let text = recipe("").replace("steps = 12", "steps = 12\nmax_rollouts = 100");
    let Some(Event::Finish { step, rollouts, .. }) = events(&text).last().cloned() else {
        panic!("no finish")
    };
    assert_eq!(
        (step, rollouts),
        (5, 120),
        "the step that crosses the budget is the last"
    );
}

#[test]
fn members_of_a_group_differ_and_arms_share_their_draws() {
    // The same prompts with the same weights: the first step's rollouts of two arms are equal.
    let first = |extra: &str| -> Vec<Event> {
        let is_first = |e: &Event| matches!(e, Event::Group { step: 1, .. });
        events(&recipe(extra)).into_iter().filter(is_first).collect()
    };
    assert_eq!(first("[advantage.grpo]\n"), first("[advantage.rloo]\n"));
    let runs = tempfile::tempdir().unwrap();
    let trained = run(
        &plan(&recipe("")),
        runs.path(),
        1,
        &mut Vec::<Event>::new(),
        &FACTORY,
    )
    .unwrap();
    let log = std::fs::read_to_string(trained.folder.join("rollouts.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let groups: Vec<&[serde_json::Value]> = lines.chunks(4).collect();
    assert_eq!(groups.len(), 6);
    let differ = groups.iter().filter(|g| {
        g.iter()
            .any(|m| m["member"]["completion"] != g[0]["member"]["completion"])
    });
    assert!(differ.count() >= 5, "members of a group draw their own tokens");
}

#[test]
fn several_optimizer_steps_take_old_log_probabilities() {
    let text = recipe("").replace("steps = 12", "steps = 4\nnum_iterations = 2\nmini_batches = 2");
    let text = text.replace("[objective.reinforce]", "[objective.grpo]");
    let events = events(&text);
    let clipped: f64 = steps(&events)
        .iter()
        .filter_map(|m| m.get("clip_ratio/region_mean"))
        .sum();
    assert!(
        clipped > 0.0,
        "with four steps at a high rate some ratios leave the clip range"
    );
}

#[test]
fn methods_that_do_not_train_need_no_learner() {
    let runs = tempfile::tempdir().unwrap();
    let mut heard = Vec::new();
    let factory = Tabular {
        learner: false,
        poisoned_step: None,
    };
    run(&plan(&recipe("")), runs.path(), usize::MAX, &mut heard, &factory).unwrap();
    let success = evals(&heard);
    assert!(
        success.iter().all(|s| *s == success[0]),
        "nothing was learned: {success:?}"
    );
    assert!(!steps(&heard)[0].contains_key("loss"));
}

#[test]
fn a_gradient_that_is_not_finite_stops_the_run_with_step_and_tensor() {
    let runs = tempfile::tempdir().unwrap();
    let mut heard = Vec::<Event>::new();
    let factory = Tabular {
        learner: true,
        poisoned_step: Some(3),
    };
    let error = run(&plan(&recipe("")), runs.path(), usize::MAX, &mut heard, &factory)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("step 3, update: gradient of `logits["),
        "{error}"
    );
    let steps = heard.iter().filter(|e| matches!(e, Event::Step { .. })).count();
    assert_eq!(steps, 2, "earlier steps stay readable");
    // The same command without the fault goes on from the last checkpoint.
    assert!(run(&plan(&recipe("")), runs.path(), usize::MAX, &mut heard, &FACTORY).is_ok());
}

#[test]
fn a_filter_that_admits_nothing_is_an_error_with_numbers() {
    // Success is certain: no group is ever mixed.
    let text = recipe("[filter.dynamic-sampling]\nmax_gen_batches = 3\n")
        .replace("n_skills = 12", "n_skills = 12\nlogit_shift = 60.0");
    let runs = tempfile::tempdir().unwrap();
    let error = run(
        &plan(&text),
        runs.path(),
        usize::MAX,
        &mut Vec::<Event>::new(),
        &FACTORY,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "step 1: after 3 generation batches only 0 of 6 groups were admitted by the filter"
    );
}

#[test]
fn remax_bills_its_greedy_rollouts() {
    let events = events(&recipe("[advantage.remax]\n"));
    let Some(Event::Finish { billed, tokens, .. }) = events.last() else {
        panic!("no finish")
    };
    assert_eq!(billed[&BillKind::Auxiliary], 12 * 6);
    let of_members = |events: &[Event]| -> u64 {
        let length = |e: &Event| match e {
            Event::Group { lengths, .. } => lengths.iter().sum::<usize>() as u64,
            _ => 0,
        };
        events.iter().map(length).sum()
    };
    let greedy = tokens - of_members(&events);
    assert!(greedy >= 12 * 6, "every greedy answer costs a token: {greedy}");
    let plain = self::events(&recipe(""));
    let Some(Event::Finish { tokens, .. }) = plain.last() else {
        panic!("no finish")
    };
    assert_eq!(*tokens, of_members(&plain));
}

/// Cannot score answers to every second task: the greedy one, or all of them.
#[derive(Debug)]
struct Choosy {
    inner: Box<dyn Verifier>,
    all: bool,
}

impl Verifier for Choosy {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        let greedy = trajectory.sample == u64::from(u32::MAX);
        if trajectory.task.is_multiple_of(2) && (self.all || greedy) {
            return Score::Unscorable("no number".into());
        }
        self.inner.score(task, trajectory)
    }
}

#[test]
fn a_group_whose_greedy_answer_cannot_be_scored_is_left_out_and_billed() {
    let outcome = |unscorable: Option<bool>| {
        let mut plan = plan(&recipe("[advantage.remax]\n").replace("steps = 12", "steps = 1"));
        if let Some(all) = unscorable {
            let inner = plan.verifier;
            plan.verifier = Box::new(Choosy { inner, all });
        }
        let (runs, mut heard) = (tempfile::tempdir().expect("a folder"), Vec::new());
        run(&plan, runs.path(), usize::MAX, &mut heard, &FACTORY).expect("a run");
        let Some(Event::Finish { billed, weights, .. }) = heard.pop() else {
            panic!("no finish")
        };
        (billed[&BillKind::Auxiliary], weights)
    };
    let (scored, greedy, all) = (outcome(None), outcome(Some(false)), outcome(Some(true)));
    assert_ne!(scored.1, greedy.1);
    assert_eq!(greedy, all, "as if none of the group's answers could be scored");
    assert_eq!(greedy.0, 6);
}

#[test]
fn a_survey_of_the_pool_is_billed_and_logged() {
    let events = events(&recipe("[sampler.vas]\nrefresh_every = 5\nrollouts = 2\n"));
    let Some(Event::Finish { billed, rollouts, .. }) = events.last() else {
        panic!("no finish")
    };
    // 30 tasks twice, before step 1 and at steps 5 and 10; 6 groups of 4 in each of 12 steps.
    assert_eq!(billed[&BillKind::StartUp], 60);
    assert_eq!(billed[&BillKind::Refresh], 120);
    assert_eq!(billed[&BillKind::Train], 12 * 6 * 4);
    assert_eq!(*rollouts, billed.values().sum::<u64>());
    let count = |kind: BillKind, step: u64| {
        let is = |e: &&Event| matches!(e, Event::Group { step: s, kind: k, .. } if *s == step && *k == kind);
        events.iter().filter(is).count()
    };
    assert_eq!(count(BillKind::StartUp, 1), 30);
    assert_eq!(
        (count(BillKind::Refresh, 5), count(BillKind::Refresh, 6)),
        (30, 0)
    );
    assert_eq!(steps(&events)[0]["coverage"], 1.0, "everything was seen");
}

#[test]
fn cures_starts_from_rollouts_of_every_task() {
    let events = events(&recipe("[sampler.cures]\n[allocator.square-root]\n"));
    let Some(Event::Finish { billed, .. }) = events.last() else {
        panic!("no finish")
    };
    assert_eq!(billed[&BillKind::StartUp], 30 * 4);
    assert!(!billed.contains_key(&BillKind::Refresh));
}

#[test]
fn a_kl_penalty_in_the_reward_holds_the_policy_back() {
    let with = |beta: &str| {
        let text = recipe("").replace(
            "[objective.reinforce]",
            &format!("[objective.rloo]\nbeta = {beta}"),
        );
        events(&text.replace("steps = 12", "steps = 40"))
    };
    let (free, held) = (with("0.0"), with("5.0"));
    assert!(!steps(&free)[0].contains_key("rewards/kl_penalty/mean"));
    assert_eq!(
        steps(&held)[0]["rewards/kl_penalty/mean"],
        0.0,
        "the first step is the reference itself"
    );
    let last = |e: &[Event]| *evals(e).last().unwrap();
    assert!(
        last(&held) < last(&free),
        "{} is not below {}",
        last(&held),
        last(&free)
    );
}

#[test]
fn a_scheduled_objective_moves_with_the_optimizer_steps() {
    let text = |mini_batches: u32| {
        let run = format!("[run]\nmini_batches = {mini_batches}");
        let objective = "[objective.grpo-d]\nbeta_min = 0.0\nbeta_max = 1.0\nwarm_frac = 0.5";
        recipe("")
            .replace("[run]", &run)
            .replace("[objective.reinforce]", objective)
    };
    // At 6 of 12 steps the coefficient is 0 and the loss has no such term; with two optimizer steps a training step
    // the second one of them has it again.
    for (mini_batches, expected) in [(1, vec![6]), (2, vec![])] {
        let events = events(&text(mini_batches));
        let without: Vec<usize> = steps(&events)
            .iter()
            .enumerate()
            .filter(|(_, metrics)| !metrics.contains_key("kl_loss"))
            .map(|(step, _)| step)
            .collect();
        assert_eq!(without, expected, "{mini_batches} mini-batches");
    }
}

#[test]
fn groups_carry_the_estimate_that_chose_or_sized_them_and_no_later_one() {
    let estimates = |extra: &str| -> Vec<(u64, String, Option<f64>)> {
        let found = events(&recipe(extra)).into_iter();
        found
            .filter_map(|event| match event {
                Event::Group {
                    step, task, estimate, ..
                } => Some((step, task, estimate)),
                _ => None,
            })
            .collect()
    };
    assert!(
        estimates("").iter().all(|(_, _, e)| e.is_none()),
        "uniform groups estimate nothing"
    );
    let vade = estimates("[sampler.vade]\n");
    // Before anything was observed every estimate is the prior's.
    let first: Vec<f64> = vade
        .iter()
        .filter(|(step, ..)| *step == 1)
        .filter_map(|(_, _, e)| *e)
        .collect();
    assert!(!first.is_empty() && first.iter().all(|e| *e == 0.5), "{first:?}");
    assert!(vade.iter().any(|(_, _, e)| e.is_some_and(|e| e != 0.5)));
    // A knapsack knows a prompt from the step after its first visit at the earliest (a group of two tells too little).
    let mut first_visit = BTreeMap::new();
    let mut known = 0;
    for (step, task, estimate) in estimates("[allocator.knapsack]\n") {
        let first = *first_visit.entry(task.clone()).or_insert(step);
        assert!(estimate.is_none() || first < step, "step {step}, {task}");
        known += usize::from(estimate.is_some());
    }
    assert!(known > 0);
}
