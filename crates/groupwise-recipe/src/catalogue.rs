//! Every named part of every seam: what recipes can choose from.

use groupwise_advantage::AdvantageSpec;
use groupwise_core::part::PartInfo;
use groupwise_env::WorldSpec;
use groupwise_objective::ObjectiveSpec;
use groupwise_reward::{ShaperSpec, VerifierSpec};
use groupwise_sampler::{AllocatorSpec, FilterSpec, RepairSpec, SamplerSpec, ScaffoldSpec};

/// The parts of each seam, by the seam's key in recipes, in the order in which a run calls them.
///
/// # Example
/// ```
/// let catalogue = groupwise_recipe::catalogue();
/// let (_, advantages) = catalogue.iter().find(|(seam, _)| *seam == "advantage").expect("a seam");
/// assert!(advantages.iter().any(|part| part.name == "grpo" && part.source.contains("2402.03300")));
/// ```
pub fn catalogue() -> Vec<(&'static str, Vec<PartInfo>)> {
    vec![
        ("env", WorldSpec::catalogue()),
        ("sampler", SamplerSpec::catalogue()),
        ("allocator", AllocatorSpec::catalogue()),
        ("filter", FilterSpec::catalogue()),
        ("scaffold", ScaffoldSpec::catalogue()),
        ("repair", RepairSpec::catalogue()),
        ("verifier", VerifierSpec::catalogue()),
        ("shapers", ShaperSpec::catalogue()),
        ("advantage", AdvantageSpec::catalogue()),
        ("objective", ObjectiveSpec::catalogue()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_formula_and_source() {
        for (seam, parts) in catalogue() {
            assert!(!parts.is_empty(), "{seam}");
            for part in parts {
                assert!(!part.formula.trim().is_empty(), "{seam}.{}", part.name);
                assert!(!part.source.trim().is_empty(), "{seam}.{}", part.name);
            }
        }
    }
}
