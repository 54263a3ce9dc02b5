//! Multi-Objective GRPO: the labels of a multi-output reward model, weighed and added up.

use groupwise_core::stats::{self, Moments};
use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Spread, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::{check_first, check_group};
use crate::combine::{Combined, combine};

const NAME: &str = "multi-objective-grpo";

/// Whether labels are brought to one scale before they are added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelScale {
    /// They keep the scale they come with.
    #[default]
    None,
    /// Each is centred and divided by its deviation within the group; the estimator must then divide by nothing.
    #[serde(alias = "per_label")]
    PerLabel,
}

/// Several labels of an answer as one reward.
///
/// # Formula
/// `normalise = "none"`: `r_i = sum_k w_k s_ki`.  `normalise = "per-label"`: `r_i = sum_k w_k z_ki` with
/// `z_ki = (s_ki - mean_j s_kj) / (std_j s_kj + eps)` over the group; these are the advantages already, so that the estimator
/// must not divide once more (`dr-grpo`, whose centring changes nothing).
///
/// # Shapes
/// A label is a component of the rewards: of the verifier or of a shaper before this one.  The weighted value of each is
/// logged as component `multi-objective-grpo/<label>`.
///
/// # Edge cases
/// - The sum replaces the reward.  Weights need not sum to one.
/// - Zero spread of a label, or a lone member: the label contributes 0 under `per-label`.
/// - A label without a value for a member: the member cannot be scored, unless the label has weight 0.
/// - Unscorable member: stays so, and is in no statistic.
///
/// # Errors
/// Parameters: no label, or one twice; not one weight per label; a weight negative or not finite, or all 0; `spread` other
/// than sample and population; `eps` negative or not finite.  Data: rewards and members that differ in number; a label that
/// is no component; a value that is not finite; a component of this shaper already there.
///
/// # Source
/// Multi-Objective GRPO, arXiv 2503.21819.  No code was found; equal weights are reconstructed, and `per-label` is an arm of
/// ours that the paper does not have.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::{MultiObjective, MultiObjectiveGrpoConfig};
/// let model = MultiObjective::new(&MultiObjectiveGrpoConfig::default())?;
/// let labels = [[0.9, 0.4, 0.6, 0.1], [0.2, 0.7, 0.6, 0.9], [0.1, 0.9, 0.5, 0.8], [0.8, 0.1, 0.6, 0.2]];
/// let combined = model.scalarize(&labels.map(|label| label.map(Some)))?;
/// for (total, expected) in combined.totals.iter().flatten().zip([0.5, 0.525, 0.575, 0.5]) {
///     assert!((total - expected).abs() < 1e-15);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiObjectiveGrpoConfig {
    /// Components that are added up.
    pub labels: Vec<String>,
    /// Weight of each label, >= 0.
    pub weights: Vec<f64>,
    /// Whether labels are brought to one scale.
    #[serde(alias = "normalize")]
    pub normalise: LabelScale,
    /// Deviation that a label is divided by: sample or population; used by `per-label`.
    #[serde(alias = "std")]
    pub spread: Spread,
    /// Added to the deviation, >= 0; used by `per-label`.
    pub eps: f64,
}

impl Default for MultiObjectiveGrpoConfig {
    fn default() -> Self {
        let labels = ["politeness", "meaningfulness", "actionability", "safety"];
        Self {
            labels: labels.map(str::to_owned).to_vec(),
            weights: vec![0.25; labels.len()],
            normalise: LabelScale::None,
            spread: Spread::Sample,
            eps: 1e-6,
        }
    }
}

impl Part<dyn RewardShaper> for MultiObjectiveGrpoConfig {
    const SOURCE: &'static str =
        "Multi-Objective GRPO, arXiv 2503.21819 (no code found; weights reconstructed, `per-label` is ours)";

    fn formula(&self) -> String {
        let terms = |of: &dyn Fn(&str) -> String| -> String {
            let pairs = self.weights.iter().zip(&self.labels);
            pairs
                .map(|(w, label)| format!("{w} {}", of(label)))
                .collect::<Vec<_>>()
                .join(" + ")
        };
        match self.normalise {
            LabelScale::None => format!("r_i = {}", terms(&str::to_owned)),
            LabelScale::PerLabel => {
                let divisor = match self.spread {
                    Spread::Population => "n",
                    _ => "n - 1",
                };
                format!(
                    "r_i = {}; z(s) = (s - mean s) / (std(s; {divisor}) + {:e}) in the group, 0 for equal s; an \
                     estimator that divides would do so twice",
                    terms(&|label| format!("z({label})")),
                    self.eps
                )
            }
        }
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        Ok(Box::new(MultiObjective::new(self)?))
    }
}

/// The sum of labels, valid by construction.
#[derive(Clone, Debug, PartialEq)]
pub struct MultiObjective {
    config: MultiObjectiveGrpoConfig,
}

impl MultiObjective {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &MultiObjectiveGrpoConfig) -> Result<Self, ParamError> {
        let MultiObjectiveGrpoConfig {
            labels,
            weights,
            spread,
            eps,
            ..
        } = config;
        ParamError::check(!labels.is_empty(), "labels", "[]", "at least one component")?;
        if let Some(k) = (1..labels.len()).find(|k| labels[..*k].contains(&labels[*k])) {
            return Err(ParamError::new("labels", &labels[k], "named once"));
        }
        let given = format!("{weights:?}");
        ParamError::check(
            weights.len() == labels.len(),
            "weights",
            &given,
            &format!("one weight per label: {}", labels.len()),
        )?;
        let holds = weights.iter().all(|w| *w >= 0.0 && w.is_finite());
        ParamError::check(holds, "weights", &given, "finite numbers >= 0")?;
        let holds = weights.iter().any(|w| *w > 0.0);
        ParamError::check(holds, "weights", &given, "not all 0")?;
        let name = match spread {
            Spread::Sample | Spread::Population => None,
            Spread::LeaveOneOut => Some("leave-one-out"),
            Spread::Mean => Some("mean"),
            Spread::None => Some("none"),
        };
        if let Some(name) = name {
            return Err(ParamError::new("spread", name, "sample or population"));
        }
        let holds = *eps >= 0.0 && eps.is_finite();
        ParamError::check(holds, "eps", eps, "a finite number >= 0")?;
        Ok(Self {
            config: config.clone(),
        })
    }

    /// The reward of each member of a group, and what each label contributed; see [`MultiObjectiveGrpoConfig`] for formula
    /// and example.
    ///
    /// # Shapes
    /// `labels`: one list per label, with one entry per member, `None` where there is no value.  Under `per-label` what
    /// comes out are advantages.
    ///
    /// # Errors
    /// Another number of labels or of members; a value that is not finite, named by label and member.
    pub fn scalarize<L: AsRef<[Option<f64>]>>(&self, labels: &[L]) -> Result<Combined, DataError> {
        let weights = &self.config.weights;
        // Checked before anything is normalized, where one infinity would spoil a whole label.
        let plain = combine(labels, weights)?;
        match self.config.normalise {
            LabelScale::None => Ok(plain),
            LabelScale::PerLabel => {
                let scaled: Vec<_> = labels.iter().map(|l| self.normalized(l.as_ref())).collect();
                combine(&scaled, weights)
            }
        }
    }

    /// One label, centred and divided by its deviation.
    fn normalized(&self, label: &[Option<f64>]) -> Vec<Option<f64>> {
        let known: Vec<f64> = label.iter().flatten().copied().collect();
        // Of a lone member too.
        if stats::is_constant(&known) {
            return label.iter().map(|s| s.map(|_| 0.0)).collect();
        }
        let moments = Moments::of(&known);
        let variance = match self.config.spread {
            Spread::Population => moments.population_variance(),
            _ => moments.sample_variance(),
        };
        let (mean, divisor) = (moments.mean(), variance.sqrt() + self.config.eps);
        label.iter().map(|s| s.map(|s| (s - mean) / divisor)).collect()
    }
}

impl RewardShaper for MultiObjective {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        let mut labels = Vec::with_capacity(self.config.labels.len());
        for label in &self.config.labels {
            check_first(rewards, &logged(label), "labels would be added up twice")?;
            let values = rewards.components.get(label).ok_or_else(|| {
                let known: Vec<&str> = rewards.components.keys().map(String::as_str).collect();
                DataError::value(
                    format!("component `{label}`"),
                    format!("is not there, but: {}", known.join(", ")),
                )
            })?;
            DataError::check_len(label, values.len(), members.len())?;
            // What a shaper before this one made unscorable is in no statistic.
            let scored = rewards.rewards.iter().zip(values);
            labels.push(scored.map(|(r, v)| r.and(*v)).collect::<Vec<_>>());
        }
        let Combined { totals, weighted } = self.scalarize(&labels)?;
        let unscorable = rewards.rewards.iter().map(Option::is_none);
        rewards.rewards = totals
            .into_iter()
            .zip(unscorable)
            .map(|(total, unscorable)| total.filter(|_| !unscorable))
            .collect();
        for (label, weighted) in self.config.labels.iter().zip(weighted) {
            rewards.components.insert(logged(label), weighted);
        }
        Ok(())
    }
}

fn logged(label: &str) -> String {
    format!("{NAME}/{label}")
}

/// Loss of a multi-output reward model and its derivative.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelRegression {
    /// Weighted mean of the squared errors.
    pub loss: f64,
    /// Derivative by each prediction, in their order.
    pub d_predicted: Vec<f64>,
}

/// Weighted squared error over the labels that were observed.
///
/// # Formula
/// `loss = sum m_ik v_k (p_ik - t_ik)^2 / sum m_ik v_k`, with `m = 1` where a target was observed;
/// `d loss / d p_ik = 2 m_ik v_k (p_ik - t_ik) / sum m v`.
///
/// # Shapes
/// `predicted`, `targets`: row by row, one entry per label; `targets` is `None` where a label was not observed.
/// `label_weights`: v, one per label.
///
/// # Edge cases
/// A missing label is left out of sum and divisor: it is not a target of 0, and its derivative is 0.
///
/// # Errors
/// Lengths that do not fit; a label weight negative or not finite; a prediction or an observed target that is not finite,
/// named by response and label; nothing observed that has weight.
///
/// # Source
/// Reconstructed: arXiv 2503.21819 trains a multi-label regression model and its code is not public.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::label_regression;
/// let targets = [Some(1.0), Some(0.0), None, Some(1.0)];
/// let at = label_regression(&[0.5, 0.1, 0.2, 0.9], &targets, &[1.0, 2.0])?;
/// assert!((at.loss - 0.058).abs() < 1e-15);
/// assert_eq!(at.d_predicted[..3], [-0.2, 0.08, 0.0]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn label_regression(
    predicted: &[f64],
    targets: &[Option<f64>],
    label_weights: &[f64],
) -> Result<LabelRegression, DataError> {
    DataError::check_len("targets", targets.len(), predicted.len())?;
    if let Some(k) = label_weights.iter().position(|v| !(*v >= 0.0 && v.is_finite())) {
        let what = format!("weight {} must be a finite number >= 0", label_weights[k]);
        return Err(DataError::value(format!("label {k}"), what));
    }
    let n_labels = label_weights.len();
    if n_labels == 0 || !predicted.len().is_multiple_of(n_labels) {
        return Err(DataError::value(
            "predictions",
            format!("{} do not make rows of {n_labels} labels", predicted.len()),
        ));
    }
    let (mut sum, mut divisor) = (0.0, 0.0);
    let mut d_predicted = vec![0.0; predicted.len()];
    for (j, (p, target)) in predicted.iter().zip(targets).enumerate() {
        let Some(target) = target else { continue };
        for (what, value) in [("prediction", p), ("target", target)] {
            if !value.is_finite() {
                return Err(DataError::NonFinite {
                    place: format!("response {}, label {}", j / n_labels, j % n_labels),
                    what: what.into(),
                    value: value.to_string(),
                });
            }
        }
        let v = label_weights[j % n_labels];
        sum += v * (p - target) * (p - target);
        divisor += v;
        d_predicted[j] = 2.0 * v * (p - target);
    }
    if divisor == 0.0 {
        return Err(DataError::value("targets", "no label with weight was observed"));
    }
    for d in &mut d_predicted {
        *d /= divisor;
    }
    Ok(LabelRegression {
        loss: sum / divisor,
        d_predicted,
    })
}

#[cfg(test)]
#[path = "multi_objective_grpo_tests.rs"]
mod tests;
