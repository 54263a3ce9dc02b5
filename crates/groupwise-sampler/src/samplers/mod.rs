//! Prompt samplers: which tasks the next batch holds.

use groupwise_core::registry;
use serde::{Deserialize, Serialize};

use groupwise_core::PromptSampler;

pub mod category_balanced;
pub mod cures;
pub mod length_staged;
pub mod sari;
pub mod shuffled;
pub mod staged;
pub mod temporal_r1;
pub mod uniform;
pub mod vade;
pub mod vas;

/// What building a sampler needs besides its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplerContext {
    /// Tasks in the pool, at least 1.
    pub n_tasks: usize,
    /// Mean group size of the run.
    pub num_generations: u32,
}

registry! {
    /// Every prompt sampler, `[sampler.<name>]` in a recipe.
    pub enum SamplerSpec => dyn PromptSampler, SamplerContext {
        /// Shuffled epochs.
        Shuffled = "shuffled": shuffled::ShuffledConfig,
        /// Independent uniform batches.
        Uniform = "uniform": uniform::UniformConfig,
        /// Thompson sampling of the most informative prompts.
        Vade = "vade": vade::VadeConfig,
        /// Boltzmann draws by the standard deviation of the reward.
        Cures = "cures": cures::CuresConfig,
        /// Part of the batch in proportion to variance and diversity, the rest uniform.
        Vas = "vas": vas::VasConfig,
        /// One pass from easy to hard.
        Sari = "sari": sari::SariConfig,
        /// Shuffled epochs over the tasks whose rewards vary at the start.
        TemporalR1 = "temporal-r1": temporal_r1::TemporalR1Config,
        /// Short tasks first, in stages.
        LengthStaged = "length-staged": length_staged::LengthStagedConfig,
        /// Every category equally often.
        CategoryBalanced = "category-balanced": category_balanced::CategoryBalancedConfig,
    }
}

/// Refuses an empty pool, once for all samplers.
fn check_pool(context: &SamplerContext) -> Result<usize, groupwise_core::ParamError> {
    groupwise_core::ParamError::check(context.n_tasks >= 1, "n_tasks", context.n_tasks, ">= 1")?;
    Ok(context.n_tasks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sampler_refuses_an_empty_pool_and_describes_itself() {
        let context = SamplerContext {
            n_tasks: 0,
            num_generations: 8,
        };
        for name in SamplerSpec::NAMES {
            let spec = SamplerSpec::named(name).unwrap();
            let error = spec.build(&context).unwrap_err();
            assert_eq!(error.to_string(), "`n_tasks` = 0: must be >= 1");
            assert!(!spec.formula().is_empty() && !spec.source().is_empty());
            let text = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<SamplerSpec>(&text).unwrap(), spec);
        }
    }
}
