//! A softmax over groups of actions.

use groupwise_core::DataError;

use super::Grouping;

/// A policy over groups, uniform inside each; made by [`group_softmax`].
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSoftmax<'a> {
    grouping: &'a Grouping,
    /// Log-probability of every group.
    log_shares: Vec<f64>,
}

/// The policy of these group logits.
///
/// # Formula
/// `p(a) = softmax(z)[g(a)] / |g(a)|`; `d log p(a) / d z = onehot(g(a)) - softmax(z)`.
///
/// # Shapes
/// One logit per group; log-probabilities and entropies in nats.
///
/// # Edge cases
/// Actions of one group share probability and gradient.  Logits may be large: the largest is subtracted first.
///
/// # Errors
/// Another number of logits than groups; a logit that is not finite.
///
/// # Source
/// The policy head of the module's reference, reconstructed.
///
/// # Example
/// ```
/// use groupwise_tabular::grouping::{Grouping, group_softmax};
/// let grouping = Grouping::new(&[0, 1, 0])?;
/// let policy = group_softmax(&[0.5, -0.2], &grouping)?;
/// assert!((policy.probabilities()[0] - 0.334094).abs() < 1e-6);
/// assert!((policy.logp(2)? + 1.096333).abs() < 1e-6);
/// assert!((policy.grad_logits(2)?[1] + 0.331812).abs() < 1e-6);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn group_softmax<'a>(logits: &[f64], grouping: &'a Grouping) -> Result<GroupSoftmax<'a>, DataError> {
    DataError::check_len("logits", logits.len(), grouping.n_groups())?;
    DataError::check_finite("logits", logits)?;
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let normalizer = logits.iter().map(|z| (z - top).exp()).sum::<f64>().ln();
    Ok(GroupSoftmax {
        grouping,
        log_shares: logits.iter().map(|z| z - top - normalizer).collect(),
    })
}

impl GroupSoftmax<'_> {
    /// Probability of every group.
    pub fn group_probabilities(&self) -> Vec<f64> {
        self.log_shares.iter().map(|l| l.exp()).collect()
    }

    /// Probability of every action.
    pub fn probabilities(&self) -> Vec<f64> {
        let (shares, sizes) = (self.group_probabilities(), self.grouping.sizes());
        let share = |g: &usize| shares[*g] / sizes[*g] as f64;
        self.grouping.labels().iter().map(share).collect()
    }

    /// Log-probability of an action.
    ///
    /// # Errors
    /// An action out of range.
    pub fn logp(&self, action: usize) -> Result<f64, DataError> {
        let g = self.group(action)?;
        Ok(self.log_shares[g] - (self.grouping.sizes()[g] as f64).ln())
    }

    /// Derivative of the log-probability of an action by the group logits.
    ///
    /// # Errors
    /// An action out of range.
    pub fn grad_logits(&self, action: usize) -> Result<Vec<f64>, DataError> {
        let g = self.group(action)?;
        let mut gradient: Vec<f64> = self.log_shares.iter().map(|l| -l.exp()).collect();
        gradient[g] += 1.0;
        Ok(gradient)
    }

    /// Entropy over groups: comparable between groupings, where that over actions holds the logarithms of sizes.
    ///
    /// # Formula
    /// `-sum_g p_g ln p_g`; a probability that underflows to 0 adds 0.
    pub fn group_entropy(&self) -> f64 {
        -self.log_shares.iter().map(|l| l.exp() * l).sum::<f64>()
    }

    fn group(&self, action: usize) -> Result<usize, DataError> {
        let labels = self.grouping.labels();
        labels.get(action).copied().ok_or_else(|| {
            let what = format!("is not one of {}", labels.len());
            DataError::value(format!("action {action}"), what)
        })
    }
}
