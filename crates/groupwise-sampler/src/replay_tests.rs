use proptest::prelude::*;

use super::*;

type Buffer = ReplayBuffer<String>;

/// A group whose members are called `<prefix>0`, `<prefix>1`, ..
fn group(task: &str, prefix: &str, outcomes: &[f64]) -> EpisodeGroup<String> {
    let episode = |(i, outcome): (usize, &f64)| Episode {
        content: format!("{prefix}{i}"),
        outcome: *outcome,
        format: i % 2 == 0,
    };
    EpisodeGroup {
        task: task.to_owned(),
        episodes: outcomes.iter().enumerate().map(episode).collect(),
    }
}

fn names(group: &EpisodeGroup<String>) -> Vec<&str> {
    group.episodes.iter().map(|e| e.content.as_str()).collect()
}

fn stored<'a>(buffer: &'a Buffer, task: &str) -> Vec<&'a str> {
    buffer.stored(task).map(|s| s.episode.content.as_str()).collect()
}

fn buffer(config: ReplayConfig) -> Buffer {
    ReplayBuffer::new(config).unwrap()
}

fn outcome() -> impl Strategy<Value = f64> {
    prop_oneof![4 => Just(0.0), 2 => Just(1.0), 1 => Just(0.1), 1 => Just(0.15), 1 => 0.0..=1.0f64]
}

/// Steps of groups: task, outcomes, draw.
type Steps = Vec<Vec<(u8, Vec<f64>, f64)>>;

fn steps() -> impl Strategy<Value = Steps> {
    let outcomes = prop_oneof![
        prop::collection::vec(outcome(), 1..5),
        (1usize..5).prop_map(|n| vec![0.0; n]),
    ];
    prop::collection::vec(prop::collection::vec((0u8..3, outcomes, 0.0..1.0f64), 0..4), 1..8)
}

fn groups_of(step: usize, groups: &[(u8, Vec<f64>, f64)]) -> (Vec<EpisodeGroup<String>>, Vec<f64>) {
    groups
        .iter()
        .enumerate()
        .map(|(g, (task, outcomes, u))| (group(&task.to_string(), &format!("{step}-{g}-"), outcomes), *u))
        .unzip()
}

fn config() -> impl Strategy<Value = ReplayConfig> {
    (1usize..4, prop::option::of(1u64..4)).prop_map(|(buffer_size, max_age)| ReplayConfig {
        buffer_size,
        max_age,
        ..ReplayConfig::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn groups_keep_task_and_size_and_lose_member_zero_at_most_and_only_if_failed(
        steps in steps(), config in config(),
    ) {
        let mut buffer = buffer(config);
        for (t, step) in steps.iter().enumerate() {
            let (mut groups, uniforms) = groups_of(t, step);
            let before = groups.clone();
            let had: Vec<bool> = before
                .iter()
                .map(|g| buffer.stored(&g.task).any(|s| config.max_age.is_none_or(|a| t as u64 - s.step <= a)))
                .collect();
            let replayed = buffer.step(t as u64, &mut groups, &uniforms)?;
            for (g, (old, new)) in before.iter().zip(&groups).enumerate() {
                prop_assert_eq!(&old.task, &new.task);
                prop_assert_eq!(old.episodes.len(), new.episodes.len());
                prop_assert_eq!(&old.episodes[1..], &new.episodes[1..]);
                let failed = has_failed(&old.outcomes(), 0.05, 0.2);
                prop_assert_eq!(replayed[g].is_some(), failed && had[g]);
                prop_assert_eq!(replayed[g].is_some(), old.episodes[0] != new.episodes[0]);
            }
        }
    }

    #[test]
    fn buffers_hold_the_last_fresh_successes_and_nothing_else(steps in steps(), size in 1usize..4) {
        let mut buffer = buffer(ReplayConfig { buffer_size: size, ..ReplayConfig::default() });
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (t, step) in steps.iter().enumerate() {
            let (mut groups, uniforms) = groups_of(t, step);
            for group in &groups {
                let fresh = group.episodes.iter().filter(|e| e.outcome > 0.1).map(|e| e.content.clone());
                all.entry(group.task.clone()).or_default().extend(fresh);
            }
            buffer.step(t as u64, &mut groups, &uniforms)?;
            for (task, contents) in &all {
                let last = &contents[contents.len().saturating_sub(size)..];
                prop_assert_eq!(stored(&buffer, task), last);
                prop_assert!(buffer.stored(task).all(|s| s.episode.outcome > 0.1));
                prop_assert_eq!(buffer.tasks().any(|t| t == task), !last.is_empty());
            }
        }
    }

    #[test]
    fn without_stored_successes_nothing_changes(outcomes in prop::collection::vec(0.0..=0.1f64, 1..6), n in 1u64..5) {
        let mut buffer = buffer(ReplayConfig::default());
        for t in 0..n {
            let mut groups = [group("t", "a", &outcomes)];
            let before = groups.clone();
            prop_assert_eq!(buffer.step(t, &mut groups, &[0.5])?, [None]);
            prop_assert_eq!(&groups, &before);
        }
    }

    #[test]
    fn a_resumed_buffer_equals_an_uninterrupted_one(steps in steps(), config in config(), cut in 0usize..8) {
        let (mut whole, mut resumed) = (buffer(config), buffer(config));
        for (t, step) in steps.iter().enumerate() {
            if t == cut {
                let text = resumed.save()?.to_string();
                resumed = buffer(config);
                resumed.load(&serde_json::from_str(&text)?)?;
            }
            let (mut a, uniforms) = groups_of(t, step);
            let mut b = a.clone();
            prop_assert_eq!(whole.step(t as u64, &mut a, &uniforms)?, resumed.step(t as u64, &mut b, &uniforms)?);
            prop_assert_eq!(a, b);
            prop_assert_eq!(&whole, &resumed);
        }
    }

    #[test]
    fn the_draw_picks_the_stored_episode_of_its_share(size in 1usize..6, u in 0.0..1.0f64) {
        let mut buffer = buffer(ReplayConfig::default());
        buffer.step(0, &mut [group("t", "p", &vec![1.0; size])], &[0.0])?;
        let mut failed = [group("t", "q", &[0.0, 0.0])];
        buffer.step(1, &mut failed, &[u])?;
        let index = (0..size).rfind(|i| *i as f64 <= u * size as f64).unwrap();
        prop_assert_eq!(&failed[0].episodes[0].content, &format!("p{index}"));
    }
}

#[test]
fn a_success_is_seen_from_the_next_step_on_and_not_by_a_sibling_group() {
    let mut buffer = buffer(ReplayConfig::default());
    let mut step = [group("t", "a", &[1.0, 0.0]), group("t", "b", &[0.0, 0.0])];
    assert_eq!(buffer.step(1, &mut step, &[0.0, 0.0]), Ok(vec![None, None]));
    let mut next = [group("other", "c", &[0.0]), group("t", "d", &[0.0])];
    let replayed = buffer.step(3, &mut next, &[0.0, 0.0]).unwrap();
    assert_eq!(replayed, [None, Some(Replayed { age: 2, uses: 1 })]);
    assert_eq!((names(&next[0]), names(&next[1])), (vec!["c0"], vec!["a0"]));
    // The copy keeps outcome and format and is not stored again.
    assert_eq!(
        (next[1].episodes[0].outcome, next[1].episodes[0].format),
        (1.0, true)
    );
    assert_eq!(stored(&buffer, "t"), ["a0"]);
    let again = buffer.step(3, &mut [group("t", "e", &[0.0])], &[0.9]).unwrap();
    assert_eq!(again, [Some(Replayed { age: 2, uses: 2 })]);
}

#[test]
fn a_bad_format_is_stored_and_replayed_with_the_episode() {
    let mut buffer = buffer(ReplayConfig::default());
    buffer
        .step(1, &mut [group("t", "a", &[0.0, 1.0])], &[0.0])
        .unwrap();
    let mut failed = [group("t", "b", &[0.0, 0.0])];
    buffer.step(2, &mut failed, &[0.0]).unwrap();
    assert!(!failed[0].episodes[0].format);
}

#[test]
fn a_displaced_partial_success_is_fresh_and_stored() {
    let mut buffer = buffer(ReplayConfig::default());
    buffer.step(1, &mut [group("t", "a", &[1.0])], &[0.0]).unwrap();
    let mut low = [group("t", "b", &[0.15, 0.15])];
    assert!(buffer.step(2, &mut low, &[0.0]).unwrap()[0].is_some());
    assert_eq!(names(&low[0]), ["a0", "b1"]);
    assert_eq!(stored(&buffer, "t"), ["a0", "b0", "b1"]);
}

#[test]
fn both_thresholds_are_strict() {
    // Population deviation of (0, 0.25) is 0.125, their mean too.
    assert!(has_failed(&[0.0, 0.25], 0.126, 0.126));
    assert!(!has_failed(&[0.0, 0.25], 0.125, 0.126));
    assert!(!has_failed(&[0.0, 0.25], 0.126, 0.125));
    assert!(!has_failed(&[], 0.05, 0.2));
    assert!(has_failed(&[0.1], 0.05, 0.2));
    // The sample deviation, 0.177, would not be below 0.15.
    assert!(has_failed(&[0.0, 0.25], 0.15, 0.2));
    let mut buffer = buffer(ReplayConfig {
        insert_above: 0.25,
        ..ReplayConfig::default()
    });
    buffer
        .step(1, &mut [group("t", "a", &[0.25, 0.5])], &[0.0])
        .unwrap();
    assert_eq!(stored(&buffer, "t"), ["a1"]);
}

#[test]
fn stale_episodes_are_dropped_before_the_draw() {
    let mut buffer = buffer(ReplayConfig {
        max_age: Some(2),
        ..ReplayConfig::default()
    });
    buffer.step(1, &mut [group("t", "a", &[1.0])], &[0.0]).unwrap();
    buffer.step(2, &mut [group("t", "b", &[1.0])], &[0.0]).unwrap();
    let mut third = [group("t", "c", &[0.0])];
    buffer.step(3, &mut third, &[0.0]).unwrap();
    assert_eq!(names(&third[0]), ["a0"]);
    let mut fourth = [group("t", "d", &[0.0])];
    buffer.step(4, &mut fourth, &[0.0]).unwrap();
    assert_eq!(names(&fourth[0]), ["b0"]);
    let mut fifth = [group("t", "e", &[0.0])];
    assert_eq!(buffer.step(5, &mut fifth, &[0.0]), Ok(vec![None]));
    assert_eq!((buffer.tasks().count(), buffer.stored("t").len()), (0, 0));
}

#[test]
fn bad_parameters_are_refused() {
    let base = ReplayConfig::default();
    let refused = |config| Buffer::new(config).unwrap_err().to_string();
    assert_eq!(
        refused(ReplayConfig {
            buffer_size: 0,
            ..base
        }),
        "`buffer_size` = 0: must be >= 1"
    );
    for insert_above in [-0.1, 1.0, f64::NAN] {
        assert_eq!(
            refused(ReplayConfig { insert_above, ..base }),
            format!("`insert_above` = {insert_above}: must be in [0, 1)")
        );
    }
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(
            refused(ReplayConfig { std_max: bad, ..base }),
            format!("`std_max` = {bad}: must be a finite number > 0")
        );
        assert_eq!(
            refused(ReplayConfig {
                mean_max: bad,
                ..base
            }),
            format!("`mean_max` = {bad}: must be a finite number > 0")
        );
    }
    let max_age = Some(0);
    assert_eq!(
        refused(ReplayConfig { max_age, ..base }),
        "`max_age` = 0: must be >= 1"
    );
}

#[test]
fn bad_data_are_refused_and_change_nothing() {
    let mut buffer = buffer(ReplayConfig::default());
    buffer.step(2, &mut [group("t", "a", &[1.0])], &[0.0]).unwrap();
    let before = buffer.clone();
    for (step, outcomes, uniforms, message) in [
        (
            1,
            vec![1.0],
            vec![0.0],
            "step 1: lies before step 2, the last one seen",
        ),
        (3, vec![1.0], vec![], "`uniforms` has 0 entries, expected 1"),
        (3, vec![], vec![0.0], "group 0: holds no episode"),
        (
            3,
            vec![0.0, 1.5],
            vec![0.0],
            "group 0, episode 1: outcome 1.5 is outside [0, 1]",
        ),
        (
            3,
            vec![f64::NAN],
            vec![0.0],
            "group 0, episode 0: outcome NaN is outside [0, 1]",
        ),
        (3, vec![0.0], vec![1.0], "group 0: draw 1 is outside [0, 1)"),
        (3, vec![0.0], vec![-0.5], "group 0: draw -0.5 is outside [0, 1)"),
    ] {
        let mut groups = [group("t", "b", &outcomes)];
        let error = buffer.step(step, &mut groups, &uniforms).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(buffer, before);
    }
}

#[test]
fn a_state_the_buffer_could_not_be_in_is_refused() {
    let small = ReplayConfig {
        buffer_size: 2,
        ..ReplayConfig::default()
    };
    let episode = |outcome: f64, step: u64| serde_json::json!({"episode": {"content": "a", "outcome": outcome, "format": true}, "step": step, "uses": 0});
    let state = |stored: Vec<State>, step: u64| serde_json::json!({"step": step, "tasks": {"t": stored}});
    let order = "replay buffer, task t: steps are out of order";
    for (stored, message) in [
        (vec![], "replay buffer, task t: 0 episodes, must be 1 to 2"),
        (
            vec![episode(1.0, 1); 3],
            "replay buffer, task t: 3 episodes, must be 1 to 2",
        ),
        (
            vec![episode(0.1, 1)],
            "replay buffer, task t: outcome 0.1 is not above 0.1 and at most 1",
        ),
        (
            vec![episode(1.5, 1)],
            "replay buffer, task t: outcome 1.5 is not above 0.1 and at most 1",
        ),
        (vec![episode(1.0, 2), episode(1.0, 1)], order),
        (vec![episode(1.0, 4)], order),
    ] {
        let error = buffer(small).load(&state(stored, 3)).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let good = state(vec![episode(1.0, 1), episode(0.5, 3)], 3);
    let mut loaded = buffer(small);
    loaded.load(&good).unwrap();
    assert_eq!(loaded.save().unwrap(), good);
    let error = loaded.load(&State::Null).unwrap_err().to_string();
    assert_eq!(error, "replay buffer: invalid type: null, expected struct Memory");
    // A refused state leaves what was there.
    assert_eq!(loaded.save().unwrap(), good);
}
