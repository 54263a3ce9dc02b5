//! Invariants of section 10, edge cases of section 5.

use groupwise_core::{StopReason, Turn};
use proptest::prelude::*;

use super::super::testing::{member, shape};
use super::*;

fn otc(config: OtcPoConfig) -> OtcPo {
    OtcPo::new(&config).expect("valid")
}

fn of(variant: OtcVariant, c: f64) -> OtcPo {
    otc(OtcPoConfig {
        variant,
        c,
        ..OtcPoConfig::default()
    })
}

fn one(reward: f64, calls: u64) -> OtcMember {
    OtcMember {
        reward: Some(reward),
        correct: reward >= 1.0,
        calls,
    }
}

fn groups() -> impl Strategy<Value = Vec<OtcMember>> {
    let reward = prop_oneof![
        6 => prop::sample::select(vec![0.0, 0.1, 1.0]).prop_map(Some),
        1 => Just(None)
    ];
    let member = (reward, any::<bool>(), 0u64..9).prop_map(|(reward, correct, calls)| OtcMember {
        reward,
        correct,
        calls,
    });
    prop::collection::vec(member, 0..9)
}

fn variants() -> impl Strategy<Value = OtcVariant> {
    prop::sample::select(vec![OtcVariant::Grpo, OtcVariant::Ppo])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_factor_lies_between_0_and_1(
        calls in prop_oneof![0u64..50, any::<u64>()],
        optimum in prop::option::of(prop_oneof![0u64..50, any::<u64>()]),
        variant in variants(),
        c in 0.01..50.0f64,
    ) {
        let w = of(variant, c).weight(calls, optimum);
        prop_assert!((0.0..=1.0).contains(&w), "{w}");
    }

    #[test]
    fn the_optimum_itself_has_factor_1(n in 0u64..1000, c in 0.01..50.0f64) {
        prop_assert_eq!(of(OtcVariant::Grpo, c).weight(n, Some(n)), 1.0);
    }

    #[test]
    fn beyond_the_optimum_the_factor_falls(n in 0u64..20, beyond in 0u64..40, c in 0.1..20.0f64) {
        let grpo = of(OtcVariant::Grpo, c);
        prop_assert!(grpo.weight(n + beyond, Some(n)) > grpo.weight(n + beyond + 1, Some(n)));
        let ppo = of(OtcVariant::Ppo, c);
        prop_assert!(ppo.weight(beyond, Some(n)) > ppo.weight(beyond + 1, None));
    }

    #[test]
    fn the_factor_is_the_papers_expression(n in 1u64..30, m in 0u64..60) {
        let f = 2.0 * n as f64 * m as f64 / (m + n) as f64;
        let paper = (f * PI / (2.0 * n as f64)).sin();
        prop_assert!((of(OtcVariant::Grpo, 1.0).weight(m, Some(n)) - paper).abs() < 1e-12);
    }

    #[test]
    fn what_earned_nothing_earns_nothing_for_being_cheap(
        group in groups(), remembered in prop::option::of(0u64..9), variant in variants(),
    ) {
        let shaped = of(variant, 1.0).shape_group(&group, remembered)?;
        for (i, m) in group.iter().enumerate() {
            prop_assert_eq!(shaped.rewards[i].is_some(), m.reward.is_some());
            if m.reward == Some(0.0) {
                prop_assert_eq!(shaped.rewards[i], Some(0.0));
            }
            let weighed = m.reward.map(|r| shaped.weights[i] * r);
            prop_assert_eq!(shaped.rewards[i], weighed);
        }
    }

    #[test]
    fn the_optimum_never_increases(visits in prop::collection::vec(groups(), 1..6)) {
        let otc = of(OtcVariant::Grpo, 1.0);
        let mut known: Option<u64> = None;
        for group in visits {
            let next = otc.shape_group(&group, known)?.optimum;
            let fewest = group.iter().filter(|m| m.correct && m.reward.is_some()).map(|m| m.calls).min();
            prop_assert_eq!(next, match (known, fewest) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            });
            known = next;
        }
    }

    #[test]
    fn a_common_factor_of_rewards_or_alpha_is_carried_through(group in groups(), scale in 0.1..10.0f64) {
        let plain = of(OtcVariant::Grpo, 1.0).shape_group(&group, None)?;
        let scaled: Vec<OtcMember> = group
            .iter()
            .map(|m| OtcMember { reward: m.reward.map(|r| r * scale), ..*m })
            .collect();
        let by_reward = of(OtcVariant::Grpo, 1.0).shape_group(&scaled, None)?;
        let by_alpha = otc(OtcPoConfig { alpha: scale, ..OtcPoConfig::default() }).shape_group(&group, None)?;
        for (i, r) in plain.rewards.iter().enumerate() {
            for other in [&by_reward, &by_alpha] {
                let expected = r.map_or(0.0, |r| r * scale);
                prop_assert!((other.rewards[i].unwrap_or(0.0) - expected).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn the_worked_example() {
    let group = [
        one(1.0, 2),
        one(1.0, 4),
        one(0.0, 0),
        one(1.0, 3),
        one(0.0, 6),
        one(1.0, 2),
    ];
    let otc = of(OtcVariant::Grpo, 1.0);
    let shaped = otc.shape_group(&group, None).expect("data");
    let expected = [
        1.0,
        0.8660254,
        0.0,
        0.9510565,
        std::f64::consts::FRAC_1_SQRT_2,
        1.0,
    ];
    for (w, e) in shaped.weights.iter().zip(expected) {
        assert!((w - e).abs() < 1e-7, "{w}");
    }
    assert_eq!((shaped.optimum, shaped.rewards[4]), (Some(2), Some(0.0)));
    let shaped = otc.shape_group(&group, Some(1)).expect("data");
    assert!((shaped.weights[1] - 0.5877853).abs() < 1e-7);
}

#[test]
fn nobody_right_and_nothing_remembered_leaves_rewards_alone() {
    let group = [one(0.1, 3), one(0.0, 0)];
    let otc = of(OtcVariant::Grpo, 1.0);
    let shaped = otc.shape_group(&group, None).expect("data");
    assert_eq!((shaped.optimum, shaped.weights), (None, vec![1.0, 1.0]));
    assert_eq!(
        otc.shape_group(&group, Some(3)).expect("data").weights,
        [1.0, 0.0]
    );
    // The variant without groups charges calls all the same.
    let ppo = of(OtcVariant::Ppo, 1.0);
    assert!((ppo.weight(1, None) - 0.5).abs() < 1e-15);
    assert_eq!(ppo.weight(0, Some(4)), 1.0);
}

#[test]
fn an_unscorable_member_sets_no_optimum() {
    let group = [
        OtcMember {
            reward: None,
            correct: true,
            calls: 1,
        },
        one(1.0, 2),
    ];
    let shaped = of(OtcVariant::Grpo, 1.0).shape_group(&group, None).expect("data");
    assert_eq!((shaped.optimum, shaped.rewards), (Some(2), vec![None, Some(1.0)]));
}

#[test]
fn rewards_that_are_not_finite_are_named() {
    let found = of(OtcVariant::Grpo, 1.0).shape_group(&[one(1.0, 0), one(f64::NAN, 0)], None);
    assert_eq!(
        found.expect_err("refused").to_string(),
        "trajectory 1: `reward` is NaN"
    );
}

#[test]
fn productivity_counts_right_answers_per_call() {
    assert_eq!(tool_productivity(&[true, true, false], &[2, 0, 6]), Ok(0.25));
    assert_eq!(tool_productivity(&[false], &[2]), Ok(0.0));
    assert_eq!(
        tool_productivity(&[true, false], &[0, 0])
            .expect_err("refused")
            .to_string(),
        "tool productivity: is undefined: there are no tool calls"
    );
    assert_eq!(
        tool_productivity(&[true], &[]).expect_err("refused").to_string(),
        "`calls` has 0 entries, expected 1"
    );
}

/// A trajectory of these actions.
fn spoken(actions: &[&str], stop: StopReason) -> Trajectory {
    let mut trajectory = member(4, 0, stop);
    trajectory.turns = actions
        .iter()
        .map(|action| Turn {
            anchor: None,
            action: (*action).to_owned(),
            tokens: 0..0,
            reward: 0.0,
            valid: true,
        })
        .collect();
    trajectory
}

#[test]
fn calls_are_counted_in_all_actions_and_truncated_answers_are_wrong() {
    let call = "<tool_call>";
    let members = [
        spoken(
            &["a <tool_call> b <tool_call>", "<tool_call>", "done"],
            StopReason::EndToken,
        ),
        spoken(&[call, call, call], StopReason::EndToken),
        spoken(&["tool_call"], StopReason::Length),
        spoken(&[call], StopReason::TurnLimit),
        spoken(&[call], StopReason::EndToken),
        spoken(&[call], StopReason::EndToken),
    ];
    let scores = vec![Some(1.0), Some(0.5), Some(1.0), Some(1.0), Some(0.0), None];
    let mut rewards = GroupRewards::new("v", scores);
    shape(&OtcPoConfig::default(), &members, &mut rewards).expect("data");
    // n = 3: what was cut off or unscorable sets no optimum.
    let w = (PI / 4.0).sin();
    assert_eq!(
        rewards.rewards,
        [Some(1.0), Some(0.5), Some(0.0), Some(w), Some(0.0), None]
    );
    assert_eq!(
        rewards.components["otc-po"],
        [Some(1.0), Some(1.0), Some(0.0), Some(w), Some(w), None]
    );
    assert_eq!(rewards.trained, [true; 6]);
    assert_eq!(
        shape(
            &OtcPoConfig {
                accuracy: Some("v".into()),
                ..OtcPoConfig::default()
            },
            &members,
            &mut rewards
        )
        .expect_err("refused")
        .to_string(),
        "component `otc-po`: is already there: the reward would be scaled twice"
    );
}

#[test]
fn right_is_what_the_named_component_says() {
    let members = [
        spoken(&["<tool_call>"], StopReason::EndToken),
        spoken(&["<tool_call><tool_call>"], StopReason::EndToken),
    ];
    let mut rewards = GroupRewards::new("right", vec![Some(0.25), Some(0.5)]);
    rewards.rewards = vec![Some(4.0), Some(2.0)];
    rewards
        .components
        .insert("format".into(), vec![Some(1.0), Some(1.0)]);
    let config = |accuracy: Option<&str>| OtcPoConfig {
        accuracy: accuracy.map(str::to_owned),
        correct_at: 0.5,
        alpha: 2.0,
        ..OtcPoConfig::default()
    };
    assert_eq!(
        shape(&config(None), &members, &mut rewards)
            .expect_err("refused")
            .to_string(),
        "components: `accuracy` must name one of: format, right"
    );
    shape(&config(Some("right")), &members, &mut rewards).expect("data");
    let w = (PI / 3.0).sin();
    assert_eq!(rewards.rewards, [Some(2.0 * w * 4.0), Some(4.0)]);
}

#[test]
fn bad_parameters_are_refused() {
    let refused = |config: OtcPoConfig| config.build(&()).map(|_| ()).expect_err("refused").to_string();
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let (mut alpha, mut c) = (OtcPoConfig::default(), OtcPoConfig::default());
        alpha.alpha = bad;
        c.c = bad;
        assert_eq!(
            refused(alpha),
            format!("`alpha` = {bad}: must be a finite number > 0")
        );
        assert_eq!(refused(c), format!("`c` = {bad}: must be a finite number > 0"));
    }
    let config = OtcPoConfig {
        marker: String::new(),
        ..OtcPoConfig::default()
    };
    assert_eq!(
        refused(config),
        "`marker` = \"\": must be a text that is not empty"
    );
    let config = OtcPoConfig {
        correct_at: f64::NAN,
        ..OtcPoConfig::default()
    };
    assert_eq!(refused(config), "`correct_at` = NaN: must be a finite number");
}

#[test]
fn the_formula_prints_what_is_active() {
    assert_eq!(
        OtcPoConfig::default().formula(),
        "r_i *= 1 w_i; m: calls `<tool_call>` of i; w = sin(pi m / (m + n)), n = 0: 1 at m = 0, else \
         cos(pi m / (2 m + 1)); n: fewest m of a right answer of the group (accuracy >= 1, not truncated); nobody \
         right: w = 1"
    );
    let ppo: OtcPoConfig =
        serde_json::from_str(r#"{"variant": "ppo", "alpha": 2, "c": 0.5}"#).expect("parses");
    assert_eq!(
        ppo.formula(),
        "r_i *= 2 w_i; m: calls `<tool_call>` of i; w = cos(pi m / (2 m + 0.5))"
    );
}
