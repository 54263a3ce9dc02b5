//! Group filters: which rolled-out groups enter the update.

use groupwise_core::{GroupFilter, registry};

pub mod dynamic_sampling;
pub mod none;

registry! {
    /// Every group filter, `[filter.<name>]` in a recipe.
    pub enum FilterSpec => dyn GroupFilter, () {
        /// Every group trains.
        None = "none": none::NoFilterConfig,
        /// Groups whose rewards differ train; the others are generated anew.
        DynamicSampling = "dynamic-sampling": dynamic_sampling::DynamicSamplingConfig,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_builds_and_describes_itself() {
        for name in FilterSpec::NAMES {
            let spec = FilterSpec::named(name).unwrap();
            assert!(spec.build(&()).is_ok());
            assert!(!spec.formula().is_empty() && !spec.source().is_empty());
            let text = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<FilterSpec>(&text).unwrap(), spec);
        }
    }
}
