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
//! | [`running-sum`](envs::running_sum) | 1 | digits | 1 if the sum is right |
//! | [`effort-choice`](envs::effort_choice) | 1, or one per token | the need | 1 with the probability of the level |
//! | [`fact-chain`](envs::fact_chain) | one per hop | hops | 1 if every entity was right |
//! | [`plan-choice`](envs::plan_choice) | 2 | 1 | 1 with the plan's probability |
//! | [`answer-pools`](envs::answer_pools) | 1 | 1 | by verifier `reward-ensemble` |
//! | [`class-points`](envs::class_points) | 1 | 1 | 1 for the right class |
//! | [`menu-screens`](envs::menu_screens) | 1 | clicks of a goal | by verifier `gui-critic-r1` |
//! | [`answer-twice`](envs::answer_twice) | 2 | 1 | 1 if the second answer was right |
//! | [`trace-answer`](envs::trace_answer) | 2 | 1 | what a listener makes of the trace |
//! | [`reply-labels`](envs::reply_labels) | one per word | 2 where labels conflict, else 1 | by shapers |
//! | [`opinion-table`](envs::opinion_table) | 1 | 2 where roles disagree, else 1 | share of sentences that say their role's opinion |
//! | [`trace-dialects`](envs::trace_dialects) | 1 | digits | 1 if the answer is right |
//! | [`category-arms`](envs::category_arms) | 1 | place of the category | 1 for the demonstrated arm |
//!
//! Every generated task carries its ground-truth difficulty, so that a sampler's estimate can be compared with it.

mod certain;
pub mod envs;
pub mod inversion;
mod rows;
mod sides;
mod single_turn;

use std::path::PathBuf;

pub use envs::WorldSpec;

/// What building a world needs besides its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorldContext {
    /// Folder of task data that the user gave, if any.
    pub data: Option<PathBuf>,
}
