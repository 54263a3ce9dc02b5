//! How hard a prompt is beside the prompts of the last steps, and how much help or noise would make its group mixed.
//!
//! The difficulty-aware augmentation of DeepVideo-R1: a prompt whose group earns less than recent groups did is put
//! again with part of a solution, one whose group earns more with noise on its input.  These are functions, not a
//! registered scaffold: the method rolls a group out again *after* its rewards are known and trains on the second
//! group alone, and a [`Scaffold`](groupwise_core::Scaffold) can only add members to a group.

use std::collections::VecDeque;

use groupwise_core::{DataError, ParamError, State, stats};
use serde::{Deserialize, Serialize};

/// What to do about a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Augmentation {
    /// As hard as recent prompts, or nothing to compare with.
    None,
    /// Harder: put the first `level` parts of a solution after the prompt.
    Easier {
        /// Parts of the solution, >= 1.
        level: u64,
    },
    /// Easier than recent prompts: perturb the input.
    Harder {
        /// Factor of the noise, > 1.
        scale: f64,
    },
}

/// Units in which a difference of mean rewards is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DifficultyConfig {
    /// Reward per further part of the solution, > 0.
    pub guide_unit: f64,
    /// Reward per further unit of noise, > 0.
    pub noise_unit: f64,
}

impl Default for DifficultyConfig {
    fn default() -> Self {
        Self {
            guide_unit: 1.0,
            noise_unit: 1.0,
        }
    }
}

impl DifficultyConfig {
    /// Checks both units.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn validate(&self) -> Result<(), ParamError> {
        for (key, value) in [("guide_unit", self.guide_unit), ("noise_unit", self.noise_unit)] {
            let holds = value > 0.0 && value.is_finite();
            ParamError::check(holds, key, value, "a finite number > 0")?;
        }
        Ok(())
    }

    /// What to do about a prompt of this difficulty.
    ///
    /// # Formula
    /// `D > 0`: level `floor(D / guide_unit + 0.5) + 1`.  `D < 0`: scale `|D| / noise_unit + 1`.  `D = 0`: nothing.
    ///
    /// # Shapes
    /// `difficulty` in units of reward, as [`difficulty`] gives it; the configuration is taken as valid.
    ///
    /// # Edge cases
    /// NaN: nothing.  A level beyond the integers is held at the largest one.
    ///
    /// # Source
    /// DeepVideo-R1 (arXiv 2506.07464), section 4.2; units and rounding are reconstructed.
    ///
    /// # Example
    /// ```
    /// use groupwise_sampler::difficulty::{Augmentation, DifficultyConfig};
    /// let config = DifficultyConfig::default();
    /// assert_eq!(config.augmentation(1.75), Augmentation::Easier { level: 3 });
    /// assert_eq!(config.augmentation(-0.625), Augmentation::Harder { scale: 1.625 });
    /// ```
    pub fn augmentation(&self, difficulty: f64) -> Augmentation {
        if difficulty > 0.0 {
            let level = (difficulty / self.guide_unit + 0.5).floor() + 1.0;
            Augmentation::Easier { level: level as u64 }
        } else if difficulty < 0.0 {
            Augmentation::Harder {
                scale: -difficulty / self.noise_unit + 1.0,
            }
        } else {
            Augmentation::None
        }
    }
}

/// How much less a group earned than the prompts of the buffer did; `None` without a group or a buffer.
///
/// # Formula
/// `D = mean(buffer) - mean(rewards)`; positive: hard.
///
/// # Shapes
/// `rewards`: scorable rewards of the unaugmented group; `buffer`: one mean reward per recent prompt.
///
/// # Edge cases
/// A difference within rounding of the means is 0, so that equal rewards of 0.1 do not count as hard.
///
/// # Source
/// DeepVideo-R1 (arXiv 2506.07464), section 4.2.
///
/// # Example
/// ```
/// use groupwise_sampler::difficulty::difficulty;
/// assert_eq!(difficulty(&[0.0, 0.0, 0.0, 1.0], &[1.5, 2.0, 2.5]), Some(1.75));
/// assert_eq!(difficulty(&[1.0], &[]), None);
/// ```
pub fn difficulty(rewards: &[f64], buffer: &[f64]) -> Option<f64> {
    if rewards.is_empty() || buffer.is_empty() {
        return None;
    }
    let (current, reference) = (stats::mean(rewards), stats::mean(buffer));
    let same = stats::is_constant(&[current, reference]);
    Some(if same { 0.0 } else { reference - current })
}

/// The first `level` of `n_parts` equal parts of a solution, never the last part: it holds the answer.
///
/// # Formula
/// The first `floor(len min(level, n_parts - 1) / n_parts)` items.
///
/// # Edge cases
/// `n_parts` of 0 or 1: nothing.
///
/// # Source
/// DeepVideo-R1 (arXiv 2506.07464), section 4.2.
///
/// # Example
/// ```
/// use groupwise_sampler::difficulty::guidance;
/// assert_eq!(guidance(&[1, 2, 3, 4, 5, 6, 7], 4, 3), [1, 2, 3, 4, 5]);
/// assert_eq!(guidance(&[1, 2, 3, 4], 4, 9), [1, 2, 3]);
/// ```
pub fn guidance<T>(solution: &[T], n_parts: u64, level: u64) -> &[T] {
    let shown = level.min(n_parts.saturating_sub(1));
    // In 128 bits, for a level may be as large as an integer goes.
    let len = solution.len() as u128 * u128::from(shown) / u128::from(n_parts.max(1));
    &solution[..len as usize]
}

/// Probability with which a token of the input that is not essential is replaced.
///
/// # Formula
/// `min(0.5, noise_prob scale)`.
///
/// # Errors
/// `noise_prob` outside [0, 1].
///
/// # Source
/// The counterpart for text of DeepVideo-R1's Gaussian noise per frame; reconstructed.
///
/// # Example
/// ```
/// use groupwise_sampler::difficulty::replacement_probability;
/// assert_eq!(replacement_probability(0.125, 2.0)?, 0.25);
/// assert_eq!(replacement_probability(0.125, 9.0)?, 0.5);
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
pub fn replacement_probability(noise_prob: f64, scale: f64) -> Result<f64, ParamError> {
    let holds = (0.0..=1.0).contains(&noise_prob);
    ParamError::check(holds, "noise_prob", noise_prob, "a number in [0, 1]")?;
    Ok((noise_prob * scale).min(0.5))
}

/// Mean rewards of the prompts of the last steps: what a prompt is compared with.
///
/// Feed it the means of the *unaugmented* groups: with those of the augmented ones the reference chases itself.
///
/// # Example
/// ```
/// use groupwise_sampler::difficulty::RewardBuffer;
/// let mut buffer = RewardBuffer::new(2)?;
/// for step in [[9.0, 9.0], [0.0, 1.0], [1.0, 2.0]] {
///     buffer.push(&step)?;
/// }
/// assert_eq!(buffer.means(), [0.0, 1.0, 1.0, 2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RewardBuffer {
    window: usize,
    steps: VecDeque<Vec<f64>>,
}

impl RewardBuffer {
    /// An empty buffer of `window` steps.
    ///
    /// # Errors
    /// `window` of 0.
    pub fn new(window: usize) -> Result<Self, ParamError> {
        ParamError::check(window >= 1, "window", window, "a number >= 1")?;
        Ok(Self {
            window,
            steps: VecDeque::new(),
        })
    }

    /// Takes in one step, and forgets the step that leaves the window.
    ///
    /// # Errors
    /// A mean that is not finite; nothing is taken in then.
    pub fn push(&mut self, group_means: &[f64]) -> Result<(), DataError> {
        DataError::check_finite("mean reward", group_means)?;
        self.steps.push_back(group_means.to_vec());
        while self.steps.len() > self.window {
            self.steps.pop_front();
        }
        Ok(())
    }

    /// Means of the kept steps, oldest first.
    pub fn means(&self) -> Vec<f64> {
        self.steps.iter().flatten().copied().collect()
    }

    /// All that is remembered.
    pub fn save(&self) -> State {
        self.steps.iter().cloned().collect()
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// A state of another shape, or of more steps than the window.
    pub fn load(&mut self, state: &State) -> Result<(), DataError> {
        let steps: VecDeque<Vec<f64>> = VecDeque::deserialize(state)
            .map_err(|error| DataError::value("reward buffer", error.to_string()))?;
        if steps.len() > self.window {
            let what = format!("{} steps for a window of {}", steps.len(), self.window);
            return Err(DataError::value("reward buffer", what));
        }
        self.steps = steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_level_is_rounded_and_one_is_added() {
        let config = DifficultyConfig {
            guide_unit: 0.5,
            noise_unit: 0.25,
        };
        let level = |d| match config.augmentation(d) {
            Augmentation::Easier { level } => level,
            other => panic!("{other:?}"),
        };
        assert_eq!([0.01, 0.24, 0.25, 0.5, 0.74, 0.75].map(level), [1, 1, 2, 2, 2, 3]);
        assert_eq!(config.augmentation(-0.5), Augmentation::Harder { scale: 3.0 });
        assert_eq!(config.augmentation(0.0), Augmentation::None);
        assert_eq!(config.augmentation(f64::NAN), Augmentation::None);
    }

    #[test]
    fn units_must_be_positive() {
        let with = |guide_unit, noise_unit| {
            let config = DifficultyConfig {
                guide_unit,
                noise_unit,
            };
            config.validate().map_err(|e| e.to_string())
        };
        assert_eq!(with(1.0, 1.0), Ok(()));
        assert_eq!(
            with(0.0, 1.0),
            Err("`guide_unit` = 0: must be a finite number > 0".into())
        );
        assert_eq!(
            with(1.0, f64::NAN),
            Err("`noise_unit` = NaN: must be a finite number > 0".into())
        );
        assert_eq!(
            with(f64::INFINITY, 1.0),
            Err("`guide_unit` = inf: must be a finite number > 0".into())
        );
        assert_eq!(
            replacement_probability(1.5, 1.0).unwrap_err().to_string(),
            "`noise_prob` = 1.5: must be a number in [0, 1]"
        );
        assert!(replacement_probability(-0.1, 1.0).is_err());
    }

    #[test]
    fn equal_means_are_neither_hard_nor_easy() {
        assert_eq!(difficulty(&[0.1; 3], &[0.1; 7]), Some(0.0));
        assert_eq!(difficulty(&[], &[1.0]), None);
        assert_eq!(difficulty(&[1.0; 4], &[0.5, 0.25]), Some(-0.625));
    }

    #[test]
    fn the_buffer_refuses_what_it_cannot_hold() {
        assert_eq!(
            RewardBuffer::new(0).unwrap_err().to_string(),
            "`window` = 0: must be a number >= 1"
        );
        let mut buffer = RewardBuffer::new(1).unwrap();
        assert_eq!(
            buffer.push(&[1.0, f64::NAN]).unwrap_err().to_string(),
            "index 1: `mean reward` is NaN"
        );
        assert!(buffer.means().is_empty());
        assert_eq!(
            buffer
                .load(&serde_json::json!([[1.0], [2.0]]))
                .unwrap_err()
                .to_string(),
            "reward buffer: 2 steps for a window of 1"
        );
        assert!(buffer.load(&serde_json::json!("x")).is_err());
    }

    proptest! {
        #[test]
        fn the_buffer_holds_the_last_steps_and_survives_a_checkpoint(
            steps in prop::collection::vec(prop::collection::vec(-1.0..1.0f64, 0..4), 0..8), window in 1usize..5,
        ) {
            let mut buffer = RewardBuffer::new(window)?;
            for step in &steps {
                buffer.push(step)?;
                let mut resumed = RewardBuffer::new(window)?;
                resumed.load(&buffer.save())?;
                prop_assert_eq!(&resumed, &buffer);
            }
            let kept = steps.len().saturating_sub(window);
            prop_assert_eq!(buffer.means(), steps[kept..].concat());
        }

        #[test]
        fn guidance_grows_with_the_level_and_never_holds_the_last_part(
            len in 0usize..40, parts in 0u64..9, level in 0u64..12,
        ) {
            let solution: Vec<usize> = (0..len).collect();
            let shown = guidance(&solution, parts, level).len();
            prop_assert!(shown <= guidance(&solution, parts, level + 1).len());
            prop_assert!(shown as u64 * parts.max(1) <= len as u64 * parts.saturating_sub(1));
            if level < parts {
                prop_assert_eq!(shown as u64, len as u64 * level / parts);
            }
        }

        #[test]
        fn the_further_off_the_stronger_the_remedy(d in 0.0..9.0f64, more in 0.0..9.0f64) {
            let config = DifficultyConfig::default();
            let level = |d| match config.augmentation(d) { Augmentation::Easier { level } => level, _ => 0 };
            let scale = |d: f64| match config.augmentation(-d) { Augmentation::Harder { scale } => scale, _ => 1.0 };
            prop_assert!(level(d + more) >= level(d) && scale(d + more) >= scale(d));
            prop_assert_eq!(level(-d) + level(0.0), 0);
        }
    }
}
