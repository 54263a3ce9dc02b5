//! Effort choice: a prompt is answered with so many tool calls, or in so many tokens, and how many suffice differs.
//!
//! Prompts belong to strata.  A prompt has a need, uniform in its stratum's range; an answer that spends at least the
//! need is right with the stratum's probability `enough`, one that spends less with `short`.  The policy sees the prompt
//! (`plain-7`) and picks one of `levels`.  Prompts share nothing.
//!
//! # Units
//! - `calls`: one turn; the action of level m is m markers of a tool call and `answer` (`<tool_call><tool_call>answer`).
//! - `tokens`: the action of level l is `l<l>`, and `l - 1` filler turns follow in a state in which one action is
//!   certain, so that the answer is l tokens long: whatever counts tokens sees the length, and the filler has no gradient.
//!
//! # Reward
//! With the last turn: 1 with the probability of the level, else 0.
//!
//! # Evaluation
//! On the training tasks, exact.  `eval/success` is the expected reward and `eval/effort` the expected level; of every
//! stratum there are `eval/success/<stratum>`, `eval/effort/<stratum>`, `eval/excess/<stratum>` (the expected level above
//! the need), `eval/lowest/<stratum>` (probability of the lowest level) and `eval/moved/<stratum>` (distance of that
//! probability from where the policy started, whichever way).
//!
//! # Where the policy starts
//! With logit `tilt * k` for the k-th level, or at prescribed probabilities.

mod tasks;

use std::collections::BTreeMap;
use std::sync::Arc;

use groupwise_core::seams::{EnvError, Environment, Observation, StepOutcome, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, StopReason, Task};
use serde::{Deserialize, Serialize};

use crate::WorldContext;
use crate::certain::{IMPOSSIBLE, certain, logit_of};

/// What a level is counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffortUnit {
    /// Tool calls of a single turn.
    #[default]
    Calls,
    /// Tokens of the answer, one per turn.
    Tokens,
}

/// Where the policy starts, the same for every prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffortStart {
    /// Logit of the k-th level is this times k; 0: uniform.
    Tilt(f64),
    /// A probability for each level, in [0, 1] and summing to 1.
    Probabilities(Vec<f64>),
}

/// A kind of prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stratum {
    /// Its name, of letters, digits and `-`.
    pub name: String,
    /// Its prompts, >= 1.
    pub n_tasks: usize,
    /// Least need.
    pub min_need: usize,
    /// Largest need, at least `min_need`.
    pub max_need: usize,
    /// Probability of a right answer that spends the need or more.
    pub enough: f64,
    /// Probability of a right answer that spends less.
    pub short: f64,
}

/// Parameters of the effort choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EffortChoiceConfig {
    /// What a level is counted in.
    pub unit: EffortUnit,
    /// Levels, increasing, two or more, at most 4096; of tokens: from 1 on.
    pub levels: Vec<usize>,
    /// Where the policy starts.
    pub start: EffortStart,
    /// Kinds of prompts.
    pub strata: Vec<Stratum>,
}

impl Default for EffortChoiceConfig {
    fn default() -> Self {
        Self {
            unit: EffortUnit::Calls,
            levels: (0..=6).collect(),
            start: EffortStart::Tilt(0.0),
            strata: vec![Stratum {
                name: "plain".to_owned(),
                n_tasks: 64,
                min_need: 0,
                max_need: 3,
                enough: 1.0,
                short: 0.0,
            }],
        }
    }
}

/// The state of filler turns.  Strata have no `/`, so that no prompt is called that.
const FILLER_STATE: &str = "/writing";

/// The action of filler turns.
const FILLER: &str = ".";

/// A tool call, as shapers read it.
const CALL: &str = "<tool_call>";

impl EffortChoiceConfig {
    fn check_levels(&self) -> Result<(), ParamError> {
        let least = usize::from(self.unit == EffortUnit::Tokens);
        let increase = self.levels.windows(2).all(|w| w[0] < w[1]);
        let within = self.levels.iter().all(|l| (least..=4096).contains(l));
        let range = format!("two or more increasing numbers in {least}..=4096");
        let holds = self.levels.len() >= 2 && increase && within;
        ParamError::check(holds, "levels", format!("{:?}", self.levels), &range)
    }

    fn check_start(&self) -> Result<(), ParamError> {
        match &self.start {
            // Beyond this a level is no longer possible, see `IMPOSSIBLE`.
            EffortStart::Tilt(tilt) => ParamError::check(
                (tilt * self.levels.len() as f64).abs() <= 500.0,
                "start.tilt",
                tilt,
                "such that its product with the number of levels is in [-500, 500]",
            ),
            EffortStart::Probabilities(p) => {
                let law =
                    p.iter().all(|p| (0.0..=1.0).contains(p)) && (p.iter().sum::<f64>() - 1.0).abs() < 1e-9;
                let range = format!("{} probabilities that sum to 1", self.levels.len());
                let holds = law && p.len() == self.levels.len();
                ParamError::check(holds, "start.probabilities", format!("{p:?}"), &range)
            }
        }
    }

    fn check_strata(&self) -> Result<(), ParamError> {
        let names: Vec<&str> = self.strata.iter().map(|s| s.name.as_str()).collect();
        let plain = |n: &&str| !n.is_empty() && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let distinct = (1..names.len()).all(|i| !names[..i].contains(&names[i]));
        let range = "one or more distinct names of letters, digits and `-`";
        let holds = !names.is_empty() && distinct && names.iter().all(plain);
        ParamError::check(holds, "strata.name", format!("{names:?}"), range)?;
        for stratum in &self.strata {
            let Stratum {
                n_tasks,
                min_need,
                max_need,
                ..
            } = *stratum;
            let fits = (1..=65_535).contains(&n_tasks);
            ParamError::check(fits, "strata.n_tasks", n_tasks, "in 1..=65535")?;
            let fits = (min_need..=4096).contains(&max_need);
            ParamError::check(
                fits,
                "strata.max_need",
                max_need,
                "at least `min_need` and at most 4096",
            )?;
            for (key, p) in [("strata.enough", stratum.enough), ("strata.short", stratum.short)] {
                ParamError::check((0.0..=1.0).contains(&p), key, p, "in [0, 1]")?;
            }
        }
        Ok(())
    }

    /// Starting probabilities of the levels.
    fn start_law(&self) -> Vec<f64> {
        match &self.start {
            EffortStart::Probabilities(p) => p.clone(),
            EffortStart::Tilt(tilt) => {
                let last = self.levels.len().saturating_sub(1) as f64;
                let top = (tilt * last).max(0.0);
                let weights: Vec<f64> = (0..self.levels.len())
                    .map(|k| (tilt * k as f64 - top).exp())
                    .collect();
                let total: f64 = weights.iter().sum();
                weights.iter().map(|w| w / total).collect()
            }
        }
    }
}

impl Part<dyn World, WorldContext> for EffortChoiceConfig {
    const SOURCE: &'static str = "world of the miniature reproductions of conciser (arXiv 2505.21178), otc-po (arXiv 2504.14870) and \
                                  ton (arXiv 2505.16854)";

    fn formula(&self) -> String {
        let unit = match self.unit {
            EffortUnit::Calls => "calls",
            EffortUnit::Tokens => "tokens",
        };
        let strata: Vec<String> = self
            .strata
            .iter()
            .map(|s| {
                format!(
                    "{} {}: need {}..={}, {} and {}",
                    s.n_tasks, s.name, s.min_need, s.max_need, s.enough, s.short
                )
            })
            .collect();
        format!(
            "P(R = 1) = enough if {unit} >= need else short; {unit} in {:?}; {}",
            self.levels,
            strata.join("; ")
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        self.check_levels()?;
        self.check_start()?;
        self.check_strata()?;
        let mut states = tasks::prompts(self);
        let word = |level: &usize| match self.unit {
            EffortUnit::Calls => format!("{}answer", CALL.repeat(*level)),
            EffortUnit::Tokens => format!("l{level}"),
        };
        let mut actions: Vec<String> = self.levels.iter().map(word).collect();
        if self.unit == EffortUnit::Tokens {
            states.push(FILLER_STATE.to_owned());
            actions.push(FILLER.to_owned());
        }
        Ok(Box::new(EffortChoice {
            start_law: self.start_law(),
            config: self.clone(),
            states,
            actions: actions.into(),
        }))
    }
}

/// The validated world.
#[derive(Debug)]
struct EffortChoice {
    config: EffortChoiceConfig,
    start_law: Vec<f64>,
    states: Vec<String>,
    /// A word for each level, then that of filler turns.
    actions: Arc<[String]>,
}

/// A task as it is played.
#[derive(Clone, Debug, PartialEq)]
struct Demand {
    stratum: usize,
    need: usize,
}

impl EffortChoice {
    /// Stratum and need of a task, from its columns.
    fn demand_of(&self, task: &Task) -> Result<Demand, EnvError> {
        let number = |key: &str| {
            let value = task.columns.get(key).and_then(|v| v.as_u64())?;
            usize::try_from(value).ok()
        };
        let found = number("stratum")
            .filter(|s| *s < self.config.strata.len())
            .and_then(|stratum| {
                Some(Demand {
                    stratum,
                    need: number("need")?,
                })
            });
        found.ok_or_else(|| {
            EnvError(format!(
                "task {}: columns `stratum` and `need` do not name one of {} strata and a number",
                task.id,
                self.config.strata.len()
            ))
        })
    }

    /// Levels with their probability of success and of being picked.
    fn outcomes<'a>(
        &'a self,
        demand: &'a Demand,
        probabilities: &'a [f64],
    ) -> impl Iterator<Item = (usize, f64, f64)> + 'a {
        let levels = self.config.levels.iter().zip(probabilities);
        levels.map(|(level, p)| (*level, tasks::rate(&self.config, demand, *level), *p))
    }
}

impl World for EffortChoice {
    fn symbols(&self) -> Symbols {
        Symbols::Words {
            states: self.states.clone(),
            actions: self.actions.to_vec(),
        }
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        Ok(tasks::generate(&self.config, self.actions.len(), key))
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        self.train_tasks(key)
    }

    fn start(&self, task: &Task, key: Key) -> Result<Box<dyn Environment>, EnvError> {
        let demand = self.demand_of(task)?;
        // One draw whatever the policy does, so that arms share it.
        let luck = key.named("luck", 0).uniform();
        let levels = self.config.levels.iter();
        Ok(Box::new(Episode {
            prompt: task.prompt.clone(),
            unit: self.config.unit,
            actions: Arc::clone(&self.actions),
            levels: levels
                .map(|level| (*level, luck < tasks::rate(&self.config, &demand, *level)))
                .collect(),
            left: None,
        }))
    }

    fn max_turns(&self) -> usize {
        match self.config.unit {
            EffortUnit::Calls => 1,
            EffortUnit::Tokens => self.config.levels.last().copied().unwrap_or(1),
        }
    }

    /// None: a policy that has been told the need has nothing left to learn.
    fn demonstration(&self, _: &Task) -> Option<String> {
        None
    }

    fn exact_success(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<f64> {
        let demand = self.demand_of(task).ok()?;
        let probabilities = policy(&task.prompt)?;
        Some(
            self.outcomes(&demand, &probabilities)
                .map(|(_, rate, p)| p * rate)
                .sum(),
        )
    }

    fn exact_measures(
        &self,
        task: &Task,
        policy: &dyn Fn(&str) -> Option<Vec<f64>>,
    ) -> BTreeMap<String, f64> {
        let Some((demand, probabilities)) = self.demand_of(task).ok().zip(policy(&task.prompt)) else {
            return BTreeMap::new();
        };
        let (mut success, mut effort, mut excess) = (0.0, 0.0, 0.0);
        for (level, rate, p) in self.outcomes(&demand, &probabilities) {
            success += p * rate;
            effort += p * level as f64;
            excess += p * level.saturating_sub(demand.need) as f64;
        }
        let lowest = probabilities.first().copied().unwrap_or(0.0);
        let moved = (lowest - self.start_law[0]).abs();
        let name = &self.config.strata[demand.stratum].name;
        let mut measures = BTreeMap::from([("effort".to_owned(), effort)]);
        for (measure, value) in [
            ("success", success),
            ("effort", effort),
            ("excess", excess),
            ("lowest", lowest),
            ("moved", moved),
        ] {
            measures.insert(format!("{measure}/{name}"), value);
        }
        measures
    }

    fn initial_logits(&self, _: Key) -> Option<Vec<Vec<f64>>> {
        let mut row: Vec<f64> = match &self.config.start {
            EffortStart::Tilt(tilt) => (0..self.config.levels.len()).map(|k| tilt * k as f64).collect(),
            EffortStart::Probabilities(p) => p.iter().map(|p| logit_of(*p)).collect(),
        };
        row.resize(self.actions.len(), IMPOSSIBLE);
        let mut rows = vec![row; self.states.len()];
        if self.config.unit == EffortUnit::Tokens {
            rows.pop();
            rows.push(certain(self.actions.len(), self.actions.len() - 1));
        }
        Some(rows)
    }
}

/// One answer being written.
#[derive(Debug)]
struct Episode {
    prompt: String,
    unit: EffortUnit,
    actions: Arc<[String]>,
    /// Each level, and whether it would be right.
    levels: Vec<(usize, bool)>,
    /// Filler turns that are left once a level was picked, and whether the answer is right.
    left: Option<(usize, bool)>,
}

impl Environment for Episode {
    /// After the last turn what was seen last stays in view.
    fn observe(&self) -> Observation {
        let text = match (self.unit, self.left) {
            (EffortUnit::Tokens, Some(_)) => FILLER_STATE.to_owned(),
            _ => self.prompt.clone(),
        };
        Observation {
            anchor: Some(text.clone()),
            text,
        }
    }

    fn step(&mut self, action: &str) -> Result<StepOutcome, EnvError> {
        let action = self.actions.iter().position(|word| word == action);
        let (left, right, valid) = match self.left {
            Some((0, _)) => return Err(EnvError("the episode is over".into())),
            // What is written on the way does not matter.
            Some((left, right)) => (left - 1, right, action.is_some()),
            None => match action.and_then(|a| self.levels.get(a)) {
                Some((level, right)) => {
                    let turns = match self.unit {
                        EffortUnit::Calls => 1,
                        EffortUnit::Tokens => *level,
                    };
                    (turns.saturating_sub(1), *right, true)
                }
                None => (0, false, false),
            },
        };
        self.left = Some((left, right));
        let over = left == 0;
        Ok(StepOutcome {
            reward: f64::from(u8::from(over && right)),
            stop: over.then_some(StopReason::Terminal),
            valid,
        })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
