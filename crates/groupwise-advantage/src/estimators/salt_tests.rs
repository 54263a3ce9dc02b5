use groupwise_core::Offsets;
use proptest::prelude::*;

use super::*;
use crate::steps_fixture::{Fixture, Step};

/// One trajectory: states, one more than actions; actions; base advantage.
type Walk = (Vec<String>, Vec<String>, Option<f64>);

fn walk(states: &[&str], actions: &[&str], base: f64) -> Walk {
    let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
    (owned(states), owned(actions), Some(base))
}

/// Clusters of the edges of nested walks, and the shared advantages.
fn run(history: usize, rows: &[Vec<Walk>]) -> Result<(Clusters, SharedAdvantages), DataError> {
    let flat = || rows.iter().flatten();
    let groups = Offsets::from_lengths(rows.iter().map(Vec::len));
    let steps = Offsets::from_lengths(flat().map(|w| w.1.len()));
    let visits = Offsets::from_lengths(flat().map(|w| w.0.len()));
    let states: Vec<&str> = flat().flat_map(|w| &w.0).map(String::as_str).collect();
    let actions: Vec<&str> = flat().flat_map(|w| &w.1).map(String::as_str).collect();
    let base: Vec<Option<f64>> = flat().map(|w| w.2).collect();
    let transitions = Transitions {
        groups: groups.spans(),
        steps: steps.spans(),
        visits: visits.spans(),
        states: &states,
        actions: &actions,
    };
    let edges = transitions.edges(history)?;
    let shared = share_edges(&edges, steps.spans(), &base)?;
    Ok((edges, shared))
}

fn shop() -> Vec<Vec<Walk>> {
    vec![vec![
        walk(
            &["hall", "shelf", "till", "end"],
            &["go shelf", "go till", "pay"],
            1.0,
        ),
        walk(
            &["hall", "shelf", "door", "out"],
            &["go shelf", "go door", "leave"],
            -0.5,
        ),
        walk(&["hall", "yard", "out"], &["go yard", "leave"], -0.5),
    ]]
}

#[test]
fn a_shared_step_is_averaged_and_diverged_steps_keep_theirs() {
    let (_, shared) = run(0, &shop()).expect("valid");
    assert_eq!(shared.advantages, [0.25, 1.0, 1.0, 0.25, -0.5, -0.5, -0.5, -0.5]);
    assert_eq!(shared.multiplicity, [2, 1, 1, 2, 1, 1, 1, 1]);
}

#[test]
fn an_edge_is_state_action_and_next_state() {
    let of = |second: Walk| {
        let first = walk(&["a", "b"], &["1"], 1.0);
        run(0, &[vec![first, second]]).expect("valid").1.multiplicity
    };
    assert_eq!(of(walk(&["a", "b"], &["1"], 0.0)), [2, 2]);
    assert_eq!(of(walk(&["x", "b"], &["1"], 0.0)), [1, 1]);
    assert_eq!(of(walk(&["a", "x"], &["1"], 0.0)), [1, 1]);
    assert_eq!(of(walk(&["a", "b"], &["2"], 0.0)), [1, 1]);
    // A state and an action of one name are not one thing.
    assert_eq!(of(walk(&["a", "1"], &["b"], 0.0)), [1, 1]);
}

#[test]
fn history_keeps_different_pasts_apart() {
    let rows = vec![vec![
        walk(&["a", "b", "c", "b", "d"], &["1", "2", "3", "4"], 0.5),
        walk(&["x", "b", "c", "e"], &["1", "2", "5"], -0.5),
    ]];
    let multiplicity = |history| run(history, &rows).expect("valid").1.multiplicity;
    assert_eq!(multiplicity(0), [1, 2, 1, 1, 1, 2, 1]);
    assert_eq!(multiplicity(1), [1; 7]);
    assert_eq!(
        run(0, &rows).expect("valid").1.advantages,
        [0.5, 0.0, 0.5, 0.5, -0.5, 0.0, -0.5]
    );
}

#[test]
fn the_start_is_a_past_of_its_own() {
    // The same edge at the start and later: one with no past, one with a past.
    let rows = vec![vec![
        walk(&["a", "a", "a"], &["1", "1"], 1.0),
        walk(&["a", "a"], &["1"], 0.0),
    ]];
    let multiplicity = |history| run(history, &rows).expect("valid").1.multiplicity;
    assert_eq!(multiplicity(0), [3, 3, 3]);
    assert_eq!(multiplicity(1), [2, 1, 2]);
    assert_eq!(multiplicity(usize::MAX), [2, 1, 2]);
}

#[test]
fn repeated_visits_of_one_trajectory_are_occurrences() {
    let rows = vec![vec![
        walk(&["a", "b", "a", "b"], &["1", "2", "1"], 1.0),
        walk(&["a", "b"], &["1"], 0.0),
    ]];
    let (_, shared) = run(0, &rows).expect("valid");
    assert_eq!(shared.multiplicity, [3, 1, 3, 3]);
    let mean = 2.0 / 3.0;
    assert_eq!(shared.advantages, [mean, 1.0, mean, mean]);
}

#[test]
fn groups_are_not_merged_though_texts_agree() {
    let rows = vec![
        vec![walk(&["a", "b"], &["1"], 1.0)],
        vec![walk(&["a", "b"], &["1"], 0.0)],
    ];
    assert_eq!(run(0, &rows).expect("valid").1.advantages, [1.0, 0.0]);
}

#[test]
fn an_empty_or_unscorable_trajectory_is_in_no_mean() {
    let mut rows = shop();
    rows[0].insert(1, walk(&["hall"], &[], 9.0));
    assert_eq!(run(1, &rows), run(1, &shop()));
    let (states, actions, _) = rows[0][0].clone();
    rows[0].push((states, actions, None));
    let (_, shared) = run(0, &rows).expect("valid");
    assert_eq!(
        shared.advantages[..8],
        run(0, &shop()).expect("valid").1.advantages
    );
    assert_eq!(shared.multiplicity[..8], [2, 1, 1, 2, 1, 1, 1, 1]);
    assert_eq!(
        (&shared.advantages[8..], &shared.multiplicity[8..]),
        (&[0.0; 3][..], &[0; 3][..])
    );
}

#[test]
fn states_must_be_one_more_than_actions_in_every_trajectory() {
    let mut rows = shop();
    let moved = rows[0][0].0.pop().expect("a state");
    rows[0][1].0.push(moved);
    assert_eq!(
        run(0, &rows).expect_err("refused").to_string(),
        "`states of trajectory 0` has 3 entries, expected 4"
    );
    let (groups, steps) = (Offsets::from_lengths([2]), Offsets::from_lengths([1, 1]));
    let visits = Offsets::from_lengths([2, 2]);
    let message = |groups: &Offsets, visits: &Offsets, n_states: usize, n_actions: usize| {
        let transitions = Transitions {
            groups: groups.spans(),
            steps: steps.spans(),
            visits: visits.spans(),
            states: &vec!["a"; n_states],
            actions: &vec!["1"; n_actions],
        };
        transitions.edges(0).expect_err("refused").to_string()
    };
    let three = Offsets::from_lengths([3]);
    assert_eq!(
        message(&three, &visits, 4, 2),
        "`trajectories` has 2 entries, expected 3"
    );
    assert_eq!(
        message(&groups, &visits, 4, 3),
        "`actions` has 3 entries, expected 2"
    );
    assert_eq!(
        message(&groups, &visits, 5, 2),
        "`states` has 5 entries, expected 4"
    );
    assert_eq!(
        message(&groups, &Offsets::from_lengths([4]), 4, 2),
        "`visits` has 1 entries, expected 2"
    );
}

#[test]
fn shared_advantages_need_one_finite_base_per_trajectory() {
    let steps = Offsets::from_lengths([1, 1]);
    let edges = Clusters::from_keys([1, 1]);
    let message = |edges: &Clusters, base: &[Option<f64>]| {
        share_edges(edges, steps.spans(), base)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        message(&edges, &[Some(1.0)]),
        "`base advantages` has 1 entries, expected 2"
    );
    let other = Clusters::from_keys([1]);
    assert_eq!(
        message(&other, &[None, None]),
        "`edges` has 1 entries, expected 2"
    );
    assert_eq!(
        message(&edges, &[None, Some(f64::INFINITY)]),
        "trajectory 1: `base advantage` is inf"
    );
}

#[test]
fn the_action_is_cut_out_of_a_turn() {
    let text = "  The till is east. \n go  till \n\n";
    assert_eq!(ActionKey::Whole.of(text), "The till is east. \n go  till");
    assert_eq!(ActionKey::LastLine.of(text), "go  till");
    assert_eq!(ActionKey::LastWord.of(text), "till");
    for key in [ActionKey::Whole, ActionKey::LastLine, ActionKey::LastWord] {
        assert_eq!(key.of(" \n "), "");
    }
}

fn step(anchor: &'static str, action: &'static str) -> Step {
    (0.0, anchor, action, true)
}

/// Two rollouts that differ in what they say and agree in what they do first.
fn fixture(rewards: [Option<f64>; 2]) -> Fixture {
    let [first, second] = rewards;
    Fixture::of(&[vec![
        (
            first,
            vec![step("hall", "left is good\ngo shelf"), step("shelf", "pay")],
        ),
        (
            second,
            vec![step("hall", "I guess\ngo shelf"), step("shelf", "leave")],
        ),
    ]])
}

fn estimate(json: &str, fixture: &Fixture) -> Result<Vec<f64>, DataError> {
    let config: SaltConfig = serde_json::from_str(json).expect("a config");
    fixture.estimate(config.build(&()).expect("valid").as_ref())
}

#[test]
fn the_estimator_wraps_any_estimator_of_trajectories() {
    let mixed = fixture([Some(1.0), Some(0.0)]);
    let dr = r#"{"base": {"dr-grpo": {}}, "action": "last-line"}"#;
    assert_eq!(estimate(dr, &mixed).expect("valid"), [0.0, 0.5, 0.0, -0.5]);
    let whole = r#"{"base": {"dr-grpo": {}}}"#;
    assert_eq!(estimate(whole, &mixed).expect("valid"), [0.5, 0.5, -0.5, -0.5]);
    let rloo = r#"{"base": {"rloo": {}}, "action": "last-word"}"#;
    assert_eq!(estimate(rloo, &mixed).expect("valid"), [0.0, 1.0, 0.0, -1.0]);
    let raw = r#"{"base": {"raw": {}}, "action": "last-line"}"#;
    assert_eq!(estimate(raw, &mixed).expect("valid"), [0.5, 1.0, 0.5, 0.0]);
    assert_eq!(
        estimate(raw, &fixture([Some(1.0), None])).expect("valid"),
        [1.0, 1.0, 0.0, 0.0]
    );
    let grpo = estimate(r#"{"action": "last-line"}"#, &mixed).expect("valid");
    assert!(
        (grpo[1] - 0.707_105_781).abs() < 1e-8 && grpo[0] == 0.0,
        "{grpo:?}"
    );
}

#[test]
fn the_end_is_a_state_of_its_own() {
    // "go" from the hall ends one episode and leads the other to a state with an empty name.
    let rows = Fixture::of(&[vec![
        (Some(1.0), vec![step("hall", "go")]),
        (Some(0.0), vec![step("hall", "go"), step("", "go")]),
        (Some(0.0), vec![step("hall", "go")]),
    ]]);
    let a = estimate(r#"{"base": {"raw": {}}}"#, &rows).expect("valid");
    assert_eq!(a, [0.5, 0.0, 0.0, 0.5]);
}

#[test]
fn history_counts_in_the_estimator() {
    let rows = Fixture::of(&[vec![
        (Some(1.0), vec![step("a", "1"), step("b", "2")]),
        (Some(0.0), vec![step("x", "1"), step("b", "2")]),
    ]]);
    let with = |history: usize| {
        let json = format!(r#"{{"history": {history}, "base": {{"raw": {{}}}}}}"#);
        estimate(&json, &rows).expect("valid")
    };
    assert_eq!(with(0), [1.0, 0.5, 0.0, 0.5]);
    assert_eq!(with(1), [1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn bases_that_cannot_be_shared_are_refused() {
    let lone = Fixture::of(&[
        vec![
            (Some(1.0), vec![step("a", "1")]),
            (Some(0.0), vec![step("a", "1")]),
        ],
        vec![(Some(1.0), vec![step("a", "1")])],
    ]);
    assert_eq!(
        estimate(r#"{"base": {"rloo": {}}}"#, &lone)
            .expect_err("refused")
            .to_string(),
        "group 1: holds one trajectory, and leaving it out leaves none to compare with"
    );
    assert_eq!(estimate("{}", &lone).expect("valid"), [0.0; 3]);
    let token_level = estimate(r#"{"base": {"reinforce-plus-plus": {}}}"#, &lone);
    assert_eq!(
        token_level.expect_err("refused").to_string(),
        "base `reinforce-plus-plus`: gives one advantage per token, and `salt` shares those of trajectories"
    );
    let nested: SaltConfig = serde_json::from_str(r#"{"base": {"salt": {}}}"#).expect("a config");
    assert_eq!(
        nested.build(&()).map(|_| ()).expect_err("refused").to_string(),
        "`base` = salt: must be an estimator of one advantage per trajectory"
    );
    let bad: SaltConfig = serde_json::from_str(r#"{"base": {"grpo": {"eps": -1.0}}}"#).expect("a config");
    assert_eq!(
        bad.build(&()).map(|_| ()).expect_err("refused").to_string(),
        "`eps` = -1: must be a finite number >= 0"
    );
    assert!(serde_json::from_str::<SaltConfig>(r#"{"history": -1}"#).is_err());
}

#[test]
fn needs_and_missing_inputs() {
    let config: SaltConfig = serde_json::from_str(r#"{"base": {"remax": {}}}"#).expect("a config");
    let needs = config.build(&()).expect("valid").needs();
    let own = Needs::ANCHORS | Needs::TOKENS | Needs::TRAJECTORIES;
    assert_eq!(needs, Needs::GREEDY_REWARDS | own);
    let salt = SaltConfig::default().build(&()).expect("valid");
    let missing = fixture([Some(1.0), Some(0.0)]).missing(salt.as_ref());
    let names = ["steps", "step_tokens", "tokens", "anchors", "trajectories"];
    assert_eq!(
        missing,
        names.map(|name| format!("`{name}` is missing, and `salt` needs it"))
    );
}

#[test]
fn the_formula_names_history_action_and_base() {
    let config: SaltConfig =
        serde_json::from_str(r#"{"history": 2, "action": "last-line", "base": {"rloo": {}}}"#)
            .expect("a config");
    assert_eq!(
        config.formula(),
        "A_ik = mean of A_j over all steps (j, l) of the group with the edge (2 states before, s_k, a_k, s_k+1); \
         a_k the turn's last line; base: A_i = r_i - mean(r without i); lone member: 0"
    );
    assert!(
        SaltConfig::default()
            .formula()
            .contains("a_k the turn's text; base: A_i = (r_i")
    );
    let last_word = SaltConfig {
        action: ActionKey::LastWord,
        ..Default::default()
    };
    assert!(last_word.formula().contains("a_k the turn's last word"));
}

fn rows() -> impl Strategy<Value = Vec<Vec<Walk>>> {
    let text = || prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
    let walk = (0usize..6).prop_flat_map(move |n| {
        let base = prop::option::weighted(0.85, -2.0..2.0f64);
        (
            prop::collection::vec(text(), n + 1),
            prop::collection::vec(text(), n),
            base,
        )
    });
    prop::collection::vec(prop::collection::vec(walk, 1..5), 1..4)
}

/// The base advantage of every step.
fn base_of(rows: &[Vec<Walk>]) -> Vec<f64> {
    let walks = rows.iter().flatten();
    walks
        .flat_map(|(_, actions, base)| vec![base.unwrap_or(0.0); actions.len()])
        .collect()
}

fn renamed(rows: &[Vec<Walk>]) -> Vec<Vec<Walk>> {
    let rename = |texts: &[String]| {
        texts
            .iter()
            .map(|t| format!("{}!", t.replace('a', "z")))
            .collect()
    };
    let walk = |(states, actions, base): &Walk| (rename(states), rename(actions), *base);
    rows.iter().map(|g| g.iter().map(walk).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_sum_over_a_group_is_kept(rows in rows(), history in 0usize..3) {
        for group in rows {
            let group = [group];
            let (_, shared) = run(history, &group)?;
            let (after, before): (f64, f64) = (shared.advantages.iter().sum(), base_of(&group).iter().sum());
            prop_assert!((after - before).abs() < 1e-9);
        }
    }

    #[test]
    fn advantages_stay_between_the_least_and_the_greatest_base(rows in rows(), history in 0usize..3) {
        for group in rows {
            let bases = || group.iter().filter_map(|w| w.2);
            let (low, high) = (bases().fold(0.0, f64::min), bases().fold(0.0, f64::max));
            let (_, shared) = run(history, std::slice::from_ref(&group))?;
            prop_assert!(shared.advantages.iter().all(|a| *a >= low - 1e-12 && *a <= high + 1e-12));
        }
    }

    #[test]
    fn with_nothing_shared_the_base_is_kept(mut rows in rows(), history in 0usize..3) {
        for (i, walk) in rows.iter_mut().flatten().enumerate() {
            walk.1.iter_mut().enumerate().for_each(|(k, action)| *action = format!("{i}.{k}"));
        }
        let (_, shared) = run(history, &rows)?;
        prop_assert_eq!(shared.advantages, base_of(&rows));
    }

    #[test]
    fn identical_trajectories_get_their_mean(
        walk in rows(), bases in prop::collection::vec(-2.0..2.0f64, 1..5), history in 0usize..3,
    ) {
        let (states, actions, _) = walk[0][0].clone();
        // No state twice in one walk, so that an edge occurs once for each trajectory.
        let states: Vec<String> = states.iter().enumerate().map(|(k, s)| format!("{s}{k}")).collect();
        let group: Vec<Walk> = bases.iter().map(|b| (states.clone(), actions.clone(), Some(*b))).collect();
        let (_, shared) = run(history, &[group])?;
        let mean = stats::mean(&bases);
        prop_assert!(shared.advantages.iter().all(|a| (a - mean).abs() < 1e-12));
        prop_assert!(shared.multiplicity.iter().all(|n| *n == bases.len()));
    }

    #[test]
    fn every_occurrence_of_an_edge_has_one_value(rows in rows(), history in 0usize..3) {
        let (edges, shared) = run(history, &rows)?;
        for members in edges.iter() {
            let scored = || members.iter().filter(|k| shared.multiplicity[**k] > 0);
            let values: Vec<f64> = scored().map(|k| shared.advantages[*k]).collect();
            prop_assert!(values.iter().all(|a| *a == values[0]));
            prop_assert!(scored().all(|k| shared.multiplicity[*k] == values.len()));
        }
    }

    #[test]
    fn more_history_never_merges_more(rows in rows(), history in 0usize..5) {
        let (fewer, more) = (run(history, &rows)?.0, run(history + 1, &rows)?.0);
        prop_assert!(more.len() >= fewer.len());
        for members in more.iter() {
            prop_assert!(members.iter().all(|k| fewer.ids()[*k] == fewer.ids()[members[0]]));
        }
    }

    #[test]
    fn history_of_the_longest_trajectory_merges_common_prefixes_only(rows in rows()) {
        let longest = rows.iter().flatten().map(|w| w.1.len()).max().unwrap_or(0);
        let (edges, _) = run(longest, &rows)?;
        let steps: Vec<(usize, usize, &Walk)> = rows
            .iter()
            .enumerate()
            .flat_map(|(g, group)| group.iter().flat_map(move |w| (0..w.1.len()).map(move |k| (g, k, w))))
            .collect();
        for (x, (g, k, v)) in steps.iter().enumerate() {
            for (y, (h, l, w)) in steps.iter().enumerate() {
                let same = g == h && k == l && v.0[..=*k + 1] == w.0[..=*k + 1] && v.1[*k] == w.1[*k];
                prop_assert_eq!(edges.ids()[x] == edges.ids()[y], same);
            }
        }
        prop_assert_eq!(edges, run(longest + 3, &rows)?.0);
    }

    #[test]
    fn renaming_states_and_actions_changes_nothing(rows in rows(), history in 0usize..3) {
        prop_assert_eq!(run(history, &rows)?, run(history, &renamed(&rows))?);
    }
}
