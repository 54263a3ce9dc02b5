//! A token budget that shrinks during training, and the reward for answers near it ("Train Long, Think Short").

use groupwise_core::ParamError;
use serde::{Deserialize, Serialize};

/// How the budget shrinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BudgetKind {
    /// By the factor `gamma` every `every` steps.
    #[default]
    Exponential,
    /// From `b0` to `bf` in `drops` equal factors, at equal intervals of `total` steps.
    #[serde(alias = "exponential_drops")]
    ExponentialDrops,
    /// From `b0` to `bf` in `drops` equal differences, at equal intervals of `total` steps.
    #[serde(alias = "linear_drops")]
    LinearDrops,
    /// Not at all: `b0` throughout.
    Fixed,
}

/// Parameters of the budget; only those of the kind are read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LengthBudgetConfig {
    /// How the budget shrinks.
    pub kind: BudgetKind,
    /// Budget at step 0, tokens; >= 1.
    pub b0: f64,
    /// Factor of each drop, in (0, 1).
    pub gamma: f64,
    /// Steps between drops; >= 1.
    pub every: u64,
    /// Budget at the end, tokens; in 1..=b0.
    pub bf: f64,
    /// Number of drops; >= 1.
    pub drops: u32,
    /// Steps of the run; >= 1.
    pub total: u64,
}

impl Default for LengthBudgetConfig {
    fn default() -> Self {
        Self {
            kind: BudgetKind::Exponential,
            b0: 256.0,
            gamma: 0.7,
            every: 150,
            bf: 87.0,
            drops: 3,
            total: 600,
        }
    }
}

/// A token budget by training step, valid by construction.
///
/// # Formula
/// `exponential`: `max(1, b0 gamma^floor(t / every))`.  With n = `drops`, `k = min(n, floor(t (n + 1) / total))`:
/// `exponential-drops` `b0 (bf / b0)^(k / n)`, `linear-drops` `b0 - (b0 - bf) k / n`.  `fixed`: `b0`.
///
/// # Shapes
/// Steps from 0; tokens, as a real number: the reward uses it, prompts and text its floor.
///
/// # Edge cases
/// The first drop happens at step `every` (`total / (n + 1)`); behind the last step the budget stays.  The forms with
/// end points reach `bf` exactly.
///
/// # Errors
/// `b0 < 1`; of the kind's own keys: `gamma` outside (0, 1), `every`, `drops` or `total` 0, `bf` outside 1..=b0.
///
/// # Source
/// "Train Long, Think Short" (arXiv 2508.08940), sections 3.1 and 4.4: 256 tokens, 0.7 every 150 of 600 steps.  Its T
/// is the interval in one section and the total in the other; here `every` and `total`.
///
/// # Example
/// ```
/// use groupwise_reward::length_curriculum::{LengthBudget, LengthBudgetConfig};
/// let budget = LengthBudget::new(&LengthBudgetConfig::default())?;
/// assert_eq!((budget.tokens(149), budget.tokens(150), budget.tokens(450)), (256, 179, 87));
/// assert!((budget.at(450) - 87.808).abs() < 1e-12);
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LengthBudget(LengthBudgetConfig);

impl LengthBudget {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &LengthBudgetConfig) -> Result<Self, ParamError> {
        let c = config;
        ParamError::check(
            c.b0 >= 1.0 && c.b0.is_finite(),
            "b0",
            c.b0,
            "a finite number >= 1",
        )?;
        match c.kind {
            BudgetKind::Fixed => {}
            BudgetKind::Exponential => {
                let inside = c.gamma > 0.0 && c.gamma < 1.0;
                ParamError::check(inside, "gamma", c.gamma, "a number > 0 and < 1")?;
                ParamError::check(c.every >= 1, "every", c.every, ">= 1")?;
            }
            BudgetKind::ExponentialDrops | BudgetKind::LinearDrops => {
                let range = format!("a number >= 1 and <= `b0` = {}", c.b0);
                ParamError::check(c.bf >= 1.0 && c.bf <= c.b0, "bf", c.bf, &range)?;
                ParamError::check(c.drops >= 1, "drops", c.drops, ">= 1")?;
                ParamError::check(c.total >= 1, "total", c.total, ">= 1")?;
            }
        }
        Ok(Self(*config))
    }

    /// The budget at training step `t`, tokens.
    pub fn at(&self, t: u64) -> f64 {
        let c = &self.0;
        let (n, drop) = (f64::from(c.drops), self.drop(t));
        match c.kind {
            BudgetKind::Fixed => c.b0,
            BudgetKind::Exponential => (c.b0 * c.gamma.powf((t / c.every) as f64)).max(1.0),
            // Powers and differences of the end points are rounded; the end points themselves are not.
            _ if drop == c.drops => c.bf,
            BudgetKind::ExponentialDrops => c.b0 * (c.bf / c.b0).powf(f64::from(drop) / n),
            BudgetKind::LinearDrops => c.b0 - (c.b0 - c.bf) * f64::from(drop) / n,
        }
    }

    /// The budget as a prompt states it: whole tokens, rounded down.
    pub fn tokens(&self, t: u64) -> u64 {
        self.at(t) as u64
    }

    /// Drops until step `t`, of the forms with end points.
    fn drop(&self, t: u64) -> u32 {
        let n = self.0.drops;
        let passed = u128::from(t) * (u128::from(n) + 1) / u128::from(self.0.total.max(1));
        u32::try_from(passed).map_or(n, |passed| passed.min(n))
    }
}

/// Reward of lengths below the budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LengthShape {
    /// Rises to 1 at the budget.
    #[default]
    Triangle,
    /// 1 throughout (ablation).
    Band,
}

/// Length reward, at most 1.
///
/// # Formula
/// `l <= L`: triangle `l / L`, band 1.  `L < l <= 2 L`: `1 - (l - L) / L`.  Beyond: 0.
///
/// # Shapes
/// `length`: tokens generated, end token included; `target`: tokens, real.
///
/// # Errors
/// `target` not a finite number >= 1.
///
/// # Source
/// arXiv 2508.08940, section 3.3; the band section 4.6.
///
/// # Example
/// ```
/// use groupwise_reward::length_curriculum::{LengthShape, length_reward};
/// assert_eq!(length_reward(130, 100.0, LengthShape::Triangle)?, 0.7);
/// assert_eq!(length_reward(50, 100.0, LengthShape::Band)?, 1.0);
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
pub fn length_reward(length: usize, target: f64, shape: LengthShape) -> Result<f64, ParamError> {
    let holds = target >= 1.0 && target.is_finite();
    ParamError::check(holds, "target", target, "a finite number >= 1")?;
    let l = length as f64;
    Ok(match shape {
        LengthShape::Triangle if l <= target => l / target,
        LengthShape::Band if l <= target => 1.0,
        _ if l <= 2.0 * target => 1.0 - (l - target) / target,
        _ => 0.0,
    })
}

/// Whether wrong answers earn the length reward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LengthEarnedBy {
    /// Every answer, wrong ones too (the paper's rule).
    #[default]
    All,
    /// Answers with a correctness above 0.
    Correct,
}

/// Weights of the three parts of the reward; the default is the paper's correctness-heavy setting.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LengthCurriculumConfig {
    /// Of correctness; >= 0.
    pub w_correct: f64,
    /// Of the length reward; >= 0.
    pub w_length: f64,
    /// Of the format reward; >= 0.
    pub w_format: f64,
    /// Share of a well-formed thinking part in the format reward; >= 0.
    pub a_think: f64,
    /// Share of a well-formed answer part in the format reward; >= 0.
    pub a_answer: f64,
    /// Reward of lengths below the budget.
    pub shape: LengthShape,
    /// Whether wrong answers earn the length reward.
    pub length_earned_by: LengthEarnedBy,
}

impl Default for LengthCurriculumConfig {
    fn default() -> Self {
        Self {
            w_correct: 0.6,
            w_length: 0.3,
            w_format: 0.1,
            a_think: 0.5,
            a_answer: 0.5,
            shape: LengthShape::Triangle,
            length_earned_by: LengthEarnedBy::All,
        }
    }
}

/// One answer, as the reward sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LengthCurriculumAnswer {
    /// Correctness, in [0, 1].
    pub correct: f64,
    /// Tokens generated, end token included.
    pub length: usize,
    /// The thinking tags stand as a well-formed pair.
    pub think: bool,
    /// The answer tags stand as a well-formed pair.
    pub answer: bool,
    /// Generation was cut at the limit: no length reward.
    pub truncated: bool,
}

/// The reward of the curriculum, valid by construction.
///
/// # Formula
/// `r = w_correct c + w_length R_len + w_format (a_think I_think + a_answer I_answer)`, R_len as [`length_reward`] and
/// 0 for a truncated answer.
///
/// # Errors
/// Parameters: a negative weight.  Answers: a correctness outside [0, 1].
///
/// # Source
/// arXiv 2508.08940, sections 3.2 to 3.4; `w_format` and its split are ours, the paper gives no numbers.  By the
/// paper's rule a wrong answer of the target length earns `w_length`: log it, for groups that are all wrong train on
/// length alone.
///
/// # Example
/// ```
/// use groupwise_reward::length_curriculum::{LengthCurriculum, LengthCurriculumAnswer, LengthCurriculumConfig};
/// let reward = LengthCurriculum::new(&LengthCurriculumConfig::default())?;
/// let answer = LengthCurriculumAnswer { correct: 1.0, length: 80, think: true, answer: true, truncated: false };
/// assert!((reward.reward(&answer, 87.0)? - 0.975862).abs() < 1e-6);
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LengthCurriculum(LengthCurriculumConfig);

impl LengthCurriculum {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &LengthCurriculumConfig) -> Result<Self, ParamError> {
        for (key, value) in [
            ("w_correct", config.w_correct),
            ("w_length", config.w_length),
            ("w_format", config.w_format),
            ("a_think", config.a_think),
            ("a_answer", config.a_answer),
        ] {
            ParamError::check_coefficient(key, value)?;
        }
        Ok(Self(*config))
    }

    /// Reward of one answer at a budget of `target` tokens.
    ///
    /// # Errors
    /// See the type; `target` as [`length_reward`].
    pub fn reward(&self, answer: &LengthCurriculumAnswer, target: f64) -> Result<f64, ParamError> {
        Ok(self.parts(answer, target)?.0)
    }

    /// The reward, and the length reward in [0, 1] as this answer earned it.
    ///
    /// # Errors
    /// As [`LengthCurriculum::reward`].
    pub fn parts(&self, answer: &LengthCurriculumAnswer, target: f64) -> Result<(f64, f64), ParamError> {
        let (c, correct) = (&self.0, answer.correct);
        ParamError::check(
            (0.0..=1.0).contains(&correct),
            "correct",
            correct,
            "a number in [0, 1]",
        )?;
        let earned = !answer.truncated && (c.length_earned_by == LengthEarnedBy::All || correct > 0.0);
        let length = length_reward(answer.length, target, c.shape)?;
        let length = if earned { length } else { 0.0 };
        let flag = |holds: bool| f64::from(u8::from(holds));
        let format = c.a_think * flag(answer.think) + c.a_answer * flag(answer.answer);
        let reward = c.w_correct * correct + c.w_length * length + c.w_format * format;
        Ok((reward, length))
    }
}

#[cfg(test)]
#[path = "length_curriculum_tests.rs"]
mod tests;
