//! The name of a run: a hash of everything that determines its bytes.

use groupwise_core::Task;
use groupwise_recipe::{Plan, Recipe};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::PipelineError;
use crate::run::task_key;

/// Raise this whenever a change makes the same recipe give other numbers: old runs are then not mistaken for new.
pub const NUMERICS_VERSION: u32 = 2;

#[derive(Serialize)]
struct Identity<'a> {
    numerics: u32,
    seed: u64,
    recipe: &'a Recipe,
    tasks: &'a str,
}

/// A plan with a seed, its tasks, and the name they give a run: what a run starts from.
///
/// Tasks are made once here, for the name as for the run: a world may read a file or fit a model for them.
#[derive(Debug)]
pub struct Prepared<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) seed: u64,
    pub(crate) id: String,
    pub(crate) tasks: Vec<Task>,
    pub(crate) eval_tasks: Vec<Task>,
    /// Hash of both pools.
    pub(crate) tasks_digest: String,
}

impl<'a> Prepared<'a> {
    /// Makes or reads the tasks.
    ///
    /// # Errors
    /// If they cannot be made or read.
    pub fn new(plan: &'a Plan, seed: u64) -> Result<Self, PipelineError> {
        let key = task_key(seed);
        let tasks = plan.world.train_tasks(key).map_err(PipelineError::Tasks)?;
        let eval_tasks = plan.world.eval_tasks(key).map_err(PipelineError::Tasks)?;
        let tasks_digest = digest(&(&tasks, &eval_tasks))?;
        let id = digest(&Identity {
            numerics: NUMERICS_VERSION,
            seed,
            recipe: &plan.recipe,
            tasks: &tasks_digest,
        })?;
        Ok(Self {
            plan,
            seed,
            id,
            tasks,
            eval_tasks,
            tasks_digest,
        })
    }

    /// Content hash of resolved recipe, seed, tasks and [`NUMERICS_VERSION`]: 16 hexadecimal digits.
    ///
    /// The path tasks come from does not enter, the tasks do: the same rows give the same run anywhere.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// [`Prepared::id`] alone.
///
/// # Errors
/// If the tasks cannot be made or read.
pub fn run_id(plan: &Plan, seed: u64) -> Result<String, PipelineError> {
    Ok(Prepared::new(plan, seed)?.id)
}

/// Hash of what a warm start depends on.
pub(crate) fn warm_start_id(plan: &Plan, seed: u64, tasks_digest: &str) -> Result<String, PipelineError> {
    let parts = (
        &plan.recipe.policy,
        &plan.recipe.warm_start,
        &plan.recipe.env,
        plan.recipe.run.temperature,
    );
    digest(&(NUMERICS_VERSION, seed, parts, tasks_digest))
}

fn digest(value: &impl Serialize) -> Result<String, PipelineError> {
    let text = serde_json::to_vec(value).map_err(|e| PipelineError::Corrupt {
        path: "recipe".into(),
        what: e.to_string(),
    })?;
    Ok(hex(&Sha256::digest(text))[..16].to_owned())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
