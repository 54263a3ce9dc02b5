//! Tests of Rank-GRPO's advantages: sections 5 and 10 of its specification.

use groupwise_core::{JudgedStep, Offsets};
use proptest::prelude::*;

use super::*;

/// A list: gains of its ranks (one token each), tokens behind the last, reward, how it ended.
#[derive(Clone, Debug)]
struct List {
    gains: Vec<f64>,
    behind: usize,
    reward: Option<f64>,
    ended: bool,
}

impl List {
    fn of(gains: &[f64]) -> Self {
        Self {
            gains: gains.to_vec(),
            behind: 0,
            reward: Some(0.0),
            ended: false,
        }
    }

    fn n_tokens(&self) -> usize {
        self.gains.len() + self.behind
    }

    fn trajectory(&self) -> Trajectory {
        Trajectory {
            stop: if self.ended {
                StopReason::EndToken
            } else {
                StopReason::Length
            },
            ..Trajectory::of_reply("", self.n_tokens())
        }
    }
}

fn config(n_ranks: usize) -> RankGrpoConfig {
    RankGrpoConfig {
        n_ranks,
        ..RankGrpoConfig::default()
    }
}

fn run(config: &RankGrpoConfig, lists: &[List]) -> Result<Vec<Vec<f64>>, DataError> {
    let groups = Offsets::from_lengths([lists.len()]);
    let tokens = Offsets::from_lengths(lists.iter().map(List::n_tokens));
    let rewards: Vec<Option<f64>> = lists.iter().map(|l| l.reward).collect();
    let mask = vec![true; tokens.total()];
    let spans = Offsets::from_lengths(lists.iter().map(|l| l.gains.len()));
    let steps: Vec<JudgedStep> = lists
        .iter()
        .flat_map(|l| {
            l.gains
                .iter()
                .enumerate()
                .map(|(end, h)| JudgedStep { end, reward: *h })
        })
        .collect();
    let trajectories: Vec<Trajectory> = lists.iter().map(List::trajectory).collect();
    let mut batch = RewardBatch::new(groups.spans(), &rewards);
    batch.tokens = Some(tokens.spans());
    batch.mask = Some(&mask);
    batch.trajectories = Some(&trajectories);
    batch.process = Some(ProcessRewards {
        spans: spans.spans(),
        steps: &steps,
    });
    match config.build(&()).unwrap().estimate(&batch)? {
        Advantages::Token(a) => Ok(tokens.spans().iter().map(|r| a[r].to_vec()).collect()),
        Advantages::Trajectory(_) => Err(DataError::value("test", "not per token")),
    }
}

/// Lists of full length, every token one rank.
fn full(n_ranks: usize) -> impl Strategy<Value = Vec<List>> {
    let gains = prop::collection::vec(prop_oneof![Just(0.0), Just(1.0)], n_ranks);
    let list = (gains, prop::option::weighted(0.85, Just(0.0))).prop_map(|(gains, reward)| List {
        reward,
        ..List::of(&gains)
    });
    prop::collection::vec(list, 1..6)
}

/// Lists of any length up to two ranks of overflow.
fn ragged() -> impl Strategy<Value = Vec<List>> {
    let list = (
        prop::collection::vec(prop_oneof![Just(0.0), Just(1.0)], 0..6),
        0usize..3,
        prop::option::weighted(0.85, Just(0.0)),
        any::<bool>(),
    )
        .prop_map(|(gains, behind, reward, ended)| List {
            gains,
            behind,
            reward,
            ended,
        });
    prop::collection::vec(list, 1..6)
}

const REWARDS: [RankReward; 2] = [RankReward::ExpInf, RankReward::LogDecay];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn per_rank_advantages_sum_to_zero_over_the_group(lists in full(4), reward in prop::sample::select(&REWARDS[..])) {
        let a = run(&RankGrpoConfig { reward, ..config(4) }, &lists)?;
        for k in 0..4 {
            let total: f64 = a.iter().map(|row| row[k]).sum();
            prop_assert!(total.abs() < 1e-9);
        }
    }

    #[test]
    fn items_at_other_ranks_change_nothing_under_exp_inf_and_earlier_ones_nothing_under_log_decay(
        lists in full(4), i in 0usize..5, k in 0usize..4,
    ) {
        let mut other = lists.clone();
        let i = i % lists.len();
        other[i].gains[k] = 1.0 - other[i].gains[k];
        for reward in REWARDS {
            let config = RankGrpoConfig { reward, ..config(4) };
            let (before, after) = (run(&config, &lists)?, run(&config, &other)?);
            for (b, a) in before.iter().zip(&after) {
                for j in 0..4 {
                    if j > k || (reward == RankReward::ExpInf && j != k) {
                        prop_assert_eq!(b[j], a[j]);
                    }
                }
            }
        }
    }

    #[test]
    fn log_decay_at_rank_zero_hits_only_has_the_signs_of_exp_inf(hits in prop::collection::vec(any::<bool>(), 1..6)) {
        let lists: Vec<List> = hits.iter().map(|h| List::of(&[f64::from(u8::from(*h)), 0.0, 0.0])).collect();
        let [plain, decayed] = REWARDS.map(|reward| run(&RankGrpoConfig { reward, ..config(3) }, &lists).unwrap());
        for (p, d) in plain.concat().iter().zip(decayed.concat()) {
            prop_assert_eq!(p.partial_cmp(&0.0), d.partial_cmp(&0.0));
        }
    }

    #[test]
    fn shaping_only_adds_and_only_where_the_length_is_decided(lists in ragged(), n in 1usize..6) {
        let shaping = LengthShaping { overflow_penalty: -0.25, end_bonus: 0.5, early_penalty: -0.75 };
        let plain = run(&config(n), &lists)?;
        let shaped = run(&RankGrpoConfig { length_shaping: Some(shaping), ..config(n) }, &lists)?;
        for ((p, s), list) in plain.iter().zip(&shaped).zip(&lists) {
            let items = list.gains.len() + usize::from(list.behind > 0);
            let last = p.len().checked_sub(1).filter(|_| list.ended);
            for t in 0..p.len() {
                let overflows = t.min(list.gains.len()) >= n;
                let expected = match list.reward {
                    None => 0.0,
                    Some(_) if overflows => -0.25,
                    Some(_) if last != Some(t) => 0.0,
                    Some(_) if items == n => 0.5,
                    Some(_) => -0.75,
                };
                prop_assert_eq!(s[t] - p[t], expected);
                prop_assert!(p[t] == 0.0 || (!overflows && last != Some(t) && list.reward.is_some()));
            }
        }
    }

    #[test]
    fn an_unscorable_list_is_as_if_absent(lists in ragged()) {
        let scored: Vec<List> = lists.iter().filter(|l| l.reward.is_some()).cloned().collect();
        prop_assume!(!scored.is_empty());
        let found = run(&config(4), &lists)?;
        let kept: Vec<Vec<f64>> =
            found.into_iter().zip(&lists).filter(|(_, l)| l.reward.is_some()).map(|(a, _)| a).collect();
        prop_assert_eq!(kept, run(&config(4), &scored)?);
    }
}

#[test]
fn the_worked_example() {
    let hits = [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0], [0.0; 4]];
    let rewards: Vec<Vec<f64>> = hits
        .iter()
        .map(|h| rank_rewards(RankReward::LogDecay, h))
        .collect();
    let (d1, d3) = (0.630_929_753_571_457_5, 0.430_676_558_073_393_06);
    let expected = [vec![1.0 + d3, d3, d3, d3], vec![d1, d1, 0.0, 0.0], vec![0.0; 4]];
    for (found, expected) in rewards.concat().iter().zip(expected.concat()) {
        assert!((found - expected).abs() < 1e-15);
    }
    assert_eq!(rank_rewards(RankReward::ExpInf, &hits[0]), hits[0]);
    assert!(rank_rewards(RankReward::LogDecay, &[]).is_empty());
    let lists: Vec<List> = hits.iter().map(|h| List::of(h)).collect();
    let a = run(
        &RankGrpoConfig {
            reward: RankReward::LogDecay,
            ..config(4)
        },
        &lists,
    )
    .unwrap();
    assert!((a[1][1] - 0.859_100_081_788_589_4).abs() < 1e-12);
    let population = RankGrpoConfig {
        reward: RankReward::LogDecay,
        spread: Spread::Population,
        ..config(4)
    };
    // Rank 2: rewards d3, 0, 0; deviation d3 sqrt(2)/3.
    let b = run(&population, &lists).unwrap();
    assert!((b[0][2] - 2.0 / 3.0 * d3 / (d3 * 2.0_f64.sqrt() / 3.0 + 1e-4)).abs() < 1e-12);
}

#[test]
fn two_lists_get_plus_and_minus_a_half_root_and_one_gets_nothing() {
    let a = run(&config(1), &[List::of(&[1.0]), List::of(&[0.0])]).unwrap();
    let expected = 0.5 / (0.5_f64.sqrt() + 1e-4);
    assert!((a[0][0] - expected).abs() < 1e-12 && (a[1][0] + expected).abs() < 1e-12);
    assert_eq!(run(&config(1), &[List::of(&[1.0])]).unwrap(), [[0.0]]);
    assert_eq!(
        run(&config(1), &[List::of(&[1.0]), List::of(&[1.0])]).unwrap(),
        [[0.0], [0.0]]
    );
}

#[test]
fn the_end_token_gets_nothing_though_it_lies_in_the_last_rank() {
    let ranks = [0, 0, 1, 1];
    let mut out = [9.0; 4];
    rank_token_advantages(&ranks, &[true; 4], &[1.0, 2.0], Some(3), None, &mut out).unwrap();
    assert_eq!(out, [1.0, 1.0, 2.0, 0.0]);
    // A masked end token earns no bonus, and masked tokens make no list longer.
    let shaping = LengthShaping::default();
    let mask = [true, true, true, false];
    rank_token_advantages(&ranks, &mask, &[1.0, 2.0], Some(3), Some(&shaping), &mut out).unwrap();
    assert_eq!(out, [1.0, 1.0, 2.0, 0.0]);
    let mask = [true, true, false, true];
    rank_token_advantages(&[0, 0, 5, 0], &mask, &[1.0], Some(3), Some(&shaping), &mut out).unwrap();
    assert_eq!(out, [1.0, 1.0, 0.0, 0.1]);
    // Overflow that is not at the end: no bonus, no early penalty.
    rank_token_advantages(
        &[0, 1, 0, 0],
        &[true; 4],
        &[1.0],
        Some(3),
        Some(&shaping),
        &mut out,
    )
    .unwrap();
    assert_eq!(out, [1.0, -0.1, 1.0, 0.0]);
}

#[test]
fn bad_data_is_named() {
    let mut out = [0.0; 2];
    let text = |e: DataError| e.to_string();
    let bad = rank_token_advantages(&[0, 1], &[true; 2], &[1.0], Some(2), None, &mut out).map_err(text);
    assert_eq!(
        bad.unwrap_err(),
        "end token: the end token cannot be token 2 of 2"
    );
    let bad = rank_token_advantages(&[0, 1], &[true], &[1.0], None, None, &mut out).map_err(text);
    assert_eq!(bad.unwrap_err(), "`mask` has 1 entries, expected 2");
    let bad = rank_token_advantages(&[0], &[true], &[1.0], None, None, &mut out).map_err(text);
    assert_eq!(bad.unwrap_err(), "`out` has 2 entries, expected 1");
    let relative = config(1).relative().unwrap();
    let groups = Offsets::from_lengths([2]);
    let bad = rank_advantages(groups.spans(), 2, &[0.0; 3], &[true; 2], &relative).map_err(text);
    assert_eq!(bad.unwrap_err(), "`rewards` has 3 entries, expected 4");
    let bad = run(&config(1), &[List::of(&[f64::NAN])]).map_err(text);
    assert_eq!(bad.unwrap_err(), "judged step 0: `reward` is NaN");
}

#[test]
fn missing_inputs_are_named() {
    let groups = Offsets::from_lengths([1]);
    let (rewards, mask, tokens) = ([Some(1.0)], [true], Offsets::from_lengths([1]));
    let (spans, steps) = (Offsets::from_lengths([0]), []);
    let estimator = config(1).build(&()).unwrap();
    let mut batch = RewardBatch::new(groups.spans(), &rewards);
    let missing = |batch: &RewardBatch<'_>| estimator.estimate(batch).unwrap_err().to_string();
    assert_eq!(missing(&batch), "`tokens` is missing, and `rank-grpo` needs it");
    batch.tokens = Some(tokens.spans());
    batch.mask = Some(&mask);
    assert_eq!(missing(&batch), "`process` is missing, and `rank-grpo` needs it");
    batch.process = Some(ProcessRewards {
        spans: spans.spans(),
        steps: &steps,
    });
    assert_eq!(
        missing(&batch),
        "`trajectories` is missing, and `rank-grpo` needs it"
    );
    batch.trajectories = Some(&[]);
    assert_eq!(missing(&batch), "`trajectories` has 0 entries, expected 1");
    let long = [List::of(&[1.0, 1.0]).trajectory()];
    batch.trajectories = Some(&long);
    assert_eq!(
        missing(&batch),
        "`completion of trajectory 0` has 2 entries, expected 1"
    );
}

#[test]
fn refused_parameters() {
    let refuse = |json: &str| {
        let config: RankGrpoConfig = serde_json::from_str(json).unwrap();
        config.build(&()).unwrap_err().to_string()
    };
    assert_eq!(
        refuse(r#"{"n_ranks": 0}"#),
        "`n_ranks` = 0: must be a number in 1..=1048576"
    );
    assert_eq!(
        refuse(r#"{"n_ranks": 1048577}"#),
        "`n_ranks` = 1048577: must be a number in 1..=1048576"
    );
    assert_eq!(
        refuse(r#"{"eps": 0.0}"#),
        "`eps` = 0: must be a finite number > 0"
    );
    for spread in ["leave-one-out", "mean", "none"] {
        assert_eq!(
            refuse(&format!(r#"{{"spread": "{spread}"}}"#)),
            format!("`spread` = {spread}: must be sample or population")
        );
    }
    for key in ["overflow_penalty", "end_bonus", "early_penalty"] {
        let mut shaping = LengthShaping::default();
        match key {
            "overflow_penalty" => shaping.overflow_penalty = f64::NAN,
            "end_bonus" => shaping.end_bonus = f64::NAN,
            _ => shaping.early_penalty = f64::NAN,
        }
        let error = RankGrpoConfig {
            length_shaping: Some(shaping),
            ..config(1)
        }
        .build(&())
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`{key}` = NaN: must be a finite number")
        );
    }
    let snake: RankGrpoConfig = serde_json::from_str(r#"{"reward": "log_decay"}"#).unwrap();
    assert_eq!(snake.reward, RankReward::LogDecay);
}

#[test]
fn the_formula_shows_what_is_active() {
    assert_eq!(
        RankGrpoConfig::default().formula(),
        "A_it = (r_ik - mean_j(r_jk)) / (std_j(r_jk; n - 1) + 1e-4), k the rank of token t, 0 for k >= 20 and the end \
         token; r_ik = h_ik, h_ik the reward of judged step k"
    );
    let shaped = RankGrpoConfig {
        reward: RankReward::LogDecay,
        spread: Spread::Population,
        length_shaping: Some(LengthShaping::default()),
        ..config(5)
    };
    assert_eq!(
        shaped.formula(),
        "A_it = (r_ik - mean_j(r_jk)) / (std_j(r_jk; n) + 1e-4), k the rank of token t, 0 for k >= 5 and the end token; \
         r_ik = sum_(k <= j < 5) h_ij / log2(j + 2), h_ik the reward of judged step k; plus -0.1 behind rank 5, at the \
         end token 0.1 after 5 ranks, -0.1 before"
    );
}
