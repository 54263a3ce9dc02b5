//! Tests of the length curriculum: sections 5 and 10 of its specification.

use proptest::prelude::*;

use super::*;

fn budget(config: LengthBudgetConfig) -> LengthBudget {
    LengthBudget::new(&config).unwrap()
}

fn budgets() -> impl Strategy<Value = LengthBudgetConfig> {
    (
        prop::sample::select(vec![
            BudgetKind::Exponential,
            BudgetKind::ExponentialDrops,
            BudgetKind::LinearDrops,
            BudgetKind::Fixed,
        ]),
        1.0..500.0f64,
        0.01..0.99f64,
        1u64..50,
        0.0..1.0f64,
        1u32..9,
        1u64..500,
    )
        .prop_map(
            |(kind, b0, gamma, every, share, drops, total)| LengthBudgetConfig {
                kind,
                b0,
                gamma,
                every,
                bf: 1.0 + share * (b0 - 1.0),
                drops,
                total,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_budget_never_rises_and_never_falls_below_one(config in budgets(), t in 0u64..600) {
        let budget = budget(config);
        prop_assert!(budget.at(t + 1) <= budget.at(t) && budget.at(t) >= 1.0 && budget.at(0) == config.b0);
        prop_assert!(budget.tokens(t) as f64 <= budget.at(t) && budget.at(t) < budget.tokens(t) as f64 + 1.0);
    }

    #[test]
    fn the_forms_with_end_points_reach_the_end_exactly(config in budgets(), t in 0u64..600) {
        prop_assume!(!matches!(config.kind, BudgetKind::Exponential | BudgetKind::Fixed));
        let budget = budget(config);
        prop_assert_eq!(budget.at(config.total), config.bf);
        prop_assert_eq!(budget.at(u64::MAX), config.bf);
        // The last drop happens at t (n + 1) >= n total.
        let n = u64::from(config.drops);
        prop_assert_eq!(budget.drop(t), u32::try_from((t * (n + 1) / config.total).min(n)).unwrap());
    }

    #[test]
    fn the_length_reward_is_continuous_in_the_unit_interval_and_one_at_the_target(
        l in 0usize..300, target in 1.0..150.0f64,
    ) {
        let [triangle, band] = [LengthShape::Triangle, LengthShape::Band].map(|s| length_reward(l, target, s).unwrap());
        prop_assert!((0.0..=1.0).contains(&triangle) && triangle <= band && band <= 1.0);
        let next = length_reward(l + 1, target, LengthShape::Triangle).unwrap();
        prop_assert!((next - triangle).abs() <= 1.0 / target + 1e-12);
        let whole = target.ceil();
        prop_assert_eq!(length_reward(whole as usize, whole, LengthShape::Triangle).unwrap(), 1.0);
    }

    #[test]
    fn a_reward_is_at_most_the_sum_of_the_weights(
        weights in prop::array::uniform5(0.0..2.0f64), correct in 0.0..=1.0f64, length in 0usize..300,
        flags in prop::array::uniform3(any::<bool>()), target in 1.0..150.0f64, band: bool, needs_correct: bool,
    ) {
        let [w_correct, w_length, w_format, a_think, a_answer] = weights;
        let config = LengthCurriculumConfig {
            w_correct, w_length, w_format, a_think, a_answer,
            shape: if band { LengthShape::Band } else { LengthShape::Triangle },
            length_earned_by: if needs_correct { LengthEarnedBy::Correct } else { LengthEarnedBy::All },
        };
        let answer = LengthCurriculumAnswer { correct, length, think: flags[0], answer: flags[1], truncated: flags[2] };
        let r = LengthCurriculum::new(&config).unwrap().reward(&answer, target).unwrap();
        prop_assert!(r >= 0.0 && r <= w_correct + w_length + w_format * (a_think + a_answer) + 1e-12);
    }
}

#[test]
fn the_published_run() {
    let budget = budget(LengthBudgetConfig::default());
    let tokens: Vec<u64> = [0, 149, 150, 299, 300, 449, 450, 599]
        .map(|t| budget.tokens(t))
        .to_vec();
    assert_eq!(tokens, [256, 256, 179, 179, 125, 125, 87, 87]);
    assert_eq!(budget.at(u64::MAX), 1.0);
}

#[test]
fn drops_at_equal_intervals() {
    let config = LengthBudgetConfig {
        kind: BudgetKind::LinearDrops,
        ..LengthBudgetConfig::default()
    };
    let linear = budget(config);
    for (t, expected) in [
        (149, 256.0),
        (150, 256.0 - 169.0 / 3.0),
        (299, 256.0 - 169.0 / 3.0),
        (300, 256.0 - 338.0 / 3.0),
        (450, 87.0),
    ] {
        assert!((linear.at(t) - expected).abs() < 1e-12, "{t}");
    }
    let exponential = budget(LengthBudgetConfig {
        kind: BudgetKind::ExponentialDrops,
        ..config
    });
    assert!((exponential.at(150) - 256.0 * (87.0_f64 / 256.0).cbrt()).abs() < 1e-9);
    let fixed = budget(LengthBudgetConfig {
        kind: BudgetKind::Fixed,
        ..config
    });
    assert_eq!(fixed.at(599), 256.0);
}

#[test]
fn lengths_around_the_target() {
    for (l, triangle, band) in [
        (0, 0.0, 1.0),
        (50, 0.5, 1.0),
        (100, 1.0, 1.0),
        (125, 0.75, 0.75),
        (200, 0.0, 0.0),
        (201, 0.0, 0.0),
    ] {
        assert_eq!(
            length_reward(l, 100.0, LengthShape::Triangle),
            Ok(triangle),
            "{l}"
        );
        assert_eq!(length_reward(l, 100.0, LengthShape::Band), Ok(band), "{l}");
    }
}

#[test]
fn every_part_of_the_reward_counts_with_its_weight() {
    let config = LengthCurriculumConfig {
        w_correct: 8.0,
        w_length: 4.0,
        w_format: 2.0,
        a_think: 0.5,
        a_answer: 0.125,
        ..LengthCurriculumConfig::default()
    };
    let answer = LengthCurriculumAnswer {
        correct: 0.0,
        length: 50,
        think: false,
        answer: false,
        truncated: false,
    };
    let reward = |config: &LengthCurriculumConfig, change: &dyn Fn(&mut LengthCurriculumAnswer)| {
        let mut changed = answer;
        change(&mut changed);
        let curriculum = LengthCurriculum::new(config).unwrap();
        curriculum.reward(&changed, 100.0).unwrap()
    };
    assert_eq!(reward(&config, &|_| {}), 2.0);
    assert_eq!(reward(&config, &|a| a.think = true), 3.0);
    assert_eq!(reward(&config, &|a| a.answer = true), 2.25);
    assert_eq!(reward(&config, &|a| a.truncated = true), 0.0);
    assert_eq!(reward(&config, &|a| a.correct = 0.5), 6.0);
    let earned = LengthCurriculumConfig {
        length_earned_by: LengthEarnedBy::Correct,
        ..config
    };
    assert_eq!(reward(&earned, &|_| {}), 0.0);
    assert_eq!(reward(&earned, &|a| a.correct = 0.5), 6.0);
}

#[test]
fn refused_parameters() {
    let refuse = |change: &dyn Fn(&mut LengthBudgetConfig)| {
        let mut config = LengthBudgetConfig::default();
        change(&mut config);
        LengthBudget::new(&config).unwrap_err().to_string()
    };
    assert_eq!(
        refuse(&|c| c.b0 = 0.5),
        "`b0` = 0.5: must be a finite number >= 1"
    );
    assert_eq!(
        refuse(&|c| c.b0 = f64::NAN),
        "`b0` = NaN: must be a finite number >= 1"
    );
    for gamma in [0.0, 1.0, f64::NAN] {
        assert_eq!(
            refuse(&|c| c.gamma = gamma),
            format!("`gamma` = {gamma}: must be a number > 0 and < 1")
        );
    }
    assert_eq!(refuse(&|c| c.every = 0), "`every` = 0: must be >= 1");
    for kind in [BudgetKind::ExponentialDrops, BudgetKind::LinearDrops] {
        for bf in [300.0, 0.5, f64::NAN] {
            let message = refuse(&|c| (c.kind, c.bf) = (kind, bf));
            assert_eq!(
                message,
                format!("`bf` = {bf}: must be a number >= 1 and <= `b0` = 256")
            );
        }
        assert_eq!(
            refuse(&|c| (c.kind, c.drops) = (kind, 0)),
            "`drops` = 0: must be >= 1"
        );
        assert_eq!(
            refuse(&|c| (c.kind, c.total) = (kind, 0)),
            "`total` = 0: must be >= 1"
        );
    }
}

#[test]
fn keys_of_other_kinds_are_not_read() {
    let other = LengthBudgetConfig {
        bf: 0.0,
        drops: 0,
        total: 0,
        ..LengthBudgetConfig::default()
    };
    assert!(LengthBudget::new(&other).is_ok());
}

#[test]
fn refused_weights_targets_and_answers() {
    for key in ["w_correct", "w_length", "w_format", "a_think", "a_answer"] {
        let json = format!(r#"{{"{key}": -1.0}}"#);
        let config: LengthCurriculumConfig = serde_json::from_str(&json).unwrap();
        let error = LengthCurriculum::new(&config).unwrap_err().to_string();
        assert_eq!(error, format!("`{key}` = -1: must be a finite number >= 0"));
    }
    let target = length_reward(1, 0.5, LengthShape::Band).unwrap_err();
    assert_eq!(target.to_string(), "`target` = 0.5: must be a finite number >= 1");
    let answer = LengthCurriculumAnswer {
        correct: 1.5,
        length: 1,
        think: true,
        answer: true,
        truncated: false,
    };
    let reward = LengthCurriculum::new(&LengthCurriculumConfig::default()).unwrap();
    assert_eq!(
        reward.reward(&answer, 9.0).unwrap_err().to_string(),
        "`correct` = 1.5: must be a number in [0, 1]"
    );
}
