//! Supervised start: weights that minimise `-mean logp` of demonstrations, cached by content.

use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use groupwise_core::seams::TokenScores;
use groupwise_core::{
    Advantages, DataError, Key, Learner, Offsets, Policy, Schedule, Scope, Stream, Task, TokenBatch,
    TokenGrads, World,
};
use groupwise_recipe::{Plan, WarmStartConfig};

use crate::PipelineError;
use crate::error::{StepError, at};
use crate::folder::write_atomic;
use crate::run::task_key;

/// Trains on demonstrations, or loads the result of having done so from a folder, by its name there.  `progress` hears of
/// each step.
pub(crate) fn warm_start(
    plan: &Plan,
    seed: u64,
    cache: Option<(&Path, &str)>,
    policy: &dyn Policy,
    learner: &mut dyn Learner,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), PipelineError> {
    let Some(config) = &plan.recipe.warm_start else {
        return Ok(());
    };
    let Some((cache, id)) = cache else {
        return train(plan, config, seed, policy, learner, progress);
    };
    fs::create_dir_all(cache).map_err(|source| PipelineError::File {
        path: cache.to_owned(),
        source,
    })?;
    let path = cache.join(format!("{id}.bin"));
    // Cells that share a warm start run side by side: one trains, the others wait for its file.
    let lock_path = cache.join(format!("{id}.lock"));
    let lock = File::create(&lock_path).and_then(|f| f.lock().map(|()| f));
    let _lock = lock.map_err(|source| PipelineError::File {
        path: lock_path,
        source,
    })?;
    if let Ok(bytes) = fs::read(&path) {
        return learner.load(&bytes).map_err(PipelineError::Policy);
    }
    train(plan, config, seed, policy, learner, progress)?;
    write_atomic(&path, &learner.save()?)
}

fn train(
    plan: &Plan,
    config: &WarmStartConfig,
    seed: u64,
    policy: &dyn Policy,
    learner: &mut dyn Learner,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), PipelineError> {
    let key = Key::new(seed, Stream::WarmStart);
    let demonstrations =
        demonstrations(plan.world.as_ref(), policy, task_key(seed)).map_err(at(0, "warm start"))?;
    let schedule = config.schedule()?;
    for step in 0..config.steps {
        let mut rng = key.step(step).rng();
        let chosen: Vec<&Demonstration> = (0..config.batch_size)
            .map(|_| &demonstrations[rng.below(demonstrations.len() as u64) as usize])
            .collect();
        let batch = batch(&chosen, plan.recipe.run.temperature);
        let weight = -1.0 / batch.n_tokens() as f64;
        let mut loss = |part: Range<usize>, _: &TokenScores| -> Result<TokenGrads, DataError> {
            let n = batch.tokens.range_of(part).len();
            Ok(TokenGrads {
                d_logp: vec![weight; n],
                ..TokenGrads::default()
            })
        };
        let rate = schedule.value((step as f64 + 0.5) / config.steps as f64);
        learner
            .step(&batch, Scope::Token, rate, &mut loss)
            .map_err(at(0, "warm start"))?;
        progress(step + 1, config.steps);
    }
    learner.restart().map_err(PipelineError::Policy)
}

struct Demonstration {
    prompt: Arc<[u32]>,
    answer: Vec<u32>,
}

fn demonstrations(world: &dyn World, policy: &dyn Policy, key: Key) -> Result<Vec<Demonstration>, StepError> {
    let mut out = Vec::new();
    for task in world.warm_start_tasks(key)? {
        let Some(text) = world.demonstration(&task) else {
            continue;
        };
        let mut answer = policy.encode_continuation(&text)?;
        answer.extend(policy.end_token());
        out.push(Demonstration {
            prompt: policy.encode(&observed(world, &task, key)?)?.into(),
            answer,
        });
    }
    if out.is_empty() {
        return Err(DataError::value("warm start", "this world has no demonstrations").into());
    }
    Ok(out)
}

/// The text a rollout of this task would start with.
fn observed(world: &dyn World, task: &Task, key: Key) -> Result<String, StepError> {
    let episode = world
        .start(task, key)
        .map_err(|e| DataError::value(task.id.as_str(), e.to_string()))?;
    Ok(episode.observe().text)
}

fn batch(chosen: &[&Demonstration], temperature: f64) -> TokenBatch {
    let tokens = Offsets::from_lengths(chosen.iter().map(|d| d.answer.len()));
    let n = tokens.total();
    TokenBatch {
        groups: Offsets::from_lengths(chosen.iter().map(|_| 1)),
        prompts: chosen.iter().map(|d| Arc::clone(&d.prompt)).collect(),
        ids: chosen.iter().flat_map(|d| d.answer.iter().copied()).collect(),
        mask: vec![true; n],
        logp_sampler: vec![0.0; n],
        logp_old: None,
        logp_ref: None,
        segments: None,
        advantages: Advantages::Trajectory(vec![0.0; chosen.len()]),
        temperature,
        tokens,
    }
}
