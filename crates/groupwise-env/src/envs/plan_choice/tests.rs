use groupwise_core::Stream;
use proptest::prelude::*;

use super::*;

fn build(config: PlanChoiceConfig) -> Result<Box<dyn World>, ParamError> {
    config.build(&WorldContext::default())
}

fn refused(change: impl FnOnce(&mut PlanChoiceConfig)) -> String {
    let mut config = PlanChoiceConfig::default();
    change(&mut config);
    build(config).map(|_| ()).unwrap_err().to_string()
}

fn key(sample: u64) -> Key {
    Key::new(5, Stream::Environment).sample(sample)
}

#[test]
fn bad_parameters_are_refused_by_name() {
    assert_eq!(refused(|c| c.n_tasks = 0), "`n_tasks` = 0: must be in 1..=65535");
    assert_eq!(refused(|c| c.n_plans = 1), "`n_plans` = 1: must be in 2..=256");
    assert_eq!(refused(|c| c.n_ways = 0), "`n_ways` = 0: must be in 1..=256");
    assert_eq!(refused(|c| c.best = 1.1), "`best` = 1.1: must be in [0, 1]");
    assert_eq!(
        refused(|c| c.other = 0.4),
        "`other` = 0.4: must be in [0, `best`]"
    );
    assert_eq!(
        refused(|c| c.other = f64::NAN),
        "`other` = NaN: must be in [0, `best`]"
    );
}

fn task(best_plan: u64) -> Task {
    let mut task = Task::new("t", "t3", "");
    task.columns.insert("number".into(), 3.into());
    task.columns.insert("best_plan".into(), best_plan.into());
    task
}

fn certain_world() -> Box<dyn World> {
    build(PlanChoiceConfig {
        n_ways: 2,
        best: 1.0,
        other: 0.0,
        ..PlanChoiceConfig::default()
    })
    .unwrap()
}

#[test]
fn the_best_plan_carried_out_the_right_way_succeeds() {
    let world = certain_world();
    for (plan, way, reward) in [("p2", "w0", 1.0), ("p2", "w1", 0.0), ("p1", "w0", 0.0)] {
        let mut episode = world.start(&task(2), key(0)).unwrap();
        assert_eq!(episode.observe().text, "t3");
        let first = episode.step(plan).unwrap();
        assert_eq!((first.reward, first.stop, first.valid), (0.0, None, true));
        assert_eq!(episode.observe().text, format!("t3/{plan}"));
        let last = episode.step(way).unwrap();
        assert_eq!(
            (last.reward, last.stop, last.valid),
            (reward, Some(StopReason::Terminal), true)
        );
        assert_eq!(episode.observe().text, format!("t3/{plan}"));
        assert_eq!(episode.step("w0").unwrap_err().0, "the episode is over");
    }
}

#[test]
fn words_out_of_place_are_not_understood() {
    let world = certain_world();
    for word in ["w0", "p6", ""] {
        let outcome = world.start(&task(2), key(0)).unwrap().step(word).unwrap();
        assert_eq!((outcome.stop, outcome.valid), (Some(StopReason::Terminal), false));
    }
    let mut episode = world.start(&task(2), key(0)).unwrap();
    episode.step("p2").unwrap();
    let outcome = episode.step("p2").unwrap();
    assert_eq!((outcome.reward, outcome.valid), (0.0, false));
}

#[test]
fn solutions_succeed_as_often_as_their_plan_says() {
    // 3.29 standard errors of a binomial share: alpha 0.001.
    let world = build(PlanChoiceConfig::default()).unwrap();
    for (plan, rate) in [("p4", 0.35), ("p0", 0.15)] {
        let n = 20_000;
        let wins: f64 = (0..n)
            .map(|i| {
                let mut episode = world.start(&task(4), key(i)).unwrap();
                episode.step(plan).unwrap();
                episode.step("w0").unwrap().reward
            })
            .sum();
        let (found, error) = (wins / n as f64, (rate * (1.0 - rate) / n as f64).sqrt());
        assert!((found - rate).abs() < 3.29 * error, "{plan}: {found}");
    }
}

#[test]
fn best_plans_are_uniform_and_the_start_is_too() {
    // Chi-square at alpha 0.001 with 5 degrees of freedom: 20.5.
    let world = build(PlanChoiceConfig {
        n_tasks: 12_000,
        ..PlanChoiceConfig::default()
    })
    .unwrap();
    let mut counts = [0.0; 6];
    for task in world.train_tasks(Key::new(0, Stream::Tasks)).unwrap() {
        counts[task.columns["best_plan"].as_u64().unwrap() as usize] += 1.0;
    }
    let chi: f64 = counts.iter().map(|c: &f64| (c - 2000.0).powi(2) / 2000.0).sum();
    assert!(chi < 20.5, "{counts:?}");
    let rows = certain_world().initial_logits(key(0)).unwrap();
    assert_eq!(rows.len(), 48 + 48 * 6);
    assert_eq!(rows[47], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, IMPOSSIBLE, IMPOSSIBLE]);
    assert_eq!(rows[48][..6], [IMPOSSIBLE; 6]);
    assert_eq!(rows[48][6..], [0.0, 0.0]);
}

#[test]
fn a_task_of_another_world_is_refused() {
    let world = certain_world();
    for bad in [Task::new("t", "t3", ""), task(6)] {
        let error = world.start(&bad, key(0)).unwrap_err();
        assert!(
            error.0.ends_with("do not name a prompt and one of 6 plans"),
            "{}",
            error.0
        );
        assert_eq!(world.exact_success(&bad, &|_| Some(vec![1.0; 8])), None);
        assert!(world.exact_measures(&bad, &|_| Some(vec![1.0; 8])).is_empty());
    }
}

proptest! {
    #[test]
    fn exact_figures_are_sums_over_plans_and_ways(
        plans in prop::collection::vec(0.01..1.0f64, 6), ways in prop::collection::vec(0.01..1.0f64, 12), best in 0..6u64,
    ) {
        let world = build(PlanChoiceConfig { n_ways: 2, ..PlanChoiceConfig::default() }).unwrap();
        let total: f64 = plans.iter().sum();
        let way = |plan: usize, w: usize| ways[2 * plan + w] / (ways[2 * plan] + ways[2 * plan + 1]);
        let policy = |state: &str| Some(match state.split_once("/p") {
            None => plans.iter().map(|p| p / total).chain([0.0, 0.0]).collect::<Vec<f64>>(),
            Some((_, plan)) => {
                let plan = plan.parse().unwrap();
                (0..8).map(|a| if a < 6 { 0.0 } else { way(plan, a - 6) }).collect()
            }
        });
        let expected: f64 = (0..6)
            .map(|p| plans[p] / total * way(p, 0) * if p as u64 == best { 0.35 } else { 0.15 })
            .sum();
        prop_assert!((world.exact_success(&task(best), &policy).unwrap() - expected).abs() < 1e-12);
        let measures = world.exact_measures(&task(best), &policy);
        prop_assert!((measures["best-plan"] - plans[best as usize] / total).abs() < 1e-12);
    }
}
