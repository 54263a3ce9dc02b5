//! The rollout engine: drives a [`World`]'s environments with a [`Policy`], all episodes of a batch in lock step.
//!
//! Each turn is one call to [`Policy::extend`] for every episode still running, so that the policy can batch;
//! members of a group share their prompt.  The engine knows no method and no particular world.
//!
//! **Invariants.**  Tokens of a trajectory only ever grow at the end: a later turn's context extends the earlier
//! tokens, text is never re-tokenised.  An episode that fails is marked aborted, never scored.  Every draw is
//! keyed by (step, task, sample, turn, token); members that share turns are keyed by the first of them there.

use std::sync::Arc;

use groupwise_core::seams::{Continuation, EnvError, Member, PolicyError, Prefix, Rendered, Sampling};
use groupwise_core::{Environment, Key, Policy, StopReason, Task, Trajectory, Turn, World};

/// A group to roll out.
#[derive(Clone, Debug)]
pub struct GroupRequest<'a> {
    /// Index of the task in its pool.
    pub index: usize,
    /// The task.
    pub task: &'a Task,
    /// How it is put to the policy.
    pub rendered: Rendered,
    /// Members to sample.
    pub n_samples: u32,
    /// Number of the first member; continues where an earlier group of the same task and step ended.
    pub first_sample: u64,
    /// Key of policy draws, already carrying run seed, stream and step.
    pub policy_key: Key,
    /// Key of environment draws, likewise.
    pub environment_key: Key,
}

/// Why a rollout could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// The policy failed.
    #[error("task `{task}`: {source}")]
    Policy {
        /// Task identity, or "batch" where the failure concerns all.
        task: String,
        /// What failed.
        source: PolicyError,
    },
    /// The environment could not even start.
    #[error("task `{task}`: {source}")]
    Start {
        /// Task identity.
        task: String,
        /// What failed.
        source: EnvError,
    },
}

struct Episode<'a> {
    group: usize,
    request: &'a GroupRequest<'a>,
    environment: Box<dyn Environment>,
    anchor: Option<String>,
    trajectory: Trajectory,
    /// Text the next action starts with, whatever the policy says.
    forced: &'a str,
    done: bool,
}

impl Episode<'_> {
    /// Key of the policy's draws in the turn that comes next.
    fn key(&self) -> Key {
        let turn = self.trajectory.turns.len() as u64;
        let own = self.trajectory.sample;
        let shared = self.request.rendered.shared;
        let sample = shared.map_or(own, |shared| shared.drawn_as(own, turn));
        let key = self.request.policy_key.task(self.request.task.key());
        key.sample(sample).turn(turn)
    }

    /// Names the task in a failure of the policy.
    fn named(&self) -> impl Fn(PolicyError) -> RolloutError + use<> {
        let task = self.request.task.id.clone();
        move |source| RolloutError::Policy {
            task: task.clone(),
            source,
        }
    }
}

/// Rolls out every group; the result has the order of the requests and of their members.
///
/// # Errors
/// If the policy fails or an environment cannot start.  An environment that fails later aborts its episode only.
pub fn roll_out(
    world: &dyn World,
    policy: &mut dyn Policy,
    requests: &[GroupRequest<'_>],
    sampling: &Sampling,
) -> Result<Vec<Vec<Trajectory>>, RolloutError> {
    let mut episodes = start(world, policy, requests)?;
    let max_turns = world.max_turns().max(1);
    loop {
        let running: Vec<usize> = (0..episodes.len()).filter(|e| !episodes[*e].done).collect();
        if running.is_empty() {
            break;
        }
        let continuations = extend(policy, &episodes, &running, sampling)?;
        for (e, continuation) in running.into_iter().zip(continuations) {
            advance(policy, &mut episodes[e], continuation, max_turns)?;
        }
    }
    let mut groups: Vec<Vec<Trajectory>> = requests.iter().map(|_| Vec::new()).collect();
    for episode in episodes {
        groups[episode.group].push(episode.trajectory);
    }
    Ok(groups)
}

/// The episode in which a text that nobody sampled is carried out: a reference solution.
///
/// Its tokens count as the policy's, an end token behind every action where the policy has one; log-probabilities and
/// entropies are 0 until somebody scores them.  An action that the environment fails at ends it as aborted.
///
/// # Errors
/// If the policy cannot spell the text or the environment cannot start.
pub fn demonstrate(
    world: &dyn World,
    policy: &dyn Policy,
    request: &GroupRequest<'_>,
    text: &str,
) -> Result<Trajectory, RolloutError> {
    let one = GroupRequest {
        n_samples: 1,
        ..request.clone()
    };
    let requests = [one];
    let mut episodes = start(world, policy, &requests)?;
    let mut episode = episodes.remove(0);
    let max_turns = world.max_turns().max(1);
    let actions = if max_turns == 1 {
        vec![text]
    } else {
        world.actions(text)
    };
    for action in actions {
        if episode.done {
            break;
        }
        let mut tokens = policy.encode_continuation(action).map_err(episode.named())?;
        tokens.extend(policy.end_token());
        let trajectory = &mut episode.trajectory;
        let begin = trajectory.completion.len();
        append_masked(trajectory, &tokens);
        trajectory.mask[begin..].fill(true);
        let action = action.to_owned();
        act(
            policy,
            &mut episode,
            begin,
            action,
            StopReason::EndToken,
            max_turns,
        )?;
    }
    Ok(episode.trajectory)
}

fn start<'a>(
    world: &dyn World,
    policy: &dyn Policy,
    requests: &'a [GroupRequest<'a>],
) -> Result<Vec<Episode<'a>>, RolloutError> {
    let mut episodes = Vec::new();
    for (group, request) in requests.iter().enumerate() {
        let named = |source| RolloutError::Policy {
            task: request.task.id.clone(),
            source,
        };
        let mut shared: Option<(String, Arc<[u32]>)> = None;
        for sample in request.first_sample..request.first_sample + u64::from(request.n_samples) {
            let key = request.environment_key.task(request.task.key()).sample(sample);
            let environment = world
                .start(request.task, key)
                .map_err(|source| RolloutError::Start {
                    task: request.task.id.clone(),
                    source,
                })?;
            let observation = environment.observe();
            let prompt = match &shared {
                Some((text, tokens)) if *text == observation.text => Arc::clone(tokens),
                _ => {
                    let text = format!("{}{}", request.rendered.prefix, observation.text);
                    let tokens: Arc<[u32]> = policy.encode(&text).map_err(named)?.into();
                    shared = Some((observation.text.clone(), Arc::clone(&tokens)));
                    tokens
                }
            };
            let mut episode = Episode {
                group,
                request,
                environment,
                anchor: observation.anchor,
                trajectory: empty(request.index, sample, prompt, policy.version()),
                forced: "",
                done: false,
            };
            force(world, policy, &mut episode, &request.rendered.forced_answer)?;
            episodes.push(episode);
        }
    }
    Ok(episodes)
}

/// Makes the policy's answer start with `text`: the first tokens of a single-turn answer, or whole actions that are
/// carried out before the policy has its first turn.
fn force<'a>(
    world: &dyn World,
    policy: &dyn Policy,
    episode: &mut Episode<'a>,
    text: &'a str,
) -> Result<(), RolloutError> {
    if text.is_empty() {
        return Ok(());
    }
    let max_turns = world.max_turns().max(1);
    if max_turns == 1 {
        episode.forced = text;
        let tokens = policy.encode_continuation(text).map_err(episode.named())?;
        append_masked(&mut episode.trajectory, &tokens);
        return Ok(());
    }
    for action in world.actions(text) {
        if episode.done {
            break;
        }
        let tokens = policy.encode_continuation(action).map_err(episode.named())?;
        let begin = episode.trajectory.completion.len();
        append_masked(&mut episode.trajectory, &tokens);
        act(
            policy,
            episode,
            begin,
            action.to_owned(),
            StopReason::EndToken,
            max_turns,
        )?;
    }
    Ok(())
}

fn empty(task: usize, sample: u64, prompt: Arc<[u32]>, version: u64) -> Trajectory {
    Trajectory {
        task,
        sample,
        agent: None,
        prompt,
        completion: Vec::new(),
        mask: Vec::new(),
        logp: Vec::new(),
        entropy: Vec::new(),
        turns: Vec::new(),
        version,
        stop: StopReason::TurnLimit,
    }
}

fn append_masked(trajectory: &mut Trajectory, tokens: &[u32]) {
    let length = trajectory.completion.len() + tokens.len();
    trajectory.completion.extend_from_slice(tokens);
    trajectory.mask.resize(length, false);
    trajectory.logp.resize(length, 0.0);
    trajectory.entropy.resize(length, 0.0);
}

/// One call to the policy for all running episodes; neighbours with the same prompt share their prefix.
fn extend(
    policy: &mut dyn Policy,
    episodes: &[Episode<'_>],
    running: &[usize],
    sampling: &Sampling,
) -> Result<Vec<Continuation>, RolloutError> {
    let mut prefixes: Vec<Prefix<'_>> = Vec::new();
    let mut last: Option<&Arc<[u32]>> = None;
    for e in running {
        let episode = &episodes[*e];
        let prompt = &episode.trajectory.prompt;
        let member = Member {
            tail: episode.trajectory.completion.clone(),
            key: episode.key(),
        };
        match (last, prefixes.last_mut()) {
            (Some(previous), Some(prefix)) if Arc::ptr_eq(previous, prompt) => prefix.members.push(member),
            _ => prefixes.push(Prefix {
                shared: prompt,
                members: vec![member],
            }),
        }
        last = Some(prompt);
    }
    let nested = policy
        .extend(&prefixes, sampling)
        .map_err(|source| RolloutError::Policy {
            task: "batch".into(),
            source,
        })?;
    Ok(nested.into_iter().flatten().collect())
}

/// Appends what was sampled and carries it out.
fn advance(
    policy: &dyn Policy,
    episode: &mut Episode<'_>,
    continuation: Continuation,
    max_turns: usize,
) -> Result<(), RolloutError> {
    let trajectory = &mut episode.trajectory;
    let begin = trajectory.completion.len();
    trajectory.completion.extend_from_slice(&continuation.tokens);
    trajectory.mask.resize(trajectory.completion.len(), true);
    trajectory.logp.extend_from_slice(&continuation.logp);
    trajectory.entropy.extend_from_slice(&continuation.entropy);
    let mut action = policy.decode(&continuation.tokens);
    action.insert_str(0, std::mem::take(&mut episode.forced));
    act(policy, episode, begin, action, continuation.stop, max_turns)
}

/// Carries out the action whose tokens begin at `begin`, and appends the next observation; `stop` says how the
/// action itself ended.
fn act(
    policy: &dyn Policy,
    episode: &mut Episode<'_>,
    begin: usize,
    action: String,
    stop: StopReason,
    max_turns: usize,
) -> Result<(), RolloutError> {
    let outcome = episode.environment.step(&action);
    let (reward, valid, ended) = match &outcome {
        Ok(outcome) => (outcome.reward, outcome.valid, outcome.stop),
        Err(_) => (0.0, false, Some(StopReason::Aborted)),
    };
    let trajectory = &mut episode.trajectory;
    trajectory.turns.push(Turn {
        anchor: episode.anchor.take(),
        action,
        tokens: begin..trajectory.completion.len(),
        reward,
        valid,
    });
    // The environment decides when the episode ends; how the last answer ended says whether it was cut off.
    trajectory.stop = match ended {
        Some(StopReason::Terminal) => stop,
        Some(reason) => reason,
        None => StopReason::TurnLimit,
    };
    episode.done = ended.is_some() || trajectory.turns.len() >= max_turns;
    if !episode.done {
        let observation = episode.environment.observe();
        episode.anchor = observation.anchor;
        let observed = policy
            .encode_continuation(&observation.text)
            .map_err(episode.named())?;
        append_masked(&mut episode.trajectory, &observed);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
