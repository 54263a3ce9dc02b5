//! What every named estimator owes its seam, checked on random ragged batches.

use std::ops::Range;
use std::sync::Arc;

use groupwise_advantage::AdvantageSpec;
use groupwise_core::{
    Advantages, DataError, JudgedStep, Needs, Offsets, ProcessRewards, RewardBatch, Scope, StopReason, Task,
    Trajectory, Turn,
};
use proptest::prelude::*;

/// One trajectory with everything any estimator may ask for.
#[derive(Clone, Debug)]
struct Member {
    /// Who it is, wherever it stands.
    sample: u64,
    reward: Option<f64>,
    mask: Vec<bool>,
    logp_old: Vec<f64>,
    logp_ref: Vec<f64>,
    values: Vec<f64>,
}

type Batch = Vec<(f64, Vec<Member>)>;

fn member() -> impl Strategy<Value = Member> {
    (1usize..6).prop_flat_map(|n| {
        let reward = prop_oneof![4 => (0.0..1.0f64).prop_map(Some), 2 => Just(Some(1.0)), 1 => Just(None)];
        let column = |low, high| prop::collection::vec(low..high, n);
        let mask = prop::collection::vec(prop::bool::weighted(0.8), n);
        (
            any::<u64>(),
            reward,
            mask,
            column(-3.0, 0.0),
            column(-3.0, 0.0),
            column(-1.0, 1.0),
        )
            .prop_map(|(sample, reward, mask, logp_old, logp_ref, values)| Member {
                sample,
                reward,
                mask,
                logp_old,
                logp_ref,
                values,
            })
    })
}

/// Groups of members; the last group always holds two scored members with counted tokens, so that there is
/// something to whiten.
fn batch() -> impl Strategy<Value = Batch> {
    let group = (0.0..1.0f64, prop::collection::vec(member(), 1..5));
    prop::collection::vec(group, 1..4).prop_map(|mut groups| {
        let fixed = |reward| Member {
            sample: u64::from(reward > 0.5),
            reward: Some(reward),
            mask: vec![true, true],
            logp_old: vec![-1.0, -0.5],
            logp_ref: vec![-1.5, -0.25],
            values: vec![0.25, 0.5],
        };
        groups.push((0.5, vec![fixed(0.0), fixed(1.0)]));
        groups
    })
}

fn column<T: Clone>(batch: &Batch, of: impl Fn(&Member) -> &[T]) -> Vec<T> {
    batch
        .iter()
        .flat_map(|(_, g)| g)
        .flat_map(|m| of(m).to_vec())
        .collect()
}

/// The member as a trajectory of one turn; states, actions and validity differ with its length, its tokens are few
/// different ones, read off its log-probabilities, and every other one was cut off.
fn trajectory(member: &Member) -> Trajectory {
    let n = member.mask.len();
    Trajectory {
        task: 0,
        sample: member.sample,
        agent: None,
        prompt: Arc::from([0]),
        completion: member.logp_old.iter().map(|l| -*l as u32).collect(),
        mask: member.mask.clone(),
        logp: member.logp_old.clone(),
        entropy: entropy(member),
        turns: vec![Turn {
            anchor: Some(format!("state {}", n % 2)),
            action: format!("It is {}.", (member.logp_old[0] * 2.0).round()),
            tokens: 0..n,
            reward: member.reward.unwrap_or(0.0),
            valid: n != 4,
        }],
        version: 0,
        stop: if n.is_multiple_of(2) {
            StopReason::Length
        } else {
            StopReason::EndToken
        },
    }
}

/// Entropies on both sides of ln 2.
fn entropy(member: &Member) -> Vec<f64> {
    member.logp_ref.iter().map(|l| -l / 2.0).collect()
}

/// Advantages of each trajectory: one number or one per token.
fn estimate(spec: &AdvantageSpec, batch: &Batch) -> Result<Vec<Vec<f64>>, DataError> {
    estimate_from(spec, batch, Needs::all())
}

/// Takes everything out of the batch that `given` does not name; where its steps lie is in every batch.
fn withhold(view: &mut RewardBatch<'_>, given: Needs) {
    let has = |need| given.contains(need);
    view.greedy_rewards = view.greedy_rewards.filter(|_| has(Needs::GREEDY_REWARDS));
    view.tokens = view.tokens.filter(|_| has(Needs::TOKENS));
    view.mask = view.mask.filter(|_| has(Needs::TOKENS));
    view.logp_old = view.logp_old.filter(|_| has(Needs::LOGP_OLD));
    view.logp_ref = view.logp_ref.filter(|_| has(Needs::LOGP_REF));
    view.values = view.values.filter(|_| has(Needs::VALUES));
    view.entropy = view.entropy.filter(|_| has(Needs::ENTROPY));
    view.process = view.process.filter(|_| has(Needs::PROCESS_REWARDS));
    view.trajectories = view.trajectories.filter(|_| has(Needs::TRAJECTORIES));
    view.tasks = view.tasks.filter(|_| has(Needs::TASKS));
    view.off_policy = view.off_policy.filter(|_| has(Needs::OFF_POLICY));
    view.step_rewards = view.step_rewards.filter(|_| has(Needs::STEP_REWARDS));
    view.anchors = view.anchors.filter(|_| has(Needs::ANCHORS));
}

/// As [`estimate`], where of the optional inputs only what `given` names is there.
fn estimate_from(spec: &AdvantageSpec, batch: &Batch, given: Needs) -> Result<Vec<Vec<f64>>, DataError> {
    let groups = Offsets::from_lengths(batch.iter().map(|(_, g)| g.len()));
    let members: Vec<&Member> = batch.iter().flat_map(|(_, g)| g).collect();
    let tokens = Offsets::from_lengths(members.iter().map(|m| m.mask.len()));
    let rewards: Vec<Option<f64>> = members.iter().map(|m| m.reward).collect();
    let greedy: Vec<f64> = batch.iter().map(|(greedy, _)| *greedy).collect();
    let mask = column(batch, |m| &m.mask);
    let (logp_old, logp_ref) = (column(batch, |m| &m.logp_old), column(batch, |m| &m.logp_ref));
    let values = column(batch, |m| &m.values);
    let entropy: Vec<f64> = members.iter().flat_map(|m| entropy(m)).collect();
    let trajectories: Vec<Trajectory> = members.iter().map(|m| trajectory(m)).collect();
    // Read off the member, so that it goes along when members are reordered.
    let off_policy: Vec<bool> = members.iter().map(|m| m.logp_old[0] < -2.5).collect();
    let steps = Offsets::from_lengths(members.iter().map(|_| 1));
    let step_tokens: Vec<Range<usize>> = tokens.spans().iter().collect();
    let step_rewards: Vec<f64> = rewards.iter().map(|r| r.unwrap_or(0.0)).collect();
    let mut view = RewardBatch::new(groups.spans(), &rewards);
    view.greedy_rewards = Some(&greedy);
    view.tokens = Some(tokens.spans());
    view.mask = Some(&mask);
    view.logp_old = Some(&logp_old);
    view.logp_ref = Some(&logp_ref);
    view.values = Some(&values);
    view.entropy = Some(&entropy);
    view.trajectories = Some(&trajectories);
    view.off_policy = Some(&off_policy);
    view.steps = Some(steps.spans());
    view.step_tokens = Some(&step_tokens);
    view.step_rewards = Some(&step_rewards);
    let anchors: Vec<String> = trajectories
        .iter()
        .flat_map(|t| t.turns[0].anchor.clone())
        .collect();
    view.anchors = Some(&anchors);
    let task = Task::new("t", "", "It is -2. It is not 1.");
    let tasks: Vec<&Task> = batch.iter().map(|_| &task).collect();
    view.tasks = Some(&tasks);
    // One judged step at the end of every answer that has tokens.
    let judged: Vec<JudgedStep> = (0..rewards.len())
        .filter(|i| !tokens.range(*i).is_empty())
        .map(|i| JudgedStep {
            end: tokens.range(i).len() - 1,
            reward: rewards[i].unwrap_or(0.5),
        })
        .collect();
    let judged_spans = Offsets::from_lengths((0..rewards.len()).map(|i| tokens.range(i).len().min(1)));
    view.process = Some(ProcessRewards {
        spans: judged_spans.spans(),
        steps: &judged,
    });
    withhold(&mut view, given);
    let advantages = spec.build(&()).expect("defaults are valid").estimate(&view)?;
    advantages.check(tokens.spans())?;
    Ok(match advantages {
        Advantages::Trajectory(a) => a.into_iter().map(|a| vec![a]).collect(),
        Advantages::Token(a) => tokens.spans().iter().map(|r| a[r].to_vec()).collect(),
    })
}

/// Every named part at its defaults, and with its options switched on.
fn specs() -> Vec<AdvantageSpec> {
    let parsed = [
        r#"{"grpo": {"dialect": "nemo-rl"}}"#,
        r#"{"grpo": {"dialect": "verl", "scale_rewards": "batch"}}"#,
        r#"{"rloo": {"kl_coef": 0.05, "singleton": "raw"}}"#,
        r#"{"reinforce-plus-plus": {"gamma": 0.9, "kl_coef": 0.01, "masked_tokens": "skip"}}"#,
        r#"{"gae": {"gamma": 0.9, "kl_coef": 0.01, "whiten": "none"}}"#,
        r#"{"max-rl": {"eps": 1e-6, "singleton": "raw"}}"#,
        r#"{"seed-grpo": {"alpha": 0.5, "func": "focal", "prob": "likelihood", "estimator": "shannon"}}"#,
        r#"{"dr-irl": {"tau": 0.01, "combine": "average", "std": "population", "singleton": "raw"}}"#,
        r#"{"rank-grpo": {"n_ranks": 1, "reward": "log-decay", "length_shaping": {}}}"#,
        r#"{"gtpo": {"combine": "product", "divide_by_conflicts": "on", "initial_entropy": 0.9}}"#,
        r#"{"tempsamp-r1": {"mode": "anchor"}}"#,
        r#"{"tempsamp-r1": {"mode": "scale", "spread": "population"}}"#,
        r#"{"gigpo": {"std": "sample", "episode_stats": "step", "similarity": 0.9, "singleton": "raw"}}"#,
        r#"{"gigpo": {"std": "population", "rewards": "outcome", "invalid_penalty": 0.0}}"#,
        r#"{"salt": {"history": 1, "action": "last-word", "base": {"dr-grpo": {}}}}"#,
        r#"{"flow-grpo": {"episode_stats": "turn", "objective_aggregation": "token-mean"}}"#,
        r#"{"step-grpo": {"layout": "turns"}}"#,
        r#"{"hi-agent": {"judge_weight": 1.0}}"#,
    ]
    .map(|json| serde_json::from_str(json).expect("a spec"));
    let named = AdvantageSpec::NAMES
        .iter()
        .filter_map(|n| AdvantageSpec::named(n));
    named.chain(parsed).collect()
}

fn close(a: &[Vec<f64>], b: &[Vec<f64>]) -> bool {
    let near = |x: &f64, y: &f64| (x - y).abs() <= 1e-8 * x.abs().max(1.0);
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(x, y)| x.len() == y.len() && x.iter().zip(y).all(|(x, y)| near(x, y)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_not_asked_for_is_not_read(batch in batch()) {
        for spec in specs() {
            let needs = spec.build(&()).expect("valid").needs();
            prop_assert_eq!(estimate_from(&spec, &batch, needs), estimate(&spec, &batch), "{}", spec.name());
        }
    }

    #[test]
    fn what_is_asked_for_is_missed(batch in batch()) {
        for spec in specs() {
            let needs = spec.build(&()).expect("valid").needs();
            for need in needs.iter() {
                let without = estimate_from(&spec, &batch, needs - need);
                prop_assert!(without.is_err(), "{} without {need:?}", spec.name());
            }
        }
    }

    #[test]
    fn permuting_the_members_of_a_group_permutes_the_result(batch in batch(), turn in 0usize..5) {
        let mut turned = batch.clone();
        turned.iter_mut().for_each(|(_, g)| { let n = g.len(); g.rotate_left(turn % n) });
        for spec in specs() {
            let mut a = estimate(&spec, &batch).unwrap();
            let mut first = 0;
            for (_, g) in &batch {
                a[first..first + g.len()].rotate_left(turn % g.len());
                first += g.len();
            }
            prop_assert!(close(&a, &estimate(&spec, &turned).unwrap()), "{}", spec.name());
        }
    }

    #[test]
    fn an_unscorable_member_gets_zero_and_changes_nobody_else(batch in batch(), g in 0usize..4, extra in member()) {
        let g = g % batch.len();
        let mut with = batch.clone();
        with[g].1.push(Member { reward: None, ..extra });
        let at: usize = with[..=g].iter().map(|(_, g)| g.len()).sum::<usize>() - 1;
        for spec in specs() {
            let mut a = estimate(&spec, &with).unwrap();
            prop_assert!(a.remove(at).iter().all(|a| *a == 0.0), "{}", spec.name());
            prop_assert_eq!(a, estimate(&spec, &batch).unwrap(), "{}", spec.name());
        }
    }

    #[test]
    fn what_says_it_looks_at_its_group_only_may_be_given_groups_one_at_a_time(batch in batch()) {
        for spec in specs() {
            if spec.build(&()).unwrap().scope() > Scope::Group {
                continue;
            }
            let alone: Vec<Vec<f64>> =
                batch.iter().flat_map(|group| estimate(&spec, &vec![group.clone()]).unwrap()).collect();
            prop_assert_eq!(alone, estimate(&spec, &batch).unwrap(), "{}", spec.name());
        }
    }

    #[test]
    fn masked_tokens_get_zero_from_token_level_estimators(batch in batch()) {
        for spec in specs() {
            for (row, m) in estimate(&spec, &batch).unwrap().iter().zip(batch.iter().flat_map(|(_, g)| g)) {
                if row.len() == m.mask.len() && spec.build(&()).unwrap().needs().contains(Needs::TOKENS) {
                    let per_token = !matches!(spec, AdvantageSpec::Rloo(_) | AdvantageSpec::SeedGrpo(_) | AdvantageSpec::MGrpo(_));
                    prop_assert!(!per_token || row.iter().zip(&m.mask).all(|(a, m)| *m || *a == 0.0));
                }
            }
        }
    }

    #[test]
    fn finite_input_gives_finite_advantages_or_an_error(
        batch in batch(), offset in prop::sample::select(vec![0.0, 1e-9, 1e6, 1e154, 1e308]), spread in 1e-12..1.0f64,
    ) {
        let mut far = batch;
        far.iter_mut().flat_map(|(_, g)| g).for_each(|m| m.reward = m.reward.map(|r| r * spread + offset));
        for spec in specs() {
            if let Ok(a) = estimate(&spec, &far) {
                prop_assert!(a.iter().flatten().all(|a| a.is_finite()), "{}", spec.name());
            } else {
                prop_assert!(offset >= 1e154, "{}", spec.name());
            }
        }
    }
}

#[test]
fn an_empty_group_is_refused_by_every_estimator() {
    let groups = Offsets::from_lengths([0, 1]);
    let rewards = [Some(1.0)];
    for spec in specs() {
        let part = spec.build(&()).unwrap();
        let error = part
            .estimate(&RewardBatch::new(groups.spans(), &rewards))
            .unwrap_err();
        // An estimator may miss an input first; none may answer.
        let text = error.to_string();
        assert!(
            text == "group 0: holds no trajectory" || text.contains("is missing"),
            "{}: {text}",
            spec.name()
        );
    }
}

#[test]
fn the_scope_follows_the_settings() {
    let scope = |json: &str| {
        let spec: AdvantageSpec = serde_json::from_str(json).expect("a spec");
        spec.build(&()).unwrap().scope()
    };
    for json in [
        r#"{"grpo": {}}"#,
        r#"{"grpo": {"scale_rewards": "none"}}"#,
        r#"{"grpo-process": {}}"#,
        r#"{"dr-grpo": {}}"#,
        r#"{"rloo": {}}"#,
        r#"{"remax": {}}"#,
        r#"{"gae": {"whiten": "none"}}"#,
        r#"{"max-rl": {}}"#,
        r#"{"raw": {}}"#,
    ] {
        assert_eq!(scope(json), Scope::Group, "{json}");
    }
    for json in [
        r#"{"grpo": {"scale_rewards": "batch"}}"#,
        r#"{"gae": {}}"#,
        r#"{"reinforce-plus-plus": {}}"#,
        r#"{"reinforce-plus-plus-baseline": {}}"#,
    ] {
        assert_eq!(scope(json), Scope::Batch, "{json}");
    }
}

#[test]
fn the_catalogue_describes_every_part() {
    let catalogue = AdvantageSpec::catalogue();
    assert_eq!(
        catalogue.iter().map(|p| p.name).collect::<Vec<_>>(),
        AdvantageSpec::NAMES
    );
    for part in &catalogue {
        assert!(part.formula.starts_with("A_"), "{}", part.name);
        assert!(!part.source.is_empty());
        assert!(part.defaults.is_object());
    }
}

#[test]
fn a_spec_survives_being_written_and_read() {
    for spec in specs() {
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<AdvantageSpec>(&text).unwrap(), spec);
    }
    let error = serde_json::from_str::<AdvantageSpec>(r#"{"grop": {}}"#).unwrap_err();
    assert!(error.to_string().contains("`grpo`"));
}
