//! Invariants of section 10, edge cases of section 5.

use groupwise_core::{Turn, stats};
use proptest::prelude::*;

use super::super::testing::member;
use super::*;

const ENTROPIES: [VoteEntropy; 3] = [
    VoteEntropy::Normalized,
    VoteEntropy::Raw,
    VoteEntropy::LeaveOneOut,
];

fn config(kind: VoteReward, entropy: VoteEntropy, alpha: f64) -> TtrvConfig {
    TtrvConfig {
        kind,
        entropy,
        alpha,
        ..TtrvConfig::default()
    }
}

fn vote<S: AsRef<str>>(config: &TtrvConfig, answers: &[Option<S>]) -> VoteRewards {
    Ttrv::new(config).expect("valid").vote(answers).expect("votes")
}

fn votes() -> impl Strategy<Value = Vec<Option<String>>> {
    prop::collection::vec(prop::option::weighted(0.8, "[abc]"), 1..12)
}

fn configs() -> impl Strategy<Value = TtrvConfig> {
    let kind = prop::sample::select(vec![VoteReward::Frequency, VoteReward::Majority]);
    let entropy = prop::sample::select(ENTROPIES.to_vec());
    (kind, entropy, 0.0..5.0f64).prop_map(|(kind, entropy, alpha)| config(kind, entropy, alpha))
}

/// Shannon entropy of the readable answers, from its definition.
fn entropy<S: PartialEq>(answers: &[Option<S>]) -> f64 {
    let readable: Vec<&S> = answers.iter().flatten().collect();
    let n = readable.len() as f64;
    // Each vote contributes -ln p / n.
    let share = |a: &S| readable.iter().filter(|b| ***b == *a).count() as f64 / n;
    readable.iter().map(|a| -share(a).ln() / n).sum()
}

fn standardized(rewards: &[f64]) -> Vec<f64> {
    if stats::is_constant(rewards) {
        return vec![0.0; rewards.len()];
    }
    let (mean, std) = (stats::mean(rewards), stats::sample_std(rewards));
    rewards.iter().map(|r| (r - mean) / std).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rewards_are_what_the_definition_says(answers in votes(), alpha in 0.0..5.0f64) {
        let n = answers.len() as f64;
        let h = entropy(&answers);
        let mut distinct: Vec<&String> = answers.iter().flatten().collect();
        distinct.sort();
        distinct.dedup();
        let ln_m = (distinct.len() as f64).ln();
        let normalized = if distinct.len() > 1 { h / ln_m } else { 0.0 };
        for (kind, term) in [(VoteEntropy::Normalized, normalized), (VoteEntropy::Raw, h), (VoteEntropy::LeaveOneOut, h)] {
            let found = vote(&config(VoteReward::Frequency, kind, alpha), &answers);
            prop_assert!((found.entropy - term).abs() < 1e-12);
            for (j, answer) in answers.iter().enumerate() {
                let count = answers.iter().filter(|a| a.is_some() && *a == answer).count();
                let f = count as f64 / n;
                prop_assert_eq!(found.frequencies[j], f);
                let mut others = answers.clone();
                others.remove(j);
                let expected = match (kind, answer) {
                    (VoteEntropy::LeaveOneOut, None) => 0.0,
                    (VoteEntropy::LeaveOneOut, Some(_)) => f + alpha * n * (entropy(&others) - h),
                    _ => f - alpha * term,
                };
                prop_assert!((found.rewards[j] - expected).abs() < 1e-10);
            }
        }
    }

    #[test]
    fn permuting_votes_permutes_rewards(answers in votes(), turn in 0usize..12, config in configs()) {
        // Ties of the majority go to the earliest, so only the frequencies are blind to order.
        let config = TtrvConfig { kind: VoteReward::Frequency, ..config };
        let by = turn % answers.len();
        let mut turned = answers.clone();
        turned.rotate_left(by);
        let mut here = vote(&config, &answers).rewards;
        here.rotate_left(by);
        for (a, b) in here.iter().zip(&vote(&config, &turned).rewards) {
            prop_assert!((a - b).abs() < 1e-10);
        }
    }

    #[test]
    fn renaming_answers_changes_nothing(answers in votes(), config in configs()) {
        let renamed: Vec<Option<String>> = answers
            .iter()
            .map(|a| a.as_ref().map(|a| format!("{}!", a.replace('a', "z"))))
            .collect();
        prop_assert_eq!(vote(&config, &answers), vote(&config, &renamed));
    }

    #[test]
    fn advantages_do_not_depend_on_alpha_for_normalized_and_raw(answers in votes(), alpha in 0.0..5.0f64) {
        let plain = vote(&config(VoteReward::Frequency, VoteEntropy::Raw, 0.0), &answers);
        prop_assert_eq!(&plain.rewards, &plain.frequencies);
        for entropy in [VoteEntropy::Normalized, VoteEntropy::Raw] {
            let other = vote(&config(VoteReward::Frequency, entropy, alpha), &answers);
            for (a, b) in standardized(&plain.rewards).iter().zip(standardized(&other.rewards)) {
                prop_assert!((a - b).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_unanimous_vote_gives_equal_rewards(n in 1usize..12, config in configs()) {
        let found = vote(&config, &vec![Some("a"); n]);
        prop_assert_eq!(found.entropy.to_bits(), 0.0f64.to_bits());
        prop_assert_eq!(found.rewards, vec![1.0; n]);
    }

    #[test]
    fn frequencies_of_a_readable_group_sum_to_n_times_the_squared_shares(answers in votes()) {
        let readable: Vec<Option<String>> = answers.into_iter().filter(Option::is_some).collect();
        prop_assume!(!readable.is_empty());
        let found = vote(&TtrvConfig::default(), &readable);
        let n = readable.len() as f64;
        let shares = AnswerClusters::of(readable.iter().map(Option::as_ref)).shares();
        let squares: f64 = shares.iter().map(|p| p * p).sum();
        prop_assert!((found.frequencies.iter().sum::<f64>() - n * squares).abs() < 1e-10);
    }

    #[test]
    fn the_majority_is_one_readable_answer_with_most_votes(answers in votes(), alpha in 0.0..5.0f64) {
        let found = vote(&config(VoteReward::Majority, VoteEntropy::Raw, alpha), &answers);
        let top = found.frequencies.iter().copied().fold(0.0, f64::max);
        let first = (0..answers.len()).find(|j| top > 0.0 && found.frequencies[*j] == top);
        for j in 0..answers.len() {
            let wins = first.is_some_and(|first| answers[j] == answers[first]);
            prop_assert_eq!(found.rewards[j], f64::from(u8::from(wins)));
        }
    }

    #[test]
    fn leave_one_out_pays_a_majority_more_than_a_lone_dissenter(n in 2usize..12, alpha in 0.01..5.0f64) {
        let mut answers = vec![Some("a"); n];
        answers.push(Some("b"));
        let found = vote(&config(VoteReward::Frequency, VoteEntropy::LeaveOneOut, alpha), &answers);
        // Taking the dissenter out makes the vote unanimous: its term is negative.
        prop_assert!(found.rewards[n] < found.frequencies[n] && found.rewards[0] > found.frequencies[0]);
    }
}

#[test]
fn unreadable_answers_do_not_win_and_count_in_n() {
    let answers = [None, None, None, Some("7"), Some("3")];
    let majority = vote(
        &config(VoteReward::Majority, VoteEntropy::Normalized, 0.75),
        &answers,
    );
    assert_eq!(majority.rewards, [0.0, 0.0, 0.0, 1.0, 0.0]);
    assert_eq!(majority.frequencies, [0.0, 0.0, 0.0, 0.2, 0.2]);
    assert!((majority.entropy - 1.0).abs() < 1e-12);
    for entropy in ENTROPIES {
        let none = vote(&config(VoteReward::Frequency, entropy, 0.75), &[None::<&str>; 3]);
        assert_eq!((none.rewards, none.entropy), (vec![0.0; 3], 0.0));
        let lone = vote(&config(VoteReward::Frequency, entropy, 0.75), &[None, Some("7")]);
        assert_eq!((lone.rewards, lone.entropy), (vec![0.0, 0.5], 0.0));
    }
    let none = vote(
        &config(VoteReward::Majority, VoteEntropy::Raw, 0.0),
        &[None::<&str>; 2],
    );
    assert_eq!(none.rewards, [0.0; 2]);
}

#[test]
fn an_even_split_has_a_normalized_entropy_of_1_whatever_its_width() {
    for width in 2..9 {
        let answers: Vec<Option<String>> = (0..width).map(|k| Some(k.to_string())).collect();
        assert!((vote(&TtrvConfig::default(), &answers).entropy - 1.0).abs() < 1e-12);
    }
}

#[test]
fn nothing_to_vote_on_is_refused() {
    let ttrv = Ttrv::new(&TtrvConfig::default()).unwrap();
    assert_eq!(
        ttrv.vote::<&str>(&[]).unwrap_err().to_string(),
        "votes: there is none"
    );
    let ttrv = Ttrv::new(&TtrvConfig {
        n_train: Some(3),
        ..Default::default()
    })
    .unwrap();
    assert_eq!(
        ttrv.n_trained(2).unwrap_err().to_string(),
        "votes: `n_train` = 3 of 2 votes"
    );
    assert_eq!((ttrv.n_trained(3), ttrv.n_trained(4)), (Ok(3), Ok(3)));
}

#[test]
fn bad_parameters_are_refused_and_both_spellings_are_read() {
    let read = |json: &str| serde_json::from_str::<TtrvConfig>(json);
    let refused = |json: &str| read(json).unwrap().build(&()).unwrap_err().to_string();
    assert_eq!(
        refused(r#"{"alpha": -0.1}"#),
        "`alpha` = -0.1: must be a finite number >= 0"
    );
    assert_eq!(refused(r#"{"n_train": 0}"#), "`n_train` = 0: must be >= 1");
    let infinite = config(VoteReward::Frequency, VoteEntropy::Raw, f64::INFINITY);
    assert_eq!(
        Ttrv::new(&infinite).unwrap_err().to_string(),
        "`alpha` = inf: must be a finite number >= 0"
    );
    assert!(read(r#"{"alpha": 0, "n_train": 1}"#).unwrap().build(&()).is_ok());
    for (name, entropy) in [
        ("normalized", VoteEntropy::Normalized),
        ("normalised", VoteEntropy::Normalized),
        ("raw", VoteEntropy::Raw),
        ("leave-one-out", VoteEntropy::LeaveOneOut),
        ("leave_one_out", VoteEntropy::LeaveOneOut),
    ] {
        assert_eq!(
            read(&format!(r#"{{"entropy": "{name}"}}"#)).unwrap().entropy,
            entropy
        );
    }
    assert!(read(r#"{"votes": 32}"#).is_err());
}

#[test]
fn the_formula_says_which_rule_is_active() {
    let formula = |kind, entropy| config(kind, entropy, 0.5).formula();
    let tail = "; a_j: the whole reply; trained on: all votes";
    for (entropy, term) in [
        (VoteEntropy::Normalized, "- 0.5 H / ln M"),
        (VoteEntropy::Raw, "- 0.5 H"),
        (VoteEntropy::LeaveOneOut, "+ 0.5 N (H without j - H)"),
    ] {
        assert_eq!(
            formula(VoteReward::Frequency, entropy),
            format!("R_j = votes of a_j / N {term}{tail}")
        );
        assert_eq!(
            formula(VoteReward::Majority, entropy),
            format!("R_j = [a_j has most votes]{tail}")
        );
    }
    let tagged = TtrvConfig {
        answer: AnswerPart::AnswerTag,
        n_train: Some(16),
        ..config(VoteReward::Majority, VoteEntropy::Raw, 0.5)
    };
    assert_eq!(
        tagged.formula(),
        "R_j = [a_j has most votes]; a_j: the first answer tag; trained on: the first 16 votes"
    );
}

fn reply(text: &str, stop: StopReason) -> Trajectory {
    Trajectory {
        turns: vec![Turn {
            anchor: None,
            action: text.to_owned(),
            tokens: 0..1,
            reward: 0.0,
            valid: true,
        }],
        ..member(1, 0, stop)
    }
}

fn shape(config: &TtrvConfig, members: &[Trajectory], rewards: &mut GroupRewards) -> Result<(), DataError> {
    let (task, memory) = (Task::new("t", "", "gold"), PromptMemory::new(1, 1));
    config
        .build(&())
        .expect("valid")
        .shape(&task, members, rewards, &memory)
}

#[test]
fn a_group_votes_without_its_verdicts() {
    let config = config(VoteReward::Frequency, VoteEntropy::Raw, 0.0);
    let end = StopReason::EndToken;
    let members = [
        reply(" 7", end),
        reply("gold", end),
        reply("7\n", StopReason::Length),
        reply(" ", end),
        reply("7", StopReason::Aborted),
    ];
    let expected = [Some(0.5), Some(0.25), Some(0.5), Some(0.0), None];
    for verdicts in [
        vec![Some(0.0), Some(1.0), Some(0.0), Some(0.0), None],
        vec![None; 5],
    ] {
        let mut rewards = GroupRewards::new("v", verdicts.clone());
        rewards.trained[2] = false;
        shape(&config, &members, &mut rewards).unwrap();
        assert_eq!(rewards.rewards, expected);
        assert_eq!(rewards.trained, [true, true, false, true, false]);
        assert_eq!(rewards.components["ttrv"], expected);
        assert_eq!(rewards.components["v"], verdicts);
        assert_eq!(
            shape(&config, &members, &mut rewards).unwrap_err().to_string(),
            "component `ttrv`: is already there: the group would vote twice"
        );
    }
}

#[test]
fn members_beyond_n_train_vote_and_are_not_trained_on() {
    let config = TtrvConfig {
        n_train: Some(2),
        answer: AnswerPart::AnswerTag,
        ..config(VoteReward::Majority, VoteEntropy::Raw, 0.0)
    };
    let end = StopReason::EndToken;
    let members = ["3", "7", "7", "7"].map(|a| reply(&format!("so <answer>{a}</answer>"), end));
    let mut rewards = GroupRewards::new("v", vec![Some(1.0); 4]);
    shape(&config, &members, &mut rewards).unwrap();
    assert_eq!(rewards.rewards, [Some(0.0), Some(1.0), None, None]);
    assert_eq!(rewards.trained, [true, true, false, false]);
    let mut small = GroupRewards::new("v", vec![Some(1.0)]);
    assert_eq!(
        shape(&config, &members[..1], &mut small).unwrap_err().to_string(),
        "votes: `n_train` = 2 of 1 votes"
    );
}
