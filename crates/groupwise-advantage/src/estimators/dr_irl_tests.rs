use groupwise_core::{Offsets, Trajectory};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::estimators::GrpoConfig;

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Category, demonstration, and (reward, reply) of each member.
type Group = (u8, String, Vec<(Option<f64>, String)>);

fn estimate(config: &DrIrlConfig, groups: &[Group]) -> Result<Vec<f64>, DataError> {
    let offsets = Offsets::from_lengths(groups.iter().map(|g| g.2.len()));
    let members: Vec<_> = groups.iter().flat_map(|g| &g.2).collect();
    let rewards: Vec<Option<f64>> = members.iter().map(|m| m.0).collect();
    let trajectories: Vec<Trajectory> = members.iter().map(|m| Trajectory::of_reply(&m.1, 1)).collect();
    let tasks: Vec<Task> = groups
        .iter()
        .map(|(category, demonstration, _)| {
            let mut task = Task::new("t", "", demonstration.clone());
            task.columns.insert("category".into(), json!(category));
            task
        })
        .collect();
    let tasks: Vec<&Task> = tasks.iter().collect();
    let mut batch = RewardBatch::new(offsets.spans(), &rewards);
    batch.trajectories = Some(&trajectories);
    batch.tasks = Some(&tasks);
    let part = config.build(&()).unwrap();
    assert_eq!(part.needs(), Needs::TRAJECTORIES | Needs::TASKS);
    match part.estimate(&batch)? {
        Advantages::Trajectory(a) => Ok(a),
        Advantages::Token(_) => Err(DataError::value("test", "per token")),
    }
}

fn grpo(groups: &[Group]) -> Vec<f64> {
    let offsets = Offsets::from_lengths(groups.iter().map(|g| g.2.len()));
    let rewards: Vec<Option<f64>> = groups.iter().flat_map(|g| &g.2).map(|m| m.0).collect();
    let part = GrpoConfig::default().build(&()).unwrap();
    match part
        .estimate(&RewardBatch::new(offsets.spans(), &rewards))
        .unwrap()
    {
        Advantages::Trajectory(a) | Advantages::Token(a) => a,
    }
}

fn groups() -> impl Strategy<Value = Vec<Group>> {
    let member = (prop::option::weighted(0.9, 0.0..1.0f64), "([ab]{1,2}[ .]){0,4}");
    let group = (
        0u8..2,
        "([ab]{1,2}[ .]){1,3}",
        prop::collection::vec(member, 1..5),
    );
    prop::collection::vec(group, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn scaling_keeps_sign_order_and_zero_spread(groups in groups(), average in any::<bool>()) {
        let config = DrIrlConfig {
            combine: if average { Combine::Average } else { Combine::Product },
            ..Default::default()
        };
        let (a, base) = (estimate(&config, &groups)?, grpo(&groups));
        let mut first = 0;
        for (_, _, members) in &groups {
            let span = first..first + members.len();
            first = span.end;
            let factor = span.clone().find(|i| base[*i] != 0.0).map_or(1.0, |i| a[i] / base[i]);
            prop_assert!(factor > 0.0 && factor.is_finite());
            for i in span {
                prop_assert!((a[i] - factor * base[i]).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn coefficients_of_the_next_prompt_are_the_same_ones_on_others(replies in prop::collection::vec("[ab]{1,2} [ab]", 2..6)) {
        // Every group has the same rewards, so its scale shows its coefficient.
        let group = |reply: &String| -> Group {
            (0, "a b".into(), vec![(Some(1.0), reply.clone()), (Some(0.0), reply.clone())])
        };
        let groups: Vec<Group> = replies.iter().map(group).collect();
        let scales = |assignment| -> Vec<f64> {
            let config = DrIrlConfig { assignment, ..Default::default() };
            estimate(&config, &groups).unwrap().chunks(2).map(|a| a[0]).collect()
        };
        let mut own = scales(Assignment::Own);
        own.rotate_right(1);
        prop_assert_eq!(own, scales(Assignment::Next));
    }

    #[test]
    fn equal_differences_have_coefficient_one(delta in 0.0..2.0f64, n in 1usize..6) {
        for a in data_coefficients(&vec![delta; n])? {
            prop_assert!((a - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn data_coefficients_rise_with_the_difference_inside_their_bounds(
        deltas in prop::collection::vec(0.0..=2.0f64, 1..8),
    ) {
        let a = data_coefficients(&deltas)?;
        let bound = logistic(2.0) / logistic(0.0);
        for (x, delta) in a.iter().zip(&deltas) {
            prop_assert!((1.0 / bound - 1e-12..=bound + 1e-12).contains(x) && *x < 2.0);
            for (y, other) in a.iter().zip(&deltas) {
                prop_assert!(delta >= other || x < y || other - delta < 1e-12);
            }
        }
    }

    #[test]
    fn cosines_ignore_length_and_lie_in_minus_1_to_1(
        a in prop::collection::vec(-3.0..3.0f64, 3), b in prop::collection::vec(-3.0..3.0f64, 3),
        c in prop::sample::select(vec![1e-200, 0.5, 7.0, 1e200]),
    ) {
        let scaled: Vec<f64> = a.iter().map(|x| x * c).collect();
        let cos = cosine(&a, &b)?;
        prop_assert!(cos.abs() <= 1.0 + 1e-12);
        prop_assert!((cosine(&scaled, &b)? - cos).abs() < 1e-9);
        prop_assert!((cosine(&a, &a)? - 1.0).abs() < 1e-12);
        let turned: Vec<f64> = a.iter().map(|x| -x).collect();
        prop_assert!((cosine(&turned, &b)? + cos).abs() < 1e-12);
    }

    #[test]
    fn the_model_coefficient_is_a_ratio_of_logistics_of_means(
        gaps in prop::collection::vec(-2.0..2.0f64, 1..8), tau in 0.0..4.0f64,
    ) {
        let found = model_coefficient(&gaps, Some(tau))?;
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let kept: Vec<f64> = gaps.iter().copied().filter(|g| (g - mean).powi(2) <= tau).collect();
        let expected = if kept.is_empty() {
            1.0
        } else {
            logistic(kept.iter().sum::<f64>() / kept.len() as f64) / logistic(mean)
        };
        prop_assert!((found.score - expected).abs() < 1e-9);
        prop_assert_eq!(found.mask.iter().filter(|m| **m).count(), kept.len());
    }
}

fn members(rewards: &[f64], text: &str) -> Vec<(Option<f64>, String)> {
    rewards.iter().map(|r| (Some(*r), text.to_owned())).collect()
}

#[test]
fn one_prompt_or_equal_prompts_are_grpo() {
    let groups = vec![(0, "x y. z.".to_owned(), members(&[1.0, 0.0, 0.0, 1.0], "x"))];
    let a = estimate(&DrIrlConfig::default(), &groups).unwrap();
    assert!((a[0] - 0.866_023_903_787_036_8).abs() < 1e-12);
    let twice = vec![groups[0].clone(), groups[0].clone()];
    assert_eq!(estimate(&DrIrlConfig::default(), &twice).unwrap()[4..], a);
}

#[test]
fn difference_and_gap_are_taken_per_category() {
    // Category 0: W = 1 and 0, mean delta 1/2; rewards alike, so that a_M = 1.  Category 1 stands alone.
    let groups = vec![
        (0, "x.".to_owned(), members(&[1.0, 0.0], "x")),
        (0, "x.".to_owned(), members(&[1.0, 0.0], "y")),
        (1, "x.".to_owned(), members(&[1.0, 0.0], "y")),
    ];
    let config = DrIrlConfig {
        eps: 0.0,
        ..Default::default()
    };
    let a = estimate(&config, &groups).unwrap();
    let one = 0.5_f64.sqrt();
    let half = logistic(0.5);
    for (g, factor) in [0.5 / half, logistic(1.0) / half, 1.0].into_iter().enumerate() {
        assert!((a[2 * g] - factor * one).abs() < 1e-12, "group {g}");
        assert!((a[2 * g + 1] + factor * one).abs() < 1e-12, "group {g}");
    }
}

#[test]
fn an_outlying_gap_lowers_the_model_coefficient() {
    // Gaps 0.5, 0.5, 0.5, 1: the last is beyond tau = 0.1, mean 0.625.
    let mut groups = vec![(0, "x".to_owned(), members(&[1.0, 0.0], "x")); 3];
    groups.push((0, "x".to_owned(), members(&[0.0, 0.0], "x")));
    let config = DrIrlConfig {
        tau: Some(0.1),
        eps: 0.0,
        ..Default::default()
    };
    let expected = logistic(0.5) / logistic(0.625);
    let a = estimate(&config, &groups).unwrap();
    assert!((a[0] - expected * 0.5_f64.sqrt()).abs() < 1e-12);
    assert_eq!(a[6..], [0.0, 0.0]);
    let average = DrIrlConfig {
        combine: Combine::Average,
        ..config
    };
    let a = estimate(&average, &groups).unwrap();
    assert!((a[0] - (1.0 + expected) / 2.0 * 0.5_f64.sqrt()).abs() < 1e-12);
}

#[test]
fn unscorable_members_and_wordless_answers() {
    let mut groups = vec![
        (0, "x".to_owned(), members(&[1.0, 0.0], "x")),
        (0, "x".to_owned(), members(&[1.0, 0.0], "...")),
    ];
    let plain = estimate(&DrIrlConfig::default(), &groups).unwrap();
    let ratio = logistic(1.0) / logistic(0.0);
    assert!((plain[2] / plain[0] - ratio).abs() < 1e-9);
    groups[0].2.push((None, "quite another answer".to_owned()));
    groups.push((0, "x".to_owned(), vec![(None, "x".to_owned())]));
    let a = estimate(&DrIrlConfig::default(), &groups).unwrap();
    assert_eq!(a, [plain[0], plain[1], 0.0, plain[2], plain[3], 0.0]);
}

#[test]
fn gaps_far_from_their_mean_are_masked_by_variance_or_tau() {
    // Two gaps at equal distance 1 from their mean: variance 1, default tau 4 keeps both; tau < 1 keeps none.
    let all = model_coefficient(&[1.0, -1.0], None).unwrap();
    assert_eq!((all.mask, all.score), (vec![true, true], 1.0));
    let none = model_coefficient(&[1.0, -1.0], Some(0.99)).unwrap();
    assert_eq!((none.mask, none.score), (vec![false, false], 1.0));
    let edge = model_coefficient(&[1.0, -1.0], Some(1.0)).unwrap();
    assert_eq!(edge.mask, [true, true]);
    let mut gaps = vec![0.0; 9];
    gaps.push(10.0);
    // Population variance 9, tau 36, distance squared 81.
    assert_eq!(
        model_coefficient(&gaps, None)
            .unwrap()
            .mask
            .iter()
            .filter(|m| **m)
            .count(),
        9
    );
}

#[test]
fn by_default_a_gap_two_deviations_off_is_masked() {
    // Seven gaps of 0.1 and one of 0.9: mean 0.2, variance 0.07; the last lies 0.49 > 0.28 off.
    let mut gaps = vec![0.1; 7];
    gaps.push(0.9);
    let found = model_coefficient(&gaps, None).unwrap();
    assert_eq!(found.mask, [[true; 7].as_slice(), &[false]].concat());
    assert!((found.score - logistic(0.1) / logistic(0.2)).abs() < 1e-12);
    // No tolerance at all is a tolerance: gaps at their mean are kept.
    let equal = model_coefficient(&[0.5; 4], Some(0.0)).unwrap();
    assert_eq!((equal.mask, equal.score), (vec![true; 4], 1.0));
}

#[test]
fn far_tails_of_the_logistic_function_keep_their_ratio() {
    let far = model_coefficient(&[-1e6, -1e6 - 2.0, -1e6 + 5.0], Some(5.0)).unwrap();
    assert_eq!(far.mask, [true, false, false]);
    // Mean -1e6 + 1, kept -1e6: the ratio of the tails is e^-1.
    assert!((far.score - (-1.0_f64).exp()).abs() < 1e-9);
    assert_eq!(data_coefficients(&[800.0, 900.0]).unwrap(), [1.0, 1.0]);
}

#[test]
fn bad_data_is_named() {
    let text = |error: DataError| error.to_string();
    assert_eq!(
        text(cosine(&[1.0], &[1.0, 2.0]).unwrap_err()),
        "`vector` has 2 entries, expected 1"
    );
    for (a, b) in [([f64::NAN], [1.0]), ([1.0], [f64::NAN])] {
        assert_eq!(text(cosine(&a, &b).unwrap_err()), "index 0: `vector` is NaN");
    }
    for empty in [&[][..], &[vec![]][..]] {
        assert_eq!(
            text(clause_similarity(empty).unwrap_err()),
            "similarities: hold no entry"
        );
    }
    assert_eq!(
        text(clause_similarity(&[vec![0.1, 0.2], vec![0.1]]).unwrap_err()),
        "`row of similarities` has 1 entries, expected 2"
    );
    assert_eq!(
        text(clause_similarity(&[vec![f64::INFINITY]]).unwrap_err()),
        "index 0: `similarity` is inf"
    );
    assert_eq!(
        text(data_coefficients(&[]).unwrap_err()),
        "differences: hold no prompt"
    );
    assert_eq!(
        text(data_coefficients(&[f64::NAN]).unwrap_err()),
        "index 0: `difference` is NaN"
    );
    assert_eq!(
        text(model_coefficient(&[], None).unwrap_err()),
        "gaps: hold no prompt"
    );
    assert_eq!(
        text(model_coefficient(&[f64::NAN], None).unwrap_err()),
        "index 0: `gap` is NaN"
    );
    for tau in [-1.0, f64::NAN] {
        assert_eq!(
            text(model_coefficient(&[1.0], Some(tau)).unwrap_err()),
            format!("tau: is {tau}: must be a finite number >= 0")
        );
    }
    let silent = vec![(0, " . ".to_owned(), members(&[1.0], "x"))];
    assert_eq!(
        text(estimate(&DrIrlConfig::default(), &silent).unwrap_err()),
        "group 0: the reference of task `t` holds no word to compare with"
    );
}

#[test]
fn missing_inputs_are_named() {
    let groups = Offsets::from_lengths([1]);
    let part = DrIrlConfig::default().build(&()).unwrap();
    let task = Task::new("t", "", "x");
    let mut batch = RewardBatch::new(groups.spans(), &[Some(1.0)]);
    assert_eq!(
        part.estimate(&batch).unwrap_err().to_string(),
        "`tasks` is missing, and `dr-irl` needs it"
    );
    let tasks = [&task];
    batch.tasks = Some(&tasks);
    assert_eq!(
        part.estimate(&batch).unwrap_err().to_string(),
        "`trajectories` is missing, and `dr-irl` needs it"
    );
}

#[test]
fn bad_parameters_are_refused_and_the_formula_prints_the_numbers() {
    let refused = |config: DrIrlConfig| config.build(&()).unwrap_err().to_string();
    let base = DrIrlConfig::default;
    assert_eq!(
        refused(DrIrlConfig {
            tau: Some(-1.0),
            ..base()
        }),
        "`tau` = -1: must be a finite number >= 0"
    );
    assert_eq!(
        refused(DrIrlConfig {
            eps: f64::NAN,
            ..base()
        }),
        "`eps` = NaN: must be a finite number >= 0"
    );
    assert_eq!(
        refused(DrIrlConfig {
            std: Spread::None,
            ..base()
        }),
        "`std` = none: must be sample or population"
    );
    assert_eq!(
        refused(DrIrlConfig {
            std: Spread::LeaveOneOut,
            ..base()
        }),
        "`std` = leave-one-out: must be sample or population"
    );
    assert_eq!(
        refused(DrIrlConfig {
            demonstration_reward: f64::INFINITY,
            ..base()
        }),
        "`demonstration_reward` = inf: must be a finite number"
    );
    assert_eq!(
        base().formula(),
        "A_i = a (r_i - mean(r)) / (std(r; n - 1) + 1e-6), a = a_D a_M; a_D = s(1 - W) / s(mean(1 - W)), \
         a_M = s(mean kept gap) / s(mean gap), gap = 1 - mean(r), tau = 4 var(gap), per `category`"
    );
    let other = DrIrlConfig {
        tau: Some(2.5),
        combine: Combine::Average,
        std: Spread::Population,
        ..base()
    };
    assert_eq!(
        other.formula(),
        "A_i = a (r_i - mean(r)) / (std(r; n) + 1e-6), a = (a_D + a_M) / 2; a_D = s(1 - W) / s(mean(1 - W)), \
         a_M = s(mean kept gap) / s(mean gap), gap = 1 - mean(r), tau = 2.5, per `category`"
    );
}
