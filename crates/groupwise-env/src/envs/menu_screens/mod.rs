//! Menu screens: a critic judges a proposed click before it is made, and suggests the right one.
//!
//! A goal takes 3 to 5 clicks, one screen after the other.  A screen is a target (d standard normal numbers) and buttons
//! (d each); the right button is the one whose `target M button` is largest, M fixed and random, among those that do not
//! delete.  One button of every screen deletes, which cannot be undone.  Goals are seen in training or unseen.
//!
//! A weak actor proposes the right button with probability `actor`, else any other.  The critic sees goal, screen and
//! proposal in one word (`g3/1/b4`) and answers in one: a thought, a verdict and a suggested button, all in their tags, as
//! verifier `gui-critic-r1` reads them.  So the format is always right.
//!
//! # Features
//! One scorer for both heads: of a button, the products of target and button and whether it deletes.  An answer has the
//! features of the button it suggests and, if it says `Correct`, those of the proposal and a constant.
//!
//! # Reward
//! None of its own: the verifier reads the task's reference (`Correct`, `Incorrect`) and its column `suggestion`, which
//! holds the right button, or under `annotations = "shuffled"` that of some other task.
//!
//! # Evaluation
//! On goals, seen and unseen, exact.  `eval/success` is the chance that the actor reaches the goal with the critic in the
//! loop: a vetoed proposal is replaced by the suggestion with probability `follow`, else by a fresh proposal, which is not
//! judged again; a wrong click stays on the screen, a deleting one fails, and so does running out of two steps per click.
//! Measures: `verdict` and `suggestion` (accuracy under the actor's proposals, also as `verdict/unseen` and so on),
//! `verdict/correct` and `verdict/incorrect` (per class), `success/seen`, `success/unseen`, `success/actor` (without
//! critic), `steps`, `deleted` and `deleted/actor`, `ear` (chance that, of two runs that end alike, the one with the critic
//! is shorter).
//!
//! # Where the policy starts
//! Uniform; a recipe's `[warm_start]` shows verdict and suggestion of the training tasks.

mod play;
mod tasks;

use std::collections::BTreeMap;
use std::sync::Arc;

use groupwise_core::seams::{EnvError, Environment, Features, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, Task};
use serde::{Deserialize, Serialize};

use crate::WorldContext;
use crate::single_turn::SingleTurn;

/// What is annotated as the right button.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Annotations {
    /// The right button.
    #[default]
    Right,
    /// The right button of another task: a control.
    Shuffled,
}

/// Parameters of the menu screens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MenuScreensConfig {
    /// Goals that are trained on, in 1..=1024.
    pub n_seen: usize,
    /// Goals that are only evaluated, in 1..=1024.
    pub n_unseen: usize,
    /// Fewest clicks of a goal, >= 1.
    pub min_clicks: usize,
    /// Most clicks of a goal, in `min_clicks..=32`.
    pub max_clicks: usize,
    /// Buttons of a screen, in 3..=64.
    pub n_buttons: usize,
    /// Numbers of a target and of a button, in 1..=64.
    pub dimensions: usize,
    /// Proposals per screen that are trained on, in 1..=1024.
    pub n_proposals: usize,
    /// Probability that a proposal is right, in (0, 1).
    pub actor: f64,
    /// Probability that the actor follows a suggestion, in [0, 1].
    pub follow: f64,
    /// What is annotated.
    pub annotations: Annotations,
}

impl Default for MenuScreensConfig {
    fn default() -> Self {
        Self {
            n_seen: 40,
            n_unseen: 40,
            min_clicks: 3,
            max_clicks: 5,
            n_buttons: 6,
            dimensions: 4,
            n_proposals: 3,
            actor: 0.6,
            follow: 0.8,
            annotations: Annotations::Right,
        }
    }
}

impl Part<dyn World, WorldContext> for MenuScreensConfig {
    const SOURCE: &'static str =
        "world of the miniature reproduction of gui-critic-r1 (arXiv 2506.04614), linear version";

    fn formula(&self) -> String {
        format!(
            "right = argmax_b target M button_b, {} buttons of {} numbers, one deletes; {} + {} goals of {}..={} clicks; actor right with {}, follows with {}; annotated: {}",
            self.n_buttons,
            self.dimensions,
            self.n_seen,
            self.n_unseen,
            self.min_clicks,
            self.max_clicks,
            self.actor,
            self.follow,
            match self.annotations {
                Annotations::Right => "right",
                Annotations::Shuffled => "shuffled",
            }
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        for (key, value, least, most) in [
            ("n_seen", self.n_seen, 1, 1024),
            ("n_unseen", self.n_unseen, 1, 1024),
            ("min_clicks", self.min_clicks, 1, 32),
            ("max_clicks", self.max_clicks, self.min_clicks, 32),
            ("n_buttons", self.n_buttons, 3, 64),
            ("dimensions", self.dimensions, 1, 64),
            ("n_proposals", self.n_proposals, 1, 1024),
        ] {
            let range = format!("in {least}..={most}");
            ParamError::check((least..=most).contains(&value), key, value, &range)?;
        }
        let (actor, follow) = (self.actor, self.follow);
        ParamError::check(actor > 0.0 && actor < 1.0, "actor", actor, "in (0, 1)")?;
        ParamError::check((0.0..=1.0).contains(&follow), "follow", follow, "in [0, 1]")?;
        let answers = [true, false].into_iter().flat_map(|correct| {
            (0..self.n_buttons).map(move |button| {
                let verdict = tasks::verdict(correct);
                format!("<thought>-</thought><score>{verdict}</score><suggestion>b{button}</suggestion>")
            })
        });
        Ok(Box::new(MenuScreens {
            answers: answers.collect(),
            config: self.clone(),
        }))
    }
}

/// The validated world.
#[derive(Debug)]
struct MenuScreens {
    config: MenuScreensConfig,
    /// Those that say `Correct` first, by suggested button.
    answers: Arc<[String]>,
}

impl MenuScreens {
    fn n_goals(&self) -> usize {
        self.config.n_seen + self.config.n_unseen
    }

    /// The word of a goal's screen with a proposal.
    fn state(&self, goal: usize, screen: usize, proposal: usize) -> String {
        format!("g{goal}/{screen}/b{proposal}")
    }

    /// The answer that gives this verdict and suggestion.
    fn answer(&self, correct: bool, button: usize) -> Option<&str> {
        let offset = if correct { 0 } else { self.config.n_buttons };
        self.answers.get(offset + button).map(String::as_str)
    }
}

impl World for MenuScreens {
    fn symbols(&self) -> Symbols {
        let config = &self.config;
        let mut states = Vec::new();
        for goal in 0..self.n_goals() {
            for screen in 0..config.max_clicks {
                states.extend((0..config.n_buttons).map(|p| self.state(goal, screen, p)));
            }
        }
        Symbols::Words {
            states,
            actions: self.answers.to_vec(),
        }
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        Ok(self.proposals(key))
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        Ok(self.goals(key))
    }

    fn start(&self, task: &Task, _: Key) -> Result<Box<dyn Environment>, EnvError> {
        let answers = Arc::clone(&self.answers);
        let known = move |answer: &str| (0.0, answers.iter().any(|word| word == answer));
        Ok(Box::new(SingleTurn::rewarding(task.prompt.clone(), known)))
    }

    fn demonstration(&self, task: &Task) -> Option<String> {
        let correct = task.reference == tasks::verdict(true);
        let suggestion = task.columns.get("suggestion")?.as_str()?.strip_prefix('b')?;
        self.answer(correct, suggestion.parse().ok()?).map(str::to_owned)
    }

    fn exact_success(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<f64> {
        let goal = self.goal_of(task)?;
        Some(self.judged(&goal, policy)?.with_critic.success())
    }

    fn exact_measures(
        &self,
        task: &Task,
        policy: &dyn Fn(&str) -> Option<Vec<f64>>,
    ) -> BTreeMap<String, f64> {
        let judged = self
            .goal_of(task)
            .and_then(|goal| Some((self.judged(&goal, policy)?, goal)));
        let Some((judged, goal)) = judged else {
            return BTreeMap::new();
        };
        let set = if goal.index < self.config.n_seen {
            "seen"
        } else {
            "unseen"
        };
        let (with, without) = (&judged.with_critic, &judged.without);
        let mut out = BTreeMap::from([
            ("verdict".to_owned(), judged.verdict),
            ("verdict/correct".to_owned(), judged.verdict_correct),
            ("verdict/incorrect".to_owned(), judged.verdict_incorrect),
            ("suggestion".to_owned(), judged.suggestion),
            ("success/actor".to_owned(), without.success()),
            ("steps".to_owned(), with.steps()),
            ("steps/actor".to_owned(), without.steps()),
            ("deleted".to_owned(), with.deleted),
            ("deleted/actor".to_owned(), without.deleted),
        ]);
        for (what, value) in [
            ("verdict", judged.verdict),
            ("suggestion", judged.suggestion),
            ("success", with.success()),
        ] {
            out.insert(format!("{what}/{set}"), value);
        }
        if let Some(rate) = with.shorter_than(without) {
            out.insert("ear".to_owned(), rate);
        }
        out
    }

    fn features(&self, key: Key) -> Option<Features> {
        let config = &self.config;
        let screens: Vec<Vec<tasks::Screen>> = (0..self.n_goals())
            .map(|g| tasks::draw_screens(config, g, key))
            .collect();
        let products = config.dimensions * config.dimensions;
        let row = |state: usize, answer: usize| {
            let (place, proposal) = (state / config.n_buttons, state % config.n_buttons);
            let screen = &screens[place / config.max_clicks][place % config.max_clicks];
            let mut row = screen.features(answer % config.n_buttons);
            if answer < config.n_buttons {
                row.extend(screen.features(proposal));
                row.push((products + 1, 1.0));
            }
            row
        };
        let n_states = self.n_goals() * config.max_clicks * config.n_buttons;
        Features::new(n_states, self.answers.len(), products + 2, row).ok()
    }
}

#[cfg(test)]
#[path = "menu_screens_tests.rs"]
mod tests;
