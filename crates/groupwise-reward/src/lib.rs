//! Verifiers and reward shapers.
//!
//! A verifier judges one trajectory ([`verifiers`], the closed list is [`VerifierSpec`]); a shaper changes the
//! rewards of a whole group afterwards ([`shapers`], [`ShaperSpec`]).  Both are pure: the same task and
//! trajectories give the same rewards on any thread, in bounded time.  What cannot be judged is
//! [`Score::Unscorable`](groupwise_core::Score) with a reason, never a silent 0.
//!
//! The arithmetic of each part is also a public function of plain values, for use without the seam.

pub mod arithmetic;
pub mod choice;
pub mod combine;
pub mod diversity;
pub mod ensemble;
pub mod geometry;
pub mod interface_action;
pub mod length_curriculum;
pub mod listener;
pub mod outcome_format;
pub mod pairing;
pub mod qa;
pub mod ranking;
mod response;
pub mod roles;
mod route;
pub mod sandbox;
pub mod screen_action;
pub mod shape;
pub mod shapers;
pub mod step_labels;
pub mod strict_json;
pub mod tool_calls;
mod verdict;
pub mod verifiers;

pub use response::{Fuel, Judge, OutOfFuel, after_thinking};
pub use route::RouteReward;
pub use shapers::{ShaperSpec, main_reward, overlong_penalty, sub_reward};
pub use verdict::Verdict;
pub use verifiers::{
    VerifierSpec, answer_recall, choice_set_reward, digit_completion_rewards, digit_completion_target,
    exact_match, interval_overlap, normalize_answer,
};
