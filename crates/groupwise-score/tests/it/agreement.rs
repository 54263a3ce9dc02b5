//! What comes out of a stream is what the parts compute on slices: every named part, random ragged groups.

use groupwise_advantage::AdvantageSpec;
use groupwise_core::{
    AdvantageEstimator, Advantages, JudgedStep, Offsets, ProcessRewards, RewardBatch, Scope,
};
use groupwise_objective::ObjectiveSpec;
use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested, worked_example};
use groupwise_score::Options;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::{leaves, score};

#[derive(Clone, Debug)]
struct Member {
    reward: Option<f64>,
    mask: Vec<bool>,
    columns: [Vec<f64>; 4],
}

type Groups = Vec<(f64, Vec<Member>)>;

fn member() -> impl Strategy<Value = Member> {
    (1usize..5).prop_flat_map(|n| {
        let reward = prop_oneof![4 => (0.0..1.0f64).prop_map(Some), 1 => Just(Some(1.0)), 1 => Just(None)];
        let column = || prop::collection::vec(-3.0..0.0f64, n);
        let mask = prop::collection::vec(prop::bool::weighted(0.8), n);
        (reward, mask, [column(), column(), column(), column()]).prop_map(|(reward, mask, columns)| Member {
            reward,
            mask,
            columns,
        })
    })
}

/// The last group always has something to whiten.
fn groups() -> impl Strategy<Value = Groups> {
    let fixed = |r: f64| Member {
        reward: Some(r),
        mask: vec![true; 2],
        columns: std::array::from_fn(|_| vec![-1.0, r]),
    };
    let last = (0.5, vec![fixed(0.0), fixed(1.0)]);
    prop::collection::vec((0.0..1.0f64, prop::collection::vec(member(), 1..4)), 1..4).prop_map(
        move |mut groups| {
            groups.push(last.clone());
            groups
        },
    )
}

fn text(groups: &Groups) -> String {
    let line = |(greedy, members): &(f64, Vec<Member>)| {
        let column = |c: usize| members.iter().map(|m| m.columns[c].clone()).collect::<Vec<_>>();
        let masks: Vec<&Vec<bool>> = members.iter().map(|m| &m.mask).collect();
        let rewards: Vec<Option<f64>> = members.iter().map(|m| m.reward).collect();
        let ones: Vec<Vec<f64>> = members.iter().map(|m| vec![m.reward.unwrap_or(0.5)]).collect();
        let whole: Vec<Vec<usize>> = members.iter().map(|m| vec![m.mask.len()]).collect();
        let ends: Vec<Vec<usize>> = members.iter().map(|m| vec![m.mask.len() - 1]).collect();
        let anchors: Vec<Vec<&str>> = members.iter().map(|_| vec!["here"]).collect();
        json!({
            "rewards": rewards, "greedy_reward": greedy, "off_policy": injected(members),
            "steps": {"rewards": ones, "anchors": anchors, "n_tokens": whole},
            "judged_steps": {"ends": ends, "rewards": ones},
            "tokens": {"logp_old": column(0), "logp_ref": column(1), "entropy": column(2), "values": column(3), "mask": masks},
        })
        .to_string()
    };
    groups.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The last member of a group counts as one that was not sampled.
fn injected(members: &[Member]) -> Vec<bool> {
    (1..=members.len()).map(|i| i == members.len()).collect()
}

/// The estimator on slices; per trajectory a row of one number or of one per token.
fn directly(estimator: &dyn AdvantageEstimator, groups: &Groups) -> Option<Vec<f64>> {
    let members: Vec<&Member> = groups.iter().flat_map(|g| &g.1).collect();
    let offsets = Offsets::from_lengths(groups.iter().map(|g| g.1.len()));
    let tokens = Offsets::from_lengths(members.iter().map(|m| m.mask.len()));
    let rewards: Vec<Option<f64>> = members.iter().map(|m| m.reward).collect();
    let greedy: Vec<f64> = groups.iter().map(|g| g.0).collect();
    let mask: Vec<bool> = members
        .iter()
        .flat_map(|m| m.mask.iter().map(|counts| *counts && m.reward.is_some()))
        .collect();
    let column = |c: usize| {
        members
            .iter()
            .flat_map(|m| m.columns[c].clone())
            .collect::<Vec<f64>>()
    };
    let columns: [Vec<f64>; 4] = std::array::from_fn(column);
    let steps = Offsets::from_lengths(members.iter().map(|_| 1));
    let step_rewards: Vec<f64> = rewards.iter().map(|r| r.unwrap_or(0.5)).collect();
    let step_tokens: Vec<_> = tokens.spans().iter().collect();
    let anchors = vec!["here".to_owned(); members.len()];
    let judged: Vec<JudgedStep> = members
        .iter()
        .map(|m| JudgedStep {
            end: m.mask.len() - 1,
            reward: m.reward.unwrap_or(0.5),
        })
        .collect();
    let off_policy: Vec<bool> = groups.iter().flat_map(|g| injected(&g.1)).collect();
    let batch = RewardBatch {
        off_policy: Some(&off_policy),
        greedy_rewards: Some(&greedy),
        steps: Some(steps.spans()),
        step_rewards: Some(&step_rewards),
        anchors: Some(&anchors),
        step_tokens: Some(&step_tokens),
        tokens: Some(tokens.spans()),
        mask: Some(&mask),
        logp_old: Some(&columns[0]),
        logp_ref: Some(&columns[1]),
        entropy: Some(&columns[2]),
        values: Some(&columns[3]),
        process: Some(ProcessRewards {
            spans: steps.spans(),
            steps: &judged,
        }),
        ..RewardBatch::new(offsets.spans(), &rewards)
    };
    match estimator.estimate(&batch).ok()? {
        Advantages::Trajectory(a) | Advantages::Token(a) => Some(a),
    }
}

fn of(lines: &[Value], key: &str) -> Vec<f64> {
    lines.iter().flat_map(|line| leaves(&line[key])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_estimator_gives_the_bits_it_gives_on_slices(groups in groups()) {
        for name in AdvantageSpec::NAMES {
            let spec = AdvantageSpec::named(name).unwrap();
            let part = spec.build(&()).unwrap();
            let mut options = Options { advantage: Some(spec), batch: groups.len().try_into().ok(), ..Options::default() };
            let Some(expected) = directly(part.as_ref(), &groups) else {
                prop_assert!(score(&text(&groups), &options).is_err(), "{}", name);
                continue;
            };
            let found = score(&text(&groups), &options).unwrap();
            prop_assert_eq!(&of(&found, "advantages"), &expected, "{}", name);
            if part.scope() <= Scope::Group {
                options.batch = None;
                prop_assert_eq!(score(&text(&groups), &options).unwrap(), found, "{}", name);
            }
        }
    }
}

fn objectives() -> Vec<ObjectiveSpec> {
    let dr_grpo = serde_json::from_str(r#"{"dr-grpo": {"max_completion_length": 8}}"#).unwrap();
    let with_kl = serde_json::from_str(r#"{"grpo": {"beta": 0.04}}"#).unwrap();
    let named = ObjectiveSpec::NAMES
        .iter()
        .filter_map(|n| ObjectiveSpec::named(n));
    named
        .filter(|spec| spec.build(&()).is_ok())
        .chain([dr_grpo, with_kl])
        .collect()
}

/// The worked example with a mask, nested and as lines.
fn example() -> (NestedBatch, String) {
    let example = worked_example();
    let NestedAdvantages::Trajectory(advantages) = &example.advantages else {
        panic!("one advantage per trajectory");
    };
    let mask: Vec<Vec<Vec<bool>>> = example
        .logp
        .iter()
        .map(|g| {
            g.iter()
                .map(|row| (0..row.len()).map(|t| t != 1).collect())
                .collect()
        })
        .collect();
    let (old, reference) = (
        example.logp_old.as_ref().unwrap(),
        example.logp_ref.as_ref().unwrap(),
    );
    let line = |g: usize| {
        json!({
            "tokens": {"logp": example.logp[g], "logp_old": old[g], "logp_ref": reference[g], "mask": mask[g]},
            "advantages": advantages[g],
        })
        .to_string()
    };
    let lines = format!("{}\n{}\n", line(0), line(1));
    (
        NestedBatch {
            mask: Some(mask),
            ..example
        },
        lines,
    )
}

#[test]
fn every_objective_gives_the_loss_it_gives_on_nested_lists() {
    let (nested, lines) = example();
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-14 * b.abs().max(1.0);
    for spec in objectives() {
        let (name, objective) = (spec.name(), spec.build(&()).unwrap());
        let options = Options {
            objective: Some(spec),
            batch: 2.try_into().ok(),
            ..Options::default()
        };
        let Ok(expected) = evaluate_nested(objective.as_ref(), &nested) else {
            assert!(score(&lines, &options).is_err(), "{name}");
            continue;
        };
        let found = score(&lines, &options).unwrap();
        assert_eq!(
            of(&found, "grad_logp"),
            expected.grad_logp.concat().concat(),
            "{name}"
        );
        for line in &found {
            assert!(close(line["loss"].as_f64().unwrap(), expected.loss), "{name}");
            assert_eq!(
                line["terms"].as_object().unwrap().len(),
                expected.terms.len(),
                "{name}"
            );
            for (term, value) in &expected.terms {
                assert!(
                    close(line["terms"][term].as_f64().unwrap(), *value),
                    "{name}: {term}"
                );
            }
            assert_eq!(
                line.get("loss_share").is_some(),
                objective.scope() < Scope::Batch,
                "{name}"
            );
        }
        if objective.scope() < Scope::Batch {
            assert!(
                close(of(&found, "loss_share").iter().sum(), expected.loss),
                "{name}"
            );
        }
    }
}
