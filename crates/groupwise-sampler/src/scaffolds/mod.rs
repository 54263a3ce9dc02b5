//! Scaffolds: how a task is put to the policy.

use groupwise_core::{Scaffold, registry};

pub mod plain;
pub mod prefix_hint;
pub mod pta_grpo;
pub mod seele;

registry! {
    /// Every scaffold, `[scaffold.<name>]` in a recipe.
    pub enum ScaffoldSpec => dyn Scaffold, () {
        /// The task as it is.
        Plain = "plain": plain::PlainConfig,
        /// The beginning of the reference, as long as holds accuracy at a target.
        Seele = "seele": seele::SeeleConfig,
        /// The beginning of the reference, a constant or falling share.
        PrefixHint = "prefix-hint": prefix_hint::PrefixHintConfig,
        /// Consecutive members share their first turn, a plan.
        PtaGrpo = "pta-grpo": pta_grpo::PtaGrpoConfig,
    }
}
