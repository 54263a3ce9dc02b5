//! Clipped squared error of value estimates (PPO's critic).

use groupwise_core::{DataError, ParamError};
use serde::{Deserialize, Serialize};

/// Parameters of the value loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValueClipConfig {
    /// How far an estimate may move from the old one before its error stops falling; > 0.
    pub value_clip: f64,
}

impl Default for ValueClipConfig {
    fn default() -> Self {
        Self { value_clip: 0.2 }
    }
}

/// Value loss and its derivative.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueEvaluation {
    /// The scalar to minimize.
    pub loss: f64,
    /// Its derivative by each value.
    pub d_value: Vec<f64>,
    /// Share of counted values where the clipped error is the larger.
    pub clip_fraction: f64,
}

/// The clipped value loss, valid by construction.
///
/// # Formula
/// `0.5 mean_t max((v - R)^2, (clip(v, v_old - c, v_old + c) - R)^2)` over counted tokens.  Derivative:
/// `(v - R) / n` where the first is the larger or both are equal, else 0.
///
/// # Shapes
/// One value, old value, return and mask entry per token.
///
/// # Edge cases
/// No counted token: loss 0.  A masked token may hold anything.
///
/// # Errors
/// Lengths that differ; a counted error that is not finite.
///
/// # Source
/// PPO (arXiv 1707.06347) as in its authors' code; verl's `compute_value_loss`, TRL's PPO trainer.
///
/// # Example
/// ```
/// use groupwise_objective::losses::{ValueClip, ValueClipConfig};
/// let loss = ValueClip::new(&ValueClipConfig::default())?;
/// let at = loss.evaluate(&[-1.738, -2.313], &[-0.189, 1.392], &[0.767, -0.654], &[true; 2])?;
/// assert!((at.loss - 2.42068525).abs() < 1e-12);
/// assert_eq!(at.d_value[1], 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ValueClip {
    clip: f64,
}

impl ValueClip {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &ValueClipConfig) -> Result<Self, ParamError> {
        let clip = config.value_clip;
        ParamError::check(
            clip > 0.0 && clip.is_finite(),
            "value_clip",
            clip,
            "a finite number > 0",
        )?;
        Ok(Self { clip })
    }

    /// Loss and derivative.
    ///
    /// # Errors
    /// See the type.
    pub fn evaluate(
        &self,
        values: &[f64],
        values_old: &[f64],
        returns: &[f64],
        mask: &[bool],
    ) -> Result<ValueEvaluation, DataError> {
        for (name, found) in [
            ("values_old", values_old.len()),
            ("returns", returns.len()),
            ("mask", mask.len()),
        ] {
            DataError::check_len(name, found, values.len())?;
        }
        let weight = 1.0 / mask.iter().filter(|m| **m).count().max(1) as f64;
        let (mut loss, mut clipped) = (0.0, 0.0);
        let mut d_value = vec![0.0; values.len()];
        for t in (0..values.len()).filter(|t| mask[*t]) {
            let error = values[t] - returns[t];
            let held = crate::block::clamp(values[t], values_old[t] - self.clip, values_old[t] + self.clip);
            let held_error = held - returns[t];
            let squares = (error * error, held_error * held_error);
            // What is not finite must not vanish in a comparison: the errors, and the bounds of the clip.
            for (what, value) in [
                ("value error", squares.0),
                ("old value", values_old[t]),
                ("value error", squares.1),
            ] {
                if !value.is_finite() {
                    return Err(DataError::NonFinite {
                        place: format!("token {t}"),
                        what: what.into(),
                        value: value.to_string(),
                    });
                }
            }
            if squares.0 >= squares.1 {
                loss += 0.5 * weight * squares.0;
                d_value[t] = weight * error;
            } else {
                loss += 0.5 * weight * squares.1;
                clipped += weight;
            }
        }
        Ok(ValueEvaluation {
            loss,
            d_value,
            clip_fraction: clipped,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn loss() -> ValueClip {
        ValueClip::new(&ValueClipConfig::default()).expect("valid")
    }

    #[test]
    fn the_clip_holds_on_both_sides_and_its_share_is_reported() {
        // A quarter each of: 1 held at 0.5 where 0.25 is the larger error from 0 to 0.75; -1 held at -0.5 likewise;
        // 1 moving away from its return, where the open error is the larger; inside the clip.
        let clip = ValueClip::new(&ValueClipConfig { value_clip: 0.5 }).expect("valid");
        let at = clip
            .evaluate(
                &[1.0, -1.0, 1.0, 0.25],
                &[0.0; 4],
                &[1.25, -1.25, -1.0, 0.0],
                &[true; 4],
            )
            .expect("finite");
        assert_eq!(at.loss, 0.5 * (0.75 * 0.75 + 0.75 * 0.75 + 4.0 + 0.0625) / 4.0);
        assert_eq!(at.d_value, [0.0, 0.0, 0.5, 0.0625]);
        assert_eq!(at.clip_fraction, 0.5);
    }

    #[test]
    fn masked_and_empty() {
        let at = loss().evaluate(&[1.0, f64::NAN], &[1.0, 0.0], &[0.0, 0.0], &[true, false]);
        let expected = ValueEvaluation {
            loss: 0.5,
            d_value: vec![1.0, 0.0],
            clip_fraction: 0.0,
        };
        assert_eq!(at, Ok(expected));
        let none = loss().evaluate(&[], &[], &[], &[]).expect("empty is fine");
        assert_eq!(none.loss, 0.0);
    }

    #[test]
    fn bad_data_is_named() {
        let nan = loss().evaluate(&[0.0, f64::NAN], &[0.0; 2], &[0.0; 2], &[true; 2]);
        assert_eq!(
            nan.expect_err("refused").to_string(),
            "token 1: `value error` is NaN"
        );
        for bad in [f64::NAN, f64::INFINITY] {
            let old = loss().evaluate(&[0.0; 2], &[0.0, bad], &[0.0; 2], &[true; 2]);
            assert_eq!(
                old.expect_err("refused").to_string(),
                format!("token 1: `old value` is {bad}")
            );
        }
        // Squares near the end of the range are numbers still.
        let far = loss().evaluate(&[1e150], &[1e150], &[0.0], &[true]);
        assert_eq!(far.expect("finite").d_value, [1e150]);
        let short = loss().evaluate(&[0.0], &[0.0; 2], &[0.0], &[true]);
        assert_eq!(
            short.expect_err("refused").to_string(),
            "`values_old` has 2 entries, expected 1"
        );
        let refused = ValueClip::new(&ValueClipConfig { value_clip: 0.0 });
        assert_eq!(
            refused.expect_err("refused").to_string(),
            "`value_clip` = 0: must be a finite number > 0"
        );
    }

    proptest! {
        #[test]
        fn the_derivative_is_the_central_difference(
            rows in prop::collection::vec((prop::array::uniform3(-2.0..2.0f64), any::<bool>()), 1..8),
        ) {
            let column = |k: usize| rows.iter().map(|row| row.0[k]).collect::<Vec<f64>>();
            let (values, old, returns) = (column(0), column(1), column(2));
            let mask: Vec<bool> = rows.iter().map(|row| row.1).collect();
            let at = loss().evaluate(&values, &old, &returns, &mask)?;
            for t in 0..rows.len() {
                // Kinks: where the two errors are equal in size, and at the edge of the clip.
                let held = values[t].clamp(old[t] - 0.2, old[t] + 0.2);
                let gap = ((values[t] - returns[t]).abs() - (held - returns[t]).abs()).abs();
                let inside = (values[t] - old[t]).abs() < 0.2 - 1e-4;
                if !inside && gap < 1e-3 {
                    continue;
                }
                let mut moved = values.clone();
                let mut loss_at = |x: f64| {
                    moved[t] = x;
                    loss().evaluate(&moved, &old, &returns, &mask).map(|e| e.loss)
                };
                let numeric = (loss_at(values[t] + 1e-5)? - loss_at(values[t] - 1e-5)?) / 2e-5;
                prop_assert!((at.d_value[t] - numeric).abs() < 1e-7, "{} {}", at.d_value[t], numeric);
            }
        }
    }
}
