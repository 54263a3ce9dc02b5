//! Episodes from elsewhere inside groups: what trains, what is billed, what samplers and logs see.

use std::collections::BTreeMap;

use crate::common::{Tabular, plan, recipe, run, steps};
use groupwise_core::Event;
use groupwise_core::event::BillKind;

const FACTORY: Tabular = Tabular {
    learner: true,
    poisoned_step: None,
};

/// A world in which most groups fail at first.
fn hard(extra: &str) -> String {
    recipe(extra).replace(
        "n_skills = 12",
        "n_skills = 12\nmin_skills = 2\nmax_skills = 5\nlogit_shift = 1.0",
    )
}

fn events(text: &str) -> Vec<Event> {
    let (runs, mut heard) = (tempfile::tempdir().expect("a folder"), Vec::new());
    run(&plan(text), runs.path(), usize::MAX, &mut heard, &FACTORY).expect("a run");
    heard
}

/// Rollouts by kind, and the digest of the weights.
fn finish(events: &[Event]) -> (BTreeMap<BillKind, u64>, String) {
    match events.last() {
        Some(Event::Finish {
            billed,
            weights,
            rollouts,
            tokens,
            ..
        }) => {
            assert_eq!(*rollouts, billed.values().sum::<u64>());
            let lengths = |e: &Event| match e {
                Event::Group { lengths, .. } => lengths.iter().sum::<usize>() as u64,
                _ => 0,
            };
            assert_eq!(
                *tokens,
                events.iter().map(lengths).sum::<u64>(),
                "every token is logged"
            );
            (billed.clone(), weights.clone())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reference_solution_trains_beside_the_sampled_members_and_costs_no_rollout() {
    let with = |extra: &str| events(&hard(&format!("[repair.inject-reference]\n{extra}")));
    let plain = events(&hard(""));
    let injected = with("");
    for metrics in steps(&injected) {
        assert_eq!(
            (metrics["repair/share"], metrics["repair/reward/mean"]),
            (1.0, 1.0)
        );
        assert_eq!(metrics["group_size/mean"], 5.0);
        // Its log-probabilities are those of the learner: the ratio begins at 1.
        assert!(metrics["sampling/sampling_logp_difference/max"] < 1e-12);
    }
    assert_eq!(
        finish(&injected).0,
        BTreeMap::from([(BillKind::Train, 12 * 6 * 4)])
    );
    assert_ne!(finish(&injected).1, finish(&plain).1);
    for event in &injected {
        if let Event::Group { rewards, lengths, .. } = event {
            assert_eq!(
                (rewards.len(), lengths.len()),
                (4, 4),
                "only what was sampled is logged"
            );
        }
    }
    let success = |events: &[Event]| match events.iter().rev().find(|e| matches!(e, Event::Eval { .. })) {
        Some(Event::Eval { metrics, .. }) => metrics["eval/success"],
        other => panic!("{other:?}"),
    };
    let (taught, found) = (success(&injected), success(&plain));
    assert!(
        taught > found + 0.1,
        "it is taught what it does not find: {taught} {found}"
    );
    // The advantage of a reference can be its own.
    let anchored = with("[advantage.tempsamp-r1]\nmode = \"anchor\"\n");
    assert_ne!(finish(&anchored).1, finish(&injected).1);
    let grao = with("[advantage.grao]\n");
    assert_ne!(finish(&grao).1, finish(&injected).1);
}

#[test]
fn where_only_failed_groups_get_the_reference_the_others_train_as_they_are() {
    let events = events(&hard("[repair.inject-reference]\nwhen = \"all-failed\"\n"));
    let shares: Vec<f64> = steps(&events)
        .iter()
        .map(|m| m.get("repair/share").copied().unwrap_or(0.0))
        .collect();
    let failed: Vec<f64> = (1..=12)
        .map(|now| {
            let is = |e: &&Event| {
                matches!(e, Event::Group { step, rewards, .. }
                if *step == now && rewards.iter().all(|r| *r == Some(0.0)))
            };
            events.iter().filter(is).count() as f64 / 6.0
        })
        .collect();
    assert_eq!(shares, failed);
    assert!(
        shares.iter().any(|s| *s > 0.0) && shares.iter().any(|s| *s < 1.0),
        "{shares:?}"
    );
}

#[test]
fn replay_puts_past_successes_into_failed_groups() {
    let of = |extra: &str| {
        events(&hard(&format!("[repair.arpo-replay]\n{extra}")).replace("n_tasks = 30", "n_tasks = 8"))
    };
    let replayed = of("");
    let shares: f64 = steps(&replayed)
        .iter()
        .filter_map(|m| m.get("repair/share"))
        .sum();
    assert!(shares > 0.0, "it happened");
    assert!(
        !steps(&replayed)[0].contains_key("repair/share"),
        "nothing is stored before the first step"
    );
    for metrics in steps(&replayed) {
        assert_eq!(metrics["group_size/mean"], 4.0);
        assert_eq!(metrics.get("repair/reward/mean").copied().unwrap_or(1.0), 1.0);
        assert!(metrics["sampling/sampling_logp_difference/max"] < 1e-12);
    }
    assert_eq!(
        finish(&replayed).0,
        BTreeMap::from([(BillKind::Train, 12 * 6 * 4)])
    );
    let stored = of("old_logp = \"stored\"\n");
    let worst = steps(&stored)
        .iter()
        .map(|m| m["sampling/sampling_logp_difference/max"])
        .fold(0.0, f64::max);
    assert!(worst > 1e-3, "the policy has moved since: {worst}");
}

#[test]
fn the_ratio_of_a_stored_episode_starts_from_the_policy_that_sampled_it() {
    // One update a step: all other ratios are 1, so that without a clip the two objectives are one.
    let norms = |objective: &str, extra: &str| {
        let text = hard(&format!("[repair.arpo-replay]\n{extra}"))
            .replace("n_tasks = 30", "n_tasks = 8")
            .replace("[objective.reinforce]", objective);
        let norms = steps(&events(&text))
            .iter()
            .map(|m| m["grad_norm"])
            .collect::<Vec<_>>();
        assert_eq!(norms.len(), 12);
        norms
    };
    let clipped = "[objective.dr-grpo]\nmax_completion_length = 1";
    let recomputed = norms(clipped, "");
    for (a, b) in recomputed.iter().zip(norms("[objective.reinforce]", "")) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }
    assert_ne!(recomputed, norms(clipped, "old_logp = \"stored\"\n"));
}

#[test]
fn a_search_under_hints_bills_every_rollout_and_stops_at_the_first_success() {
    let extra = "[repair.scaf-grpo]\nexemption = 0.25\nhints = { reference = \"word\" }\n";
    let events = events(&hard(extra));
    let metrics = steps(&events);
    let (billed, _) = finish(&events);
    let searched: f64 = metrics.iter().filter_map(|m| m.get("repair/rollouts")).sum();
    assert_eq!(billed[&BillKind::Hint] as f64, searched);
    assert_eq!(billed[&BillKind::Train], 12 * 6 * 4);
    assert!(
        metrics[..3].iter().all(|m| !m.contains_key("repair/rollouts")),
        "a quarter of 12 steps is exempt"
    );
    let mut won = [0.0; 13];
    for event in &events {
        if let Event::Group {
            kind: BillKind::Hint,
            rewards,
            step,
            ..
        } = event
        {
            let (last, before) = rewards.split_last().expect("something was tried");
            assert!(before.iter().all(|r| *r == Some(0.0)), "{rewards:?}");
            won[*step as usize] += last.expect("scorable") / 6.0;
        }
    }
    for (step, metrics) in (1..).zip(metrics) {
        assert!((metrics.get("repair/share").copied().unwrap_or(0.0) - won[step]).abs() < 1e-12);
    }
    assert!(won.iter().sum::<f64>() > 0.0);
}

#[test]
fn a_filter_admits_a_group_that_was_repaired() {
    let discarded = |extra: &str| {
        let events = events(&hard(&format!(
            "[filter.dynamic-sampling]\nmax_gen_batches = 200\n{extra}"
        )));
        finish(&events).0.get(&BillKind::Discarded).copied().unwrap_or(0)
    };
    assert!(discarded("[repair.inject-reference]\n") < discarded("") / 2);
}

#[test]
fn what_reads_references_is_refused_without_them() {
    let text = recipe("[advantage.grao]\n");
    let error = groupwise_recipe::Experiment::from_text(std::path::Path::new("r.toml"), &text, &[]);
    let text = error.expect_err("no references").to_string();
    assert!(text.contains("needs reference solutions in the groups"), "{text}");
}
