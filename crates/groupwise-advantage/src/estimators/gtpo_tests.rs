//! Invariants of section 10, edge cases of section 5.

use groupwise_core::Trajectory;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
struct Draw {
    reward: Option<f64>,
    ids: Vec<u32>,
    mask: Vec<bool>,
    entropy: Vec<f64>,
}

fn draw(reward: f64, ids: &[u32], entropy: f64) -> Draw {
    Draw {
        reward: Some(reward),
        ids: ids.to_vec(),
        mask: vec![true; ids.len()],
        entropy: vec![entropy; ids.len()],
    }
}

fn shaped(config: &GtpoConfig, group: &[Draw]) -> Vec<GtpoShaped> {
    let members: Vec<GtpoMember<'_>> = group
        .iter()
        .map(|d| GtpoMember {
            reward: d.reward,
            ids: &d.ids,
            mask: &d.mask,
            entropy: &d.entropy,
        })
        .collect();
    Gtpo::new(config).expect("valid").group(&members).expect("data")
}

/// Groups over few tokens, so that conflicts are common; three levels of reward, so that ties are.
fn groups() -> impl Strategy<Value = Vec<Draw>> {
    let reward = prop_oneof![9 => prop::sample::select(vec![0.0, 0.5, 1.0]).prop_map(Some), 1 => Just(None)];
    let token = (0u32..3, prop::bool::weighted(0.9), 0.0..1.2f64);
    let member = (reward, prop::collection::vec(token, 0..7)).prop_map(|(reward, tokens)| Draw {
        reward,
        ids: tokens.iter().map(|t| t.0).collect(),
        mask: tokens.iter().map(|t| t.1).collect(),
        entropy: tokens.iter().map(|t| t.2).collect(),
    });
    prop::collection::vec(member, 1..7)
}

fn unmasked(mut group: Vec<Draw>) -> Vec<Draw> {
    group.iter_mut().for_each(|d| d.mask.fill(true));
    group
}

/// Reward less the mean of the scored; 0 for the others.
fn centred(group: &[Draw]) -> Vec<f64> {
    let scored: Vec<f64> = group.iter().filter_map(|d| d.reward).collect();
    let mean = scored.iter().sum::<f64>() / scored.len() as f64;
    let each = |d: &Draw| {
        d.reward
            .map_or(0.0, |r| if (r - mean).abs() < 1e-9 { 0.0 } else { r - mean })
    };
    group.iter().map(each).collect()
}

fn sides(group: &[Draw]) -> Vec<Side> {
    centred(group).into_iter().map(Side::of).collect()
}

/// The definition, literally: token t is hot if it stands at t on both sides, and so are all before it.
fn literal_runs(rows: &[Vec<u32>], sides: &[Side]) -> Vec<usize> {
    let stands = |side: Side, t: usize, token: u32| {
        rows.iter()
            .zip(sides)
            .any(|(row, s)| *s == side && row.get(t) == Some(&token))
    };
    let hot = |i: usize, t: usize| {
        sides[i] != Side::Neither
            && stands(Side::Rewarded, t, rows[i][t])
            && stands(Side::Punished, t, rows[i][t])
    };
    (0..rows.len())
        .map(|i| (0..rows[i].len()).take_while(|t| hot(i, *t)).count())
        .collect()
}

fn small() -> GtpoConfig {
    GtpoConfig {
        amplify: 3.0,
        ..GtpoConfig::default()
    }
}

#[test]
fn what_rounding_leaves_of_a_large_reward_takes_no_side() {
    // 1e-7 off the mean of 1e6 is a part 1e-13 of the rewards; 1e-3 is none of their rounding.
    let group = |off: f64| {
        let rewards = [0.0, 1e6 + off, 2e6];
        let found = rewards.map(|r| draw(r, &[1], 0.0));
        shaped(&small(), &found)[1].conflicts
    };
    assert_eq!(group(1e-7), 0);
    assert_eq!(group(1e-3), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn weights_are_0_1_or_amplify_zeros_only_where_punished(group in groups()) {
        for ((s, side), d) in shaped(&small(), &group).iter().zip(sides(&group)).zip(&group) {
            for (w, _) in s.weights.iter().zip(&d.mask).filter(|(_, m)| **m) {
                prop_assert!([0.0, 1.0, 3.0].contains(w));
                prop_assert!(*w != 0.0 || side == Side::Punished);
                prop_assert!(*w != 3.0 || side == Side::Rewarded);
            }
            prop_assert!(s.weights.iter().zip(&d.mask).all(|(w, m)| *m || *w == 0.0));
        }
    }

    #[test]
    fn runs_are_contiguous_from_an_end_and_as_defined(group in groups()) {
        let rows: Vec<Vec<u32>> = group.iter().map(|d| d.ids.clone()).collect();
        let mirrored: Vec<Vec<u32>> = rows.iter().map(|r| r.iter().rev().copied().collect()).collect();
        let borrowed: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let sides = sides(&group);
        let expected: Vec<ConflictRuns> = literal_runs(&rows, &sides).into_iter()
            .zip(literal_runs(&mirrored, &sides))
            .map(|(front, back)| ConflictRuns { front, back })
            .collect();
        let runs = conflict_runs(&borrowed, &sides)?;
        prop_assert_eq!(&runs, &expected);
        let group = unmasked(group);
        for (s, (run, row)) in shaped(&small(), &group).iter().zip(runs.iter().zip(&rows)) {
            prop_assert_eq!(s.conflicts, run.count(row.len()));
            for (t, w) in s.weights.iter().enumerate() {
                prop_assert_eq!(*w != 1.0, t < run.front || row.len() - t <= run.back);
            }
        }
    }

    #[test]
    fn an_answer_with_advantage_0_neither_makes_nor_feels_conflict(group in groups(), ids in prop::collection::vec(0u32..3, 1..7)) {
        let sides = sides(&group);
        for (s, _) in shaped(&small(), &group).iter().zip(&sides).filter(|(_, side)| **side == Side::Neither) {
            prop_assert_eq!(s.conflicts, 0);
        }
        let rows: Vec<&[u32]> = group.iter().map(|d| d.ids.as_slice()).collect();
        let with = [rows.clone(), vec![ids.as_slice()]].concat();
        let mut runs = conflict_runs(&with, &[sides.clone(), vec![Side::Neither]].concat())?;
        prop_assert_eq!(runs.pop(), Some(ConflictRuns::default()));
        prop_assert_eq!(runs, conflict_runs(&rows, &sides)?);
    }

    #[test]
    fn without_shared_tokens_it_is_reinforce_with_mean_baseline_and_entropy(group in groups()) {
        // Every answer speaks a language of its own.
        let mut group = unmasked(group);
        for (i, d) in (0u32..).zip(group.iter_mut()) {
            d.ids.iter_mut().for_each(|id| *id += 10 * i);
        }
        for (s, (a, d)) in shaped(&small(), &group).iter().zip(centred(&group).iter().zip(&group)) {
            prop_assert!(s.weights.iter().all(|w| *w == 1.0));
            let h = if d.ids.is_empty() { 0.0 } else { d.entropy.iter().sum::<f64>() / d.ids.len() as f64 };
            let expected = if d.reward.is_some() && h <= 2.0_f64.ln() { a - 0.1 * h } else { 0.0 };
            prop_assert!((s.advantage - expected).abs() < 1e-12, "{} {}", s.advantage, expected);
            prop_assert_eq!(s.kept, h <= 2.0_f64.ln());
        }
    }

    #[test]
    fn reversing_all_answers_swaps_the_runs_and_mirrors_the_weights(group in groups()) {
        let mut mirrored = group.clone();
        for d in &mut mirrored {
            d.ids.reverse();
            d.mask.reverse();
            d.entropy.reverse();
        }
        for (s, mut m) in shaped(&small(), &group).into_iter().zip(shaped(&small(), &mirrored)) {
            m.weights.reverse();
            prop_assert_eq!(s.weights, m.weights);
            prop_assert!((s.advantage - m.advantage).abs() < 1e-12);
        }
    }

    #[test]
    fn amplify_1_without_entropy_terms_leaves_only_the_zeros(group in groups()) {
        let config = GtpoConfig { amplify: 1.0, entropy_coef: 0.0, entropy_threshold: f64::MAX, ..GtpoConfig::default() };
        let amplified = shaped(&small(), &group);
        for (i, (s, a)) in shaped(&config, &group).iter().zip(centred(&group)).enumerate() {
            prop_assert!((s.advantage - a).abs() < 1e-12 && s.kept);
            for (t, w) in s.weights.iter().enumerate() {
                prop_assert_eq!(*w, amplified[i].weights[t].min(1.0));
            }
        }
    }

    #[test]
    fn product_squares_where_both_runs_meet(group in groups()) {
        let group = unmasked(group);
        let product = GtpoConfig { combine: CombineRuns::Product, ..small() };
        let rows: Vec<&[u32]> = group.iter().map(|d| d.ids.as_slice()).collect();
        let runs = conflict_runs(&rows, &sides(&group))?;
        let (product, union) = (shaped(&product, &group), shaped(&small(), &group));
        for (i, run) in runs.iter().enumerate() {
            let n = rows[i].len();
            for (t, (p, u)) in product[i].weights.iter().zip(&union[i].weights).enumerate() {
                let both = t < run.front && n - t <= run.back;
                prop_assert_eq!(*p, if both { u * u } else { *u });
            }
        }
    }
}

#[test]
fn places_are_absolute_and_middle_matches_never_count() {
    let runs = conflict_runs(
        &[&[1, 2, 3, 9], &[7, 1, 2, 3, 8], &[1, 5, 3, 4]],
        &[Side::Rewarded, Side::Punished, Side::Punished],
    )
    .expect("fits");
    let run = |front, back| ConflictRuns { front, back };
    // The inserted 7 ends the run; the 3 at place 2 of the first and third is behind a break.
    assert_eq!(runs, [run(1, 0), run(0, 0), run(1, 0)]);
    // An answer may be hot at a place because of one whose own run has ended.
    let runs = conflict_runs(
        &[&[5, 6], &[5, 7], &[8, 6]],
        &[Side::Rewarded, Side::Punished, Side::Punished],
    );
    assert_eq!(runs.expect("fits")[0].front, 2);
    assert_eq!(
        conflict_runs(&[&[1]], &[]).expect_err("refused").to_string(),
        "`sides` has 0 entries, expected 1"
    );
}

#[test]
fn a_run_may_cover_the_whole_answer() {
    let group = [
        draw(1.0, &[5, 6], 0.1),
        draw(0.0, &[5, 6], 0.1),
        draw(1.0, &[5, 1], 0.1),
    ];
    let weights = |config: &GtpoConfig| {
        shaped(config, &group)
            .into_iter()
            .map(|s| s.weights)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        weights(&GtpoConfig::default()),
        [vec![2.0, 2.0], vec![0.0, 0.0], vec![2.0, 1.0]]
    );
    let product = GtpoConfig {
        combine: CombineRuns::Product,
        ..GtpoConfig::default()
    };
    assert_eq!(
        weights(&product),
        [vec![4.0, 4.0], vec![0.0, 0.0], vec![2.0, 1.0]]
    );
    assert_eq!(shaped(&product, &group)[0].conflicts, 2);
}

#[test]
fn equal_rewards_have_no_sides_but_the_entropy_term_acts() {
    // The mean of seven times 0.1 is not 0.1.
    let group: Vec<Draw> = (0..7).map(|_| draw(0.1, &[1, 2], 0.5)).collect();
    for s in shaped(&GtpoConfig::default(), &group) {
        assert_eq!((s.weights, s.conflicts, s.kept), (vec![1.0, 1.0], 0, true));
        assert!((s.advantage + 0.05).abs() < 1e-15);
    }
    // Nor is 0.2 the mean of 0.1, 0.2 and 0.3: its rounding must not choose a side.
    let group = [draw(0.1, &[1], 0.0), draw(0.2, &[1], 0.0), draw(0.3, &[1], 0.0)];
    let weights: Vec<f64> = shaped(&GtpoConfig::default(), &group)
        .iter()
        .map(|s| s.weights[0])
        .collect();
    assert_eq!(weights, [0.0, 1.0, 2.0]);
}

#[test]
fn an_empty_answer_has_entropy_0_and_no_weights() {
    let group = [draw(1.0, &[], 0.0), draw(0.0, &[4], 0.2)];
    let found = shaped(&GtpoConfig::default(), &group);
    assert_eq!(
        found[0],
        GtpoShaped {
            advantage: 0.5,
            divisor: 1.0,
            kept: true,
            conflicts: 0,
            weights: vec![]
        }
    );
    assert!((found[1].advantage + 0.52).abs() < 1e-15);
}

#[test]
fn the_filter_includes_its_threshold_and_yields_to_a_high_initial_entropy() {
    let group = [draw(1.0, &[1], 0.7), draw(0.0, &[2], 0.701)];
    let run = |initial_entropy: Option<f64>| {
        let config = GtpoConfig {
            entropy_threshold: 0.7,
            initial_entropy,
            ..GtpoConfig::default()
        };
        let found = shaped(&config, &group);
        (found[0].kept, found[1].kept, found[1].advantage)
    };
    assert_eq!(run(None), (true, false, 0.0));
    // At the threshold the exception does not hold.
    assert_eq!(run(Some(0.7)), (true, false, 0.0));
    let (first, second, advantage) = run(Some(0.71));
    assert!(first && second && (advantage + 0.5701).abs() < 1e-12);
}

#[test]
fn masked_tokens_are_no_tokens() {
    let mut with = draw(0.0, &[5, 8, 6], 0.1);
    with.mask[1] = false;
    with.entropy[1] = 9.0;
    let group = [draw(1.0, &[5, 6], 0.1), with];
    let found = shaped(&GtpoConfig::default(), &group);
    assert_eq!(found[0].weights, [2.0, 2.0]);
    assert_eq!(found[1].weights, [0.0, 0.0, 0.0]);
    assert_eq!((found[1].conflicts, found[1].kept), (2, true));
    assert!((found[1].advantage + 0.51).abs() < 1e-15);
}

fn trajectory(ids: &[u32]) -> Trajectory {
    Trajectory {
        completion: ids.to_vec(),
        ..Trajectory::of_reply("", ids.len())
    }
}

#[test]
fn the_estimator_folds_weights_and_divisor_into_token_advantages() {
    let groups = Offsets::from_lengths([2, 2]);
    let answers: [&[u32]; 4] = [&[1, 2, 3], &[1, 4, 3], &[9], &[9, 8]];
    let tokens = Offsets::from_lengths(answers.map(<[u32]>::len));
    let trajectories = answers.map(trajectory);
    let rewards = [Some(1.0), Some(0.0), None, Some(0.25)];
    let (entropy, mask) = (
        vec![0.5; 9],
        [true, true, true, true, true, true, true, true, false],
    );
    let mut batch = RewardBatch::new(groups.spans(), &rewards);
    let run = |config: &GtpoConfig, batch: &RewardBatch<'_>| {
        let part = config.build(&()).expect("valid");
        assert_eq!(part.needs(), Needs::TOKENS | Needs::ENTROPY | Needs::TRAJECTORIES);
        match part.estimate(batch) {
            Ok(Advantages::Token(a)) => Ok(a),
            Ok(Advantages::Trajectory(_)) => panic!("per token"),
            Err(error) => Err(error.to_string()),
        }
    };
    let plain = GtpoConfig::default();
    assert_eq!(
        run(&plain, &batch),
        Err("`tokens` is missing, and `gtpo` needs it".into())
    );
    batch.tokens = Some(tokens.spans());
    batch.mask = Some(&mask);
    assert_eq!(
        run(&plain, &batch),
        Err("`entropy` is missing, and `gtpo` needs it".into())
    );
    batch.entropy = Some(&entropy);
    assert_eq!(
        run(&plain, &batch),
        Err("`trajectories` is missing, and `gtpo` needs it".into())
    );
    batch.trajectories = Some(&trajectories);
    let (good, bad, lone) = (0.5 - 0.1 * 0.5, -0.5 - 0.1 * 0.5, -0.1 * 0.5);
    assert_eq!(
        run(&plain, &batch),
        Ok(vec![2.0 * good, good, 2.0 * good, 0.0, bad, 0.0, 0.0, lone, 0.0])
    );
    let divided = GtpoConfig {
        divide_by_conflicts: DivideByConflicts::On,
        ..plain.clone()
    };
    assert_eq!(
        run(&divided, &batch),
        Ok(vec![good, good / 2.0, good, 0.0, bad / 2.0, 0.0, 0.0, lone, 0.0])
    );
}

#[test]
fn answers_of_other_lengths_are_named() {
    let groups = Offsets::from_lengths([1]);
    let tokens = Offsets::from_lengths([3]);
    let (rewards, entropy, mask) = ([Some(1.0)], [0.5; 3], [true; 3]);
    let mut batch = RewardBatch::new(groups.spans(), &rewards);
    batch.tokens = Some(tokens.spans());
    batch.mask = Some(&mask);
    batch.entropy = Some(&entropy);
    let run = |batch: &RewardBatch<'_>| {
        let part = GtpoConfig::default().build(&()).expect("valid");
        part.estimate(batch).expect_err("refused").to_string()
    };
    let short = [trajectory(&[1, 2])];
    batch.trajectories = Some(&short);
    assert_eq!(
        run(&batch),
        "`completion of trajectory 0` has 2 entries, expected 3"
    );
    batch.trajectories = Some(&[]);
    assert_eq!(run(&batch), "`trajectories` has 0 entries, expected 1");
}

#[test]
fn data_that_do_not_fit_are_named() {
    let gtpo = Gtpo::new(&GtpoConfig::default()).expect("valid");
    let member = |mask, entropy| GtpoMember {
        reward: Some(1.0),
        ids: &[1, 2],
        mask,
        entropy,
    };
    let good = member(&[true, true], &[0.1, 0.1]);
    let refuse = |bad| gtpo.group(&[good, bad]).expect_err("refused").to_string();
    assert_eq!(
        refuse(member(&[true], &[0.1, 0.1])),
        "`mask of trajectory 1` has 1 entries, expected 2"
    );
    assert_eq!(
        refuse(member(&[true, true], &[0.1])),
        "`entropy of trajectory 1` has 1 entries, expected 2"
    );
    assert_eq!(
        refuse(member(&[true, true], &[0.1, f64::NAN])),
        "index 1: `entropy of trajectory 1` is NaN"
    );
    assert_eq!(
        gtpo.group(&[]).expect_err("refused").to_string(),
        "group 0: holds no trajectory"
    );
}

#[test]
fn refused_parameters() {
    let refuse = |config: GtpoConfig| config.build(&()).map(|_| ()).expect_err("refused").to_string();
    let base = GtpoConfig::default();
    for bad in [0.99, f64::NAN, f64::INFINITY] {
        let config = GtpoConfig {
            amplify: bad,
            ..base.clone()
        };
        assert_eq!(
            refuse(config),
            format!("`amplify` = {bad}: must be a finite number >= 1")
        );
    }
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let config = GtpoConfig {
            entropy_threshold: bad,
            ..base.clone()
        };
        assert_eq!(
            refuse(config),
            format!("`entropy_threshold` = {bad}: must be a finite number > 0")
        );
    }
    for bad in [-0.1, f64::NAN, f64::INFINITY] {
        let config = GtpoConfig {
            entropy_coef: bad,
            ..base.clone()
        };
        assert_eq!(
            refuse(config),
            format!("`entropy_coef` = {bad}: must be a finite number >= 0")
        );
        let config = GtpoConfig {
            initial_entropy: Some(bad),
            ..base.clone()
        };
        assert_eq!(
            refuse(config),
            format!("`initial_entropy` = {bad}: must be a finite number >= 0")
        );
    }
    let edge = GtpoConfig {
        amplify: 1.0,
        entropy_coef: 0.0,
        initial_entropy: Some(0.0),
        ..base
    };
    assert!(edge.build(&()).is_ok());
}

#[test]
fn the_formula_says_what_is_active() {
    assert_eq!(
        GtpoConfig::default().formula(),
        "A_it = delta_i (r_i - mean(r) - 0.1 H_i) lambda_it; delta_i = [H_i <= 0.6931471805599453]; \
         lambda_it in conflict: 2 if r_i > mean(r), 0 if r_i < mean(r), else 1"
    );
    let code = GtpoConfig {
        combine: CombineRuns::Product,
        divide_by_conflicts: DivideByConflicts::On,
        entropy_threshold: 0.7,
        initial_entropy: Some(0.9),
        ..GtpoConfig::default()
    };
    assert_eq!(
        code.formula(),
        "A_it = delta_i (r_i - mean(r) - 0.1 H_i) lambda_it / max(1, conflicts_i); delta_i = 1; \
         lambda_it in conflict: 2 (4 in both runs) if r_i > mean(r), 0 if r_i < mean(r), else 1"
    );
    for initial_entropy in [0.2, GtpoConfig::default().entropy_threshold] {
        let low = GtpoConfig {
            initial_entropy: Some(initial_entropy),
            ..GtpoConfig::default()
        };
        assert_eq!(low.formula(), GtpoConfig::default().formula());
    }
}
