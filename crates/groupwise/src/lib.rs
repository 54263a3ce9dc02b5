//! Group-relative policy optimisation in small, proven parts.
//!
//! This crate only re-exports; depend on one of the small crates if you need one part: they build in seconds and
//! none of them knows a tensor library.
//!
//! # Example
//! Advantages of one group under two dialects of GRPO:
//! ```
//! use groupwise::advantage::AdvantageSpec;
//! use groupwise::core::{Advantages, Offsets, RewardBatch};
//!
//! let rewards: Vec<Option<f64>> = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0].map(Some).to_vec();
//! let groups = Offsets::from_lengths([8]);
//! let batch = RewardBatch::new(groups.spans(), &rewards);
//! let winner = |spec: &str| -> Result<f64, Box<dyn std::error::Error>> {
//!     let spec: AdvantageSpec = serde_json::from_str(spec)?;
//!     match spec.build(&())?.estimate(&batch)? {
//!         Advantages::Trajectory(a) => Ok(a[0]),
//!         Advantages::Token(a) => Ok(a[0]),
//!     }
//! };
//! assert!((winner(r#"{"grpo": {"dialect": "trl"}}"#)? - 2.47417).abs() < 1e-5);
//! assert!((winner(r#"{"grpo": {"dialect": "prime-rl"}}"#)? - 0.875).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use groupwise_advantage as advantage;
pub use groupwise_core as core;
pub use groupwise_env as env;
#[cfg(feature = "burn")]
pub use groupwise_learner as learner;
#[cfg(feature = "burn")]
pub use groupwise_model as model;
pub use groupwise_objective as objective;
pub use groupwise_pipeline as pipeline;
pub use groupwise_recipe as recipe;
pub use groupwise_reward as reward;
pub use groupwise_rollout as rollout;
pub use groupwise_sampler as sampler;
pub use groupwise_stats as stats;
pub use groupwise_tabular as tabular;

#[doc = include_str!("../../../docs/methods.md")]
pub mod methods {}
