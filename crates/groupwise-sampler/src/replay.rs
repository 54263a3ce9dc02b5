//! Experience replay: the last successes of every task, put into groups that failed as a whole (ARPO).

use std::collections::{BTreeMap, VecDeque};

use groupwise_core::{DataError, ParamError, State, stats};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Parameters of the replay of successes, not yet validated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayConfig {
    /// Episodes kept per task, >= 1.
    pub buffer_size: usize,
    /// Outcome that an episode must exceed to be kept, in [0, 1).
    pub insert_above: f64,
    /// Population standard deviation of the outcomes below which a group can count as failed, > 0.
    pub std_max: f64,
    /// Mean outcome below which a group can count as failed, > 0.
    pub mean_max: f64,
    /// Steps after which a stored episode is dropped, >= 1; none: never.
    pub max_age: Option<u64>,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            buffer_size: 8,
            insert_above: 0.1,
            std_max: 0.05,
            mean_max: 0.2,
            max_age: None,
        }
    }
}

impl ReplayConfig {
    fn validate(&self) -> Result<(), ParamError> {
        ParamError::check(self.buffer_size >= 1, "buffer_size", self.buffer_size, ">= 1")?;
        let above = self.insert_above;
        ParamError::check((0.0..1.0).contains(&above), "insert_above", above, "in [0, 1)")?;
        for (key, value) in [("std_max", self.std_max), ("mean_max", self.mean_max)] {
            ParamError::check(
                value > 0.0 && value.is_finite(),
                key,
                value,
                "a finite number > 0",
            )?;
        }
        match self.max_age {
            Some(0) => Err(ParamError::new("max_age", 0, ">= 1")),
            _ => Ok(()),
        }
    }
}

/// True if a group failed as a whole.
///
/// # Formula
/// `population std(o) < std_max` and `mean(o) < mean_max`, both strictly.
///
/// # Shapes
/// Outcomes of the environment's check in [0, 1], *not* rewards: credit for the format would hide a failure.
///
/// # Edge cases
/// Low equal partial outcomes (0.15, 0.15) count as failed.  No outcomes: not failed.
///
/// # Source
/// `apply_replay` in `verl/trainer/ray_trainer.py` of dvlab-research/ARPO at 7489ae30.
///
/// # Example
/// ```
/// use groupwise_sampler::replay::has_failed;
/// assert!(has_failed(&[0.0; 4], 0.05, 0.2));
/// assert!(has_failed(&[0.15, 0.15], 0.05, 0.2));
/// assert!(!has_failed(&[0.0, 1.0, 0.0, 0.0], 0.05, 0.2));
/// assert!(!has_failed(&[1.0, 1.0], 0.05, 0.2));
/// ```
pub fn has_failed(outcomes: &[f64], std_max: f64, mean_max: f64) -> bool {
    let moments = stats::Moments::of(outcomes);
    moments.population_variance().sqrt() < std_max && moments.mean() < mean_max
}

/// One episode with what it earned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Episode<T> {
    /// The episode itself: token ids and masks, not text, for re-tokenizing changes them.
    pub content: T,
    /// The environment's check, in [0, 1].
    pub outcome: f64,
    /// True if the format was right; a replayed episode keeps it.
    pub format: bool,
}

/// Episodes of one task in one step.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodeGroup<T> {
    /// Stable identity of the task.
    pub task: String,
    /// Members.
    pub episodes: Vec<Episode<T>>,
}

impl<T> EpisodeGroup<T> {
    /// Outcome of each member.
    pub fn outcomes(&self) -> Vec<f64> {
        self.episodes.iter().map(|e| e.outcome).collect()
    }

    fn check(&self, index: usize) -> Result<(), DataError> {
        if self.episodes.is_empty() {
            return Err(DataError::value(format!("group {index}"), "holds no episode"));
        }
        match self
            .episodes
            .iter()
            .position(|e| !(0.0..=1.0).contains(&e.outcome))
        {
            None => Ok(()),
            Some(i) => Err(DataError::value(
                format!("group {index}, episode {i}"),
                format!("outcome {} is outside [0, 1]", self.episodes[i].outcome),
            )),
        }
    }
}

/// A stored success.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored<T> {
    /// The episode.
    pub episode: Episode<T>,
    /// Step it was rolled out in.
    pub step: u64,
    /// How often it was replayed; an episode that is replayed again and again is over-imitated.
    pub uses: u64,
}

/// What was put into a group, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Steps since the episode was rolled out.
    pub age: u64,
    /// How often it has been replayed, this time included.
    pub uses: u64,
}

/// The last successes of every task.
///
/// # Formula
/// Of each group of a step that [`has_failed`] and whose task has stored episodes, member 0 is replaced by the stored
/// episode `floor(u size)`, oldest first.  After all groups, every *fresh* episode with `outcome > insert_above` is
/// stored, in order; over `buffer_size` the oldest is dropped.
///
/// # Shapes
/// `u`: one uniform draw in [0, 1) per group, used or not, so that draws do not depend on what failed.  A group keeps
/// its size and its task.
///
/// # Edge cases
/// - A success is available from the next step on; two groups of one task in a step do not see each other.
/// - A replayed copy is not stored again.  The member it displaces is fresh and may be.
/// - With `max_age`, an episode of step s is dropped at the start of step t if `t - s > max_age`.
/// - Nothing stored: groups stay as they are.
/// - Success rates of the policy must be taken from the groups as they were before.
///
/// # Errors
/// - When built: `buffer_size` or `max_age` 0, `insert_above` outside [0, 1), `std_max` or `mean_max` not > 0.
/// - In use: a step before the last one, an empty group, an outcome outside [0, 1], a draw outside [0, 1), another
///   number of draws than groups.  A refused step changes nothing.
///
/// # Source
/// ARPO, arXiv 2505.16282; `verl/trainer/replay_buffer.py` and `apply_replay` of dvlab-research/ARPO at 7489ae30.
/// `max_age` is ours.  Advantages are GRPO's, and old log-probabilities must be recomputed under the current policy for
/// all rows, so that a replayed row starts at ratio 1: there is no off-policy correction.
///
/// # Example
/// ```
/// use groupwise_sampler::replay::{Episode, EpisodeGroup, ReplayBuffer, ReplayConfig};
/// let mut buffer = ReplayBuffer::new(ReplayConfig::default())?;
/// let group = |outcomes: [f64; 4], names: [&'static str; 4]| EpisodeGroup {
///     task: "t".to_owned(),
///     episodes: (0..4).map(|i| Episode { content: names[i], outcome: outcomes[i], format: true }).collect(),
/// };
/// let mut first = [group([0.0, 1.0, 0.0, 0.0], ["a0", "a1", "a2", "a3"])];
/// assert_eq!(buffer.step(1, &mut first, &[0.0])?, [None]);
/// let mut second = [group([0.0; 4], ["b0", "b1", "b2", "b3"])];
/// assert!(buffer.step(2, &mut second, &[0.0])?[0].is_some());
/// assert_eq!(second[0].episodes[0].content, "a1");
/// assert_eq!(second[0].outcomes(), [1.0, 0.0, 0.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayBuffer<T> {
    config: ReplayConfig,
    memory: Memory<T>,
}

/// What a checkpoint holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory<T> {
    /// The last step seen.
    step: Option<u64>,
    /// Successes per task, oldest first; no task without any.
    tasks: BTreeMap<String, VecDeque<Stored<T>>>,
}

impl<T> ReplayBuffer<T> {
    /// An empty buffer.
    ///
    /// # Errors
    /// Names key, value and range; see [`ReplayBuffer`].
    pub fn new(config: ReplayConfig) -> Result<Self, ParamError> {
        config.validate()?;
        let memory = Memory {
            step: None,
            tasks: BTreeMap::new(),
        };
        Ok(Self { config, memory })
    }

    /// Stored successes of a task, oldest first.
    pub fn stored(&self, task: &str) -> impl ExactSizeIterator<Item = &Stored<T>> {
        self.memory
            .tasks
            .get(task)
            .map(VecDeque::iter)
            .unwrap_or_default()
    }

    /// Tasks with stored successes, in order of name.
    pub fn tasks(&self) -> impl Iterator<Item = &str> {
        self.memory.tasks.keys().map(String::as_str)
    }

    fn check(groups: &[EpisodeGroup<T>], uniforms: &[f64]) -> Result<(), DataError> {
        DataError::check_len("uniforms", uniforms.len(), groups.len())?;
        for (g, (group, uniform)) in groups.iter().zip(uniforms).enumerate() {
            group.check(g)?;
            if !(0.0..1.0).contains(uniform) {
                let what = format!("draw {uniform} is outside [0, 1)");
                return Err(DataError::value(format!("group {g}"), what));
            }
        }
        Ok(())
    }

    fn drop_stale(&mut self, step: u64) {
        let Some(max_age) = self.config.max_age else {
            return;
        };
        self.memory.tasks.retain(|_, stored| {
            stored.retain(|s| step - s.step <= max_age);
            !stored.is_empty()
        });
    }

    fn push(&mut self, task: String, stored: Stored<T>) {
        let queue = self.memory.tasks.entry(task).or_default();
        queue.push_back(stored);
        if queue.len() > self.config.buffer_size {
            queue.pop_front();
        }
    }
}

impl<T: Clone> ReplayBuffer<T> {
    /// Repairs the groups of a step and stores its successes; what was put into each group comes back.
    ///
    /// # Errors
    /// See [`ReplayBuffer`].
    pub fn step(
        &mut self,
        step: u64,
        groups: &mut [EpisodeGroup<T>],
        uniforms: &[f64],
    ) -> Result<Vec<Option<Replayed>>, DataError> {
        Self::check(groups, uniforms)?;
        self.begin(step)?;
        // Taken before any replacement: only what is fresh is stored.
        let fresh: Vec<(String, Episode<T>)> = groups
            .iter()
            .flat_map(|g| {
                let kept = g.episodes.iter().filter(|e| self.keeps(e.outcome));
                kept.map(|e| (g.task.clone(), e.clone()))
            })
            .collect();
        let replayed = groups
            .iter_mut()
            .zip(uniforms)
            .map(|(group, uniform)| self.repair(step, group, *uniform))
            .collect();
        for (task, episode) in fresh {
            self.store(step, &task, episode);
        }
        Ok(replayed)
    }

    /// Begins a step: episodes that have become too old are dropped.  [`ReplayBuffer::step`] does this itself.
    ///
    /// # Errors
    /// A step before the last one seen.
    pub fn begin(&mut self, step: u64) -> Result<(), DataError> {
        if let Some(last) = self.memory.step.filter(|last| step < *last) {
            return Err(DataError::value(
                format!("step {step}"),
                format!("lies before step {last}, the last one seen"),
            ));
        }
        self.memory.step = Some(step);
        self.drop_stale(step);
        Ok(())
    }

    /// A stored success for a group with these outcomes: episode number `floor(u size)` of the task, if the group has
    /// failed and there is one.
    ///
    /// # Shapes
    /// `outcomes` in [0, 1], one per member that could be scored; `uniform` in [0, 1).
    pub fn draw(
        &mut self,
        step: u64,
        task: &str,
        outcomes: &[f64],
        uniform: f64,
    ) -> Option<(&Episode<T>, Replayed)> {
        let ReplayConfig {
            std_max, mean_max, ..
        } = self.config;
        if !has_failed(outcomes, std_max, mean_max) {
            return None;
        }
        let stored = self.memory.tasks.get_mut(task)?;
        // The product can round up to the size itself.
        let index = ((uniform * stored.len() as f64) as usize).min(stored.len() - 1);
        let chosen = stored.get_mut(index)?;
        chosen.uses += 1;
        let replayed = Replayed {
            age: step - chosen.step,
            uses: chosen.uses,
        };
        Some((&chosen.episode, replayed))
    }

    /// True if an episode with this outcome is kept.
    pub fn keeps(&self, outcome: f64) -> bool {
        outcome > self.config.insert_above
    }

    /// Keeps a fresh episode if its outcome is above `insert_above`; the oldest gives way to it where the buffer of the
    /// task is full.
    pub fn store(&mut self, step: u64, task: &str, episode: Episode<T>) {
        if self.keeps(episode.outcome) {
            let uses = 0;
            self.push(task.to_owned(), Stored { episode, step, uses });
        }
    }

    fn repair(&mut self, step: u64, group: &mut EpisodeGroup<T>, uniform: f64) -> Option<Replayed> {
        let (episode, replayed) = self.draw(step, &group.task, &group.outcomes(), uniform)?;
        *group.episodes.first_mut()? = episode.clone();
        Some(replayed)
    }
}

impl<T: Serialize> ReplayBuffer<T> {
    /// All memory.
    ///
    /// # Errors
    /// Contents that have no JSON form.
    pub fn save(&self) -> Result<State, DataError> {
        serde_json::to_value(&self.memory).map_err(|e| DataError::value("replay buffer", e.to_string()))
    }
}

impl<T: DeserializeOwned> ReplayBuffer<T> {
    /// Restores [`ReplayBuffer::save`].
    ///
    /// # Errors
    /// A state of another form, or one that this buffer could not be in: more episodes of a task than `buffer_size`,
    /// none, outcomes that would not have been stored, steps out of order.
    pub fn load(&mut self, state: &State) -> Result<(), DataError> {
        let loaded: Memory<T> =
            Memory::deserialize(state).map_err(|e| DataError::value("replay buffer", e.to_string()))?;
        let (size, above) = (self.config.buffer_size, self.config.insert_above);
        for (task, stored) in &loaded.tasks {
            let refuse = |what: String| Err(DataError::value(format!("replay buffer, task {task}"), what));
            if !(1..=size).contains(&stored.len()) {
                return refuse(format!("{} episodes, must be 1 to {size}", stored.len()));
            }
            let kept = |o: f64| o > above && o <= 1.0;
            if let Some(s) = stored.iter().find(|s| !kept(s.episode.outcome)) {
                let outcome = s.episode.outcome;
                return refuse(format!("outcome {outcome} is not above {above} and at most 1"));
            }
            let rising = stored
                .iter()
                .zip(stored.iter().skip(1))
                .all(|(a, b)| a.step <= b.step);
            if !rising || stored.back().map(|s| s.step) > loaded.step {
                return refuse("steps are out of order".to_owned());
            }
        }
        self.memory = loaded;
        Ok(())
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
