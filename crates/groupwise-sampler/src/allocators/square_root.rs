//! Rollouts in proportion to the standard deviation of a prompt's reward.

use groupwise_core::{Allocation, BudgetAllocator, DataError, ParamError, Part, PromptStats};
use serde::{Deserialize, Serialize};

use super::{AllocatorContext, check_batch, check_budget, check_group};
use crate::apportion::largest_remainder;
use crate::success::{Success, Window};

/// The split that minimises the variance of the batch's gradient when all rollouts have gradients of equal norm.
///
/// # Formula
/// `N_i = n_low + part_i`, where the parts split `budget - M n_low` in proportion to `sigma_i = sqrt(f_i (1 - f_i))`
/// by largest remainder, ties to the lower index; f_i is the raw success fraction of the prompt.
///
/// # Shapes
/// f from the last group, if it has `window` results, else from the `window` most recent ones.
///
/// # Edge cases
/// All sigma 0: equal parts.  A prompt without any result counts as f = 1/2 (cures starts from rollouts of every
/// prompt and has no such case), so a batch of new prompts is split equally.  Solved and unsolved prompts get
/// `n_low`.
///
/// # Errors
/// `n_low` above `num_generations`, `window` < 1, a threshold that is NaN, when built; an empty batch, a budget
/// below `M n_low`, a reward that is NaN.
///
/// # Source
/// CurES, arXiv 2510.01037, authors' code `ZexuSun/CurES` @eccf2983 `epic/stage_0_init_difficulty_sample_size.py`
/// with equal gradient norms.  The code rounds each size by itself over the whole data share, so that sizes need
/// not sum to the budget and many are 0; here the budget of each batch is split exactly, above a floor.
///
/// # Example
/// ```
/// use groupwise_sampler::allocators::square_root::{split, standard_deviation};
/// let sigma = [0.0, 0.25, 0.5, 0.75, 1.0].map(standard_deviation);
/// assert!((sigma[1] - 0.433013).abs() < 1e-6);
/// assert_eq!(split(&sigma, 40, 0)?, [0, 13, 14, 13, 0]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SquareRootConfig {
    /// Least rollouts of a prompt, in 0..=num_generations.  Ours: 2; the authors' code has 0.
    pub n_low: u32,
    /// Results that the success fraction is taken over, >= 1.
    pub window: u32,
    /// A reward above it counts as a success.  Authors' code: 0.5.
    pub success_threshold: f64,
}

impl Default for SquareRootConfig {
    fn default() -> Self {
        Self {
            n_low: 2,
            window: 16,
            success_threshold: 0.5,
        }
    }
}

impl Part<dyn BudgetAllocator, AllocatorContext> for SquareRootConfig {
    const SOURCE: &'static str = "arXiv 2510.01037 (CurES), equal gradient norms; authors' code ZexuSun/CurES \
        @eccf2983, but split per batch and exactly";

    fn formula(&self) -> String {
        format!(
            "N_i = {} + largest-remainder share of the rest in proportion to sqrt(f_i (1 - f_i)), \
             f_i = share of rewards > {} in the last {} results",
            self.n_low, self.success_threshold, self.window
        )
    }

    fn build(&self, context: &AllocatorContext) -> Result<Box<dyn BudgetAllocator>, ParamError> {
        check_group(context.num_generations)?;
        ParamError::check(
            self.n_low <= context.num_generations,
            "n_low",
            self.n_low,
            &format!("in 0..={} (num_generations)", context.num_generations),
        )?;
        ParamError::check(
            !self.success_threshold.is_nan(),
            "success_threshold",
            self.success_threshold,
            "a number",
        )?;
        Ok(Box::new(SquareRoot {
            n_low: self.n_low,
            window: Window::new(self.window, 1)?,
            success: Success::Above(self.success_threshold),
        }))
    }
}

#[derive(Debug)]
struct SquareRoot {
    n_low: u32,
    window: Window,
    success: Success,
}

impl BudgetAllocator for SquareRoot {
    fn allocate(&self, prompts: &[PromptStats<'_>], budget: u32) -> Result<Allocation, DataError> {
        let sigma = prompts
            .iter()
            .map(|prompt| {
                let estimate = self.window.of(prompt, self.success)?;
                Ok(standard_deviation(estimate.rate.unwrap_or(0.5)))
            })
            .collect::<Result<Vec<_>, DataError>>()?;
        Ok(Allocation {
            counts: split(&sigma, budget, self.n_low)?,
            unspent: 0,
            surplus: 0,
        })
    }

    fn estimate(&self, prompt: &PromptStats<'_>) -> Option<f64> {
        self.window.of(prompt, self.success).ok()?.rate
    }
}

/// Standard deviation of a binary reward of mean `f`: `sqrt(f (1 - f))`.
pub fn standard_deviation(f: f64) -> f64 {
    (f * (1.0 - f)).max(0.0).sqrt()
}

/// Standard deviation of what one rollout of a prompt adds to the policy gradient, from measured gradient norms.
///
/// # Formula
/// `sigma^2 = f (1-f)^2 mean(c^2) + f^2 (1-f) mean(w^2) - f^2 (1-f)^2 (mean(c) - mean(w))^2` with f the share of right
/// rollouts, c and w the norms of right and wrong ones; a mean over no rollout is 0.
///
/// # Edge cases
/// Equal norms g: `g sqrt(f (1 - f))`.  All right or all wrong: 0.
///
/// # Errors
/// More right rollouts than there are, no rollout, a norm that is negative or not finite.
///
/// # Example
/// ```
/// use groupwise_sampler::allocators::square_root::gradient_deviation;
/// let sigma = gradient_deviation(&[3.0], &[1.0, 2.0, 1.0])?;
/// assert!((sigma - 1.1232625).abs() < 1e-6);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn gradient_deviation(right: &[f64], wrong: &[f64]) -> Result<f64, DataError> {
    let n = right.len() + wrong.len();
    if n == 0 {
        return Err(DataError::value("prompt", "has no rollout"));
    }
    if let Some(norm) = right.iter().chain(wrong).find(|g| !(**g >= 0.0 && g.is_finite())) {
        return Err(DataError::value(
            "gradient norm",
            format!("{norm} is not a finite number >= 0"),
        ));
    }
    let moments = |norms: &[f64]| -> (f64, f64) {
        let count = norms.len().max(1) as f64;
        let square = norms.iter().map(|g| g * g).sum::<f64>() / count;
        (norms.iter().sum::<f64>() / count, square)
    };
    let f = right.len() as f64 / n as f64;
    let ((mean_right, square_right), (mean_wrong, square_wrong)) = (moments(right), moments(wrong));
    let variance = f * (1.0 - f).powi(2) * square_right + f * f * (1.0 - f) * square_wrong
        - (f * (1.0 - f) * (mean_right - mean_wrong)).powi(2);
    // Cauchy-Schwarz keeps it from being negative; rounding does not.
    Ok(variance.max(0.0).sqrt())
}

/// The authors' rounding: each size `budget * w_i / sum` to the nearest whole number, halves to the even one.
///
/// The sizes need not add up to the budget; kept to reproduce released numbers.
///
/// # Errors
/// As [`shares`](crate::weighted::shares).
pub fn nearest_even(weights: &[f64], budget: u32) -> Result<Vec<u32>, DataError> {
    let shares = crate::weighted::shares(weights)?;
    let size = |share: &f64| (f64::from(budget) * share).round_ties_even() as u32;
    Ok(shares.iter().map(size).collect())
}

/// `n_low` for every prompt, and the rest of the budget in proportion to `weights`.
///
/// # Errors
/// An empty batch, a budget below `n_low` for each, a weight that is negative or not finite.
pub fn split(weights: &[f64], budget: u32, n_low: u32) -> Result<Vec<u32>, DataError> {
    check_batch(weights.len())?;
    let rest = check_budget(budget, u64::from(n_low) * weights.len() as u64)?;
    let parts = largest_remainder(weights, rest)?;
    Ok(parts.iter().map(|part| n_low + part).collect())
}

#[cfg(test)]
mod tests {
    use groupwise_core::{GroupOutcome, PromptMemory};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_come_from_the_history_and_new_prompts_count_as_even() {
        let mut memory = PromptMemory::new(4, 16);
        let group = |task, rewards: [f64; 4]| GroupOutcome {
            task,
            rewards: rewards.map(Some).to_vec(),
            lengths: vec![1; 4],
        };
        let groups = [
            group(0, [0.0; 4]),
            group(1, [1.0, 0.0, 0.0, 0.0]),
            group(2, [0.4, 0.6, 0.9, 0.1]),
        ];
        memory.observe(1, &groups).unwrap();
        let context = AllocatorContext { num_generations: 8 };
        let allocator = SquareRootConfig::default().build(&context).unwrap();
        let prompts: Vec<_> = (0..4).map(|task| memory.stats(task)).collect();
        let allocation = allocator.allocate(&prompts, 32).unwrap();
        // Weights 0, 0.433, 0.5, 0.5 of the 24 above the floor: quotas 0, 7.25, 8.37, 8.37.
        assert_eq!(allocation.counts, [2, 9, 11, 10]);
    }

    #[test]
    fn refused_parameters_and_data_are_named() {
        let context = AllocatorContext { num_generations: 4 };
        for (text, message) in [
            (
                r#"{"n_low": 5}"#,
                "`n_low` = 5: must be in 0..=4 (num_generations)",
            ),
            (r#"{"window": 0}"#, "`window` = 0: must be >= 1"),
        ] {
            let config: SquareRootConfig = serde_json::from_str(text).unwrap();
            assert_eq!(config.build(&context).unwrap_err().to_string(), message);
        }
        let config = SquareRootConfig {
            success_threshold: f64::NAN,
            ..SquareRootConfig::default()
        };
        assert_eq!(
            config.build(&context).unwrap_err().to_string(),
            "`success_threshold` = NaN: must be a number"
        );
        assert_eq!(
            split(&[0.5, 0.5], 3, 2).unwrap_err().to_string(),
            "batch: budget 3 is below the 4 rollouts its prompts get at least"
        );
        assert_eq!(split(&[0.0, 0.0, 0.0], 10, 2), Ok(vec![4, 3, 3]));
    }

    #[test]
    fn measured_norms_that_cannot_be_are_refused() {
        let text = |right: &[f64], wrong: &[f64]| gradient_deviation(right, wrong).unwrap_err().to_string();
        assert_eq!(text(&[], &[]), "prompt: has no rollout");
        assert_eq!(
            text(&[1.0], &[-1.0]),
            "gradient norm: -1 is not a finite number >= 0"
        );
        assert_eq!(gradient_deviation(&[1.0, 2.0], &[]), Ok(0.0));
        assert_eq!(gradient_deviation(&[], &[3.0]), Ok(0.0));
    }

    #[test]
    fn released_rounding_goes_to_the_even_number_and_misses_the_budget() {
        assert_eq!(nearest_even(&[1.0, 1.0, 1.0], 8), Ok(vec![3, 3, 3]));
        assert_eq!(nearest_even(&[1.0, 3.0], 10), Ok(vec![2, 8]), "2.5 and 7.5");
    }

    proptest! {
        #[test]
        fn equal_norms_give_the_deviation_of_the_reward(n_right in 0usize..8, n_wrong in 1usize..8, g in 0.1..9.0f64) {
            let sigma = gradient_deviation(&vec![g; n_right], &vec![g; n_wrong])?;
            let f = n_right as f64 / (n_right + n_wrong) as f64;
            prop_assert!((sigma - g * standard_deviation(f)).abs() < 1e-9);
        }

        #[test]
        fn scaling_all_norms_scales_the_deviation(
            right in prop::collection::vec(0.0..5.0f64, 0..6), wrong in prop::collection::vec(0.0..5.0f64, 1..6),
            scale in 0.1..10.0f64,
        ) {
            let by = |norms: &[f64]| norms.iter().map(|g| g * scale).collect::<Vec<_>>();
            let (plain, scaled) = (gradient_deviation(&right, &wrong)?, gradient_deviation(&by(&right), &by(&wrong))?);
            prop_assert!((scaled - scale * plain).abs() < 1e-6);
        }

        #[test]
        fn split_sums_to_the_budget_above_the_floor(
            rates in prop::collection::vec(0.0..=1.0f64, 1..30), n_low in 0u32..4, extra in 0u32..200,
        ) {
            let sigma: Vec<f64> = rates.iter().copied().map(standard_deviation).collect();
            let budget = n_low * rates.len() as u32 + extra;
            let counts = split(&sigma, budget, n_low).unwrap();
            prop_assert_eq!(counts.iter().sum::<u32>(), budget);
            prop_assert!(counts.iter().all(|c| *c >= n_low));
        }
    }
}
