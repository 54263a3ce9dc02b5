//! Action classes: a bandit with many actions that fall into few classes of similar ones.
//!
//! There are C contexts and A actions in K classes of equal size: action a is of class `a mod K`.  In context c an action
//! succeeds with probability `q(c, a) = (1 - spread) u(c, a mod K) + spread v(c, a)`, u and v independent and uniform on
//! [0, 1]: with `spread` 0 the members of a class are the same.
//!
//! The policy acts on actions (`a0` .. `a63`), or on classes (`k0` .. `k7`), of which the world then plays a member
//! drawn uniformly: a softmax over groups that is uniform inside each.  Both see the same tasks.
//!
//! # Reward
//! 1 with probability q, else 0.
//!
//! # Evaluation
//! On the training tasks.  `eval/success` is the expected reward, exact.  Tasks carry the best that can be reached as
//! columns `best_action` and `best_class`.
//!
//! # Where the policy starts
//! At the uniform policy over what it acts on.

mod tasks;

use std::sync::Arc;

use groupwise_core::seams::{EnvError, Environment, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, Task};
use serde::{Deserialize, Serialize};

use crate::WorldContext;
use crate::single_turn::SingleTurn;

/// What the policy chooses among.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActOn {
    /// The actions.
    #[default]
    Actions,
    /// The classes; the world draws the member.
    Classes,
}

/// Parameters of the action classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActionClassesConfig {
    /// Contexts C, in 1..=65535: one task each.
    pub n_contexts: usize,
    /// Actions A, a multiple of `n_classes` in 2..=4096.
    pub n_actions: usize,
    /// Classes K, in 2..=`n_actions`.
    pub n_classes: usize,
    /// Share of an action's own draw in its success rate, in [0, 1].
    pub spread: f64,
    /// What the policy chooses among.
    pub act_on: ActOn,
}

impl Default for ActionClassesConfig {
    fn default() -> Self {
        Self {
            n_contexts: 32,
            n_actions: 64,
            n_classes: 8,
            spread: 0.15,
            act_on: ActOn::Actions,
        }
    }
}

impl Part<dyn World, WorldContext> for ActionClassesConfig {
    const SOURCE: &'static str = "world of the miniature reproduction of action-grouping (arXiv 2306.12981), version for policy gradients";

    fn formula(&self) -> String {
        let acts = match self.act_on {
            ActOn::Actions => "actions",
            ActOn::Classes => "classes, members uniform",
        };
        format!(
            "P(R = 1) = (1 - {s}) u(c, a mod {k}) + {s} v(c, a), u, v ~ U(0, 1); {} contexts, {} actions; acts on {acts}",
            self.n_contexts,
            self.n_actions,
            s = self.spread,
            k = self.n_classes,
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        let (contexts, actions, classes) = (self.n_contexts, self.n_actions, self.n_classes);
        ParamError::check(
            (1..=65_535).contains(&contexts),
            "n_contexts",
            contexts,
            "in 1..=65535",
        )?;
        ParamError::check((2..=4096).contains(&actions), "n_actions", actions, "in 2..=4096")?;
        let fits = (2..=actions).contains(&classes) && actions.is_multiple_of(classes);
        let range = format!("at least 2 and a divisor of `n_actions` = {actions}");
        ParamError::check(fits, "n_classes", classes, &range)?;
        ParamError::check(
            (0.0..=1.0).contains(&self.spread),
            "spread",
            self.spread,
            "in [0, 1]",
        )?;
        let words =
            |letter: char, n: usize| -> Vec<String> { (0..n).map(|i| format!("{letter}{i}")).collect() };
        Ok(Box::new(ActionClasses {
            config: self.clone(),
            states: words('c', contexts),
            choices: match self.act_on {
                ActOn::Actions => words('a', actions).into(),
                ActOn::Classes => words('k', classes).into(),
            },
        }))
    }
}

/// The validated world.
#[derive(Debug)]
struct ActionClasses {
    config: ActionClassesConfig,
    states: Vec<String>,
    choices: Arc<[String]>,
}

impl ActionClasses {
    /// Success rate of every action, from the task's column.
    fn rates_of(&self, task: &Task) -> Result<Vec<f64>, EnvError> {
        let wrong = || {
            let n = self.config.n_actions;
            EnvError(format!(
                "task {}: column `rates` does not hold {n} probabilities",
                task.id
            ))
        };
        let values = task
            .columns
            .get("rates")
            .and_then(|v| v.as_array())
            .ok_or_else(wrong)?;
        let is_rate = |rate: &f64| (0.0..=1.0).contains(rate);
        let rates: Option<Vec<f64>> = values.iter().map(|v| v.as_f64().filter(is_rate)).collect();
        rates
            .filter(|r| r.len() == self.config.n_actions)
            .ok_or_else(wrong)
    }

    /// Actions that a choice stands for.
    fn members(&self, choice: usize) -> impl Iterator<Item = usize> + use<> {
        let (step, last) = match self.config.act_on {
            ActOn::Actions => (self.config.n_actions, choice),
            ActOn::Classes => (self.config.n_classes, self.config.n_actions - 1),
        };
        (choice..=last).step_by(step)
    }
}

impl World for ActionClasses {
    fn symbols(&self) -> Symbols {
        Symbols::Words {
            states: self.states.clone(),
            actions: self.choices.to_vec(),
        }
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        Ok(tasks::generate(&self.config, &self.states, key))
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        self.train_tasks(key)
    }

    fn start(&self, task: &Task, key: Key) -> Result<Box<dyn Environment>, EnvError> {
        let rates = self.rates_of(task)?;
        let mut rng = key.named("member", 0).rng();
        // Both draws are made whatever the policy does, so that arms share them.
        let members: Vec<Vec<usize>> = (0..self.choices.len())
            .map(|c| self.members(c).collect())
            .collect();
        let size = members.first().map_or(1, Vec::len);
        let member = rng.below(size as u64) as usize;
        let luck = rng.uniform();
        let wins: Vec<bool> = members
            .iter()
            .map(|m| luck < m.get(member).map_or(0.0, |a| rates[*a]))
            .collect();
        let choices = Arc::clone(&self.choices);
        Ok(Box::new(SingleTurn::rewarding(
            task.prompt.clone(),
            move |action| {
                let choice = choices.iter().position(|word| word == action);
                let won = choice.is_some_and(|c| wins[c]);
                (f64::from(u8::from(won)), choice.is_some())
            },
        )))
    }

    /// None: a policy that has been told the best action has nothing left to learn.
    fn demonstration(&self, _: &Task) -> Option<String> {
        None
    }

    fn exact_success(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<f64> {
        let rates = self.rates_of(task).ok()?;
        let mut expected = 0.0;
        for (choice, p) in policy(&task.prompt)?.iter().enumerate() {
            let members: Vec<f64> = self.members(choice).map(|a| rates[a]).collect();
            expected += p * members.iter().sum::<f64>() / members.len() as f64;
        }
        Some(expected)
    }

    fn initial_logits(&self, _: Key) -> Option<Vec<Vec<f64>>> {
        Some(vec![vec![0.0; self.choices.len()]; self.config.n_contexts])
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;

    use super::*;

    fn build(config: ActionClassesConfig) -> Result<Box<dyn World>, ParamError> {
        config.build(&WorldContext::default())
    }

    fn refused(change: impl FnOnce(&mut ActionClassesConfig)) -> String {
        let mut config = ActionClassesConfig::default();
        change(&mut config);
        build(config).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        assert_eq!(
            refused(|c| c.n_contexts = 0),
            "`n_contexts` = 0: must be in 1..=65535"
        );
        assert_eq!(
            refused(|c| c.n_actions = 1),
            "`n_actions` = 1: must be in 2..=4096"
        );
        let range = "must be at least 2 and a divisor of `n_actions` = 64";
        assert_eq!(refused(|c| c.n_classes = 7), format!("`n_classes` = 7: {range}"));
        assert_eq!(refused(|c| c.n_classes = 1), format!("`n_classes` = 1: {range}"));
        assert_eq!(refused(|c| c.spread = 1.5), "`spread` = 1.5: must be in [0, 1]");
    }

    fn small(act_on: ActOn) -> Box<dyn World> {
        build(ActionClassesConfig {
            n_contexts: 2,
            n_actions: 6,
            n_classes: 3,
            act_on,
            ..Default::default()
        })
        .unwrap()
    }

    fn task() -> Task {
        let mut task = Task::new("t", "c1", "");
        task.columns
            .insert("rates".into(), vec![0.1, 0.2, 0.9, 0.3, 0.4, 0.7].into());
        task
    }

    #[test]
    fn a_choice_earns_the_mean_of_what_it_stands_for() {
        let of = |act_on, probabilities: &[f64]| {
            small(act_on)
                .exact_success(&task(), &|_| Some(probabilities.to_vec()))
                .unwrap()
        };
        // Class k0 holds the actions 0 and 3, k1 1 and 4, k2 2 and 5.
        assert!((of(ActOn::Classes, &[1.0, 0.0, 0.0]) - 0.2).abs() < 1e-15);
        assert!((of(ActOn::Classes, &[0.5, 0.0, 0.5]) - 0.5).abs() < 1e-15);
        assert!((of(ActOn::Actions, &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]) - 0.9).abs() < 1e-15);
        let uniform = of(ActOn::Actions, &[1.0 / 6.0; 6]);
        assert!((uniform - of(ActOn::Classes, &[1.0 / 3.0; 3])).abs() < 1e-15);
    }

    #[test]
    fn wins_follow_the_success_rate_of_either_kind_of_choice() {
        // 3.29 standard errors of a binomial share: alpha 0.001.
        for (act_on, word, rate) in [
            (ActOn::Actions, "a2", 0.9),
            (ActOn::Actions, "a0", 0.1),
            (ActOn::Classes, "k2", 0.8),
        ] {
            let world = small(act_on);
            let n = 20_000;
            let wins: f64 = (0..n)
                .map(|i| {
                    let key = Key::new(5, Stream::Environment).sample(i);
                    world.start(&task(), key).unwrap().step(word).unwrap().reward
                })
                .sum();
            let (found, error) = (wins / n as f64, (rate * (1.0 - rate) / n as f64).sqrt());
            assert!((found - rate).abs() < 3.29 * error, "{word}: {found}");
        }
    }

    #[test]
    fn an_episode_is_one_pull_and_an_unknown_word_loses() {
        let world = small(ActOn::Classes);
        let key = Key::new(0, Stream::Environment);
        let mut episode = world.start(&task(), key).unwrap();
        let outcome = episode.step("a0").unwrap();
        assert_eq!((outcome.reward, outcome.valid), (0.0, false));
        assert_eq!(episode.step("k0").unwrap_err().0, "the episode is over");
    }

    #[test]
    fn a_task_of_another_world_is_refused() {
        let world = small(ActOn::Actions);
        let mut short = task();
        short.columns.insert("rates".into(), vec![0.5; 5].into());
        let mut large = task();
        large.columns.insert("rates".into(), vec![1.5; 6].into());
        for bad in [Task::new("t", "c0", ""), short, large] {
            let error = world.start(&bad, Key::new(0, Stream::Environment)).unwrap_err();
            assert_eq!(error.0, "task t: column `rates` does not hold 6 probabilities");
            assert_eq!(world.exact_success(&bad, &|_| Some(vec![1.0])), None);
        }
    }
}
