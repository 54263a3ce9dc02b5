use groupwise_core::{Stream, Trajectory};
use groupwise_reward::VerifierSpec;
use groupwise_reward::verifiers::{TaskRun, efficiency_rate};
use proptest::prelude::*;

use super::*;

fn key() -> Key {
    Key::new(9, Stream::Tasks)
}

fn small() -> MenuScreensConfig {
    MenuScreensConfig {
        n_seen: 3,
        n_unseen: 2,
        n_buttons: 4,
        ..Default::default()
    }
}

fn build(config: &MenuScreensConfig) -> Box<dyn World> {
    config.build(&WorldContext::default()).unwrap()
}

fn refused(change: impl FnOnce(&mut MenuScreensConfig)) -> String {
    let mut config = MenuScreensConfig::default();
    change(&mut config);
    let error = config.build(&WorldContext::default()).map(|_| ()).unwrap_err();
    error.to_string()
}

#[test]
fn bad_parameters_are_refused_by_name() {
    assert_eq!(refused(|c| c.n_seen = 0), "`n_seen` = 0: must be in 1..=1024");
    assert_eq!(refused(|c| c.n_unseen = 0), "`n_unseen` = 0: must be in 1..=1024");
    assert_eq!(
        refused(|c| c.min_clicks = 0),
        "`min_clicks` = 0: must be in 1..=32"
    );
    assert_eq!(
        refused(|c| c.max_clicks = 2),
        "`max_clicks` = 2: must be in 3..=32"
    );
    assert_eq!(refused(|c| c.n_buttons = 2), "`n_buttons` = 2: must be in 3..=64");
    assert_eq!(
        refused(|c| c.dimensions = 0),
        "`dimensions` = 0: must be in 1..=64"
    );
    assert_eq!(
        refused(|c| c.n_proposals = 0),
        "`n_proposals` = 0: must be in 1..=1024"
    );
    assert_eq!(refused(|c| c.actor = 1.0), "`actor` = 1: must be in (0, 1)");
    assert_eq!(refused(|c| c.follow = -0.1), "`follow` = -0.1: must be in [0, 1]");
}

/// Right verdict and right suggestion in every state of a goal's task; `wrong` turns both around.
fn critic(task: &Task, n: usize, wrong: bool) -> impl Fn(&str) -> Option<Vec<f64>> {
    let rights: Vec<usize> = task.columns["right"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_u64().unwrap() as usize)
        .collect();
    move |state: &str| {
        let mut parts = state.split('/');
        let screen: usize = parts.nth(1)?.parse().ok()?;
        let proposal: usize = parts.next()?.strip_prefix('b')?.parse().ok()?;
        let right = rights[screen];
        let suggested = if wrong { (right + 1) % n } else { right };
        let correct = (proposal == right) != wrong;
        let mut p = vec![0.0; 2 * n];
        p[if correct { suggested } else { n + suggested }] = 1.0;
        Some(p)
    }
}

#[test]
fn a_perfect_critic_leaves_what_the_actor_does_not_follow() {
    let config = MenuScreensConfig {
        follow: 1.0,
        ..small()
    };
    let world = build(&config);
    for task in world.eval_tasks(key()).unwrap() {
        let perfect = critic(&task, 4, false);
        let found = world.exact_measures(&task, &perfect);
        assert!((world.exact_success(&task, &perfect).unwrap() - 1.0).abs() < 1e-12);
        for name in ["verdict", "verdict/correct", "verdict/incorrect", "suggestion"] {
            assert!((found[name] - 1.0).abs() < 1e-12, "{name}");
        }
        assert!((found["steps"] - task.difficulty).abs() < 1e-12);
        assert!(found["deleted"].abs() < 1e-12 && found["deleted/actor"] > 0.1);
        assert!(found["success/actor"] < 0.9);
        let wrong = world.exact_measures(&task, &critic(&task, 4, true));
        assert!(wrong["verdict"].abs() < 1e-12 && wrong["suggestion"].abs() < 1e-12);
    }
}

/// A critic that says anything with fixed chances.
fn random_critic(weights: &[f64]) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

/// One run of a goal: reached, steps, deleted.
fn simulate(config: &MenuScreensConfig, task: &Task, answers: Option<&[f64]>, key: Key) -> (TaskRun, bool) {
    let list = |name: &str| -> Vec<usize> {
        task.columns[name]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_u64().unwrap() as usize)
            .collect()
    };
    let (right, deletes) = (list("right"), list("deletes"));
    let mut rng = key.rng();
    let n = config.n_buttons;
    let (mut k, budget) = (0, 2 * right.len());
    for steps in 1..=budget {
        let propose = |rng: &mut groupwise_core::key::KeyedRng| {
            if rng.uniform() < config.actor {
                return right[k];
            }
            let other = rng.below(n as u64 - 1) as usize;
            if other < right[k] { other } else { other + 1 }
        };
        let mut click = propose(&mut rng);
        if let Some(p) = answers {
            let (mut u, mut answer) = (rng.uniform(), 0);
            while u >= p[answer] && answer + 1 < p.len() {
                u -= p[answer];
                answer += 1;
            }
            if answer >= n {
                click = if rng.uniform() < config.follow {
                    answer - n
                } else {
                    propose(&mut rng)
                };
            }
        }
        if click == deletes[k] {
            return (
                TaskRun {
                    success: false,
                    steps,
                },
                true,
            );
        }
        k += usize::from(click == right[k]);
        if k == right.len() {
            return (TaskRun { success: true, steps }, false);
        }
    }
    (
        TaskRun {
            success: false,
            steps: budget,
        },
        false,
    )
}

/// How a run went, and whether it deleted, without and with the critic.
type Both = ((TaskRun, bool), (TaskRun, bool));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn exact_figures_are_those_of_simulated_runs(weights in prop::collection::vec(0.01..1.0f64, 8), goal in 0..5usize) {
        let config = small();
        let world = build(&config);
        let task = &world.eval_tasks(key()).unwrap()[goal];
        let p = random_critic(&weights);
        let found = world.exact_measures(task, &|_| Some(p.clone()));
        let n = 20_000u64;
        let runs: Vec<Both> = (0..n)
            .map(|i| {
                let key = Key::new(i, Stream::Environment);
                let without = simulate(&config, task, None, key.named("without", 0));
                (without, simulate(&config, task, Some(&p), key.named("with", 0)))
            })
            .collect();
        let share = |holds: &dyn Fn(&Both) -> bool| {
            runs.iter().filter(|r| holds(r)).count() as f64 / n as f64
        };
        // Five standard errors of a binomial share.
        let near = |a: f64, b: f64| (a - b).abs() < 5.0 * 0.5 / (n as f64).sqrt();
        prop_assert!(near(share(&|r| r.1.0.success), world.exact_success(task, &|_| Some(p.clone())).unwrap()));
        prop_assert!(near(share(&|r| r.0.0.success), found["success/actor"]));
        prop_assert!(near(share(&|r| r.1.1), found["deleted"]));
        prop_assert!(near(share(&|r| r.0.1), found["deleted/actor"]));
        let pairs: Vec<(TaskRun, TaskRun)> = runs.iter().map(|r| (r.0.0, r.1.0)).collect();
        prop_assert!((efficiency_rate(&pairs).unwrap() - found["ear"]).abs() < 0.03);
        let steps = runs.iter().map(|r| r.1.0.steps as f64).sum::<f64>() / n as f64;
        prop_assert!((steps - found["steps"]).abs() < 0.1);
    }
}

#[test]
fn the_verifier_reads_the_answers() {
    let world = build(&small());
    let verifier = VerifierSpec::named("gui-critic-r1").unwrap().build(&()).unwrap();
    for task in world.train_tasks(key()).unwrap() {
        let shown = world.demonstration(&task).unwrap();
        let verdict = verifier
            .score(&task, &Trajectory::of_reply(&shown, 1))
            .value()
            .unwrap();
        assert!((verdict - 1.0).abs() < 1e-12, "{shown}");
    }
}

#[test]
fn shuffled_annotations_keep_verdicts_and_counts() {
    let (plain, shuffled) = (
        build(&MenuScreensConfig::default()),
        build(&MenuScreensConfig {
            annotations: Annotations::Shuffled,
            ..Default::default()
        }),
    );
    let (a, b) = (
        plain.train_tasks(key()).unwrap(),
        shuffled.train_tasks(key()).unwrap(),
    );
    let suggestions = |tasks: &[Task]| -> Vec<String> {
        tasks
            .iter()
            .map(|t| t.columns["suggestion"].as_str().unwrap().to_owned())
            .collect()
    };
    let (mut x, mut y) = (suggestions(&a), suggestions(&b));
    let same = x.iter().zip(&y).filter(|(p, q)| p == q).count();
    assert!(same * 3 < x.len(), "{same} of {}", x.len());
    x.sort();
    y.sort();
    assert_eq!(x, y);
    assert!(
        a.iter()
            .zip(&b)
            .all(|(p, q)| p.reference == q.reference && p.prompt == q.prompt)
    );
}

#[test]
fn proposals_are_right_as_often_as_the_actor_is() {
    // 3.29 standard errors of a binomial share: alpha 0.001.
    let config = MenuScreensConfig {
        n_seen: 1024,
        ..Default::default()
    };
    let tasks = build(&config).train_tasks(key()).unwrap();
    let right = tasks.iter().filter(|t| t.reference == "Correct").count() as f64 / tasks.len() as f64;
    assert!(
        (right - 0.6).abs() < 3.29 * (0.24 / tasks.len() as f64).sqrt(),
        "{right}"
    );
}

#[test]
fn right_buttons_never_delete_and_the_scorer_can_know_them() {
    let config = small();
    let world = build(&config);
    let psi = world.features(key()).unwrap();
    assert_eq!(
        (psi.n_states(), psi.n_actions(), psi.n_weights()),
        (5 * 5 * 4, 8, 18)
    );
    for goal in 0..5 {
        for screen in tasks::draw_screens(&config, goal, key()) {
            assert_ne!(screen.right, screen.deletes);
            let deletes = screen.features(screen.deletes);
            assert_eq!((deletes.len(), deletes[16]), (17, (16, 1.0)));
            assert_eq!(screen.features(screen.right).len(), 16);
        }
    }
    // Weights of a constant alone: only answers that say `Correct` have it.
    let mut weights = vec![0.0; 18];
    weights[17] = 2.0;
    let logits = psi.logits(&weights);
    assert_eq!(&logits[..8], [2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn a_task_of_another_world_has_no_figure() {
    let world = build(&small());
    let bad = Task::new("t", "g0/0/b0", "Correct");
    assert_eq!(world.exact_success(&bad, &|_| Some(vec![0.125; 8])), None);
    assert!(world.exact_measures(&bad, &|_| Some(vec![0.125; 8])).is_empty());
    let good = &world.eval_tasks(key()).unwrap()[0];
    assert_eq!(world.exact_success(good, &|_| Some(vec![0.5; 2])), None);
}
