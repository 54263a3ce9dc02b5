//! Weighted selection: without replacement by Gumbel keys, with replacement by inversion.

use groupwise_core::{DataError, Key};

use crate::topk::top_k;

/// Keys whose order is a weighted selection without replacement: `log p_i - ln(-ln u_i)`.
///
/// # Formula
/// The `B` largest keys are distributed as `B` draws, one after the other, each in proportion to the `p` that are
/// left (Gumbel top-k).
///
/// # Shapes
/// `log_weights` in nats, up to a common constant; one uniform in [0, 1] per item.
///
/// # Edge cases
/// `u = 0` gives minus infinity, `u = 1` plus infinity; a weight of 0 (log minus infinity) is chosen last.
///
/// # Errors
/// [`DataError::Length`] if the counts differ, [`DataError::Value`] for a uniform outside [0, 1] or a NaN weight.
///
/// # Source
/// Gumbel top-k: Yellott, Journal of Mathematical Psychology 15 (1977).
pub fn gumbel_keys(log_weights: &[f64], uniforms: &[f64]) -> Result<Vec<f64>, DataError> {
    DataError::check_len("uniforms", uniforms.len(), log_weights.len())?;
    let key = |(i, (log_weight, u)): (usize, (&f64, &f64))| {
        if log_weight.is_nan() || !(0.0..=1.0).contains(u) {
            return Err(DataError::value(
                format!("task {i}"),
                format!("log-weight {log_weight} with uniform {u} gives no key"),
            ));
        }
        // A weight of 0 loses against every other, whatever it drew.
        let gumbel = -(-u.ln()).ln();
        Ok(if *log_weight == f64::NEG_INFINITY {
            *log_weight
        } else {
            log_weight + gumbel
        })
    };
    log_weights.iter().zip(uniforms).enumerate().map(key).collect()
}

/// `n` of the tasks `candidates`, without replacement, in proportion to `exp(log_weights)`; best key first.
///
/// Each task draws under its own key, so that a larger pool changes no draw of the others.
///
/// # Errors
/// As [`gumbel_keys`].
pub fn without_replacement(
    candidates: &[usize],
    log_weights: &[f64],
    n: usize,
    key: Key,
) -> Result<Vec<usize>, DataError> {
    let uniforms: Vec<f64> = candidates
        .iter()
        .map(|task| key.task(*task as u64).uniform())
        .collect();
    let keys = gumbel_keys(log_weights, &uniforms)?;
    Ok(top_k(&keys, n).into_iter().map(|i| candidates[i]).collect())
}

/// Weights divided by their sum; all zero: equal shares.
///
/// # Errors
/// No weight, or one that is negative or not finite; names it.
///
/// # Example
/// ```
/// use groupwise_sampler::weighted::shares;
/// assert_eq!(shares(&[0.3, 0.0, 0.1])?, [0.7499999999999999, 0.0, 0.25]);
/// assert_eq!(shares(&[0.0, 0.0])?, [0.5, 0.5]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn shares(weights: &[f64]) -> Result<Vec<f64>, DataError> {
    if weights.is_empty() {
        return Err(DataError::value("weights", "must hold at least one entry"));
    }
    if let Some(i) = weights.iter().position(|w| !(*w >= 0.0 && w.is_finite())) {
        return Err(DataError::value(
            format!("task {i}"),
            format!("weight {} is not a finite number >= 0", weights[i]),
        ));
    }
    let largest = weights.iter().copied().fold(0.0, f64::max);
    if largest == 0.0 {
        return Ok(vec![1.0 / weights.len() as f64; weights.len()]);
    }
    // Divided by the largest first: the sum cannot overflow.
    let sum: f64 = weights.iter().map(|w| w / largest).sum();
    Ok(weights.iter().map(|w| w / largest / sum).collect())
}

/// Draws with replacement in proportion to weights; O(log n) a draw.
///
/// # Formula
/// The first index whose cumulated share exceeds the uniform.
///
/// # Edge cases
/// All weights 0: uniform.  An index of weight 0 is never drawn otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedSampler {
    cumulated: Vec<f64>,
}

impl WeightedSampler {
    /// Prepares the draws.
    ///
    /// # Errors
    /// As [`shares`].
    pub fn new(weights: &[f64]) -> Result<Self, DataError> {
        let mut total = 0.0;
        let cumulated = shares(weights)?.into_iter().map(|share| {
            total += share;
            total
        });
        Ok(Self {
            cumulated: cumulated.collect(),
        })
    }

    /// The index that a uniform in [0, 1) leads to.
    pub fn draw(&self, uniform: f64) -> usize {
        // Scaled to what the shares really add up to, so that rounding cannot lead past the last weight.
        let total = self.cumulated[self.cumulated.len() - 1];
        let found = self.cumulated.partition_point(|c| *c <= uniform * total);
        // Only a uniform of 1 leads here: the last index of a positive share.
        let last = self.cumulated.partition_point(|c| *c < total);
        found.min(last)
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edges_of_the_unit_interval_have_keys() {
        let keys = gumbel_keys(
            &[0.0, 0.0, f64::NEG_INFINITY, f64::NEG_INFINITY],
            &[0.0, 1.0, 1.0, 0.5],
        );
        assert_eq!(
            keys,
            Ok(vec![
                f64::NEG_INFINITY,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::NEG_INFINITY
            ])
        );
    }

    #[test]
    fn bad_weights_are_named() {
        let text = |result: Result<Vec<f64>, DataError>| result.unwrap_err().to_string();
        assert_eq!(
            text(gumbel_keys(&[0.0, f64::NAN], &[0.5, 0.5])),
            "task 1: log-weight NaN with uniform 0.5 gives no key"
        );
        assert_eq!(
            text(gumbel_keys(&[0.0], &[1.5])),
            "task 0: log-weight 0 with uniform 1.5 gives no key"
        );
        assert_eq!(
            text(gumbel_keys(&[0.0], &[])),
            "`uniforms` has 0 entries, expected 1"
        );
        assert_eq!(text(shares(&[])), "weights: must hold at least one entry");
        assert_eq!(
            text(shares(&[1.0, -0.5])),
            "task 1: weight -0.5 is not a finite number >= 0"
        );
        assert_eq!(
            text(shares(&[f64::INFINITY])),
            "task 0: weight inf is not a finite number >= 0"
        );
    }

    #[test]
    fn a_weight_of_zero_is_never_drawn() {
        let sampler = WeightedSampler::new(&[0.0, 1.0, 0.0, 3.0, 0.0]).unwrap();
        let drawn: Vec<usize> = [0.0, 0.2499, 0.25, 0.999_999, 1.0]
            .map(|u| sampler.draw(u))
            .to_vec();
        assert_eq!(drawn, [1, 1, 3, 3, 3]);
        let even = WeightedSampler::new(&[0.0; 4]).unwrap();
        assert_eq!([0.0, 0.3, 0.5, 0.8].map(|u| even.draw(u)), [0, 1, 2, 3]);
    }

    #[test]
    fn a_selection_holds_no_task_twice_and_no_more_than_there_are() {
        let key = Key::new(3, Stream::Sampler);
        let mut chosen = without_replacement(&[4, 7, 9], &[0.0, -1.0, -2.0], 9, key).unwrap();
        chosen.sort_unstable();
        assert_eq!(chosen, [4, 7, 9]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn shares_are_a_distribution_and_scale_free(
            weights in prop::collection::vec(0.0..5.0f64, 1..12), scale in 1e-3..1e3f64,
        ) {
            let found = shares(&weights)?;
            prop_assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let scaled: Vec<f64> = weights.iter().map(|w| w * scale).collect();
            for (a, b) in found.iter().zip(shares(&scaled)?) {
                prop_assert!((a - b).abs() < 1e-12);
            }
        }

        #[test]
        fn draws_land_where_the_cumulated_shares_say(
            weights in prop::collection::vec(0.0..5.0f64, 1..12), u in 0.0..1.0f64,
        ) {
            let found = WeightedSampler::new(&weights)?.draw(u);
            let shares = shares(&weights)?;
            let below: f64 = shares[..found].iter().sum();
            prop_assert!(below <= u + 1e-12 && u <= below + shares[found] + 1e-12);
            prop_assert!(shares[found] > 0.0);
        }

        #[test]
        fn without_replacement_is_monotone_in_the_weight(
            weights in prop::collection::vec(0.1..5.0f64, 3..10), n in 1usize..3, seed in 0u64..1000,
        ) {
            // Common draws: raising the weight of a chosen task keeps it chosen.
            let tasks: Vec<usize> = (0..weights.len()).collect();
            let key = Key::new(seed, Stream::Sampler);
            let mut logs: Vec<f64> = weights.iter().map(|w| w.ln()).collect();
            let chosen = without_replacement(&tasks, &logs, n, key)?;
            logs[chosen[0]] += 1.0;
            prop_assert_eq!(without_replacement(&tasks, &logs, n, key)?[0], chosen[0]);
        }
    }
}
