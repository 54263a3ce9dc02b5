//! Stages of a curriculum: which families of tasks are active, by step or by accuracy.

use std::collections::VecDeque;

use groupwise_core::{DataError, ParamError};
use serde::{Deserialize, Serialize};

/// Which families a stage trains on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageMode {
    /// The stage's own.
    #[default]
    Replace,
    /// The stage's and those of all earlier ones.
    #[serde(alias = "accumulate")]
    Cumulative,
    /// All of them, whatever the stage: the baseline without a curriculum.
    #[serde(alias = "mixed")]
    Joint,
    /// The stage's own, with the last stage first: the control of a curriculum.
    Reverse,
}

/// Families of every stage.
///
/// # Formula
/// Active at stage k: `replace` F_k; `cumulative` F_0 + .. + F_k; `joint` F_0 + .. + F_(K-1); `reverse` F_(K-1-k); in
/// order, each family once.
///
/// # Example
/// ```
/// use groupwise_sampler::stages::{StageMode, StageSchedule, Stages};
/// let families = [vec!["colour"], vec!["count"], vec!["location"]].map(|f| f.into_iter().map(String::from).collect());
/// let stages = Stages::new(families.to_vec(), StageMode::Cumulative)?;
/// let schedule = StageSchedule::new(stages, vec![100, 200])?;
/// assert_eq!([0, 99, 100, 500].map(|step| schedule.stage(step)), [0, 0, 1, 2]);
/// assert_eq!(schedule.active(100), ["colour", "count"]);
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stages {
    families: Vec<Vec<String>>,
    mode: StageMode,
}

impl Stages {
    /// Validates the families of each stage.
    ///
    /// # Errors
    /// No stage, or a stage without families.
    pub fn new(families: Vec<Vec<String>>, mode: StageMode) -> Result<Self, ParamError> {
        ParamError::check(!families.is_empty(), "stage_tasks", "[]", "at least one stage")?;
        if let Some(k) = families.iter().position(Vec::is_empty) {
            let range = "at least one family per stage";
            return Err(ParamError::new("stage_tasks", format!("[] at stage {k}"), range));
        }
        Ok(Self { families, mode })
    }

    /// Number of stages.
    pub fn len(&self) -> usize {
        self.families.len()
    }

    /// Never: there is at least one stage.
    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    /// Families active at a stage; beyond the last stage those of the last.
    pub fn active(&self, stage: usize) -> Vec<&str> {
        let last = self.len() - 1;
        let stage = stage.min(last);
        let range = match self.mode {
            StageMode::Replace => stage..=stage,
            StageMode::Cumulative => 0..=stage,
            StageMode::Joint => 0..=last,
            StageMode::Reverse => last - stage..=last - stage,
        };
        let mut active: Vec<&str> = Vec::new();
        for family in self.families[range].iter().flatten() {
            if !active.contains(&family.as_str()) {
                active.push(family);
            }
        }
        active
    }
}

/// Stages that change at given steps.
///
/// # Formula
/// `stage(step)` = number of boundaries `<= step`.
///
/// # Shapes
/// Boundaries in training steps, one fewer than stages.
///
/// # Errors
/// Boundaries that do not rise strictly, or of another number.
///
/// # Source
/// UAV-VL-R1, arXiv 2508.11196 (three stages), reconstructed; see [`Stages`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSchedule {
    stages: Stages,
    boundaries: Vec<u64>,
}

impl StageSchedule {
    /// Validates the boundaries.
    ///
    /// # Errors
    /// See [`StageSchedule`].
    pub fn new(stages: Stages, boundaries: Vec<u64>) -> Result<Self, ParamError> {
        let given = || format!("{boundaries:?}");
        ParamError::check(
            boundaries.len() + 1 == stages.len(),
            "boundaries",
            given(),
            &format!("one fewer than the {} stages", stages.len()),
        )?;
        ParamError::check(
            boundaries.windows(2).all(|w| w[0] < w[1]),
            "boundaries",
            given(),
            "strictly rising",
        )?;
        Ok(Self { stages, boundaries })
    }

    /// Stages of equal length over a run, up to rounding down.
    ///
    /// # Errors
    /// A run of fewer steps than stages.
    pub fn even(stages: Stages, n_steps: u64) -> Result<Self, ParamError> {
        let k = stages.len() as u64;
        ParamError::check(
            n_steps >= k,
            "steps",
            n_steps,
            &format!("at least one per stage ({k})"),
        )?;
        let boundaries = (1..k).map(|i| (u128::from(i) * u128::from(n_steps) / u128::from(k)) as u64);
        let boundaries = boundaries.collect();
        Self::new(stages, boundaries)
    }

    /// Stage of a step.
    pub fn stage(&self, step: u64) -> usize {
        self.boundaries.partition_point(|boundary| *boundary <= step)
    }

    /// Families active at a step.
    pub fn active(&self, step: u64) -> Vec<&str> {
        self.stages.active(self.stage(step))
    }

    /// True if a stage begins at this step: the moment to set the reference to the current policy.
    pub fn begins(&self, step: u64) -> bool {
        self.boundaries.binary_search(&step).is_ok()
    }
}

/// When a stage that is left by accuracy ends, not yet validated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StageByAccuracyConfig {
    /// Mean accuracy that must be exceeded, in [0, 1].
    pub threshold: f64,
    /// Groups it is averaged over, >= 1.
    pub window: usize,
    /// Groups after which a stage ends in any case, >= 1.
    pub budget: u64,
}

impl Default for StageByAccuracyConfig {
    fn default() -> Self {
        Self {
            threshold: 0.8,
            window: 200,
            budget: 10_000,
        }
    }
}

/// Stages that end once the accuracy of the last groups exceeds a threshold, or their budget does.
///
/// # Edge cases
/// - Fewer groups than the window in this stage: no verdict by accuracy yet.
/// - The last stage does not end; a stage index never falls.
///
/// # Source
/// Ours, beside the fixed boundaries of UAV-VL-R1.
///
/// # Example
/// ```
/// use groupwise_sampler::stages::{StageByAccuracy, StageByAccuracyConfig};
/// let config = StageByAccuracyConfig { window: 2, ..Default::default() };
/// let mut stage = StageByAccuracy::new(3, config)?;
/// stage.observe(1.0)?;
/// assert_eq!(stage.stage(), 0);
/// stage.observe(0.7)?;
/// assert_eq!(stage.stage(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageByAccuracy {
    config: StageByAccuracyConfig,
    n_stages: usize,
    stage: usize,
    groups: u64,
    recent: VecDeque<f64>,
}

impl StageByAccuracy {
    /// Validates the rule for this many stages.
    ///
    /// # Errors
    /// No stage; `threshold` outside [0, 1]; `window` or `budget` 0.
    pub fn new(n_stages: usize, config: StageByAccuracyConfig) -> Result<Self, ParamError> {
        ParamError::check(n_stages >= 1, "n_stages", n_stages, ">= 1")?;
        ParamError::check(
            (0.0..=1.0).contains(&config.threshold),
            "threshold",
            config.threshold,
            "a number in [0, 1]",
        )?;
        ParamError::check(config.window >= 1, "window", config.window, ">= 1")?;
        ParamError::check(config.budget >= 1, "budget", config.budget, ">= 1")?;
        Ok(Self {
            config,
            n_stages,
            stage: 0,
            groups: 0,
            recent: VecDeque::new(),
        })
    }

    /// The current stage.
    pub fn stage(&self) -> usize {
        self.stage
    }

    /// Learns the accuracy of one group of the current stage.
    ///
    /// # Errors
    /// An accuracy outside [0, 1].
    pub fn observe(&mut self, accuracy: f64) -> Result<(), DataError> {
        if !(0.0..=1.0).contains(&accuracy) {
            return Err(DataError::value(
                "stage",
                format!("accuracy {accuracy} is outside [0, 1]"),
            ));
        }
        if self.stage + 1 == self.n_stages {
            return Ok(());
        }
        self.groups += 1;
        self.recent.push_back(accuracy);
        if self.recent.len() > self.config.window {
            self.recent.pop_front();
        }
        let full = self.recent.len() == self.config.window;
        let mean = self.recent.iter().sum::<f64>() / self.recent.len() as f64;
        if (full && mean > self.config.threshold) || self.groups >= self.config.budget {
            self.stage += 1;
            self.groups = 0;
            self.recent.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stages(families: &[&[&str]], mode: StageMode) -> Stages {
        let owned = families
            .iter()
            .map(|f| f.iter().map(|s| (*s).to_owned()).collect())
            .collect();
        Stages::new(owned, mode).unwrap()
    }

    const MODES: [StageMode; 4] = [
        StageMode::Replace,
        StageMode::Cumulative,
        StageMode::Joint,
        StageMode::Reverse,
    ];

    fn boundaries() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::btree_set(0u64..50, 0..5).prop_map(|set| set.into_iter().collect())
    }

    fn schedule(boundaries: &[u64], mode: StageMode) -> StageSchedule {
        let families = (0..=boundaries.len()).map(|k| vec![format!("f{k}")]).collect();
        StageSchedule::new(Stages::new(families, mode).unwrap(), boundaries.to_vec()).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn the_stage_never_falls_and_changes_at_boundaries_only(boundaries in boundaries(), step in 0u64..60) {
            let schedule = schedule(&boundaries, StageMode::Replace);
            let (now, next) = (schedule.stage(step), schedule.stage(step + 1));
            prop_assert_eq!(now, boundaries.iter().filter(|b| **b <= step).count());
            prop_assert!(now <= next);
            prop_assert_eq!(next > now, schedule.begins(step + 1));
        }

        #[test]
        fn cumulative_sets_are_nested_and_joint_is_one_stage(boundaries in boundaries(), a in 0u64..60, b in 0u64..60) {
            let cumulative = schedule(&boundaries, StageMode::Cumulative);
            let (early, late) = (cumulative.active(a.min(b)), cumulative.active(a.max(b)));
            prop_assert!(late.starts_with(&early));
            prop_assert_eq!(early.len(), cumulative.stage(a.min(b)) + 1);
            let joint = schedule(&boundaries, StageMode::Joint);
            prop_assert_eq!(joint.active(a), joint.active(b));
            prop_assert_eq!(joint.active(a).len(), boundaries.len() + 1);
            let replace = schedule(&boundaries, StageMode::Replace);
            prop_assert_eq!(replace.active(a), [format!("f{}", replace.stage(a))]);
            let reverse = schedule(&boundaries, StageMode::Reverse);
            prop_assert_eq!(reverse.active(a), [format!("f{}", boundaries.len() - reverse.stage(a))]);
        }

        #[test]
        fn even_stages_differ_by_one_step_at_most(k in 1usize..6, n in 6u64..90) {
            let schedule = StageSchedule::even(
                Stages::new((0..k).map(|i| vec![i.to_string()]).collect(), StageMode::Replace)?, n,
            )?;
            let mut counts = vec![0u64; k];
            (0..n).for_each(|step| counts[schedule.stage(step)] += 1);
            let (least, most) = (counts.iter().min(), counts.iter().max());
            prop_assert!(most.unwrap() - least.unwrap() <= 1);
        }

        #[test]
        fn stages_by_accuracy_resume_where_they_were_and_never_fall(
            accuracies in prop::collection::vec(0.0..=1.0f64, 0..40), cut in 0usize..40,
        ) {
            let config = StageByAccuracyConfig { threshold: 0.5, window: 3, budget: 9 };
            let mut whole = StageByAccuracy::new(3, config)?;
            let mut resumed = whole.clone();
            for (i, accuracy) in accuracies.iter().enumerate() {
                let before = whole.stage();
                whole.observe(*accuracy)?;
                prop_assert!(whole.stage() == before || whole.stage() == before + 1);
                if i == cut {
                    resumed = serde_json::from_value(serde_json::to_value(&resumed)?)?;
                }
                resumed.observe(*accuracy)?;
                prop_assert_eq!(&resumed, &whole);
            }
            prop_assert!(whole.stage() < 3);
        }
    }

    #[test]
    fn a_family_of_two_stages_is_active_once() {
        for mode in MODES {
            let stages = stages(&[&["a", "b"], &["b", "c"]], mode);
            let expected: &[&str] = match mode {
                StageMode::Replace => &["b", "c"],
                StageMode::Reverse => &["a", "b"],
                _ => &["a", "b", "c"],
            };
            assert_eq!(stages.active(1), expected);
            assert_eq!(stages.active(9), expected);
            assert_eq!((stages.len(), stages.is_empty()), (2, false));
        }
    }

    #[test]
    fn the_threshold_must_be_exceeded_over_a_full_window_or_the_budget_ends_the_stage() {
        let config = StageByAccuracyConfig {
            threshold: 0.5,
            window: 2,
            budget: 4,
        };
        let run = |accuracies: &[f64]| {
            let mut stage = StageByAccuracy::new(2, config).unwrap();
            accuracies.iter().for_each(|a| stage.observe(*a).unwrap());
            stage.stage()
        };
        assert_eq!(run(&[1.0]), 0);
        assert_eq!(run(&[0.5, 0.5]), 0);
        assert_eq!(run(&[0.0, 1.0, 0.5]), 1);
        assert_eq!(run(&[0.0, 0.0, 0.0]), 0);
        assert_eq!(run(&[0.0; 4]), 1);
        assert_eq!(run(&[1.0; 20]), 1);
        let mut lone = StageByAccuracy::new(1, config).unwrap();
        lone.observe(1.0).unwrap();
        lone.observe(1.0).unwrap();
        assert_eq!(lone.stage(), 0);
        assert_eq!(
            lone.observe(1.5).unwrap_err().to_string(),
            "stage: accuracy 1.5 is outside [0, 1]"
        );
    }

    #[test]
    fn bad_parameters_are_refused() {
        let text = |error: ParamError| error.to_string();
        assert_eq!(
            text(Stages::new(vec![], StageMode::Joint).unwrap_err()),
            "`stage_tasks` = []: must be at least one stage"
        );
        assert_eq!(
            text(Stages::new(vec![vec!["a".into()], vec![]], StageMode::Joint).unwrap_err()),
            "`stage_tasks` = [] at stage 1: must be at least one family per stage"
        );
        let three = || stages(&[&["a"], &["b"], &["c"]], StageMode::Replace);
        for bad in [vec![1], vec![1, 2, 3]] {
            let given = format!("{bad:?}");
            assert_eq!(
                text(StageSchedule::new(three(), bad).unwrap_err()),
                format!("`boundaries` = {given}: must be one fewer than the 3 stages")
            );
        }
        for bad in [vec![2, 2], vec![3, 2]] {
            let given = format!("{bad:?}");
            assert_eq!(
                text(StageSchedule::new(three(), bad).unwrap_err()),
                format!("`boundaries` = {given}: must be strictly rising")
            );
        }
        assert_eq!(
            text(StageSchedule::even(three(), 2).unwrap_err()),
            "`steps` = 2: must be at least one per stage (3)"
        );
        let refused = |config| text(StageByAccuracy::new(1, config).unwrap_err());
        let base = StageByAccuracyConfig::default();
        assert_eq!(
            refused(StageByAccuracyConfig {
                threshold: 1.5,
                ..base
            }),
            "`threshold` = 1.5: must be a number in [0, 1]"
        );
        assert_eq!(
            refused(StageByAccuracyConfig { window: 0, ..base }),
            "`window` = 0: must be >= 1"
        );
        assert_eq!(
            refused(StageByAccuracyConfig { budget: 0, ..base }),
            "`budget` = 0: must be >= 1"
        );
        assert_eq!(
            text(StageByAccuracy::new(0, base).unwrap_err()),
            "`n_stages` = 0: must be >= 1"
        );
    }
}
