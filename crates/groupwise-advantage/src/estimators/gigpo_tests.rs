use proptest::prelude::*;

use super::*;
use crate::AdvantageSpec;
use crate::estimators::GrpoConfig;
use crate::steps_fixture::Fixture;

/// One step: reward, state, invalid.
type Step = (f64, &'static str, bool);

/// One trajectory: unscorable, steps.
type Row = (bool, Vec<Step>);

/// Flat columns of nested rows.
struct Columns {
    groups: Offsets,
    steps: Offsets,
    rewards: Vec<f64>,
    states: Vec<String>,
    invalid: Vec<bool>,
    unscorable: Vec<bool>,
}

impl Columns {
    fn of(rows: &[Vec<Row>]) -> Self {
        let steps = || rows.iter().flatten().flat_map(|row| &row.1);
        Self {
            groups: Offsets::from_lengths(rows.iter().map(Vec::len)),
            steps: Offsets::from_lengths(rows.iter().flatten().map(|row| row.1.len())),
            rewards: steps().map(|s| s.0).collect(),
            states: steps().map(|s| s.1.to_owned()).collect(),
            invalid: steps().map(|s| s.2).collect(),
            unscorable: rows.iter().flatten().map(|row| row.0).collect(),
        }
    }

    fn batch(&self) -> StepBatch<'_> {
        StepBatch {
            groups: self.groups.spans(),
            steps: self.steps.spans(),
            rewards: &self.rewards,
            states: &self.states,
            invalid: Some(&self.invalid),
            unscorable: Some(&self.unscorable),
        }
    }
}

fn run(config: &GigpoConfig, rows: &[Vec<Row>]) -> Result<GigpoAdvantages, DataError> {
    let columns = Columns::of(rows);
    Gigpo::new(config).expect("valid").advantages(&columns.batch())
}

fn plain(std: Spread) -> GigpoConfig {
    GigpoConfig {
        std,
        ..Default::default()
    }
}

fn steps(states: &[&'static str], last: f64) -> Row {
    let n = states.len();
    let step = |(k, s): (usize, &&'static str)| (if k + 1 == n { last } else { 0.0 }, *s, false);
    (false, states.iter().enumerate().map(step).collect())
}

fn shop() -> Vec<Vec<Row>> {
    vec![vec![
        steps(&["hall", "shelf", "till"], 1.0),
        steps(&["hall", "shelf", "door"], 0.0),
        steps(&["hall", "door", "hall", "shelf", "till"], 1.0),
    ]]
}

fn assert_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (k, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() < 1e-9, "step {k}: {f} instead of {e}");
    }
}

#[test]
fn the_worked_example_of_the_paper() {
    let a = run(&plain(Spread::None), &shop()).expect("valid");
    let third = 1.0 / 3.0;
    assert_near(
        &a.episode,
        &[&[third; 3][..], &[-2.0 * third; 3], &[third; 5]].concat(),
    );
    let mean = (0.9025 + 0.814_506_25 + 0.9025) / 4.0;
    assert_near(&a.step[..1], &[0.9025 - mean]);
    assert_near(&a.step[6..7], &[0.814_506_25 - mean]);
    assert_eq!(a.clusters.ids(), [0, 1, 2, 0, 1, 3, 0, 3, 0, 1, 2]);
    assert_eq!(
        (a.repetition.mean_size, a.repetition.share_repeated),
        (11.0 / 4.0, 1.0)
    );
    for k in 0..11 {
        assert_near(&[a.total[k]], &[a.episode[k] + a.step[k]]);
    }
}

#[test]
fn the_penalty_touches_its_own_step_only_and_is_not_discounted_back() {
    let rows = vec![vec![
        (
            false,
            vec![(0.0, "a", false), (0.0, "b", true), (10.0, "c", false)],
        ),
        (false, vec![(0.0, "a", true), (0.0, "b", false)]),
    ]];
    let config = |episode_stats| GigpoConfig {
        gamma: 0.9,
        episode_stats,
        ..plain(Spread::None)
    };
    let by_step = run(&config(EpisodeStats::Step), &rows).expect("valid");
    assert_near(&by_step.step, &[4.1, 4.45, 0.0, -4.1, -4.45]);
    assert_near(&by_step.episode, &[4.04, 3.94, 4.04, -6.06, -5.96]);
    // The paper's statistics leave penalties out: mean 5.
    let by_trajectory = run(&config(EpisodeStats::Trajectory), &rows).expect("valid");
    assert_near(&by_trajectory.episode, &[5.0, 4.9, 5.0, -5.1, -5.0]);
    assert_near(&by_trajectory.step, &by_step.step);
    // Divided by the deviation of 10 and 0, as the centered return is.
    let scaled = GigpoConfig {
        std: Spread::Sample,
        ..config(EpisodeStats::Trajectory)
    };
    let divisor = 50.0_f64.sqrt() + 1e-6;
    let a = run(&scaled, &rows).expect("valid");
    assert_near(&a.episode, &[5.0, 4.9, 5.0, -5.1, -5.0].map(|x| x / divisor));
    let population = GigpoConfig {
        std: Spread::Population,
        ..scaled
    };
    let a = run(&population, &rows).expect("valid");
    assert_near(&a.episode, &[5.0, 4.9, 5.0, -5.1, -5.0].map(|x| x / (5.0 + 1e-6)));
}

#[test]
fn the_penalty_has_the_size_it_was_given() {
    let rows = vec![vec![
        (false, vec![(1.0, "a", true)]),
        (false, vec![(0.0, "a", false)]),
    ]];
    let config = GigpoConfig {
        invalid_penalty: 0.25,
        ..plain(Spread::None)
    };
    let a = run(&config, &rows).expect("valid");
    assert_near(&a.episode, &[0.25, -0.5]);
    assert_near(&a.step, &[0.375, -0.375]);
}

#[test]
fn equal_returns_teach_nothing_but_an_undivided_penalty() {
    let rows = |invalid| {
        vec![vec![
            (false, vec![(0.1, "a", invalid)]),
            (false, vec![(0.1, "b", false)]),
        ]]
    };
    for std in [Spread::None, Spread::Sample] {
        let a = run(&plain(std), &rows(false)).expect("valid");
        assert_eq!(a.total, [0.0, 0.0]);
        assert_near(
            &run(&plain(std), &rows(true)).expect("valid").episode,
            &[-0.1, 0.0],
        );
    }
}

#[test]
fn one_trajectory_says_nothing_about_itself_unless_raw() {
    let rows = vec![vec![(false, vec![(1.0, "a", true), (2.0, "b", false)])]];
    for episode_stats in [EpisodeStats::Trajectory, EpisodeStats::Step] {
        let zero = GigpoConfig {
            episode_stats,
            ..plain(Spread::None)
        };
        assert_eq!(run(&zero, &rows).expect("valid").episode, [0.0, 0.0]);
    }
    let raw = |std| GigpoConfig {
        singleton: Singleton::Raw,
        ..plain(std)
    };
    assert_near(
        &run(&raw(Spread::None), &rows).expect("valid").episode,
        &[2.9, 3.0],
    );
    let scaled = run(&raw(Spread::Sample), &rows).expect("valid");
    assert_near(&scaled.episode, &[2.9 / (1.0 + 1e-6), 3.0 / (1.0 + 1e-6)]);
    // The authors' code counts steps: two scores are a comparison, one is not.
    let by_step = |std| GigpoConfig {
        episode_stats: EpisodeStats::Step,
        ..raw(std)
    };
    assert_near(
        &run(&by_step(Spread::None), &rows).expect("valid").episode,
        &[-0.05, 0.05],
    );
    let single = vec![vec![(false, vec![(1.0, "a", false)])]];
    assert_near(
        &run(&by_step(Spread::None), &single).expect("valid").episode,
        &[1.0],
    );
}

#[test]
fn a_trajectory_without_steps_contributes_nothing() {
    let mut with = shop();
    with[0].insert(1, (false, Vec::new()));
    for episode_stats in [EpisodeStats::Trajectory, EpisodeStats::Step] {
        let config = GigpoConfig {
            episode_stats,
            ..plain(Spread::Sample)
        };
        assert_eq!(run(&config, &with), run(&config, &shop()));
    }
    let nothing = vec![vec![(false, Vec::new())]];
    for episode_stats in [EpisodeStats::Trajectory, EpisodeStats::Step] {
        let config = GigpoConfig {
            episode_stats,
            ..Default::default()
        };
        let a = run(&config, &nothing).expect("valid");
        assert!(a.total.is_empty());
        assert_eq!(a.repetition, Repetition::default());
    }
}

#[test]
fn near_equal_states_are_one_state_where_asked() {
    let rows = vec![vec![
        steps(&["results for red lamp: 12 items", "lamp page"], 1.0),
        steps(&["results for red lamp: 13 items", "chair page"], 0.0),
    ]];
    let exact = run(&plain(Spread::None), &rows).expect("valid");
    assert_eq!(exact.clusters.ids(), [0, 1, 2, 3]);
    assert_eq!(exact.repetition.share_repeated, 0.0);
    let near = GigpoConfig {
        similarity: Some(0.9),
        ..plain(Spread::None)
    };
    let near = run(&near, &rows).expect("valid");
    assert_eq!(near.clusters.ids(), [0, 1, 0, 2]);
    assert_near(&near.total, &[0.975, 0.5, -0.975, -0.5]);
    assert_eq!(
        (near.repetition.mean_size, near.repetition.share_repeated),
        (4.0 / 3.0, 0.5)
    );
}

#[test]
fn an_unscorable_trajectory_is_the_first_member_of_nothing() {
    let near = GigpoConfig {
        similarity: Some(0.6),
        ..plain(Spread::None)
    };
    // "abcdef" would open the state that both others are near to; they are not near one another.
    let mut rows = vec![vec![
        steps(&["abcdef"], 5.0),
        steps(&["abcdxy"], 1.0),
        steps(&["uvcdef"], 0.0),
    ]];
    assert_eq!(run(&near, &rows).expect("valid").clusters.ids(), [0, 0, 0]);
    rows[0][0].0 = true;
    let a = run(&near, &rows).expect("valid");
    assert_eq!(a.clusters.ids(), [0, 1, 2]);
    assert_eq!(a.total, [0.0, 0.5, -0.5]);
    assert_eq!(a.repetition.mean_size, 1.0);
}

/// The estimator of the seam on rows of these rewards.
fn estimate(config: &GigpoConfig, rewards: &[Option<f64>], rows: &[Vec<Row>]) -> Result<Vec<f64>, DataError> {
    fixture(rewards, rows).estimate(config.build(&()).expect("valid").as_ref())
}

fn fixture(rewards: &[Option<f64>], rows: &[Vec<Row>]) -> Fixture {
    let mut rewards = rewards.iter();
    let mut row = |row: &Row| {
        let steps = row
            .1
            .iter()
            .map(|(r, state, invalid)| (*r, *state, "act", !invalid));
        (
            rewards.next().copied().expect("a reward per row"),
            steps.collect(),
        )
    };
    Fixture::of(
        &rows
            .iter()
            .map(|g| g.iter().map(&mut row).collect())
            .collect::<Vec<_>>(),
    )
}

#[test]
fn the_estimator_spreads_steps_over_counted_tokens_and_reads_validity_off_turns() {
    let mut rows = shop();
    rows[0][0].1[1].2 = true;
    let rewards = [Some(7.0), Some(7.0), Some(7.0)];
    let config = plain(Spread::Sample);
    let expected = run(&config, &rows).expect("valid");
    assert_near(
        &estimate(&config, &rewards, &rows).expect("valid"),
        &expected.total,
    );
    let free = GigpoConfig {
        invalid_penalty: 0.0,
        ..config
    };
    let unpunished = run(&plain(Spread::Sample), &shop()).expect("valid");
    assert_near(
        &estimate(&free, &rewards, &rows).expect("valid"),
        &unpunished.total,
    );
    let needs = Gigpo::new(&free).expect("valid").needs();
    assert_eq!(needs, Needs::STEP_REWARDS | Needs::ANCHORS | Needs::TOKENS);
}

#[test]
fn the_outcome_can_stand_for_the_rewards_of_steps() {
    let mut rows = shop();
    let outcomes = [Some(1.0), Some(0.0), Some(1.0)];
    let outcome = GigpoConfig {
        rewards: RewardSource::Outcome,
        ..plain(Spread::None)
    };
    let expected = run(&plain(Spread::None), &rows).expect("valid");
    rows[0]
        .iter_mut()
        .flat_map(|row| &mut row.1)
        .for_each(|step| step.0 = 9.0);
    assert_near(
        &estimate(&outcome, &outcomes, &rows).expect("valid"),
        &expected.total,
    );
    let needs = Gigpo::new(&outcome).expect("valid").needs();
    assert_eq!(needs, Needs::ANCHORS | Needs::TOKENS | Needs::TRAJECTORIES);
    let unpunished = GigpoConfig {
        invalid_penalty: 0.0,
        ..outcome.clone()
    };
    let needs = Gigpo::new(&unpunished).expect("valid").needs();
    assert_eq!(needs, Needs::ANCHORS | Needs::TOKENS);
    // Unscorable: 0, and as if it were not there.
    let unscored = estimate(&outcome, &[Some(1.0), None, Some(1.0)], &rows).expect("valid");
    assert_eq!(unscored[3..6], [0.0; 3]);
    rows[0].remove(1);
    let without = estimate(&outcome, &[Some(1.0), Some(1.0)], &rows).expect("valid");
    assert_eq!([&unscored[..3], &unscored[6..]].concat(), without);
}

#[test]
fn bad_parameters_are_refused() {
    let refused = |json: &str| {
        let config: GigpoConfig = serde_json::from_str(json).expect("a config");
        config.build(&()).map(|_| ()).expect_err("refused").to_string()
    };
    for (json, message) in [
        (
            r#"{"step_weight": -1.0}"#,
            "`step_weight` = -1: must be a finite number >= 0",
        ),
        (r#"{"gamma": 1.5}"#, "`gamma` = 1.5: must be a number in [0, 1]"),
        (r#"{"gamma": -0.5}"#, "`gamma` = -0.5: must be a number in [0, 1]"),
        (
            r#"{"invalid_penalty": -0.1}"#,
            "`invalid_penalty` = -0.1: must be a finite number >= 0",
        ),
        (r#"{"eps": -1.0}"#, "`eps` = -1: must be a finite number >= 0"),
        (
            r#"{"eps": -1.0, "std": "sample"}"#,
            "`eps` = -1: must be a finite number >= 0",
        ),
        (
            r#"{"std": "mean"}"#,
            "`std` = mean: must be none, sample or population",
        ),
        (
            r#"{"std": "leave-one-out"}"#,
            "`std` = leave-one-out: must be none, sample or population",
        ),
        (
            r#"{"similarity": 1.0}"#,
            "`similarity` = 1: must be a number in (0, 1)",
        ),
        (
            r#"{"similarity": 0.0}"#,
            "`similarity` = 0: must be a number in (0, 1)",
        ),
    ] {
        assert_eq!(refused(json), message);
    }
    let error = serde_json::from_str::<GigpoConfig>(r#"{"episode_stats": "steps"}"#).expect_err("refused");
    assert!(error.to_string().contains("`trajectory` or `step`"), "{error}");
    for edge in [
        r#"{"gamma": 0.0}"#,
        r#"{"gamma": 1.0}"#,
        r#"{"step_weight": 0.0, "invalid_penalty": 0.0}"#,
    ] {
        let config: GigpoConfig = serde_json::from_str(edge).expect("a config");
        assert!(config.build(&()).is_ok(), "{edge}");
    }
}

#[test]
fn bad_data_is_named_by_place() {
    let message = |change: &dyn Fn(&mut Columns)| {
        let mut rows = shop();
        rows.push(shop().remove(0));
        let mut columns = Columns::of(&rows);
        change(&mut columns);
        let gigpo = Gigpo::new(&GigpoConfig::default()).expect("valid");
        gigpo
            .advantages(&columns.batch())
            .expect_err("refused")
            .to_string()
    };
    let nan = message(&|c| c.rewards[18] = f64::NAN);
    assert_eq!(nan, "group 1, trajectory 5, step 1: `step reward` is NaN");
    let rewards = message(&|c| c.rewards.truncate(3));
    assert_eq!(rewards, "`step_rewards` has 3 entries, expected 22");
    let states = message(&|c| c.states.truncate(3));
    assert_eq!(states, "`anchors` has 3 entries, expected 22");
    let invalid = message(&|c| c.invalid.truncate(3));
    assert_eq!(invalid, "`invalid` has 3 entries, expected 22");
    let unscorable = message(&|c| c.unscorable.truncate(3));
    assert_eq!(unscorable, "`unscorable` has 3 entries, expected 6");
    let groups = message(&|c| c.groups = Offsets::from_lengths([3]));
    assert_eq!(groups, "`trajectories` has 6 entries, expected 3");
    let far = message(&|c| {
        c.rewards[2] = f64::MAX;
        c.rewards[5] = -f64::MAX;
    });
    assert!(far.contains("rewards too far apart"), "{far}");
    for episode_stats in [EpisodeStats::Trajectory, EpisodeStats::Step] {
        let config = GigpoConfig {
            episode_stats,
            ..Default::default()
        };
        let mut rows = shop();
        rows.insert(0, Vec::new());
        let empty = run(&config, &rows).expect_err("refused").to_string();
        assert_eq!(empty, "group 0: holds no trajectory");
    }
}

#[test]
fn missing_inputs_are_named() {
    let mut fixture = fixture(&[Some(1.0); 3], &shop());
    let gigpo = GigpoConfig::default().build(&()).expect("valid");
    let names = [
        "steps",
        "step_tokens",
        "tokens",
        "anchors",
        "trajectories",
        "step_rewards",
    ];
    let expected = names.map(|name| format!("`{name}` is missing, and `gigpo` needs it"));
    assert_eq!(fixture.missing(gigpo.as_ref()), expected);
    fixture.trajectories.reverse();
    let error = fixture.estimate(gigpo.as_ref()).expect_err("refused").to_string();
    assert_eq!(error, "`turns of trajectory 0` has 5 entries, expected 3");
    fixture.trajectories.pop();
    let error = fixture.estimate(gigpo.as_ref()).expect_err("refused").to_string();
    assert_eq!(error, "`trajectories` has 2 entries, expected 3");
}

#[test]
fn the_formula_says_what_is_active() {
    assert_eq!(
        GigpoConfig::default().formula(),
        "A_ik = (S_ik - mean(R)) + 1 (Q_ik - mean(Q)); Q_ik = sum_l>=k 0.95^(l-k) r_il - 0.1 [invalid], \
         S_ik = sum_l r_il - 0.1 [invalid]; first part over the returns R of the trajectories (paper), second over \
         equal states of the group; r the environment's; lone trajectory: 0"
    );
    let other = GigpoConfig {
        std: Spread::Sample,
        episode_stats: EpisodeStats::Step,
        similarity: Some(0.9),
        singleton: Singleton::Raw,
        rewards: RewardSource::Outcome,
        ..Default::default()
    };
    assert_eq!(
        other.formula(),
        "A_ik = (S_ik - mean(S)) / (std(S; n - 1) + 1e-6) + 1 (Q_ik - mean(Q)) / (std(Q; n - 1) + 1e-6); \
         Q_ik = sum_l>=k 0.95^(l-k) r_il - 0.1 [invalid], S_ik = sum_l r_il - 0.1 [invalid]; first part over the scores \
         S of all steps (authors' code), second over states with Ratcliff-Obershelp ratio >= 0.9 to the first of the \
         group; r the outcome on the last step; lone trajectory: S"
    );
}

const NAMES: [&str; 5] = ["hall", "shelf", "till", "door", "yard"];

fn rows() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let step = (
        prop_oneof![Just(0.0), -2.0..2.0f64],
        prop::sample::select(&NAMES[..]),
        prop::bool::weighted(0.2),
    );
    let row = (prop::bool::weighted(0.15), prop::collection::vec(step, 0..6));
    prop::collection::vec(prop::collection::vec(row, 1..5), 1..4)
}

fn configs() -> impl Strategy<Value = GigpoConfig> {
    (
        prop_oneof![Just(0.0), 0.0..2.0f64],
        prop_oneof![Just(1.0), 0.0..1.0f64],
        prop::sample::select(vec![Spread::None, Spread::Sample, Spread::Population]),
        prop::sample::select(vec![EpisodeStats::Trajectory, EpisodeStats::Step]),
        prop::sample::select(vec![0.0, 0.1, 0.5]),
    )
        .prop_map(
            |(step_weight, gamma, std, episode_stats, invalid_penalty)| GigpoConfig {
                step_weight,
                gamma,
                std,
                episode_stats,
                invalid_penalty,
                ..Default::default()
            },
        )
}

fn close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(x, y)| (x - y).abs() <= 1e-8 * x.abs().max(1.0))
}

/// Forgets penalties.
fn all_valid(rows: &mut [Vec<Row>]) {
    rows.iter_mut()
        .flatten()
        .flat_map(|row| &mut row.1)
        .for_each(|step| step.2 = false);
}

/// Formulas of the specification, step by step, without the block.
fn by_hand(config: &GigpoConfig, rows: &[Vec<Row>]) -> Vec<f64> {
    let normalized = |x: f64, of: &[f64]| {
        let mean = of.iter().sum::<f64>() / of.len() as f64;
        let squares: f64 = of.iter().map(|v| (v - mean).powi(2)).sum();
        match config.std {
            Spread::None => x - mean,
            _ if stats::is_constant(of) => x - mean,
            Spread::Population => (x - mean) / ((squares / of.len() as f64).sqrt() + config.eps),
            _ => (x - mean) / ((squares / (of.len() - 1) as f64).sqrt() + config.eps),
        }
    };
    let mut out = Vec::new();
    for group in rows {
        let part = || group.iter().filter(|row| !row.0 && !row.1.is_empty());
        let total = |row: &Row| row.1.iter().map(|s| s.0).sum::<f64>();
        let penalty = |step: &Step| if step.2 { config.invalid_penalty } else { 0.0 };
        let q = |row: &Row, k: usize| {
            let sum: f64 = (k..row.1.len())
                .map(|l| config.gamma.powi((l - k) as i32) * row.1[l].0)
                .sum();
            sum - penalty(&row.1[k])
        };
        let over: Vec<f64> = match config.episode_stats {
            EpisodeStats::Trajectory => part().map(total).collect(),
            EpisodeStats::Step => part()
                .flat_map(|r| r.1.iter().map(move |s| total(r) - penalty(s)))
                .collect(),
        };
        for row in group {
            for (k, step) in row.1.iter().enumerate() {
                if row.0 {
                    out.push(0.0);
                    continue;
                }
                let same: Vec<f64> = part()
                    .flat_map(|r| {
                        (0..r.1.len())
                            .filter(|l| r.1[*l].1 == step.1)
                            .map(move |l| q(r, l))
                    })
                    .collect();
                let episode = if part().count() == 1 {
                    0.0
                } else {
                    normalized(total(row) - penalty(step), &over)
                };
                let of_state = if same.len() == 1 {
                    0.0
                } else {
                    normalized(q(row, k), &same)
                };
                out.push(episode + config.step_weight * of_state);
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_formulas_of_the_specification(rows in rows(), config in configs()) {
        let a = run(&config, &rows)?;
        let expected = by_hand(&config, &rows);
        prop_assert!(close(&a.total, &expected), "{:?} instead of {:?}", a.total, expected);
    }

    #[test]
    fn without_the_step_level_it_is_grpo(mut rows in rows(), config in configs()) {
        all_valid(&mut rows);
        let config = GigpoConfig { step_weight: 0.0, episode_stats: EpisodeStats::Trajectory, ..config };
        let a = run(&config, &rows)?;
        prop_assert_eq!(&a.total, &a.episode);
        let grpo = GrpoConfig {
            spread: (config.std != Spread::None).then_some(config.std),
            scale_rewards: (config.std == Spread::None).then_some(crate::ScaleRewards::None),
            ..Default::default()
        };
        let columns = Columns::of(&rows);
        let returns: Vec<Option<f64>> = (0..columns.steps.len())
            .map(|i| columns.batch().takes_part(i).then(|| columns.rewards[columns.steps.range(i)].iter().sum()))
            .collect();
        let grpo = AdvantageSpec::Grpo(grpo).build(&()).expect("valid");
        let Advantages::Trajectory(expected) = grpo.estimate(&RewardBatch::new(columns.groups.spans(), &returns))? else {
            return Err(TestCaseError::fail("GRPO is per trajectory"));
        };
        for (i, range) in columns.steps.spans().iter().enumerate() {
            prop_assert!(a.total[range].iter().all(|x| *x == expected[i]));
        }
    }

    #[test]
    fn without_a_repeated_state_it_is_the_episode_level(rows in rows(), config in configs()) {
        let mut columns = Columns::of(&rows);
        for (k, state) in columns.states.iter_mut().enumerate() {
            *state = format!("state {k}");
        }
        let a = Gigpo::new(&config).expect("valid").advantages(&columns.batch())?;
        prop_assert_eq!(&a.total, &a.episode);
        prop_assert!(a.step.iter().all(|s| *s == 0.0));
        prop_assert_eq!(a.repetition.share_repeated, 0.0);
    }

    #[test]
    fn step_advantages_sum_to_zero_over_every_state(rows in rows(), config in configs()) {
        let a = run(&config, &rows)?;
        for members in a.clusters.iter() {
            let sum: f64 = members.iter().map(|k| a.step[*k]).sum();
            prop_assert!(sum.abs() < 1e-9, "{sum}");
        }
    }

    #[test]
    fn episode_advantages_sum_to_zero_over_trajectories_or_over_steps(mut rows in rows(), config in configs()) {
        if config.episode_stats == EpisodeStats::Trajectory {
            all_valid(&mut rows);
        }
        let a = run(&config, &rows)?;
        let columns = Columns::of(&rows);
        for members in columns.groups.spans().iter() {
            let rows_of = members.map(|i| columns.steps.range(i));
            let sum: f64 = match config.episode_stats {
                EpisodeStats::Trajectory => rows_of.filter_map(|r| a.episode[r].first()).sum(),
                EpisodeStats::Step => rows_of.flat_map(|r| &a.episode[r]).sum(),
            };
            prop_assert!(sum.abs() < 1e-9, "{sum}");
        }
    }

    #[test]
    fn renaming_states_changes_nothing(rows in rows(), config in configs(), turn in 1usize..5) {
        let mut columns = Columns::of(&rows);
        let before = Gigpo::new(&config).expect("valid").advantages(&columns.batch())?;
        for state in &mut columns.states {
            let at = NAMES.iter().position(|name| name == state).expect("a name");
            *state = format!("{} renamed", NAMES[(at + turn) % NAMES.len()]);
        }
        let after = Gigpo::new(&config).expect("valid").advantages(&columns.batch())?;
        prop_assert_eq!(before, after);
    }

    #[test]
    fn permuting_trajectories_permutes_the_result(rows in rows(), config in configs(), turn in 0usize..5) {
        let mut turned = rows.clone();
        turned.iter_mut().for_each(|g| { let n = g.len(); g.rotate_left(turn % n) });
        let nested = |rows: &[Vec<Row>]| -> Result<Vec<Vec<Vec<f64>>>, DataError> {
            let (a, columns) = (run(&config, rows)?, Columns::of(rows));
            let row = |i| a.total[columns.steps.range(i)].to_vec();
            Ok(columns.groups.spans().iter().map(|g| g.map(row).collect()).collect())
        };
        let mut expected = nested(&rows)?;
        expected.iter_mut().for_each(|g| { let n = g.len(); g.rotate_left(turn % n) });
        prop_assert!(close(&nested(&turned)?.concat().concat(), &expected.concat().concat()));
    }

    #[test]
    fn groups_do_not_see_one_another(rows in rows(), config in configs()) {
        let alone: Vec<f64> = rows
            .iter()
            .map(|g| run(&config, std::slice::from_ref(g)).map(|a| a.total))
            .collect::<Result<Vec<_>, _>>()?
            .concat();
        prop_assert_eq!(run(&config, &rows)?.total, alone);
    }

    #[test]
    fn a_constant_on_all_terminal_rewards_moves_the_step_level_only(
        lengths in prop::collection::vec(1usize..6, 2..5), shift in 0.5..2.0f64,
    ) {
        // Every episode walks along the same states from the first one on, and all but the first go on longer.
        let walk = |shift: f64| -> Vec<Vec<Row>> {
            vec![lengths.iter().enumerate().map(|(i, n)| steps(&NAMES[..(*n).min(5)], i as f64 + shift)).collect()]
        };
        let discounted = plain(Spread::None);
        let (a, b) = (run(&discounted, &walk(0.0))?, run(&discounted, &walk(shift))?);
        prop_assert!(close(&a.episode, &b.episode));
        let differ = lengths.iter().any(|n| *n != lengths[0]);
        prop_assert_eq!(!close(&a.step, &b.step), differ);
        let undiscounted = GigpoConfig { gamma: 1.0, ..discounted };
        let (a, b) = (run(&undiscounted, &walk(0.0))?, run(&undiscounted, &walk(shift))?);
        prop_assert!(close(&a.step, &b.step));
    }

    #[test]
    fn without_discount_and_repeats_states_compare_outcomes(
        walks in prop::collection::vec((prop::sample::subsequence(&NAMES[..], 1..5), -1.0..1.0f64), 2..6),
    ) {
        let rows = vec![walks.iter().map(|(states, r)| steps(states, *r)).collect::<Vec<_>>()];
        let a = run(&GigpoConfig { gamma: 1.0, ..plain(Spread::None) }, &rows)?;
        let mut k = 0;
        for (states, outcome) in &walks {
            for state in states {
                let same: Vec<f64> = walks.iter().filter(|w| w.0.contains(state)).map(|w| w.1).collect();
                let expected = outcome - stats::mean(&same);
                prop_assert!((a.step[k] - expected).abs() < 1e-9);
                k += 1;
            }
        }
    }

    #[test]
    fn scaling_rewards_scales_undivided_advantages(mut rows in rows(), config in configs(), factor in 0.5..20.0f64) {
        all_valid(&mut rows);
        let config = GigpoConfig { std: Spread::None, ..config };
        let before = run(&config, &rows)?.total;
        rows.iter_mut().flatten().flat_map(|row| &mut row.1).for_each(|step| step.0 *= factor);
        let expected: Vec<f64> = before.iter().map(|a| a * factor).collect();
        prop_assert!(close(&expected, &run(&config, &rows)?.total));
    }

    #[test]
    fn divided_advantages_do_not_know_the_scale(mut rows in rows(), config in configs(), factor in 0.5..20.0f64) {
        all_valid(&mut rows);
        let config = GigpoConfig { std: Spread::Sample, eps: 0.0, ..config };
        let before = run(&config, &rows)?.total;
        rows.iter_mut().flatten().flat_map(|row| &mut row.1).for_each(|step| step.0 *= factor);
        prop_assert!(close(&before, &run(&config, &rows)?.total));
    }
}
