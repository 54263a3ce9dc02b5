//! What happens before and between rollouts: which prompts, how many rollouts each, which groups train, and how
//! a task is put to the policy.
//!
//! | folder | seam | parts |
//! |---|---|---|
//! | [`samplers`] | [`PromptSampler`](groupwise_core::PromptSampler) | `shuffled`, `uniform`, `vade`, `cures`, `vas`, `sari`, `temporal-r1`, `length-staged` |
//! | [`allocators`] | [`BudgetAllocator`](groupwise_core::BudgetAllocator) | `uniform`, `knapsack`, `square-root` |
//! | [`filters`] | [`GroupFilter`](groupwise_core::GroupFilter) | `none`, `dynamic-sampling` |
//! | [`scaffolds`] | [`Scaffold`](groupwise_core::Scaffold) | `plain`, `seele` |
//! | [`repairs`] | [`GroupRepair`](groupwise_core::seams::GroupRepair) | `none`, `arpo-replay`, `scaf-grpo`, `inject-reference` |
//!
//! The blocks they share: [`success`] (what is known of a prompt's success rate), [`score`] (how much a prompt
//! of that rate can teach), [`topk`] and [`weighted`] (selection), [`diversity`] (how different the answers of a
//! group are), [`apportion`] (splitting whole rollouts), [`stages`] (which families of tasks a curriculum trains on
//! now), [`length_stages`] (stages by how long a task is) and [`task_filter`] (which tasks are worth training on); for
//! hints [`item_response`], [`hint_length`] and [`hint_prefix`] (how much of a solution to show); for groups in which
//! every member failed [`hint_tiers`], [`group_repair`] and [`replay`] (hints, and past successes); and
//! [`rule_library`] (written rules that learn in place of weights).
//!
//! Randomness comes from keys only, and every stateful part saves and loads all it remembers: a resumed run
//! chooses what an uninterrupted one would have chosen, bit for bit.

pub mod allocators;
pub mod apportion;
pub mod difficulty;
pub mod diversity;
pub mod filters;
pub mod group_repair;
pub mod hint_length;
pub mod hint_prefix;
pub mod hint_tiers;
pub mod item_response;
pub mod length_stages;
mod power;
pub mod quantile;
pub mod repairs;
pub mod replay;
pub mod rule_library;
pub mod samplers;
pub mod scaffolds;
pub mod score;
pub mod stages;
pub mod success;
pub mod task_filter;
pub mod topk;
pub mod weighted;

pub use allocators::{AllocatorContext, AllocatorSpec};
pub use filters::FilterSpec;
pub use repairs::{RepairContext, RepairSpec};
pub use samplers::{SamplerContext, SamplerSpec};
pub use scaffolds::ScaffoldSpec;
