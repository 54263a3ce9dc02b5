//! The name of a run: a hash of everything that determines its bytes.

use groupwise_core::{Task, World};
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

/// Content hash of resolved recipe, seed, tasks and [`NUMERICS_VERSION`]: 16 hexadecimal digits.
///
/// The path tasks come from does not enter, the tasks do: the same rows give the same run anywhere.
///
/// # Errors
/// If the tasks cannot be made or read.
pub fn run_id(plan: &Plan, seed: u64) -> Result<String, PipelineError> {
    let tasks = tasks_digest(plan.world.as_ref(), seed)?;
    digest(&Identity {
        numerics: NUMERICS_VERSION,
        seed,
        recipe: &plan.recipe,
        tasks: &tasks,
    })
}

/// Hash of what a warm start depends on.
pub(crate) fn warm_start_id(plan: &Plan, seed: u64) -> Result<String, PipelineError> {
    let tasks = tasks_digest(plan.world.as_ref(), seed)?;
    let parts = (
        &plan.recipe.policy,
        &plan.recipe.warm_start,
        &plan.recipe.env,
        plan.recipe.run.temperature,
    );
    digest(&(NUMERICS_VERSION, seed, parts, tasks))
}

fn tasks_digest(world: &dyn World, seed: u64) -> Result<String, PipelineError> {
    let key = task_key(seed);
    let tasks: (Vec<Task>, Vec<Task>) = (
        world.train_tasks(key).map_err(PipelineError::Tasks)?,
        world.eval_tasks(key).map_err(PipelineError::Tasks)?,
    );
    digest(&tasks)
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
