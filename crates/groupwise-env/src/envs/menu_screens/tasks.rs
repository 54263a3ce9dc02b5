//! Screens, proposals to judge, goals to reach.

use groupwise_core::dense::{combine, dot};
use groupwise_core::{Key, Task};
use rand_distr::{Distribution, StandardNormal};

use super::{Annotations, MenuScreens, MenuScreensConfig};

/// What the critic says of a proposal.
pub(super) fn verdict(correct: bool) -> &'static str {
    if correct { "Correct" } else { "Incorrect" }
}

/// One screen on the way to a goal.
#[derive(Clone, Debug)]
pub(super) struct Screen {
    target: Vec<f64>,
    buttons: Vec<Vec<f64>>,
    pub(super) deletes: usize,
    pub(super) right: usize,
}

impl Screen {
    /// Features of a button: products of target and button, then whether it deletes.
    pub(super) fn features(&self, button: usize) -> Vec<(usize, f64)> {
        let products = self
            .target
            .iter()
            .flat_map(|t| self.buttons[button].iter().map(move |u| t * u));
        let mut row: Vec<(usize, f64)> = products.enumerate().collect();
        if button == self.deletes {
            row.push((row.len(), 1.0));
        }
        row
    }
}

/// The screens of a goal, `max_clicks` of them whatever it takes.
pub(super) fn draw_screens(config: &MenuScreensConfig, goal: usize, key: Key) -> Vec<Screen> {
    let d = config.dimensions;
    let mut rng = key.named("menu-screens/taste", 0).rng();
    let taste: Vec<Vec<f64>> = (0..d)
        .map(|_| (0..d).map(|_| StandardNormal.sample(&mut rng)).collect())
        .collect();
    (0..config.max_clicks)
        .map(|k| {
            let place = (goal * config.max_clicks + k) as u64;
            let mut rng = key.named("menu-screens/screen", place).rng();
            let deletes = rng.below(config.n_buttons as u64) as usize;
            let mut vector = || -> Vec<f64> { (0..d).map(|_| StandardNormal.sample(&mut rng)).collect() };
            let target = vector();
            let buttons: Vec<Vec<f64>> = (0..config.n_buttons).map(|_| vector()).collect();
            let wanted = combine(&target, &taste);
            let mut right = usize::from(deletes == 0);
            for (b, button) in buttons.iter().enumerate() {
                if b != deletes && dot(&wanted, button) > dot(&wanted, &buttons[right]) {
                    right = b;
                }
            }
            Screen {
                target,
                buttons,
                deletes,
                right,
            }
        })
        .collect()
}

/// Clicks that a goal takes.
pub(super) fn n_clicks(config: &MenuScreensConfig, goal: usize, key: Key) -> usize {
    let mut rng = key.named("menu-screens/clicks", goal as u64).rng();
    config.min_clicks + rng.below((config.max_clicks - config.min_clicks) as u64 + 1) as usize
}

impl MenuScreens {
    /// One task per proposal on a screen of a seen goal.
    pub(super) fn proposals(&self, key: Key) -> Vec<Task> {
        let config = &self.config;
        let (mut tasks, mut suggestions) = (Vec::new(), Vec::new());
        for goal in 0..config.n_seen {
            let screens = draw_screens(config, goal, key);
            for (k, screen) in screens.iter().take(n_clicks(config, goal, key)).enumerate() {
                for n in 0..config.n_proposals {
                    let place = (goal * config.max_clicks + k) * config.n_proposals + n;
                    let proposal = self.propose(screen, key.named("menu-screens/proposal", place as u64));
                    let mut task = Task::new(
                        format!("menu-screens/goal-{goal:04}-{k}-{n}"),
                        self.state(goal, k, proposal),
                        verdict(proposal == screen.right),
                    );
                    task.difficulty = 1.0;
                    suggestions.push(screen.right);
                    tasks.push(task);
                }
            }
        }
        if config.annotations == Annotations::Shuffled {
            key.named("menu-screens/annotations", 0)
                .rng()
                .shuffle(&mut suggestions);
        }
        for (task, button) in tasks.iter_mut().zip(suggestions) {
            task.columns
                .insert("suggestion".into(), format!("b{button}").into());
        }
        tasks
    }

    /// The weak actor's proposal.
    pub(super) fn propose(&self, screen: &Screen, key: Key) -> usize {
        let mut rng = key.rng();
        if rng.uniform() < self.config.actor {
            return screen.right;
        }
        let other = rng.below(self.config.n_buttons as u64 - 1) as usize;
        if other < screen.right { other } else { other + 1 }
    }

    /// One task per goal.
    pub(super) fn goals(&self, key: Key) -> Vec<Task> {
        (0..self.n_goals())
            .map(|goal| {
                let clicks = n_clicks(&self.config, goal, key);
                let screens = draw_screens(&self.config, goal, key);
                let of = |what: fn(&Screen) -> usize| {
                    screens.iter().take(clicks).map(what).collect::<Vec<usize>>()
                };
                let mut task = Task::new(
                    format!("menu-screens/goal-{goal:04}"),
                    self.state(goal, 0, 0),
                    String::new(),
                );
                task.difficulty = clicks as f64;
                task.columns.insert("goal".into(), goal.into());
                task.columns.insert("right".into(), of(|s| s.right).into());
                task.columns.insert("deletes".into(), of(|s| s.deletes).into());
                task
            })
            .collect()
    }
}
