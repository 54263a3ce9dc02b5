//! Worlds: families of tasks and the single-use environments they are played in.
//!
//! A world is built from a recipe ([`WorldSpec`]) and a [`WorldContext`]; from then on it is a pure function of
//! its parameters and of the keys it is given: the same key gives the same tasks, the same task and key give the
//! same episode.
//!
//! | world | turns | difficulty | reward |
//! |---|---|---|---|
//! | [`digit-completion`](envs::digit_completion) | 1 | numbers to write | by a verifier |
//! | [`digit-chain`](envs::digit_chain) | 1 | columns that carry | by a verifier |
//! | [`skill-chain`](envs::skill_chain) | one per skill | skills | 1 if every skill was right |
//! | [`interval-bins`](envs::interval_bins) | 2 | bins short of the longest span | overlap of spans |
//! | [`action-classes`](envs::action_classes) | 1 | 1 | 1 with the action's probability |
//! | [`answer-pools`](envs::answer_pools) | 1 | 1 | by verifier `reward-ensemble` |
//! | [`class-points`](envs::class_points) | 1 | 1 | 1 for the right class |
//! | [`menu-screens`](envs::menu_screens) | 1 | clicks of a goal | by verifier `gui-critic-r1` |
//! | [`category-arms`](envs::category_arms) | 1 | place of the category | 1 for the demonstrated arm |
//!
//! Every generated task carries its ground-truth difficulty, so that a sampler's estimate can be compared with it.

pub mod envs;
pub mod inversion;
mod rows;
mod single_turn;

use std::path::PathBuf;

pub use envs::WorldSpec;

/// What building a world needs besides its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorldContext {
    /// Folder of task data that the user gave, if any.
    pub data: Option<PathBuf>,
}
