//! Invariants of section 10, edge cases of section 5.

use groupwise_core::{StopReason, Turn};
use proptest::prelude::*;

use super::super::testing::{member, shape};
use super::*;

fn gcpo(config: &GcpoConfig) -> Gcpo {
    Gcpo::new(config).expect("valid")
}

fn small() -> GcpoConfig {
    GcpoConfig {
        max_length: 20,
        ..GcpoConfig::default()
    }
}

fn one(accuracy: f64, used: bool, length: usize) -> GcpoMember {
    GcpoMember {
        accuracy: Some(accuracy),
        used,
        length,
    }
}

fn groups() -> impl Strategy<Value = Vec<GcpoMember>> {
    let accuracy = prop_oneof![
        8 => prop::sample::select(vec![0.0, 0.25, 0.5, 1.0]).prop_map(Some),
        1 => Just(None)
    ];
    let member = (accuracy, any::<bool>(), 0usize..40).prop_map(|(accuracy, used, length)| GcpoMember {
        accuracy,
        used,
        length,
    });
    prop::collection::vec(member, 0..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_contrast_flips_when_use_is_inverted(group in groups()) {
        let inverted: Vec<GcpoMember> = group.iter().map(|m| GcpoMember { used: !m.used, ..*m }).collect();
        let gcpo = gcpo(&small());
        let (here, there) = (gcpo.shape_group(&group)?.contrast, gcpo.shape_group(&inverted)?.contrast);
        prop_assert_eq!(here.sign(), -there.sign());
    }

    #[test]
    fn the_contrast_is_the_sign_of_a_difference_beyond_epsilon(group in groups(), epsilon in 0.0..0.6f64) {
        let mean = |used: bool| {
            let side: Vec<f64> = group.iter().filter(|m| m.used == used).filter_map(|m| m.accuracy).collect();
            (!side.is_empty()).then(|| side.iter().sum::<f64>() / side.len() as f64)
        };
        let expected = match (mean(true), mean(false)) {
            (Some(w), Some(o)) if w - o > epsilon => Contrast::Helps,
            (Some(w), Some(o)) if o - w > epsilon => Contrast::Hurts,
            _ => Contrast::Open,
        };
        let found = gcpo(&GcpoConfig { epsilon, ..small() }).shape_group(&group)?;
        prop_assert_eq!(found.contrast, expected);
    }

    #[test]
    fn order_of_members_is_carried_along(group in groups(), turn in 0usize..9) {
        let mut turned = group.clone();
        turned.rotate_left(turn % group.len().max(1));
        let gcpo = gcpo(&small());
        let (mut here, there) = (gcpo.shape_group(&group)?, gcpo.shape_group(&turned)?);
        here.bonuses.rotate_left(turn % group.len().max(1));
        prop_assert_eq!(here, there);
    }

    #[test]
    fn the_contrast_does_not_depend_on_lengths(group in groups(), length in 0usize..40) {
        let other: Vec<GcpoMember> = group.iter().map(|m| GcpoMember { length, ..*m }).collect();
        let gcpo = gcpo(&small());
        prop_assert_eq!(gcpo.shape_group(&group)?.contrast, gcpo.shape_group(&other)?.contrast);
    }

    #[test]
    fn without_contrast_or_weight_only_length_is_paid(group in groups()) {
        let idle = gcpo(&GcpoConfig { aux_weight: 0.0, ..small() }).shape_group(&group)?;
        let open = gcpo(&GcpoConfig { epsilon: 1.0, ..small() }).shape_group(&group)?;
        prop_assert_eq!(open.contrast, Contrast::Open);
        for ((m, a), b) in group.iter().zip(&idle.bonuses).zip(&open.bonuses) {
            let length = m.accuracy.map(|_| 0.1 * (m.length as f64 / 20.0).min(1.0));
            prop_assert_eq!((a, b), (&length, &length));
        }
    }

    #[test]
    fn among_equals_users_are_above_iff_the_contrast_is_positive(group in groups(), length in 0usize..40) {
        let mut group = group;
        group.extend([one(0.5, true, length), one(0.5, false, length)]);
        let found = gcpo(&small()).shape_group(&group)?;
        let [.., Some(user), Some(other)] = found.bonuses[..] else { panic!("two scored members") };
        prop_assert_eq!(user > other, found.contrast == Contrast::Helps);
        prop_assert_eq!(user < other, found.contrast == Contrast::Hurts);
        let always = gcpo(&GcpoConfig { auxiliary: AuxiliaryReward::Unconditional, ..small() }).shape_group(&group)?;
        prop_assert_eq!(always.contrast, found.contrast);
        let [.., Some(user), Some(other)] = always.bonuses[..] else { panic!("two scored members") };
        prop_assert!((user - other - 0.5).abs() < 1e-12);
    }
}

#[test]
fn a_difference_of_exactly_epsilon_is_none() {
    // 0.4 - 0.3 exceeds 0.1 by a rounding.
    let group = [one(0.4, true, 0), one(0.3, false, 0)];
    for group in [group, group.map(|m| GcpoMember { used: !m.used, ..m })] {
        let found = gcpo(&small()).shape_group(&group).expect("data");
        assert_eq!(found.contrast, Contrast::Open);
    }
    let group = [one(0.4, true, 0), one(0.29, false, 0)];
    assert_eq!(
        gcpo(&small()).shape_group(&group).expect("data").contrast,
        Contrast::Helps
    );
}

#[test]
fn all_correct_or_nothing_to_contrast_leaves_only_length() {
    for group in [
        [one(1.0, true, 10), one(1.0, false, 40)],
        [one(1.0, true, 10), one(0.0, true, 40)],
        [one(1.0, false, 10), one(0.0, false, 40)],
    ] {
        let found = gcpo(&small()).shape_group(&group).expect("data");
        assert_eq!(found.contrast, Contrast::Open);
        assert_eq!(found.bonuses, [Some(0.05), Some(0.1)]);
    }
    // The only user is unscorable.
    let lone = [
        GcpoMember {
            accuracy: None,
            ..one(0.0, true, 4)
        },
        one(1.0, false, 20),
    ];
    let found = gcpo(&small()).shape_group(&lone).expect("data");
    assert_eq!(
        (found.contrast, found.bonuses),
        (Contrast::Open, vec![None, Some(0.1)])
    );
}

#[test]
fn accuracies_outside_0_to_1_are_named() {
    for bad in [-0.5, 1.5, f64::NAN] {
        let error = gcpo(&small()).shape_group(&[one(1.0, true, 1), one(bad, true, 1)]);
        assert_eq!(
            error.expect_err("refused").to_string(),
            format!("trajectory 1: accuracy {bad} is outside [0, 1]")
        );
    }
}

/// A trajectory of turns with these actions and so many policy tokens.
fn spoken(actions: &[&str], n_policy: usize) -> Trajectory {
    let mut trajectory = member(n_policy, 3, StopReason::EndToken);
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
fn use_is_read_off_the_actions_and_accuracy_off_the_verifier() {
    let members = [
        spoken(&["think", "<aux> 3"], 10),
        spoken(&["<aux>"], 40),
        spoken(&["aux"], 20),
        spoken(&[], 5),
    ];
    let mut rewards = GroupRewards::new("v", vec![Some(1.0), Some(0.5), Some(0.0), None]);
    // Another shaper has paid something: it enters the reward, not the contrast.
    rewards.rewards = vec![Some(-4.0), Some(-4.5), Some(2.0), None];
    shape(&small(), &members, &mut rewards).expect("data");
    let bonuses = [Some(0.55), Some(0.6), Some(0.1), None];
    assert_eq!(rewards.components["gcpo"], bonuses);
    assert_eq!(rewards.rewards, [Some(-3.45), Some(-3.9), Some(2.1), None]);
    assert_eq!(rewards.trained, [true; 4]);
    assert_eq!(
        shape(&small(), &members, &mut rewards)
            .expect_err("refused")
            .to_string(),
        "component `gcpo`: is already there: the reward would count twice"
    );
}

#[test]
fn the_accuracy_is_named_where_there_are_several_components() {
    let members = [spoken(&["<aux>"], 10), spoken(&["no"], 20)];
    let fresh = || {
        let mut rewards = GroupRewards::new("right", vec![Some(0.0), Some(1.0)]);
        rewards
            .components
            .insert("format".into(), vec![Some(1.0), Some(0.0)]);
        rewards
    };
    let mut rewards = fresh();
    assert_eq!(
        shape(&small(), &members, &mut rewards)
            .expect_err("refused")
            .to_string(),
        "components: `accuracy` must name one of: format, right"
    );
    let named = |name: &str| GcpoConfig {
        accuracy: Some(name.to_owned()),
        ..small()
    };
    assert_eq!(
        shape(&named("left"), &members, &mut rewards)
            .expect_err("refused")
            .to_string(),
        "component `left`: is not there, but: format, right"
    );
    shape(&named("right"), &members, &mut rewards).expect("data");
    assert_eq!(rewards.components["gcpo"], [Some(-0.45), Some(0.1)]);
    let mut rewards = fresh();
    shape(&named("format"), &members, &mut rewards).expect("data");
    assert_eq!(rewards.components["gcpo"], [Some(0.55), Some(0.1)]);
    let mut short = GroupRewards::new("right", vec![Some(0.0), Some(1.0)]);
    short.components.insert("right".into(), vec![None]);
    assert_eq!(
        shape(&small(), &members, &mut short)
            .expect_err("refused")
            .to_string(),
        "`accuracies` has 1 entries, expected 2"
    );
}

#[test]
fn a_member_made_unscorable_before_has_no_say() {
    let members = [spoken(&["<aux>"], 20), spoken(&["no"], 20)];
    let mut rewards = GroupRewards::new("v", vec![Some(1.0), Some(0.0)]);
    rewards.rewards[1] = None;
    shape(&small(), &members, &mut rewards).expect("data");
    // Nobody is left to compare the user with.
    assert_eq!(rewards.rewards, [Some(1.1), None]);
    assert_eq!(rewards.components["gcpo"], [Some(0.1), None]);
}

#[test]
fn bad_parameters_are_refused() {
    let refused = |config: GcpoConfig| config.build(&()).map(|_| ()).expect_err("refused").to_string();
    let empty = GcpoConfig {
        marker: String::new(),
        ..small()
    };
    assert_eq!(
        refused(empty),
        "`marker` = \"\": must be a text that is not empty"
    );
    let zero = GcpoConfig {
        max_length: 0,
        ..small()
    };
    assert_eq!(refused(zero), "`max_length` = 0: must be >= 1");
    for key in ["epsilon", "aux_weight", "length_weight"] {
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            let mut config = small();
            match key {
                "epsilon" => config.epsilon = bad,
                "aux_weight" => config.aux_weight = bad,
                _ => config.length_weight = bad,
            }
            assert_eq!(
                refused(config),
                format!("`{key}` = {bad}: must be a finite number >= 0")
            );
        }
    }
    let edge = GcpoConfig {
        epsilon: 0.0,
        aux_weight: 0.0,
        length_weight: 0.0,
        max_length: 1,
        ..small()
    };
    assert!(edge.build(&()).is_ok());
}

#[test]
fn the_formula_prints_the_numbers() {
    assert_eq!(
        small().formula(),
        "r_i += 0.5 M [`<aux>` in i] + 0.1 min(len_i / 20, 1); M = sign(D) if |D| > 0.1, else 0; \
         D = mean(a | used) - mean(a | not used)"
    );
    let always = GcpoConfig {
        auxiliary: AuxiliaryReward::Unconditional,
        ..small()
    };
    assert_eq!(
        always.formula(),
        "r_i += 0.5 M [`<aux>` in i] + 0.1 min(len_i / 20, 1); M = 1"
    );
}
