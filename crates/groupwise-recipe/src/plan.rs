//! The parts of one run, built and checked against one another.

use std::path::PathBuf;

use groupwise_advantage::AdvantageSpec;
use groupwise_core::schedule::Ramp;
use groupwise_core::seams::GroupRepair;
use groupwise_core::{
    AdvantageEstimator, BudgetAllocator, GroupFilter, Needs, Objective, ParamError, PromptSampler,
    RewardShaper, Scaffold, Verifier, World,
};
use groupwise_env::WorldContext;
use groupwise_objective::regularizer::KlPenalty;
use groupwise_sampler::{AllocatorContext, RepairContext, SamplerContext};

use crate::recipe::{PolicySpec, Recipe};

/// Every part of a run but its policy, valid by construction.
#[derive(Debug)]
pub struct Plan {
    /// The recipe it was built from.
    pub recipe: Recipe,
    /// World.
    pub world: Box<dyn World>,
    /// Allocator.
    pub allocator: Box<dyn BudgetAllocator>,
    /// Filter.
    pub filter: Box<dyn GroupFilter>,
    /// Scaffold.
    pub scaffold: Box<dyn Scaffold>,
    /// Verifier.
    pub verifier: Box<dyn Verifier>,
    /// Shapers, in order.
    pub shapers: Vec<Box<dyn RewardShaper>>,
    /// Estimator.
    pub estimator: Box<dyn AdvantageEstimator>,
    /// Objective.
    pub objective: Box<dyn Objective>,
    /// KL penalty that the objective wants taken off the rewards (`kl_in = "reward"`).
    pub kl_penalty: Option<KlPenalty>,
    /// Learning rate.
    pub learning_rate: Ramp,
}

/// A parameter error with the table it belongs to: `["allocator", "knapsack"]`.
pub(crate) type PartError = (Vec<String>, ParamError);

fn within<T>(seam: &str, name: &str, result: Result<T, ParamError>) -> Result<T, PartError> {
    result.map_err(|error| (vec![seam.to_owned(), name.to_owned()], error))
}

impl Recipe {
    /// Builds every part and checks that together they make a run.
    ///
    /// # Errors
    /// The first parameter out of range, with the table it stands in.
    pub(crate) fn build(&self, data: Option<PathBuf>) -> Result<Plan, PartError> {
        let top = |result: Result<(), ParamError>| result.map_err(|e| (vec!["run".to_owned()], e));
        top(self.run.validate())?;
        let learning_rate = self.run.schedule().map_err(|e| (vec!["run".to_owned()], e))?;
        if let Some(warm) = &self.warm_start {
            warm.schedule().map_err(|e| (vec!["warm_start".to_owned()], e))?;
        }
        match &self.policy {
            PolicySpec::Tabular(config) => within("policy", "tabular", config.validate())?,
            PolicySpec::Linear(config) => within("policy", "linear", config.validate())?,
            PolicySpec::Transformer(config) => {
                let place =
                    |table: &str| vec!["policy".to_owned(), "transformer".to_owned(), table.to_owned()];
                config.model.validate().map_err(|e| (place("model"), e))?;
                config.optimizer.validate().map_err(|e| (place("optimizer"), e))?;
            }
        }
        let allocation = AllocatorContext {
            num_generations: self.run.num_generations,
        };
        let mut shapers = Vec::new();
        for shaper in &self.shapers {
            shapers.push(within("shapers", shaper.name(), shaper.build(&()))?);
        }
        within(
            "sampler",
            self.sampler.name(),
            self.sampler(self.run.prompts_per_step).map(|_| ()),
        )?;
        let repair = within("repair", self.repair.name(), self.group_repair())?;
        let plan = Plan {
            world: within("env", self.env.name(), self.env.build(&WorldContext { data }))?,
            allocator: within(
                "allocator",
                self.allocator.name(),
                self.allocator.build(&allocation),
            )?,
            filter: within("filter", self.filter.name(), self.filter.build(&()))?,
            scaffold: within("scaffold", self.scaffold.name(), self.scaffold.build(&()))?,
            verifier: within("verifier", self.verifier.name(), self.verifier.build(&()))?,
            shapers,
            estimator: within("advantage", self.advantage.name(), self.advantage.build(&()))?,
            objective: within("objective", self.objective.name(), self.objective.build(&()))?,
            kl_penalty: within("objective", self.objective.name(), self.objective.kl_penalty())?,
            learning_rate,
            recipe: self.clone(),
        };
        self.check_needs(&plan, repair.as_ref())?;
        Ok(plan)
    }

    /// Refuses parts that need what no run of this recipe can give, before anything is computed.
    fn check_needs(&self, plan: &Plan, repair: &dyn GroupRepair) -> Result<(), PartError> {
        if self.objective.reads_rewards() && !matches!(self.advantage, AdvantageSpec::Raw(_)) {
            let name = self.advantage.name();
            let range = format!(
                "raw: objective `{}` compares the rewards themselves",
                self.objective.name()
            );
            return Err((vec!["advantage".to_owned()], ParamError::new(name, name, range)));
        }
        let parts = [
            ("advantage", self.advantage.name(), plan.estimator.needs()),
            ("objective", self.objective.name(), plan.objective.needs()),
        ];
        for (seam, name, needs) in parts {
            // Segments of tokens are the judged steps.
            let judged = needs.intersects(Needs::PROCESS_REWARDS | Needs::SEGMENTS);
            if judged && !plan.verifier.judges_steps() {
                let value = format!(
                    "needs judged steps, and verifier `{}` gives none",
                    plan.verifier.name()
                );
                let error = ParamError::new(name, value, "used with a verifier that judges steps");
                return Err((vec![seam.to_owned(), name.to_owned()], error));
            }
            let missing = if needs.contains(Needs::VALUES) {
                Some((
                    "needs value estimates",
                    "a part that does not: no critic is trained",
                ))
            } else if needs.contains(Needs::OFF_POLICY) && !repair.injects_references() {
                Some((
                    "needs reference solutions in the groups",
                    "used with [repair.inject-reference], which puts them there",
                ))
            } else {
                None
            };
            if let Some((value, range)) = missing {
                let error = ParamError::new(name, value, range);
                return Err((vec![seam.to_owned(), name.to_owned()], error));
            }
        }
        Ok(())
    }

    /// The prompt sampler for a pool.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn sampler(&self, n_tasks: usize) -> Result<Box<dyn PromptSampler>, ParamError> {
        self.sampler.build(&SamplerContext {
            n_tasks,
            num_generations: self.run.num_generations,
        })
    }

    /// The group repair for a run.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn group_repair(&self) -> Result<Box<dyn GroupRepair>, ParamError> {
        self.repair.build(&RepairContext {
            steps: self.run.steps,
        })
    }

    /// Builds every part of the run.
    ///
    /// # Errors
    /// The first parameter out of range, as it would be named in a recipe.
    pub fn plan(&self, data: Option<PathBuf>) -> Result<Plan, ParamError> {
        self.build(data).map_err(|(table, error)| {
            let key = format!("{}.{}", table.join("."), error.key);
            ParamError { key, ..error }
        })
    }

    /// The resolved recipe as TOML, every value written out.
    ///
    /// # Errors
    /// If a value cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, crate::RecipeError> {
        toml::to_string(self).map_err(|e| crate::RecipeError::Resolved(e.to_string()))
    }

    /// Reads [`Recipe::to_toml`].
    ///
    /// # Errors
    /// If the text is no resolved recipe.
    pub fn from_toml(text: &str) -> Result<Self, crate::RecipeError> {
        toml::from_str(text).map_err(|e| crate::RecipeError::Resolved(e.to_string()))
    }
}
