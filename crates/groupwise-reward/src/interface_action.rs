//! Graded credit for one action of an interface agent, and for answers about what is seen (CRAFT-GUI).

use std::collections::BTreeMap;

use groupwise_core::{DataError, ParamError};
use serde::{Deserialize, Serialize};

use crate::screen_action::Point;

/// One action: its type, and a point, a text or nothing.
///
/// # Errors
/// Reading one with both a point and a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct InterfaceAction {
    /// Name of the type, compared as it stands: which there are depends on the interface.
    pub name: String,
    /// Its parameter.
    pub parameter: Parameter,
}

/// Parameter of an action.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Parameter {
    /// None.
    #[default]
    None,
    /// A place, x and y scaled to [0, 1] of the screen.
    Point(Point),
    /// A text.
    Text(String),
}

/// An action as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(rename = "type")]
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    point: Option<Point>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl TryFrom<Fields> for InterfaceAction {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let parameter = match (fields.point, fields.text) {
            (None, None) => Parameter::None,
            (Some(point), None) => Parameter::Point(point),
            (None, Some(text)) => Parameter::Text(text),
            (Some(_), Some(_)) => return Err("an action has a point or a text, not both".to_owned()),
        };
        let name = fields.name;
        Ok(Self { name, parameter })
    }
}

impl From<InterfaceAction> for Fields {
    fn from(action: InterfaceAction) -> Self {
        let (point, text) = match action.parameter {
            Parameter::None => (None, None),
            Parameter::Point(point) => (Some(point), None),
            Parameter::Text(text) => (None, Some(text)),
        };
        Self {
            name: action.name,
            point,
            text,
        }
    }
}

/// Agreement of two texts, word by word.
///
/// # Formula
/// `F1 = 2 c / (a + b)` of a and b words with c in common, each counted as often as it occurs in both; words are lower
/// case, split at white space.
///
/// # Edge cases
/// Both without words: 1.  One of them: 0.
///
/// # Source
/// Definition; the offline stand-in for a judge model in CRAFT-GUI.  Say so where it is used as one.
///
/// # Example
/// ```
/// use groupwise_reward::interface_action::token_f1;
/// assert_eq!(token_f1("Buy red shoes", "red  shoes"), 0.8);
/// assert_eq!((token_f1("", " "), token_f1("", "red")), (1.0, 0.0));
/// ```
pub fn token_f1(first: &str, second: &str) -> f64 {
    let (first, second) = (first.to_lowercase(), second.to_lowercase());
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut n_first, mut n_second, mut common) = (0usize, 0usize, 0usize);
    for word in first.split_whitespace() {
        n_first += 1;
        *open.entry(word).or_default() += 1;
    }
    for word in second.split_whitespace() {
        n_second += 1;
        if let Some(left) = open.get_mut(word).filter(|left| **left > 0) {
            *left -= 1;
            common += 1;
        }
    }
    match n_first + n_second {
        0 => 1.0,
        words => 2.0 * common as f64 / words as f64,
    }
}

/// Weights of an action's reward, not yet validated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActionRewardConfig {
    /// Weight of the format, >= 0.
    pub w_f: f64,
    /// Weight of the type, >= 0.
    pub w_t: f64,
    /// Weight of the parameter, >= 0; the three sum to 1.
    pub w_p: f64,
    /// Largest distance of a point that counts as right, in (0, 1].
    pub point_tolerance: f64,
}

impl Default for ActionRewardConfig {
    fn default() -> Self {
        Self {
            w_f: 0.1,
            w_t: 0.4,
            w_p: 0.5,
            point_tolerance: 0.14,
        }
    }
}

/// Reward of one action against the true one.
///
/// # Formula
/// `r = w_f f + w_t [types equal] + w_p s`; s = 0 unless the types are equal, else by the true action: a point
/// `[distance <= point_tolerance]`, a text [`token_f1`], no parameter 1.
///
/// # Shapes
/// Points in [0, 1] of the screen's sides, distance Euclidean in these units; the reward lies in [0, 1].
///
/// # Edge cases
/// - No prediction: the format term alone.
/// - A predicted parameter of another kind than the true one: no point earns nothing, no text is the empty text.
///   Where the true action has none, a predicted one costs nothing.
/// - A predicted point outside the screen is as far as it is; a true one is an error (pixels instead of shares).
///
/// # Errors
/// - When built: a negative weight, weights whose sum differs from 1 by more than 1e-9, `point_tolerance` outside (0, 1].
/// - In use: a true point outside [0, 1].
///
/// # Source
/// CRAFT-GUI, arXiv 2508.11360: format, type and parameters are graded there; weights, tolerance and the score of a
/// text are a reconstruction.
///
/// # Example
/// ```
/// use groupwise_reward::interface_action::{ActionReward, ActionRewardConfig, InterfaceAction, Parameter};
/// let reward = ActionReward::new(ActionRewardConfig::default())?;
/// let tap = |x, y| InterfaceAction { name: "tap".to_owned(), parameter: Parameter::Point([x, y]) };
/// let truth = tap(0.5, 0.5);
/// assert_eq!(reward.score(Some(&tap(0.5, 0.6)), &truth, true)?, 1.0);
/// assert_eq!(reward.score(Some(&tap(0.9, 0.9)), &truth, true)?, 0.5);
/// assert_eq!(reward.score(None, &truth, false)?, 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActionReward(ActionRewardConfig);

impl ActionReward {
    /// Validates weights and tolerance.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: ActionRewardConfig) -> Result<Self, ParamError> {
        let weights = [("w_f", config.w_f), ("w_t", config.w_t), ("w_p", config.w_p)];
        for (key, weight) in weights {
            ParamError::check(weight >= 0.0, key, weight, "a number >= 0")?;
        }
        let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
        ParamError::check((sum - 1.0).abs() <= 1e-9, "w_f + w_t + w_p", sum, "1")?;
        let tolerance = config.point_tolerance;
        let holds = tolerance > 0.0 && tolerance <= 1.0;
        ParamError::check(holds, "point_tolerance", tolerance, "> 0 and <= 1")?;
        Ok(Self(config))
    }

    /// Reward of one action.
    ///
    /// # Errors
    /// A true point outside [0, 1].
    pub fn score(
        &self,
        prediction: Option<&InterfaceAction>,
        truth: &InterfaceAction,
        format: bool,
    ) -> Result<f64, DataError> {
        if let Parameter::Point(point) = truth.parameter
            && !point.iter().all(|x| (0.0..=1.0).contains(x))
        {
            let what = format!("point {point:?} is outside [0, 1]");
            return Err(DataError::value("true action", what));
        }
        let c = &self.0;
        let form = if format { c.w_f } else { 0.0 };
        Ok(match prediction.filter(|p| p.name == truth.name) {
            None => form,
            Some(p) => form + c.w_t + c.w_p * self.agreement(&p.parameter, &truth.parameter),
        })
    }

    /// Agreement of the parameters of two actions of one type, in [0, 1].
    fn agreement(&self, prediction: &Parameter, truth: &Parameter) -> f64 {
        match (prediction, truth) {
            (_, Parameter::None) => 1.0,
            (Parameter::Point(p), Parameter::Point(q)) => {
                let near = (p[0] - q[0]).hypot(p[1] - q[1]) <= self.0.point_tolerance;
                f64::from(u8::from(near))
            }
            (_, Parameter::Point(_)) => 0.0,
            (Parameter::Text(p), Parameter::Text(q)) => token_f1(p, q),
            (_, Parameter::Text(q)) => token_f1("", q),
        }
    }
}

/// Weight of the format of an answer, not yet validated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnderstandingRewardConfig {
    /// Weight of the format, in [0, 1].
    pub w_f: f64,
}

impl Default for UnderstandingRewardConfig {
    fn default() -> Self {
        Self { w_f: 0.1 }
    }
}

/// Reward of a free answer about what is seen, by a judge's score.
///
/// # Formula
/// `r = w_f f + (1 - w_f) clamp(judge, 0, 1)`.
///
/// # Shapes
/// A judge's score has no unit; the reward lies in [0, 1].
///
/// # Edge cases
/// Scores beyond [0, 1] count as its ends.
///
/// # Errors
/// - When built: `w_f` outside [0, 1].
/// - In use: a score that is not finite.
///
/// # Source
/// CRAFT-GUI, arXiv 2508.11360; the weights are a reconstruction.  No judge model is part of this workspace: offline
/// [`token_f1`] stands in.
///
/// # Example
/// ```
/// use groupwise_reward::interface_action::{UnderstandingReward, UnderstandingRewardConfig, token_f1};
/// let reward = UnderstandingReward::new(UnderstandingRewardConfig::default())?;
/// let judged = token_f1("buy red shoes", "red shoes");
/// assert!((reward.score(judged, true)? - 0.82).abs() < 1e-15);
/// assert_eq!(reward.score(1.5, false)?, 0.9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnderstandingReward(UnderstandingRewardConfig);

impl UnderstandingReward {
    /// Validates the weight.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: UnderstandingRewardConfig) -> Result<Self, ParamError> {
        let holds = (0.0..=1.0).contains(&config.w_f);
        ParamError::check(holds, "w_f", config.w_f, "in [0, 1]")?;
        Ok(Self(config))
    }

    /// Reward of one answer.
    ///
    /// # Errors
    /// A score that is not finite.
    pub fn score(&self, judge: f64, format: bool) -> Result<f64, DataError> {
        DataError::check_finite("judge", &[judge])?;
        let w_f = self.0.w_f;
        Ok(if format { w_f } else { 0.0 } + (1.0 - w_f) * judge.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
#[path = "interface_action_tests.rs"]
mod tests;
