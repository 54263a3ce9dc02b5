//! Policy losses as pure functions of per-token numbers, with exact derivatives: no tensors, f64, deterministic.
//!
//! An objective is four independent choices.  Each is a folder here, and any combination is a configuration:
//!
//! | folder | choice | offers |
//! |---|---|---|
//! | [`ratio`] | what the probability ratio is taken over | token, segment, sequence (mean, sum) |
//! | [`surrogate`] | what a token contributes | clip (dual clip, `delta`), capped weight, none |
//! | [`aggregate`] | how tokens are averaged | five weightings |
//! | [`regularizer`] | distance to a reference | k1, k2, k3; loss or reward; ratio correction |
//! | [`objectives`] | named combinations, and the registry | [`ObjectiveSpec`] |
//! | [`losses`] | losses on other inputs | value clip, DPO |
//! | [`dialect`] | what other libraries default to | [`Dialect`] |
//! | [`nested`] | objectives on nested lists | [`evaluate_nested`](nested::evaluate_nested) |
//!
//! ```
//! use groupwise_objective::ObjectiveSpec;
//! let spec: ObjectiveSpec = toml::from_str("[dapo]\nepsilon_high = 0.3")?;
//! let objective = spec.build(&())?;
//! assert!(spec.formula().contains("1 + 0.3"));
//! # let _ = objective;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod aggregate;
mod block;
pub mod dialect;
mod exp;
pub mod losses;
pub mod nested;
pub mod objectives;
pub mod ratio;
pub mod regularizer;
pub mod surrogate;

pub use dialect::Dialect;
pub use objectives::{ObjectiveSpec, supervised};
