//! Objectives on nested lists, group -> trajectory -> token: for conformance runs, scoring of foreign rollouts and
//! examples.  Training goes through [`TokenBatch`] directly.

use std::sync::Arc;

use groupwise_core::{Advantages, DataError, Objective, Offsets, TokenBatch};
use serde::{Deserialize, Serialize};

/// One number per token: group -> trajectory -> token.
pub type Nested = Vec<Vec<Vec<f64>>>;

/// Advantages at either level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NestedAdvantages {
    /// One per trajectory: group -> trajectory.
    Trajectory(Vec<Vec<f64>>),
    /// One per token.
    Token(Nested),
}

/// Input of an objective as nested lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NestedBatch {
    /// Current log-probabilities, nats.
    pub logp: Nested,
    /// Log-probabilities at the start of the update; absent: the current ones.
    #[serde(default)]
    pub logp_old: Option<Nested>,
    /// Log-probabilities under the reference policy.
    #[serde(default)]
    pub logp_ref: Option<Nested>,
    /// True where a token counts; absent: everywhere.
    #[serde(default)]
    pub mask: Option<Vec<Vec<Vec<bool>>>>,
    /// Advantages.
    pub advantages: NestedAdvantages,
}

/// Result of an objective as nested lists.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NestedEvaluation {
    /// The scalar to minimize.
    pub loss: f64,
    /// Its derivative by each log-probability.
    pub grad_logp: Nested,
    /// Named figures.
    pub terms: Vec<(String, f64)>,
}

/// Flattens one field, checking that it has the shape of `logp`.
fn flatten<T: Copy>(what: &str, nested: &[Vec<Vec<T>>], like: &Nested) -> Result<Vec<T>, DataError> {
    let mut flat = Vec::new();
    DataError::check_len(&format!("{what}: groups"), nested.len(), like.len())?;
    for (g, (group, like)) in nested.iter().zip(like).enumerate() {
        DataError::check_len(
            &format!("{what}: trajectories of group {g}"),
            group.len(),
            like.len(),
        )?;
        for (i, (row, like)) in group.iter().zip(like).enumerate() {
            let name = format!("{what}: tokens of group {g}, trajectory {i}");
            DataError::check_len(&name, row.len(), like.len())?;
            flat.extend(row.iter().copied());
        }
    }
    Ok(flat)
}

impl NestedBatch {
    /// The batch in ragged form, and the current log-probabilities.
    ///
    /// # Errors
    /// A field without the shape of `logp`, a number that is not finite.
    pub fn to_batch(&self) -> Result<(TokenBatch, Vec<f64>), DataError> {
        let logp = flatten("logp", &self.logp, &self.logp)?;
        let optional = |what: &str, field: &Option<Nested>| {
            field
                .as_ref()
                .map(|nested| flatten(what, nested, &self.logp))
                .transpose()
        };
        let logp_old = optional("logp_old", &self.logp_old)?;
        let mask = self
            .mask
            .as_ref()
            .map(|nested| flatten("mask", nested, &self.logp))
            .transpose()?;
        let advantages = match &self.advantages {
            NestedAdvantages::Token(nested) => Advantages::Token(flatten("advantages", nested, &self.logp)?),
            NestedAdvantages::Trajectory(rows) => {
                DataError::check_len("advantages: groups", rows.len(), self.logp.len())?;
                for (g, (row, group)) in rows.iter().zip(&self.logp).enumerate() {
                    DataError::check_len(&format!("advantages: group {g}"), row.len(), group.len())?;
                }
                Advantages::Trajectory(rows.concat())
            }
        };
        let tokens = Offsets::from_lengths(self.logp.iter().flatten().map(Vec::len));
        let batch = TokenBatch {
            groups: Offsets::from_lengths(self.logp.iter().map(Vec::len)),
            prompts: vec![Arc::from([]); tokens.len()],
            ids: vec![0; logp.len()],
            mask: mask.unwrap_or_else(|| vec![true; logp.len()]),
            logp_sampler: logp_old.clone().unwrap_or_else(|| logp.clone()),
            logp_old,
            logp_ref: optional("logp_ref", &self.logp_ref)?,
            segments: None,
            advantages,
            temperature: 1.0,
            tokens,
        };
        batch.check()?;
        Ok((batch, logp))
    }
}

/// Evaluates an objective on nested lists, the whole batch as one view.
///
/// # Shapes
/// Every field group -> trajectory -> token, as `logp`; the result too.
///
/// # Errors
/// Fields that do not fit one another; whatever the objective refuses.
///
/// # Example
/// ```
/// use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested};
/// use groupwise_objective::objectives::ObjectiveSpec;
/// let spec: ObjectiveSpec = serde_json::from_str(r#"{"reinforce": {}}"#)?;
/// let at = evaluate_nested(spec.build(&())?.as_ref(), &NestedBatch {
///     logp: vec![vec![vec![-0.5, -0.25], vec![-1.0]]],
///     logp_old: None,
///     logp_ref: None,
///     mask: None,
///     advantages: NestedAdvantages::Trajectory(vec![vec![1.0, -1.0]]),
/// })?;
/// assert_eq!((at.loss, at.grad_logp), (-0.125, vec![vec![vec![-0.5, -0.5], vec![0.5]]]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn evaluate_nested(
    objective: &dyn Objective,
    input: &NestedBatch,
) -> Result<NestedEvaluation, DataError> {
    let (batch, logp) = input.to_batch()?;
    evaluate_batch(objective, &batch, &logp)
}

/// As [`evaluate_nested`], for a batch in ragged form: for inputs that nested lists have no place for.
///
/// # Errors
/// Whatever the objective refuses.
pub fn evaluate_batch(
    objective: &dyn Objective,
    batch: &TokenBatch,
    logp: &[f64],
) -> Result<NestedEvaluation, DataError> {
    let view = batch.view(0..batch.n_trajectories(), logp, None)?;
    let frozen = objective.freeze(&objective.denominators(batch)?, &view)?;
    let at = objective.evaluate(&frozen, &view)?;
    let rows = |group: std::ops::Range<usize>| {
        group
            .map(|i| at.grads.d_logp[batch.tokens.range(i)].to_vec())
            .collect()
    };
    Ok(NestedEvaluation {
        loss: at.loss,
        grad_logp: batch.groups.spans().iter().map(rows).collect(),
        terms: at
            .terms
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect(),
    })
}

/// Two small groups with log-probabilities under three policies: what the examples and golden cases of the
/// baselines compute on.
///
/// Rewards `[1, 0, 0]` and `[1, 0]`; the advantages are `(r - mean) / (s + 1e-6)`, s the sample deviation.
pub fn worked_example() -> NestedBatch {
    let row = |tokens: &[f64]| tokens.to_vec();
    NestedBatch {
        logp: vec![
            vec![
                row(&[-0.6914, -1.2118]),
                row(&[-0.3209, -0.4997]),
                row(&[-2.5217, -3.2082]),
            ],
            vec![
                row(&[-1.3609, -2.3404, -0.5895, -1.3899]),
                row(&[-0.4954, -0.0751]),
            ],
        ],
        logp_old: Some(vec![
            vec![
                row(&[-0.5383, -1.1224]),
                row(&[-0.2919, -0.7038]),
                row(&[-2.7275, -2.9471]),
            ],
            vec![row(&[-0.9131, -2.3514, -0.8587, -1.32]), row(&[-0.5997, -0.1494])],
        ]),
        logp_ref: Some(vec![
            vec![
                row(&[-0.6438, -1.0085]),
                row(&[-0.3192, -0.7796]),
                row(&[-3.0303, -2.8681]),
            ],
            vec![row(&[-1.0619, -2.2744, -0.7152, -1.38]), row(&[-0.3799, -0.4063])],
        ]),
        mask: None,
        advantages: NestedAdvantages::Trajectory(vec![
            vec![
                1.154_698_538_382_715_5,
                -0.577_349_269_191_357_7,
                -0.577_349_269_191_357_7,
            ],
            vec![0.707_105_781_187_961_6, -0.707_105_781_187_961_6],
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> NestedBatch {
        NestedBatch {
            logp: vec![vec![vec![-1.0, -2.0], vec![]], vec![vec![-3.0]]],
            logp_old: None,
            logp_ref: None,
            mask: None,
            advantages: NestedAdvantages::Trajectory(vec![vec![1.0, 2.0], vec![3.0]]),
        }
    }

    #[test]
    fn shapes_must_fit_and_the_place_is_named() {
        let refuse = |input: NestedBatch| input.to_batch().expect_err("refused").to_string();
        let short = NestedBatch {
            mask: Some(vec![vec![vec![true], vec![]], vec![vec![true]]]),
            ..input()
        };
        assert_eq!(
            refuse(short),
            "`mask: tokens of group 0, trajectory 0` has 1 entries, expected 2"
        );
        let few = NestedBatch {
            logp_ref: Some(vec![vec![vec![-1.0, -2.0], vec![]]]),
            ..input()
        };
        assert_eq!(refuse(few), "`logp_ref: groups` has 1 entries, expected 2");
        let advantages = NestedAdvantages::Trajectory(vec![vec![1.0], vec![3.0]]);
        assert_eq!(
            refuse(NestedBatch {
                advantages,
                ..input()
            }),
            "`advantages: group 0` has 1 entries, expected 2"
        );
        assert_eq!(input().to_batch().expect("fits").0.n_trajectories(), 3);
    }

    #[test]
    fn the_result_has_the_shape_of_the_input() {
        let at = evaluate_nested(crate::objectives::supervised().as_ref(), &input()).expect("fits");
        let third = -1.0 / 3.0;
        assert_eq!(
            at.grad_logp,
            vec![vec![vec![third, third], vec![]], vec![vec![third]]]
        );
        assert_eq!(at.loss, 2.0);
    }
}
