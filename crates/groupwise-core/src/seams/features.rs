use crate::error::ParamError;

/// Sparse features of every state and action: what a linear policy sees instead of a table.
///
/// # Formula
/// `logits(s, a) = base(s, a) + sum_i theta_i psi_i(s, a)`.  With one feature of its own for every state and action,
/// `psi_(s, a) = 1`, the weights are a table of logits.
///
/// # Shapes
/// A row of (index of a weight, value) for each state and action, states in the order of the world's symbols and, within a
/// state, actions in theirs.
///
/// # Edge cases
/// A row without entries has the logit of its base, whatever the weights are.  An index may stand in a row twice: its
/// values add up.
///
/// # Errors
/// No weight, rows that are not states x actions, an index beyond the weights, a value that is not finite.
///
/// # Example
/// ```
/// use groupwise_core::seams::Features;
/// // One state, two actions, which share the first of two weights.
/// let psi = Features::new(1, 2, 2, |_, action| vec![(0, 1.0), (1, action as f64)])?;
/// assert_eq!(psi.logits(&[0.5, 3.0]), [0.5, 3.5]);
/// assert_eq!(psi.gradient(&[1.0, 2.0]), [3.0, 2.0]);
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    n_states: usize,
    n_actions: usize,
    n_weights: usize,
    /// Row r holds the entries `ends[r - 1]..ends[r]`.
    ends: Vec<usize>,
    entries: Vec<(usize, f64)>,
}

impl Features {
    /// Asks `row` for the features of every state and action.
    ///
    /// # Errors
    /// Names what does not fit.
    pub fn new(
        n_states: usize,
        n_actions: usize,
        n_weights: usize,
        mut row: impl FnMut(usize, usize) -> Vec<(usize, f64)>,
    ) -> Result<Self, ParamError> {
        for (key, value) in [
            ("n_states", n_states),
            ("n_actions", n_actions),
            ("n_weights", n_weights),
        ] {
            ParamError::check(value >= 1, key, value, ">= 1")?;
        }
        let (mut ends, mut entries) = (Vec::with_capacity(n_states * n_actions), Vec::new());
        for state in 0..n_states {
            for action in 0..n_actions {
                for (index, value) in row(state, action) {
                    let place = || format!("weight {index}, value {value} of state {state}, action {action}");
                    let holds = index < n_weights && value.is_finite();
                    let range = format!("a finite value of one of the {n_weights} weights");
                    ParamError::check(holds, "features", place(), &range)?;
                    entries.push((index, value));
                }
                ends.push(entries.len());
            }
        }
        Ok(Self {
            n_states,
            n_actions,
            n_weights,
            ends,
            entries,
        })
    }

    /// Number of states.
    pub fn n_states(&self) -> usize {
        self.n_states
    }

    /// Number of actions.
    pub fn n_actions(&self) -> usize {
        self.n_actions
    }

    /// Number of weights.
    pub fn n_weights(&self) -> usize {
        self.n_weights
    }

    /// Entries of each row, in order.
    fn rows(&self) -> impl Iterator<Item = &[(usize, f64)]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.entries[start..*end])
    }

    /// `sum_i theta_i psi_i` of every state and action, row by row.
    ///
    /// # Edge cases
    /// Weights beyond the last one given count as 0.
    pub fn logits(&self, weights: &[f64]) -> Vec<f64> {
        let at = |index: usize| weights.get(index).copied().unwrap_or(0.0);
        self.rows()
            .map(|row| row.iter().map(|(index, value)| at(*index) * value).sum())
            .collect()
    }

    /// Derivative by the weights of a function whose derivative by the logits is given: `sum_(s, a) d(s, a) psi(s, a)`.
    ///
    /// # Edge cases
    /// Derivatives that were not given count as 0.
    pub fn gradient(&self, d_logits: &[f64]) -> Vec<f64> {
        let mut gradient = vec![0.0; self.n_weights];
        for (row, slope) in self.rows().zip(d_logits) {
            // Most states of a batch are not in it.
            if *slope != 0.0 {
                for (index, value) in row {
                    gradient[*index] += slope * value;
                }
            }
        }
        gradient
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = |n_states, n_actions, n_weights, entry: (usize, f64)| {
            Features::new(n_states, n_actions, n_weights, |_, _| vec![entry])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(refused(0, 1, 1, (0, 1.0)), "`n_states` = 0: must be >= 1");
        assert_eq!(refused(1, 0, 1, (0, 1.0)), "`n_actions` = 0: must be >= 1");
        assert_eq!(refused(1, 1, 0, (0, 1.0)), "`n_weights` = 0: must be >= 1");
        let range = "must be a finite value of one of the 2 weights";
        assert_eq!(
            refused(1, 1, 2, (2, 1.0)),
            format!("`features` = weight 2, value 1 of state 0, action 0: {range}")
        );
        assert_eq!(
            refused(1, 1, 2, (0, f64::NAN)),
            format!("`features` = weight 0, value NaN of state 0, action 0: {range}")
        );
    }

    proptest! {
        #[test]
        fn the_gradient_is_the_transpose_of_the_logits(
            dense in prop::collection::vec(-2.0..2.0f64, 3 * 2 * 4),
            weights in prop::collection::vec(-2.0..2.0f64, 4),
            slopes in prop::collection::vec(-2.0..2.0f64, 6),
        ) {
            let row = |s: usize, a: usize| &dense[(2 * s + a) * 4..(2 * s + a + 1) * 4];
            let psi = Features::new(3, 2, 4, |s, a| row(s, a).iter().copied().enumerate().collect()).unwrap();
            let logits = psi.logits(&weights);
            for s in 0..3 {
                for a in 0..2 {
                    let expected: f64 = row(s, a).iter().zip(&weights).map(|(x, w)| x * w).sum();
                    prop_assert!((logits[2 * s + a] - expected).abs() < 1e-12);
                }
            }
            // <slopes, psi theta> = <psi^T slopes, theta>.
            let left: f64 = slopes.iter().zip(&logits).map(|(d, z)| d * z).sum();
            let right: f64 = psi.gradient(&slopes).iter().zip(&weights).map(|(g, w)| g * w).sum();
            prop_assert!((left - right).abs() < 1e-9);
        }
    }
}
