//! Statistics of experiments with few seeds: what a difference between two arms is worth.
//!
//! Arms of an ablation run under the same seeds and share their draws, so they are compared by *paired*
//! differences ([`compare_paired`]): mean difference, a Student-t and two bootstrap intervals, an exact sign-flip
//! permutation test, the share of seeds that improved, and the effect these seeds could have detected at all.
//! Everything is a pure function of slices; resampling is keyed by [`groupwise_core::Key`], so every interval is
//! reproducible to the last bit.
//!
//! # How far to trust an interval
//! With `n` seeds a percentile bootstrap can only recombine `n` numbers: its variance is short by `(n - 1) / n`
//! and its tails end at the smallest and largest difference.  Measured coverage of nominal 95% intervals for
//! normal differences (tests of [`bootstrap`] and [`interval`]; 4,000 keyed simulations each):
//!
//! | seeds | Student t | percentile bootstrap |
//! |---|---|---|
//! | 3 | 95% | 74% |
//! | 5 | 95% | 82% |
//! | 10 | 95% | 89% |
//!
//! Below [`SMALL_SAMPLE`] seeds the Student-t interval is therefore the one a verdict rests on; both are reported.
//! A sign-flip test over `n` pairs cannot give a p-value below `2^(1 - n)`: 0.25 for 3 seeds, 0.031 for 6.
//!
//! | module | holds |
//! |---|---|
//! | [`summary`] | mean, spread, quantiles, interquartile mean, optimality gap, performance profile |
//! | [`interval`] | the interval type, Student-t intervals |
//! | [`bootstrap`] | percentile and BCa intervals, stratified resampling |
//! | [`permutation`] | sign-flip test, probability of improvement, Holm's correction |
//! | [`paired`] | the whole comparison of two arms, verdict included |
//! | [`power`] | power of the paired t test, minimum detectable effect, seeds needed |
//! | [`curve`] | learning curves: interpolation, area, equal budgets |
//! | [`pass_at_k`](mod@pass_at_k), [`rank`], [`calibration`] | pass@k, Spearman's rho, Brier score |
//! | [`cross_play`] | policies against one another: equilibrium, alpha-rank, opponents |
//! | [`circuits`], [`attribution`] | heads that come and go with training, and which edges carry a difference |

pub mod attribution;
pub mod bootstrap;
pub mod calibration;
pub mod circuits;
pub mod cross_play;
pub mod curve;
pub mod error;
pub mod interval;
pub mod paired;
pub mod pass_at_k;
pub mod permutation;
pub mod power;
pub mod rank;
pub mod summary;

pub use bootstrap::{BootstrapConfig, BootstrapMethod, bootstrap_interval, stratified_bootstrap_interval};
pub use calibration::brier_score;
pub use curve::{Curve, common_range};
pub use error::StatsError;
pub use interval::{Interval, IntervalMethod, student_t_interval};
pub use paired::{PairedComparison, PairedConfig, SMALL_SAMPLE, Verdict, compare_paired};
pub use pass_at_k::pass_at_k;
pub use permutation::{
    SignFlipConfig, holm, paired_improvement, probability_of_improvement, sign_flip_p_value,
};
pub use power::{minimum_detectable_effect, paired_power, seeds_needed};
pub use rank::spearman;
pub use summary::{
    interquartile_mean, mean, median, optimality_gap, performance_profile, quantile, standard_deviation,
    standard_error,
};
