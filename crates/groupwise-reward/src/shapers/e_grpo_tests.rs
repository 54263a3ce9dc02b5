//! Invariants of section 10, edge cases of section 5.

use groupwise_core::stats::{mean, sample_std};
use groupwise_core::{StopReason, Turn};
use proptest::prelude::*;
use serde_json::json;

use super::super::testing::member;
use super::*;
use EGrpoStatus::{Correct, Format, Overlength, Wrong};

fn egrpo(alpha: f64) -> EGrpo {
    let config = EGrpoConfig {
        alpha,
        ..EGrpoConfig::default()
    };
    EGrpo::new(&config).expect("valid")
}

fn groups() -> impl Strategy<Value = Vec<EGrpoMember>> {
    let status = prop_oneof![
        8 => prop::sample::select(vec![Correct, Wrong, Wrong, Format, Overlength]).prop_map(Some),
        1 => Just(None)
    ];
    let member = (status, 0usize..6).prop_map(|(status, matches)| EGrpoMember { status, matches });
    prop::collection::vec(member, 0..9)
}

/// Advantages of fully scored rewards, as GRPO forms them without eps.
fn advantages(rewards: &[Option<f64>]) -> Vec<f64> {
    let rewards: Vec<f64> = rewards.iter().flatten().copied().collect();
    let (mean, std) = (mean(&rewards), sample_std(&rewards));
    rewards
        .iter()
        .map(|r| if std > 0.0 { (r - mean) / std } else { 0.0 })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rewards_lie_in_0_to_1_and_wrong_ones_below_alpha(group in groups(), alpha in 0.0..=1.0f64) {
        let shaped = egrpo(alpha).shape_group(&group, 5)?;
        for (m, r) in group.iter().zip(&shaped.rewards) {
            prop_assert_eq!(m.status.is_some(), r.is_some());
            let r = r.unwrap_or(0.0);
            prop_assert!((0.0..=1.0).contains(&r));
            match m.status {
                Some(Correct) => prop_assert_eq!(r, 1.0),
                Some(Wrong) => prop_assert!(r <= alpha),
                _ => prop_assert_eq!(r, 0.0),
            }
        }
    }

    #[test]
    fn the_best_of_the_group_sets_the_scale(group in groups()) {
        let shaped = egrpo(0.3).shape_group(&group, 5)?;
        let most = group.iter().filter(|m| m.status.is_some()).map(|m| m.matches).max().unwrap_or(0);
        for (m, b) in group.iter().zip(&shaped.bonuses) {
            let share = if most > 0 { m.matches as f64 / most as f64 } else { 0.0 };
            prop_assert_eq!(*b, m.status.map(|_| share));
        }
    }

    #[test]
    fn an_entity_that_nobody_names_changes_nothing(group in groups(), more in 1usize..9) {
        prop_assert_eq!(egrpo(0.3).shape_group(&group, 5)?, egrpo(0.3).shape_group(&group, 5 + more)?);
    }

    #[test]
    fn in_an_all_wrong_group_advantages_do_not_depend_on_alpha(
        matches in prop::collection::vec(0usize..6, 2..9), alpha in 0.05..=1.0f64,
    ) {
        let group: Vec<EGrpoMember> =
            matches.iter().map(|m| EGrpoMember { status: Some(Wrong), matches: *m }).collect();
        let here = advantages(&egrpo(alpha).shape_group(&group, 5)?.rewards);
        let there = advantages(&egrpo(0.3).shape_group(&group, 5)?.rewards);
        for (a, b) in here.iter().zip(&there) {
            prop_assert!((a - b).abs() < 1e-6);
        }
    }

    #[test]
    fn alpha_0_pays_right_answers_only_and_masks_the_same(group in groups()) {
        let none = egrpo(0.0).shape_group(&group, 5)?;
        for (m, r) in group.iter().zip(&none.rewards) {
            prop_assert_eq!(*r, m.status.map(|s| f64::from(u8::from(s == Correct))));
        }
        let masked: Vec<bool> = group.iter().map(|m| m.status != Some(Overlength)).collect();
        prop_assert_eq!(&none.trained, &masked);
        prop_assert_eq!(egrpo(0.3).shape_group(&group, 5)?.trained, masked);
    }
}

#[test]
fn errors_count_in_the_maximum_but_earn_nothing() {
    let group = [(Format, 4), (Overlength, 5), (Wrong, 1)].map(|(status, matches)| EGrpoMember {
        status: Some(status),
        matches,
    });
    let shaped = egrpo(0.5).shape_group(&group, 5).expect("data");
    assert_eq!(shaped.rewards, [0.0, 0.0, 0.1].map(Some));
    assert_eq!(shaped.bonuses, [0.8, 1.0, 0.2].map(Some));
    assert_eq!(shaped.trained, [true, false, true]);
    assert_eq!(
        egrpo(0.5)
            .shape_group(&group, 4)
            .expect_err("refused")
            .to_string(),
        "trajectory 1: matches 5 of 4 entities"
    );
}

#[test]
fn an_entity_is_found_whole_in_one_thought_and_counted_once() {
    let found = |entities: &[&str], thoughts: &[&str]| entity_matches(entities, thoughts).expect("data");
    assert_eq!(
        found(&["ab", "ab"], &["ab ab"]),
        EntityMatches { matched: 1, total: 1 }
    );
    assert_eq!(found(&["ab"], &["a", "b"]).matched, 0);
    assert_eq!(found(&["ab"], &["Ab aB AB"]).matched, 0);
    assert_eq!(found(&["ab"], &["cabs"]).matched, 1);
    assert_eq!(found(&["a", "b", "c"], &["b", "a"]).rate(), 2.0 / 3.0);
    assert_eq!(found(&[], &["a"]).rate(), 0.0);
    assert_eq!(
        entity_matches(&["a", ""], &["a"])
            .expect_err("refused")
            .to_string(),
        "entity 1: is empty"
    );
}

#[test]
fn thoughts_end_at_the_first_close_or_with_the_text() {
    let found = |text| thoughts(text, "<t>", "</t>");
    assert_eq!(
        found("a <t>b</t> c <t></t><t>d <t> e</t> f</t>"),
        ["b", "", "d <t> e"]
    );
    assert_eq!(found("<t>cut"), ["cut"]);
    assert!(found("no thought</t>").is_empty());
}

fn spoken(actions: &[(&str, bool)], stop: StopReason) -> Trajectory {
    let mut trajectory = member(4, 0, stop);
    trajectory.turns = actions
        .iter()
        .map(|(action, valid)| Turn {
            anchor: None,
            action: (*action).to_owned(),
            tokens: 0..0,
            reward: 0.0,
            valid: *valid,
        })
        .collect();
    trajectory
}

fn task(entities: serde_json::Value) -> Task {
    let mut task = Task::new("q7", "", "");
    task.columns.insert("entities".into(), entities);
    task
}

fn shape(
    config: &EGrpoConfig,
    task: &Task,
    members: &[Trajectory],
    rewards: &mut GroupRewards,
) -> Result<(), DataError> {
    let shaper = config.build(&()).expect("valid");
    shaper.shape(task, members, rewards, &PromptMemory::new(1, 1))
}

#[test]
fn status_is_read_off_the_trajectory_and_entities_off_the_task() {
    let end = StopReason::EndToken;
    let members = [
        spoken(
            &[("<think>A</think> ask", true), ("<think>B</think> B", true)],
            end,
        ),
        spoken(&[("<think>A</think> C", true)], end),
        spoken(&[("<think>A B C", true)], StopReason::Length),
        spoken(&[("<think>A B C", true)], StopReason::TurnLimit),
        spoken(&[("<think>A</think>", true), ("?", false)], end),
        spoken(&[], end),
        spoken(&[("<think>A B C D</think>", true)], end),
        spoken(&[("A B C", true)], end),
    ];
    let right = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0].map(Some);
    let mut scores = right.to_vec();
    scores[6] = None;
    let mut rewards = GroupRewards::new("v", scores);
    let task = task(json!(["A", "B", "C", "D", "A"]));
    shape(&EGrpoConfig::default(), &task, &members, &mut rewards).expect("data");
    let bonus = 0.3 * (2.0 / 3.0);
    assert_eq!(
        rewards.rewards,
        [
            Some(bonus),
            Some(1.0),
            Some(0.0),
            Some(0.0),
            Some(0.0),
            Some(0.0),
            None,
            Some(0.0)
        ]
    );
    assert_eq!(
        rewards.trained,
        [true, true, false, false, true, true, true, true]
    );
    assert_eq!(
        rewards.components["e-grpo"],
        [
            Some(0.5),
            Some(0.25),
            Some(0.75),
            Some(0.75),
            Some(0.25),
            Some(0.0),
            None,
            Some(0.0)
        ]
    );
}

#[test]
fn a_component_is_not_replaced_twice() {
    let members = [spoken(&[("<think>A</think> C", true)], StopReason::EndToken)];
    let mut rewards = GroupRewards::new("v", vec![Some(1.0)]);
    let task = task(json!(["A"]));
    shape(&EGrpoConfig::default(), &task, &members, &mut rewards).expect("data");
    let named = EGrpoConfig {
        accuracy: Some("v".into()),
        ..EGrpoConfig::default()
    };
    assert_eq!(
        shape(&named, &task, &members, &mut rewards)
            .expect_err("refused")
            .to_string(),
        "component `e-grpo`: is already there: the reward would be replaced twice"
    );
}

#[test]
fn the_accuracy_is_that_of_the_component_and_what_was_kept_out_stays_out() {
    let members = [spoken(&[("<think>A", true)], StopReason::EndToken)];
    let mut rewards = GroupRewards::new("v", vec![Some(0.5)]);
    rewards.rewards = vec![Some(-2.0)];
    rewards.trained = vec![false];
    let config = EGrpoConfig {
        correct_at: 0.5,
        ..EGrpoConfig::default()
    };
    shape(&config, &task(json!([])), &members, &mut rewards).expect("data");
    assert_eq!((rewards.rewards, rewards.trained), (vec![Some(1.0)], vec![false]));
}

#[test]
fn a_task_without_a_list_of_entities_is_named() {
    let members = [spoken(&[("a", true)], StopReason::EndToken)];
    for bad in [json!("A"), json!(["A", 3]), json!(null)] {
        let mut rewards = GroupRewards::new("v", vec![Some(1.0)]);
        let found = shape(&EGrpoConfig::default(), &task(bad), &members, &mut rewards);
        assert_eq!(
            found.expect_err("refused").to_string(),
            "task `q7`: column `entities` must be a list of texts"
        );
    }
    let mut rewards = GroupRewards::new("v", vec![Some(1.0)]);
    let found = shape(
        &EGrpoConfig::default(),
        &task(json!([""])),
        &members,
        &mut rewards,
    );
    assert_eq!(found.expect_err("refused").to_string(), "entity 0: is empty");
}

#[test]
fn bad_parameters_are_refused() {
    let refused = |config: EGrpoConfig| config.build(&()).map(|_| ()).expect_err("refused").to_string();
    for bad in [-0.1, 1.1, f64::NAN] {
        let config = EGrpoConfig {
            alpha: bad,
            ..EGrpoConfig::default()
        };
        assert_eq!(
            refused(config),
            format!("`alpha` = {bad}: must be a number in [0, 1]")
        );
    }
    for key in ["entities", "open", "close"] {
        let mut config = EGrpoConfig::default();
        match key {
            "entities" => config.entities.clear(),
            "open" => config.open.clear(),
            _ => config.close.clear(),
        }
        assert_eq!(
            refused(config),
            format!("`{key}` = \"\": must be a text that is not empty")
        );
    }
    let config = EGrpoConfig {
        correct_at: f64::INFINITY,
        ..EGrpoConfig::default()
    };
    assert_eq!(refused(config), "`correct_at` = inf: must be a finite number");
    for alpha in [0.0, 1.0] {
        egrpo(alpha);
    }
}

#[test]
fn the_formula_prints_the_numbers() {
    assert_eq!(
        EGrpoConfig::default().formula(),
        "r_i = 1 right (accuracy >= 1), 0.3 g_i / max(g) wrong, 0 badly formed or truncated; g: share of the task's \
         `entities` inside <think>..</think> of i; truncated members stay out of the loss"
    );
}
