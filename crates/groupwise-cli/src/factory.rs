//! Joins pipeline and policies: the only code that knows both.

use groupwise_core::Key;
use groupwise_core::seams::{Features, PolicyError, Symbols};
use groupwise_pipeline::{Pair, PolicyFactory};
use groupwise_recipe::PolicySpec;

/// Makes every policy this build knows.
#[derive(Debug)]
pub(crate) struct Factory;

impl PolicyFactory for Factory {
    fn build(
        &self,
        spec: &PolicySpec,
        symbols: &Symbols,
        initial_logits: Option<Vec<Vec<f64>>>,
        features: Option<Features>,
        key: Key,
    ) -> Result<Pair, PolicyError> {
        match spec {
            PolicySpec::Tabular(config) => {
                let (policy, learner) = groupwise_tabular::pair(config, symbols, initial_logits, key)
                    .map_err(|e| PolicyError::Unavailable(format!("policy.tabular: {e}")))?;
                Ok((Box::new(policy), Some(Box::new(learner))))
            }
            PolicySpec::Linear(config) => {
                let (policy, learner) =
                    groupwise_tabular::linear_pair(config, symbols, features, initial_logits, key)
                        .map_err(|e| PolicyError::Unavailable(format!("policy.linear: {e}")))?;
                Ok((Box::new(policy), Some(Box::new(learner))))
            }
            PolicySpec::Transformer(config) => {
                let (policy, learner) = groupwise_learner::transformer(
                    &config.model,
                    &config.optimizer,
                    symbols,
                    &config.device,
                    key,
                )?;
                Ok((Box::new(policy), Some(Box::new(learner))))
            }
        }
    }
}
