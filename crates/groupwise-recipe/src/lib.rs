//! Recipes: TOML files that name every part of a run, and the arms and seeds of an ablation.
//!
//! A file is a base recipe plus `[arms.<name>]` tables that override parts of it:
//!
//! ```toml
//! name = "which-sampler"
//! [ablation]
//! seeds = [0, 1, 2]
//! baseline = "uniform"
//! [run]
//! steps = 60
//! [env.skill-chain]
//! [policy.tabular]
//! [arms.uniform]
//! [arms.vade.sampler.vade]
//! ```
//!
//! Each seam is a table whose one key names the part, and whose value holds the part's own parameters; an arm
//! that names another part replaces the base's.  Unknown keys, wrong types and values out of range are reported
//! with file, line, column, the known names and a suggestion.
//!
//! [`Experiment::from_file`] reads and checks everything; [`Recipe::plan`] builds the parts of one run; [`Parts`] reads
//! estimator and objective alone.

mod catalogue;
mod error;
mod experiment;
mod explain;
mod locate;
mod merge;
mod parts;
mod plan;
mod recipe;

pub use catalogue::catalogue;
pub use error::{RecipeError, Unknown, suggest};
pub use experiment::{AblationConfig, Arm, Claim, Direction, Experiment};
pub use explain::explain;
pub use parts::Parts;
pub use plan::Plan;
pub use recipe::{
    CompletionLog, PolicySpec, Recipe, RunConfig, SchedulerType, TransformerPolicyConfig, WarmStartConfig,
};
