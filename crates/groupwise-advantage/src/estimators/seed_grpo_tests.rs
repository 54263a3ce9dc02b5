use groupwise_core::Offsets;
use proptest::prelude::*;

use super::*;
use crate::estimators::DrGrpoConfig;

const FUNCS: [Attenuation; 3] = [Attenuation::Linear, Attenuation::Exponential, Attenuation::Focal];
const ESTIMATORS: [EntropyEstimator; 2] = [EntropyEstimator::ClusterMean, EntropyEstimator::Shannon];
const PROBS: [ClusterProbability; 2] = [ClusterProbability::Count, ClusterProbability::Likelihood];

/// Reward, reply and log-probability of one member.
type Member = (Option<f64>, String, f64);

fn estimate(config: &SeedGrpoConfig, groups: &[Vec<Member>]) -> Result<Vec<f64>, DataError> {
    let offsets = Offsets::from_lengths(groups.iter().map(Vec::len));
    let members: Vec<&Member> = groups.iter().flatten().collect();
    let rewards: Vec<Option<f64>> = members.iter().map(|m| m.0).collect();
    let trajectories: Vec<Trajectory> = members.iter().map(|m| Trajectory::of_reply(&m.1, 1)).collect();
    let logp: Vec<f64> = members.iter().map(|m| m.2).collect();
    // No token enters the loss: what a member says counts all the same.
    let (tokens, mask) = (
        Offsets::from_lengths(logp.iter().map(|_| 1)),
        vec![false; logp.len()],
    );
    let mut batch = RewardBatch::new(offsets.spans(), &rewards);
    batch.trajectories = Some(&trajectories);
    batch.tokens = Some(tokens.spans());
    batch.mask = Some(&mask);
    batch.logp_old = Some(&logp);
    match config.build(&()).unwrap().estimate(&batch)? {
        Advantages::Trajectory(a) => Ok(a),
        Advantages::Token(_) => Err(DataError::value("test", "per token")),
    }
}

fn dr_grpo(groups: &[Vec<Member>]) -> Vec<f64> {
    let offsets = Offsets::from_lengths(groups.iter().map(Vec::len));
    let rewards: Vec<Option<f64>> = groups.iter().flatten().map(|m| m.0).collect();
    let part = DrGrpoConfig::default().build(&()).unwrap();
    match part
        .estimate(&RewardBatch::new(offsets.spans(), &rewards))
        .unwrap()
    {
        Advantages::Trajectory(a) | Advantages::Token(a) => a,
    }
}

fn groups() -> impl Strategy<Value = Vec<Vec<Member>>> {
    let member = (
        prop::option::weighted(0.85, 0.0..1.0f64),
        "[ab]{0,2}",
        -9.0..0.0f64,
    );
    prop::collection::vec(prop::collection::vec(member, 1..7), 1..4)
}

fn configs() -> impl Strategy<Value = SeedGrpoConfig> {
    let choice = (
        prop::sample::select(FUNCS.to_vec()),
        prop::sample::select(ESTIMATORS.to_vec()),
        prop::sample::select(PROBS.to_vec()),
    );
    (0.0..1.5f64, 0.1..4.0f64, choice).prop_map(|(alpha, gamma, (func, estimator, prob))| SeedGrpoConfig {
        alpha,
        func,
        gamma,
        estimator,
        prob,
        answer: AnswerPart::Whole,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_group_keeps_sign_ratio_and_zero_sum_and_shrinks(groups in groups(), config in configs()) {
        let (a, base) = (estimate(&config, &groups)?, dr_grpo(&groups));
        let mut first = 0;
        for group in &groups {
            let span = first..first + group.len();
            first = span.end;
            let answers: Vec<Option<&str>> =
                group.iter().filter(|m| m.0.is_some()).map(|m| Some(m.1.as_str())).collect();
            let logp: Vec<f64> = group.iter().filter(|m| m.0.is_some()).map(|m| m.2).collect();
            let entropy = seed_entropy(&answers, config.prob, &logp, config.estimator)?;
            let f = seed_factor(entropy, answers.len(), config.alpha, config.func, config.gamma);
            prop_assert!((0.0..=1.0).contains(&f));
            prop_assert!(a[span.clone()].iter().sum::<f64>().abs() < 1e-9);
            for i in span {
                prop_assert!((a[i] - f * base[i]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn alpha_zero_is_dr_grpo(groups in groups(), config in configs()) {
        prop_assert_eq!(estimate(&SeedGrpoConfig { alpha: 0.0, ..config }, &groups)?, dr_grpo(&groups));
    }

    #[test]
    fn the_factor_falls_with_the_entropy(
        low in 0.0..2.0f64, step in 0.01..1.0f64, n in 2usize..9, alpha in 0.01..2.0f64, gamma in 0.1..4.0f64,
    ) {
        for func in FUNCS {
            let f = |entropy| seed_factor(entropy, n, alpha, func, gamma);
            prop_assert!(f(low + step) < f(low) || f(low) == 0.0);
            prop_assert_eq!(f(0.0), 1.0);
        }
    }

    #[test]
    fn entropy_of_counts_lies_between_0_and_ln_g(answers in prop::collection::vec("[abc]", 1..9)) {
        let given: Vec<Option<&str>> = answers.iter().map(|a| Some(a.as_str())).collect();
        let mut distinct = answers.clone();
        distinct.sort();
        distinct.dedup();
        let (ln_g, ln_k) = ((answers.len() as f64).ln(), (distinct.len() as f64).ln());
        let of = |estimator| seed_entropy(&given, ClusterProbability::Count, &[], estimator);
        let (mean, shannon) = (of(EntropyEstimator::ClusterMean)?, of(EntropyEstimator::Shannon)?);
        prop_assert!(mean >= ln_k - 1e-12 && shannon <= ln_k + 1e-12);
        for entropy in [mean, shannon] {
            prop_assert!((0.0..=ln_g + 1e-12).contains(&entropy));
            prop_assert_eq!(entropy < 1e-12, distinct.len() == 1);
            prop_assert_eq!((entropy - ln_g).abs() < 1e-12, distinct.len() == answers.len());
        }
    }

    #[test]
    fn relabelling_and_reordering_answers_changes_nothing(groups in groups(), config in configs()) {
        let turned: Vec<Vec<Member>> = groups
            .iter()
            .map(|g| g.iter().rev().map(|(r, a, l)| (*r, format!("<{a}>"), *l)).collect())
            .collect();
        let (a, b) = (estimate(&config, &groups)?, estimate(&config, &turned)?);
        let mut first = 0;
        for group in &groups {
            let n = group.len();
            for k in 0..n {
                prop_assert!((a[first + k] - b[first + n - 1 - k]).abs() < 1e-9);
            }
            first += n;
        }
    }
}

fn group(members: &[(f64, &str)]) -> Vec<Member> {
    members
        .iter()
        .map(|(r, a)| (Some(*r), (*a).to_owned(), -1.0))
        .collect()
}

#[test]
fn lone_members_and_single_clusters_are_as_in_dr_grpo() {
    let config = SeedGrpoConfig {
        alpha: 1.0,
        ..Default::default()
    };
    assert_eq!(estimate(&config, &[group(&[(1.0, "a")])]).unwrap(), [0.0]);
    assert_eq!(seed_factor(5.0, 1, 1.0, Attenuation::Linear, 2.0), 1.0);
    assert_eq!(
        estimate(&config, &[group(&[(1.0, "a"), (0.0, "a")])]).unwrap(),
        [0.5, -0.5]
    );
    // All different: SE = ln G, f = 0; exponential leaves e^-1.
    let a = estimate(&config, &[group(&[(1.0, "a"), (0.0, "b")])]).unwrap();
    assert!(a.iter().all(|a| a.abs() < 1e-12));
    let a = estimate(
        &SeedGrpoConfig {
            func: Attenuation::Exponential,
            ..config
        },
        &[group(&[(1.0, "a"), (0.0, "b")])],
    )
    .unwrap();
    assert!((a[0] - 0.5 * (-1.0_f64).exp()).abs() < 1e-12);
}

#[test]
fn the_empty_string_is_an_answer_and_unparsable_ones_are_one_cluster() {
    let entropy = |answers: &[Option<&str>]| {
        seed_entropy(answers, ClusterProbability::Count, &[], EntropyEstimator::Shannon).unwrap()
    };
    assert!((entropy(&[Some(""), None]) - 2.0_f64.ln()).abs() < 1e-12);
    assert_eq!(entropy(&[None, None]), 0.0);
    let config = SeedGrpoConfig {
        alpha: 1.0,
        answer: AnswerPart::AnswerTag,
        ..Default::default()
    };
    // Two replies without a block, however different, are one cluster.
    assert_eq!(
        estimate(&config, &[group(&[(1.0, "x"), (0.0, "y")])]).unwrap(),
        [0.5, -0.5]
    );
    let tagged = [group(&[
        (1.0, "<answer> 1</answer>"),
        (0.0, "so <answer>1</answer>"),
    ])];
    assert_eq!(estimate(&config, &tagged).unwrap(), [0.5, -0.5]);
}

#[test]
fn likelihood_sums_the_tokens_the_policy_chose() {
    let offsets = Offsets::from_lengths([2]);
    let rewards = [Some(1.0), Some(0.0)];
    let mut trajectories = vec![Trajectory::of_reply("a", 3), Trajectory::of_reply("b", 1)];
    trajectories[0].mask[1] = false;
    let tokens = Offsets::from_lengths([3, 1]);
    let mut batch = RewardBatch::new(offsets.spans(), &rewards);
    batch.trajectories = Some(&trajectories);
    batch.tokens = Some(tokens.spans());
    batch.mask = Some(&[true; 4]);
    // 3 : 1 in likelihood once the masked token is left out.
    let logp = [3.0_f64.ln() - 2.0, -50.0, -1.0, -3.0];
    batch.logp_old = Some(&logp);
    let config = SeedGrpoConfig {
        alpha: 1.0,
        prob: ClusterProbability::Likelihood,
        estimator: EntropyEstimator::Shannon,
        ..Default::default()
    };
    let part = config.build(&()).unwrap();
    assert_eq!(
        part.needs(),
        Needs::TRAJECTORIES | Needs::TOKENS | Needs::LOGP_OLD
    );
    let Advantages::Trajectory(a) = part.estimate(&batch).unwrap() else {
        panic!("per trajectory")
    };
    let entropy = -(0.75_f64 * 0.75_f64.ln() + 0.25 * 0.25_f64.ln());
    assert!((a[0] - 0.5 * (1.0 - entropy / 2.0_f64.ln())).abs() < 1e-12);
    batch.logp_old = None;
    assert_eq!(
        part.estimate(&batch).unwrap_err().to_string(),
        "`logp_old` is missing, and `seed-grpo` needs it"
    );
    batch.logp_old = Some(&logp);
    let short = vec![Trajectory::of_reply("a", 2), Trajectory::of_reply("b", 1)];
    batch.trajectories = Some(&short);
    assert_eq!(
        part.estimate(&batch).unwrap_err().to_string(),
        "`mask of the trajectory` has 2 entries, expected 3"
    );
}

#[test]
fn missing_trajectories_and_bad_parameters_are_named() {
    let offsets = Offsets::from_lengths([1]);
    let part = SeedGrpoConfig::default().build(&()).unwrap();
    assert_eq!(part.needs(), Needs::TRAJECTORIES);
    assert_eq!(
        part.estimate(&RewardBatch::new(offsets.spans(), &[Some(1.0)]))
            .unwrap_err()
            .to_string(),
        "`trajectories` is missing, and `seed-grpo` needs it"
    );
    let refused = |json: &str| {
        let config: SeedGrpoConfig = serde_json::from_str(json).unwrap();
        config.build(&()).unwrap_err().to_string()
    };
    assert_eq!(
        refused(r#"{"alpha": -0.1}"#),
        "`alpha` = -0.1: must be a finite number >= 0"
    );
    assert_eq!(
        refused(r#"{"gamma": -1.0}"#),
        "`gamma` = -1: must be a finite number >= 0"
    );
    let error = serde_json::from_str::<SeedGrpoConfig>(r#"{"func": "square"}"#).unwrap_err();
    assert!(error.to_string().contains("`focal`"), "{error}");
}

#[test]
fn the_formula_prints_what_is_active() {
    assert_eq!(
        SeedGrpoConfig::default().formula(),
        "A_i = (r_i - mean(r)) f; f = max(0, 1 - x), x = 0.02 SE / ln G, SE = -(1/K) sum_k ln p_k, p_k = |C_k| / G; \
         C_k: equal answers (whole reply)"
    );
    let other: SeedGrpoConfig = serde_json::from_str(
        r#"{"alpha": 1, "func": "focal", "estimator": "shannon", "prob": "likelihood", "answer": "answer-tag"}"#,
    )
    .unwrap();
    assert_eq!(
        other.formula(),
        "A_i = (r_i - mean(r)) f; f = max(0, 1 - x)^2, x = 1 SE / ln G, SE = -sum_k p_k ln p_k, \
         p_k = sum_(i in C_k) exp(logp_i) / sum_i exp(logp_i); C_k: equal answers (first answer block)"
    );
}
