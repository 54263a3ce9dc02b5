//! Skill chain: the tabular world in which a task is a set of skills that all must be right.
//!
//! There are K skills with m options each, and one softmax per skill that all tasks share.  A task is a set of
//! distinct skills in random order; turn by turn the policy sees one skill (`s17`) and picks an option (`o0` ..
//! `o5`).  Option 0 is right.  The reward, 1 or 0, comes with the last turn: 1 if option 0 was picked at every skill.
//! The episode does not end at a wrong pick, so every skill of a task is always visited.
//!
//! # Where the policy starts
//! The specification says "option 0 right with logit 1.5 + 1.5 N(0,1) + 0.3 N(0,1)".  Read here as: every option of
//! every skill has noise `0.3 e`, and option 0 has `1.5 + 1.5 z` on top, with one `z` per skill and one `e` per option,
//! all independent.  So the two normals of option 0 are the skill's ease and the noise that its rivals have too.
//! With uniform groups of 8 (10 seeds, the specification's settings) this reading gives area 0.488 (s.e. 0.024), final
//! success 0.885 and effective-gradient ratio 0.552, where the specification reports 0.508, 0.877 and 0.550.
//!
//! `logit_shift` is the mean 1.5.  The harder start, "logit shift 1.0, 100 steps, step 0.1", is read as a mean of 1.0:
//! ratio 0.223 (s.e. 0.010) and final success 0.087 where 0.247 and 0.102 are reported; 1.0 taken off the mean gives
//! 0.164 and 0.059.
//!
//! The reference of a task is its chain of right picks, a word per turn, so that a scaffold can give the first of them
//! away; nothing is ever taught by it (there are no demonstrations).
//!
//! The success probability of a task is the product over its skills of the probability of option 0: no sampling is
//! needed to know how good a policy is.
//!
//! Evaluation uses the training tasks unless `evaluate` asks for held-out sets: the metric of the miniature
//! reproductions is the mean success over all tasks of the pool.

mod tasks;

use std::ops::Range;
use std::sync::Arc;

use groupwise_core::seams::{EnvError, Environment, Observation, StepOutcome, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, StopReason, Task};
use serde::{Deserialize, Serialize};

use crate::WorldContext;

/// What a policy is evaluated on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evaluate {
    /// The training tasks themselves.
    #[default]
    TrainingTasks,
    /// So many sets of skills that are not trained on.
    HeldOut(usize),
}

/// Which skills tasks of different length have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// Every task draws from all skills.
    #[default]
    All,
    /// Classes of length, by the most skills of each, increasing up to `max_skills`; every class has as many skills of
    /// its own, so that nothing learned in one helps in another.
    ByLength(Vec<usize>),
}

/// Parameters of the skill chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkillChainConfig {
    /// Skills K, in 1..=65535.
    pub n_skills: usize,
    /// Options per skill m, in 2..=65535; option 0 is right.
    pub n_options: usize,
    /// Training tasks, >= 1.
    pub n_tasks: usize,
    /// Fewest skills of a task, >= 1.
    pub min_skills: usize,
    /// Most skills of a task, in `min_skills..=n_skills`.
    pub max_skills: usize,
    /// Mean, over skills, of the right option's logit: smaller is harder.
    pub logit_shift: f64,
    /// Standard deviation, over skills, of the right option's logit, >= 0.
    pub logit_std: f64,
    /// Standard deviation of the noise on every logit, >= 0.
    pub logit_noise: f64,
    /// What a policy is evaluated on.
    pub evaluate: Evaluate,
    /// Which skills tasks of different length have in common.
    pub sharing: Sharing,
}

impl SkillChainConfig {
    /// The skills that tasks of so many skills draw from.
    fn skills_for(&self, size: usize) -> Range<usize> {
        match &self.sharing {
            Sharing::All => 0..self.n_skills,
            Sharing::ByLength(bounds) => {
                let class = bounds.partition_point(|most| *most < size);
                let each = self.n_skills / bounds.len().max(1);
                class * each..(class + 1) * each
            }
        }
    }

    fn check_sharing(&self) -> Result<(), ParamError> {
        let Sharing::ByLength(bounds) = &self.sharing else {
            return Ok(());
        };
        let increase = bounds.windows(2).all(|w| w[0] < w[1]) && bounds.first().is_some_and(|b| *b >= 1);
        let fits = increase
            && bounds.last() == Some(&self.max_skills)
            && self.max_skills <= self.n_skills / bounds.len();
        let range = format!(
            "increasing from 1 or more to `max_skills` = {}, which is at most the `n_skills` of one class",
            self.max_skills
        );
        ParamError::check(fits, "sharing.by-length", format!("{bounds:?}"), &range)
    }
}

impl Default for SkillChainConfig {
    fn default() -> Self {
        Self {
            n_skills: 60,
            n_options: 6,
            n_tasks: 240,
            min_skills: 1,
            max_skills: 8,
            logit_shift: 1.5,
            logit_std: 1.5,
            logit_noise: 0.3,
            evaluate: Evaluate::TrainingTasks,
            sharing: Sharing::All,
        }
    }
}

/// The right pick, the same at every skill.
const RIGHT: &str = "o0";

/// Most skills and options: names and columns stay small.
const MAX_WORDS: usize = 65_535;

impl Part<dyn World, WorldContext> for SkillChainConfig {
    const SOURCE: &'static str =
        "world of the miniature reproductions of knapsack-rl (arXiv 2509.25849) and vade (arXiv 2511.18902)";

    fn formula(&self) -> String {
        let sharing = match &self.sharing {
            Sharing::All => String::new(),
            Sharing::ByLength(bounds) => format!(", lengths up to {bounds:?} share none"),
        };
        format!(
            "R = prod_(s in task) [option 0], {} tasks of {}..={} of {} skills{sharing}; logit(s, o) = {} e_so + [o = 0] ({} + {} z_s), {} options",
            self.n_tasks,
            self.min_skills,
            self.max_skills,
            self.n_skills,
            self.logit_noise,
            self.logit_shift,
            self.logit_std,
            self.n_options,
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        ParamError::check(
            (1..=MAX_WORDS).contains(&self.n_skills),
            "n_skills",
            self.n_skills,
            "in 1..=65535",
        )?;
        ParamError::check(
            (2..=MAX_WORDS).contains(&self.n_options),
            "n_options",
            self.n_options,
            "in 2..=65535",
        )?;
        ParamError::check(self.n_tasks >= 1, "n_tasks", self.n_tasks, ">= 1")?;
        ParamError::check(self.min_skills >= 1, "min_skills", self.min_skills, ">= 1")?;
        ParamError::check(
            (self.min_skills..=self.n_skills).contains(&self.max_skills),
            "max_skills",
            self.max_skills,
            "at least `min_skills` and at most `n_skills`",
        )?;
        self.check_sharing()?;
        ParamError::check(
            self.logit_shift.is_finite(),
            "logit_shift",
            self.logit_shift,
            "a finite number",
        )?;
        for (name, value) in [("logit_std", self.logit_std), ("logit_noise", self.logit_noise)] {
            ParamError::check_coefficient(name, value)?;
        }
        let words = |letter: char, n: usize| (0..n).map(|i| format!("{letter}{i}")).collect();
        Ok(Box::new(SkillChain {
            config: self.clone(),
            states: words('s', self.n_skills),
            options: words('o', self.n_options),
        }))
    }
}

/// The validated world.
#[derive(Debug)]
struct SkillChain {
    config: SkillChainConfig,
    states: Arc<[String]>,
    options: Arc<[String]>,
}

impl SkillChain {
    /// The skills of a task, from its column `skills`.
    fn skills_of(&self, task: &Task) -> Result<Vec<usize>, EnvError> {
        let wrong = || {
            let n = self.config.n_skills;
            EnvError(format!(
                "task {}: column `skills` is not a list of skills below {n}",
                task.id
            ))
        };
        let values = task
            .columns
            .get("skills")
            .and_then(|value| value.as_array())
            .ok_or_else(wrong)?;
        let skills: Option<Vec<usize>> = values
            .iter()
            .map(|value| {
                value
                    .as_u64()
                    .map(|s| s as usize)
                    .filter(|s| *s < self.config.n_skills)
            })
            .collect();
        skills.filter(|skills| !skills.is_empty()).ok_or_else(wrong)
    }
}

impl World for SkillChain {
    fn symbols(&self) -> Symbols {
        Symbols::Words {
            states: self.states.to_vec(),
            actions: self.options.to_vec(),
        }
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        Ok(tasks::generate_train(&self.config, &self.states, key))
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        let train = self.train_tasks(key)?;
        match self.config.evaluate {
            Evaluate::TrainingTasks => Ok(train),
            Evaluate::HeldOut(n) => tasks::generate_held_out(&self.config, &self.states, &train, n, key),
        }
    }

    fn start(&self, task: &Task, _: Key) -> Result<Box<dyn Environment>, EnvError> {
        Ok(Box::new(Episode {
            states: Arc::clone(&self.states),
            options: Arc::clone(&self.options),
            skills: self.skills_of(task)?,
            at: 0,
            all_right: true,
        }))
    }

    fn max_turns(&self) -> usize {
        self.config.max_skills
    }

    /// None: a policy that has been told the right option has nothing left to learn.
    fn demonstration(&self, _: &Task) -> Option<String> {
        None
    }

    fn exact_success(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<f64> {
        let skills = self.skills_of(task).ok()?;
        let mut success = 1.0;
        for skill in skills {
            success *= policy(&self.states[skill])?.first()?;
        }
        Some(success)
    }

    fn initial_logits(&self, key: Key) -> Option<Vec<Vec<f64>>> {
        Some(tasks::draw_logits(&self.config, key))
    }
}

/// One pass through the skills of a task.
#[derive(Debug)]
struct Episode {
    states: Arc<[String]>,
    options: Arc<[String]>,
    skills: Vec<usize>,
    at: usize,
    all_right: bool,
}

impl Environment for Episode {
    /// After the last turn the last skill stays in view.
    fn observe(&self) -> Observation {
        let skill = self.skills[self.at.min(self.skills.len() - 1)];
        let text = self.states[skill].clone();
        Observation {
            anchor: Some(text.clone()),
            text,
        }
    }

    fn step(&mut self, action: &str) -> Result<StepOutcome, EnvError> {
        if self.at == self.skills.len() {
            return Err(EnvError("the episode is over".into()));
        }
        let option = self.options.iter().position(|word| word == action);
        self.all_right &= option == Some(0);
        self.at += 1;
        let over = self.at == self.skills.len();
        Ok(StepOutcome {
            reward: if over && self.all_right { 1.0 } else { 0.0 },
            stop: over.then_some(StopReason::Terminal),
            valid: option.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key::new(42, Stream::Tasks)
    }

    fn refused(change: impl FnOnce(&mut SkillChainConfig)) -> String {
        let mut config = SkillChainConfig::default();
        change(&mut config);
        config
            .build(&WorldContext::default())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        assert_eq!(
            refused(|c| c.n_skills = 0),
            "`n_skills` = 0: must be in 1..=65535"
        );
        assert_eq!(
            refused(|c| c.n_options = 1),
            "`n_options` = 1: must be in 2..=65535"
        );
        assert_eq!(refused(|c| c.n_tasks = 0), "`n_tasks` = 0: must be >= 1");
        assert_eq!(refused(|c| c.min_skills = 0), "`min_skills` = 0: must be >= 1");
        assert_eq!(
            refused(|c| c.max_skills = 61),
            "`max_skills` = 61: must be at least `min_skills` and at most `n_skills`"
        );
        let range = "must be increasing from 1 or more to `max_skills` = 8, which is at most the `n_skills` of one class";
        for bad in [
            vec![],
            vec![3, 3, 8],
            vec![0, 8],
            vec![3, 6],
            vec![1, 2, 3, 4, 5, 6, 7, 8],
        ] {
            let text = format!("`sharing.by-length` = {bad:?}: {range}");
            assert_eq!(refused(|c| c.sharing = Sharing::ByLength(bad)), text);
        }
        assert_eq!(
            refused(|c| c.logit_shift = f64::INFINITY),
            "`logit_shift` = inf: must be a finite number"
        );
        assert_eq!(
            refused(|c| c.logit_std = -1.0),
            "`logit_std` = -1: must be a finite number >= 0"
        );
        assert_eq!(
            refused(|c| c.logit_noise = f64::NAN),
            "`logit_noise` = NaN: must be a finite number >= 0"
        );
    }

    fn task(skills: &[u64]) -> Task {
        let mut task = Task::new("t", format!("s{}", skills[0]), "");
        task.columns.insert("skills".into(), skills.into());
        task
    }

    fn play(skills: &[u64], actions: &[&str]) -> Vec<StepOutcome> {
        let world = SkillChainConfig::default()
            .build(&WorldContext::default())
            .unwrap();
        let mut episode = world.start(&task(skills), key()).unwrap();
        let outcomes = actions
            .iter()
            .map(|action| episode.step(action).unwrap())
            .collect();
        assert_eq!(episode.step("o0").unwrap_err().0, "the episode is over");
        outcomes
    }

    #[test]
    fn a_wrong_pick_does_not_end_the_episode_and_costs_the_reward() {
        let right = play(&[5, 9, 2], &["o0", "o0", "o0"]);
        assert_eq!(
            right.iter().map(|o| o.reward).collect::<Vec<_>>(),
            [0.0, 0.0, 1.0]
        );
        assert_eq!(
            right.iter().map(|o| o.stop).collect::<Vec<_>>(),
            [None, None, Some(StopReason::Terminal)]
        );
        let wrong = play(&[5, 9, 2], &["o3", "o0", "o0"]);
        assert_eq!(
            wrong[2],
            StepOutcome {
                reward: 0.0,
                stop: Some(StopReason::Terminal),
                valid: true
            }
        );
        let unknown = play(&[5, 9, 2], &["o0", "o00", "o0"]);
        assert_eq!((unknown[1].valid, unknown[2].reward), (false, 0.0));
    }

    #[test]
    fn the_skill_in_view_is_text_and_anchor() {
        let world = SkillChainConfig::default()
            .build(&WorldContext::default())
            .unwrap();
        let mut episode = world.start(&task(&[5, 9]), key()).unwrap();
        for state in ["s5", "s9", "s9"] {
            let seen = episode.observe();
            assert_eq!((seen.text.as_str(), seen.anchor.as_deref()), (state, Some(state)));
            let _ = episode.step("o1");
        }
    }

    #[test]
    fn a_task_of_another_world_is_refused() {
        let world = SkillChainConfig::default()
            .build(&WorldContext::default())
            .unwrap();
        for bad in [Task::new("t", "s0", ""), task(&[60])] {
            assert_eq!(
                world.start(&bad, key()).unwrap_err().0,
                "task t: column `skills` is not a list of skills below 60"
            );
            assert_eq!(world.exact_success(&bad, &|_| Some(vec![1.0])), None);
        }
    }

    proptest! {
        #[test]
        fn exact_success_is_the_product_over_skills(rates in prop::collection::vec(0.0..1.0f64, 60), seed in any::<u64>()) {
            let world = SkillChainConfig { n_tasks: 16, ..Default::default() }.build(&WorldContext::default()).unwrap();
            let policy = |state: &str| Some(vec![rates[state[1..].parse::<usize>().unwrap()]]);
            for task in world.train_tasks(Key::new(seed, Stream::Tasks)).unwrap() {
                let skills = task.columns["skills"].as_array().unwrap();
                let product: f64 = skills.iter().map(|s| rates[s.as_u64().unwrap() as usize]).product();
                prop_assert!((world.exact_success(&task, &policy).unwrap() - product).abs() < 1e-15);
                prop_assert_eq!(world.exact_success(&task, &|_| None), None);
            }
        }
    }

    #[test]
    fn exact_success_is_the_monte_carlo_frequency() {
        // Normal bound at alpha 0.001, two-sided: 3.29 standard errors, over one task of each of four lengths.
        let world = SkillChainConfig::default()
            .build(&WorldContext::default())
            .unwrap();
        let logits = world.initial_logits(Key::new(3, Stream::Init)).unwrap();
        let policy = |state: &str| {
            let row = &logits[state[1..].parse::<usize>().ok()?];
            let total: f64 = row.iter().map(|x| x.exp()).sum();
            Some(row.iter().map(|x| x.exp() / total).collect::<Vec<f64>>())
        };
        let tasks = world.train_tasks(key()).unwrap();
        let n = 20_000;
        for length in [1.0, 2.0, 4.0, 8.0] {
            let task = tasks.iter().find(|task| task.difficulty == length).unwrap();
            let exact = world.exact_success(task, &policy).unwrap();
            let mut hits = 0.0;
            for sample in 0..n {
                let mut episode = world.start(task, key()).unwrap();
                for turn in 0.. {
                    let u = Key::new(1, Stream::Eval)
                        .task(task.key())
                        .sample(sample)
                        .turn(turn)
                        .token(0)
                        .uniform();
                    let mut left = u;
                    let options = policy(&episode.observe().text).unwrap();
                    let pick = options
                        .iter()
                        .position(|p| {
                            left -= p;
                            left < 0.0
                        })
                        .unwrap_or(0);
                    let outcome = episode.step(&format!("o{pick}")).unwrap();
                    hits += outcome.reward;
                    if outcome.stop.is_some() {
                        break;
                    }
                }
            }
            let error = (exact * (1.0 - exact) / n as f64).sqrt();
            assert!(
                (hits / n as f64 - exact).abs() < 3.29 * error,
                "{length} skills: {} and {exact}",
                hits / n as f64
            );
        }
    }
}
