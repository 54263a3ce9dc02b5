use proptest::prelude::*;

use super::*;

fn action(name: &str, parameter: Parameter) -> InterfaceAction {
    InterfaceAction {
        name: name.to_owned(),
        parameter,
    }
}

fn tap(x: f64, y: f64) -> InterfaceAction {
    action("tap", Parameter::Point([x, y]))
}

fn write(text: &str) -> InterfaceAction {
    action("type", Parameter::Text(text.to_owned()))
}

fn default() -> ActionReward {
    ActionReward::new(ActionRewardConfig::default()).unwrap()
}

fn any_action() -> impl Strategy<Value = InterfaceAction> {
    let parameter = prop_oneof![
        Just(Parameter::None),
        (0.0..=1.0f64, 0.0..=1.0f64).prop_map(|(x, y)| Parameter::Point([x, y])),
        "[ab ]{0,6}".prop_map(Parameter::Text),
    ];
    ("(tap|type|back)", parameter).prop_map(|(name, parameter)| InterfaceAction { name, parameter })
}

fn config() -> impl Strategy<Value = ActionRewardConfig> {
    (0.0..=1.0f64, 0.0..=1.0f64, 0.01..=1.0f64).prop_map(|(a, b, point_tolerance)| ActionRewardConfig {
        w_f: a.min(b),
        w_t: a.max(b) - a.min(b),
        w_p: 1.0 - a.max(b),
        point_tolerance,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_reward_lies_between_zero_and_one(p in any_action(), q in any_action(), format: bool, config in config()) {
        let reward = ActionReward::new(config)?;
        for prediction in [None, Some(&p)] {
            prop_assert!((0.0..=1.0 + 1e-9).contains(&reward.score(prediction, &q, format)?));
        }
    }

    #[test]
    fn parameters_never_pay_without_the_type(p in any_action(), q in any_action(), format: bool, config in config()) {
        let reward = ActionReward::new(config)?;
        let (found, form) = (reward.score(Some(&p), &q, format)?, if format { config.w_f } else { 0.0 });
        if p.name == q.name {
            prop_assert!(found >= form + config.w_t);
        } else {
            prop_assert_eq!(found, form);
            prop_assert_eq!(reward.score(None, &q, format)?, form);
        }
    }

    #[test]
    fn the_true_action_with_format_earns_one(q in any_action(), config in config()) {
        let reward = ActionReward::new(config)?.score(Some(&q), &q, true)?;
        prop_assert!((reward - 1.0).abs() < 1e-9);
    }

    #[test]
    fn token_f1_is_symmetric_between_zero_and_one_and_one_for_the_same_bag(a in "[abAB ]{0,9}", b in "[abAB ]{0,9}") {
        let found = token_f1(&a, &b);
        prop_assert_eq!(found, token_f1(&b, &a));
        prop_assert!((0.0..=1.0).contains(&found));
        let bag = |text: &str| {
            let mut words: Vec<String> = text.to_lowercase().split_whitespace().map(str::to_owned).collect();
            words.sort();
            words
        };
        prop_assert_eq!(found == 1.0, bag(&a) == bag(&b));
    }

    #[test]
    fn an_understanding_reward_rises_with_the_judge_and_stays_between_zero_and_one(
        w_f in 0.0..=1.0f64, a in -2.0..3.0f64, b in -2.0..3.0f64, format: bool,
    ) {
        let reward = UnderstandingReward::new(UnderstandingRewardConfig { w_f })?;
        let (low, high) = (reward.score(a.min(b), format)?, reward.score(a.max(b), format)?);
        prop_assert!(low <= high && low >= 0.0 && high <= 1.0 + 1e-12);
        prop_assert!((reward.score(a, true)? - reward.score(a, false)? - w_f).abs() < 1e-12);
    }

    #[test]
    fn actions_survive_being_written(action in any_action()) {
        let text = serde_json::to_string(&action)?;
        prop_assert_eq!(serde_json::from_str::<InterfaceAction>(&text)?, action);
    }
}

#[test]
fn partial_credit() {
    let score =
        |p: &InterfaceAction, q: &InterfaceAction, format| default().score(Some(p), q, format).unwrap();
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    near(score(&write("buy red shoes"), &write("red shoes"), true), 0.9);
    near(
        score(
            &action("back", Parameter::None),
            &action("back", Parameter::None),
            false,
        ),
        0.9,
    );
    near(
        score(&action("swipe", Parameter::None), &tap(0.5, 0.5), true),
        0.1,
    );
    // The distance counts, not its largest side: 0.1 and 0.1 are 0.1414.
    near(score(&tap(0.6, 0.6), &tap(0.5, 0.5), true), 0.5);
    near(score(&tap(0.59, 0.59), &tap(0.5, 0.5), true), 1.0);
    // At the tolerance itself: 0.25 is exact.
    let quarter = ActionReward::new(ActionRewardConfig {
        point_tolerance: 0.25,
        ..ActionRewardConfig::default()
    })
    .unwrap();
    near(
        quarter
            .score(Some(&tap(0.75, 0.5)), &tap(0.5, 0.5), true)
            .unwrap(),
        1.0,
    );
    near(
        quarter
            .score(Some(&tap(0.25, 0.5)), &tap(0.5, 0.5), true)
            .unwrap(),
        1.0,
    );
    near(
        quarter
            .score(Some(&tap(0.5, 0.76)), &tap(0.5, 0.5), true)
            .unwrap(),
        0.5,
    );
    assert_eq!(default().score(None, &tap(0.5, 0.5), true), Ok(0.1));
    assert_eq!(default().score(None, &tap(0.5, 0.5), false), Ok(0.0));
}

#[test]
fn parameters_of_another_kind() {
    let agreement = |p: Parameter, q: Parameter| default().agreement(&p, &q);
    let (text, point) = (
        |t: &str| Parameter::Text(t.to_owned()),
        Parameter::Point([0.5, 0.5]),
    );
    assert_eq!(agreement(Parameter::None, point.clone()), 0.0);
    assert_eq!(agreement(text("x"), point.clone()), 0.0);
    assert_eq!(agreement(Parameter::None, text("x")), 0.0);
    assert_eq!(agreement(Parameter::None, text("")), 1.0);
    assert_eq!(agreement(point.clone(), text("x")), 0.0);
    assert_eq!(agreement(point, Parameter::None), 1.0);
    assert_eq!(agreement(text("x"), Parameter::None), 1.0);
    assert_eq!(
        agreement(Parameter::Point([f64::NAN, 0.5]), Parameter::Point([0.5, 0.5])),
        0.0
    );
}

#[test]
fn words_are_counted_as_often_as_they_occur() {
    assert_eq!(token_f1("a a b", "a b b"), 4.0 / 6.0);
    assert_eq!(token_f1("A\tb", "B a"), 1.0);
    assert_eq!(token_f1("a", "b"), 0.0);
    assert_eq!(token_f1("a a", "a"), 2.0 / 3.0);
}

#[test]
fn actions_are_read_as_tables() {
    let read = |json: &str| serde_json::from_str::<InterfaceAction>(json).map_err(|e| e.to_string());
    assert_eq!(
        read(r#"{"type": "tap", "point": [0.5, 0.25]}"#),
        Ok(tap(0.5, 0.25))
    );
    assert_eq!(read(r#"{"type": "back"}"#), Ok(action("back", Parameter::None)));
    let both = read(r#"{"type": "tap", "point": [0.5, 0.5], "text": "x"}"#).unwrap_err();
    assert!(
        both.starts_with("an action has a point or a text, not both"),
        "{both}"
    );
    assert!(read(r#"{"type": "tap", "at": [0.5, 0.5]}"#).is_err());
    assert!(read(r#"{"point": [0.5, 0.5]}"#).is_err());
}

#[test]
fn bad_parameters_are_refused() {
    let base = ActionRewardConfig::default();
    let refused = |config| ActionReward::new(config).unwrap_err().to_string();
    assert_eq!(
        refused(ActionRewardConfig {
            w_f: -0.1,
            w_t: 0.6,
            ..base
        }),
        "`w_f` = -0.1: must be a number >= 0"
    );
    assert_eq!(
        refused(ActionRewardConfig {
            w_t: f64::NAN,
            ..base
        }),
        "`w_t` = NaN: must be a number >= 0"
    );
    assert_eq!(
        refused(ActionRewardConfig {
            w_p: -0.5,
            w_t: 1.4,
            ..base
        }),
        "`w_p` = -0.5: must be a number >= 0"
    );
}

#[test]
fn weights_must_sum_to_one_and_the_tolerance_lie_in_range() {
    let base = ActionRewardConfig::default();
    let refused = |config| ActionReward::new(config).unwrap_err().to_string();
    for (w_p, sum) in [(0.75, "1.25"), (0.25, "0.75")] {
        assert_eq!(
            refused(ActionRewardConfig { w_p, ..base }),
            format!("`w_f + w_t + w_p` = {sum}: must be 1")
        );
    }
    assert!(
        ActionReward::new(ActionRewardConfig {
            w_p: 0.5 + 9e-10,
            ..base
        })
        .is_ok()
    );
    assert!(
        ActionReward::new(ActionRewardConfig {
            w_p: 0.5 + 2e-9,
            ..base
        })
        .is_err()
    );
    for point_tolerance in [0.0, 1.5, f64::NAN] {
        assert_eq!(
            refused(ActionRewardConfig {
                point_tolerance,
                ..base
            }),
            format!("`point_tolerance` = {point_tolerance}: must be > 0 and <= 1")
        );
    }
    assert!(
        ActionReward::new(ActionRewardConfig {
            point_tolerance: 1.0,
            ..base
        })
        .is_ok()
    );
    for w_f in [-0.1, 1.1, f64::NAN] {
        let error = UnderstandingReward::new(UnderstandingRewardConfig { w_f }).unwrap_err();
        assert_eq!(error.to_string(), format!("`w_f` = {w_f}: must be in [0, 1]"));
    }
}

#[test]
fn bad_data_are_refused() {
    for (x, shown) in [(1.5, "1.5"), (-0.5, "-0.5"), (f64::NAN, "NaN")] {
        let error = default().score(None, &tap(0.5, x), true).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("true action: point [0.5, {shown}] is outside [0, 1]")
        );
    }
    let reward = UnderstandingReward::new(UnderstandingRewardConfig::default()).unwrap();
    assert_eq!(
        reward.score(f64::NAN, true).unwrap_err().to_string(),
        "index 0: `judge` is NaN"
    );
    for (judge, format, expected) in [(0.8, true, 0.82), (1.5, false, 0.9), (-0.2, true, 0.1)] {
        assert!((reward.score(judge, format).unwrap() - expected).abs() < 1e-12);
    }
}
