//! The generation phase of a step: prompts, budgets, rollouts, verdicts, filter.

use std::collections::BTreeMap;

use groupwise_core::event::BillKind;
use groupwise_core::seams::{GroupRepair, PolicyError, Rendered, Sampling, Surveyed};
use groupwise_core::{
    GroupOutcome, GroupRewards, JudgedStep, Key, Needs, Policy, PromptMemory, PromptSampler, StopReason,
    Stream, Task, Trajectory,
};
use groupwise_recipe::Plan;
use groupwise_rollout::{GroupRequest, roll_out};

use crate::PipelineError;
use crate::error::at;
use crate::repair::Injected;

/// Generation batches after which a filter without a limit of its own is given up on.
const MAX_GEN_BATCHES: u32 = 1000;

/// One group with everything that is known about it.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) task: usize,
    /// Members that were finished, as they train.
    pub(crate) members: Vec<Trajectory>,
    /// Verifier scores of the fresh members, as stateful parts see them.
    pub(crate) outcome: GroupOutcome,
    /// After the shapers, as the estimator sees them.
    pub(crate) rewards: GroupRewards,
    pub(crate) kind: BillKind,
    /// Judged steps of each member, where the estimator asks for them.
    pub(crate) steps: Option<Vec<Vec<JudgedStep>>>,
    /// A greedy rollout, where the estimator asks for one.
    pub(crate) greedy: Option<Greedy>,
    /// Episodes that failed in the environment.
    pub(crate) n_aborted: usize,
    /// Tokens they had cost until then.
    pub(crate) aborted_tokens: usize,
    /// What a repair put among the members.
    pub(crate) injected: Option<Injected>,
    /// Success rate that sampler or allocator expected.
    pub(crate) estimate: Option<f64>,
}

/// What the greedy rollout of a group came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Greedy {
    /// Its reward; `None` if it was aborted or cannot be scored.
    pub(crate) reward: Option<f64>,
    /// Tokens it cost.
    pub(crate) tokens: usize,
}

impl Group {
    /// Rollouts made for this group, but for a greedy one.
    pub(crate) fn n_rollouts(&self) -> u64 {
        (self.n_fresh() + self.n_aborted) as u64
    }

    /// Tokens that were sampled for this group, whatever became of them.
    pub(crate) fn tokens(&self) -> u64 {
        let members: usize = self.outcome.lengths.iter().sum();
        (members + self.aborted_tokens + self.greedy.map_or(0, |g| g.tokens)) as u64
    }

    /// True if the greedy answer that was asked for gives no baseline: the group then takes no part in the update.
    pub(crate) fn lacks_baseline(&self) -> bool {
        self.greedy.is_some_and(|g| g.reward.is_none())
    }
}

/// What generation borrows from the run.
pub(crate) struct Generator<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) tasks: &'a [Task],
    pub(crate) seed: u64,
    pub(crate) sampler: &'a mut dyn PromptSampler,
    pub(crate) repair: &'a mut dyn GroupRepair,
    pub(crate) memory: &'a PromptMemory,
    pub(crate) policy: &'a mut dyn Policy,
    /// Rollouts that may still be billed.
    pub(crate) allowance: u64,
    /// Roll out one greedy answer per admitted group.
    pub(crate) greedy: bool,
}

/// Results of a survey: one group for each task of the pool, none of them trained on.
pub(crate) struct Survey {
    pub(crate) groups: Vec<Group>,
    pub(crate) results: Vec<Surveyed>,
}

/// Groups of a step or of one batch of it, in generation order; refused ones are marked as discarded.
pub(crate) struct Generated {
    pub(crate) groups: Vec<Group>,
    /// Hinted rollouts made to repair groups; none of them trains as a group of its own.
    pub(crate) searches: Vec<Group>,
    /// Rollouts that no prompt had room for.
    pub(crate) unspent: u32,
    /// Rollouts that the allocator sent to its fallback pool.
    pub(crate) surplus: u32,
}

impl Generator<'_> {
    /// Generates until the filter has admitted a full batch, or once if it does not refill.
    pub(crate) fn run(mut self, step: u64) -> Result<Generated, PipelineError> {
        let wanted = self.plan.recipe.run.prompts_per_step;
        let limit = self.plan.filter.max_gen_batches().unwrap_or(MAX_GEN_BATCHES);
        let mut out = Generated {
            groups: Vec::new(),
            searches: Vec::new(),
            unspent: 0,
            surplus: 0,
        };
        let mut samples_taken: BTreeMap<usize, u64> = BTreeMap::new();
        let (mut admitted, mut billed) = (0, 0);
        for batch in 0.. {
            let generated = self.batch(step, batch, &mut samples_taken)?;
            out.unspent += generated.unspent;
            out.surplus += generated.surplus;
            let mut fresh = generated.groups;
            let searches = self.mend(step, batch, &mut fresh)?;
            billed += searches.iter().map(Group::n_rollouts).sum::<u64>();
            out.searches.extend(searches);
            for mut group in fresh {
                let keep = admitted < wanted && self.plan.filter.admits(group.trained_outcome());
                if keep {
                    admitted += 1;
                } else {
                    group.kind = BillKind::Discarded;
                }
                billed += group.n_fresh() as u64;
                out.groups.push(group);
            }
            if admitted >= wanted || !self.plan.filter.refills() || billed >= self.allowance {
                break;
            }
            if batch + 1 >= limit {
                return Err(PipelineError::Starved {
                    step,
                    batches: batch + 1,
                    found: admitted,
                    wanted,
                });
            }
        }
        if self.greedy {
            self.greedy_rewards(step, &mut out.groups)?;
        }
        Ok(out)
    }

    /// Rolls out every task of the pool for the sampler, if it asks for that before this step.
    pub(crate) fn survey(&mut self, step: u64) -> Result<Option<Survey>, PipelineError> {
        let Some(n_samples) = self.sampler.survey(step) else {
            return Ok(None);
        };
        let kind = if step == 1 {
            BillKind::StartUp
        } else {
            BillKind::Refresh
        };
        let requests: Vec<_> = self
            .tasks
            .iter()
            .enumerate()
            .map(|(index, task)| {
                let mut asked = request(self.seed, step, index, task, Rendered::plain(), n_samples, 0);
                asked.policy_key = Key::new(self.seed, Stream::Auxiliary)
                    .step(step)
                    .named("survey", 0);
                asked
            })
            .collect();
        let sampling = self.sampling(false);
        let rolled = roll_out(self.plan.world.as_ref(), self.policy, &requests, &sampling)
            .map_err(at(step, "survey"))?;
        let mut survey = Survey {
            groups: Vec::new(),
            results: Vec::new(),
        };
        for (index, members) in rolled.into_iter().enumerate() {
            let group = self.judge(step, index, members, kind)?;
            survey.results.push(Surveyed {
                outcome: group.outcome.clone(),
                completions: group.members.iter().map(|m| m.completion.clone()).collect(),
            });
            survey.groups.push(group);
        }
        Ok(Some(survey))
    }

    pub(crate) fn sampling(&self, greedy: bool) -> Sampling {
        let run = &self.plan.recipe.run;
        Sampling {
            temperature: run.temperature,
            max_new_tokens: run.max_completion_length,
            greedy,
        }
    }

    /// One generation batch: prompts, budget, rollouts, scores.
    fn batch(
        &mut self,
        step: u64,
        batch: u32,
        samples_taken: &mut BTreeMap<usize, u64>,
    ) -> Result<Generated, PipelineError> {
        let run = &self.plan.recipe.run;
        let key = Key::new(self.seed, Stream::Sampler)
            .step(step)
            .named("batch", u64::from(batch));
        let chosen = self
            .sampler
            .next(run.prompts_per_step, key)
            .map_err(at(step, "prompt sampler"))?;
        let stats: Vec<_> = chosen.iter().map(|t| self.memory.stats(*t)).collect();
        let budget = chosen.len() as u32 * run.num_generations;
        let allocation = self
            .plan
            .allocator
            .allocate(&stats, budget)
            .map_err(at(step, "budget allocator"))?;
        let mut requests = Vec::new();
        for (index, n_samples) in chosen.iter().zip(&allocation.counts).filter(|(_, n)| **n > 0) {
            let task = &self.tasks[*index];
            let rendered = self
                .plan
                .scaffold
                .render(task, self.memory)
                .map_err(at(step, "scaffold"))?;
            let taken = samples_taken.entry(*index).or_default();
            requests.push(request(
                self.seed, step, *index, task, rendered, *n_samples, *taken,
            ));
            *taken += u64::from(*n_samples);
        }
        let sampling = self.sampling(false);
        let rolled = roll_out(self.plan.world.as_ref(), self.policy, &requests, &sampling)
            .map_err(at(step, "rollout"))?;
        let mut groups = Vec::new();
        for (request, members) in requests.iter().zip(rolled) {
            let members = self.further_rounds(step, request, members, samples_taken)?;
            let kind = if request.rendered.hinted {
                BillKind::Hint
            } else {
                BillKind::Train
            };
            groups.push(self.judge(step, request.index, members, kind)?);
        }
        Ok(Generated {
            groups,
            searches: Vec::new(),
            unspent: allocation.unspent,
            surplus: allocation.surplus,
        })
    }

    /// Asks the scaffold for further rounds of a group until it has none.
    fn further_rounds(
        &mut self,
        step: u64,
        request: &GroupRequest<'_>,
        mut members: Vec<Trajectory>,
        samples_taken: &mut BTreeMap<usize, u64>,
    ) -> Result<Vec<Trajectory>, PipelineError> {
        for round in 1.. {
            let outcome = outcome(request.index, &members, &self.scores(request.task, &members));
            let next = self
                .plan
                .scaffold
                .next_round(request.task, &members, &outcome, round)
                .map_err(at(step, "scaffold"))?;
            let Some(rendered) = next else { break };
            let taken = samples_taken.entry(request.index).or_default();
            let again = self::request(
                self.seed,
                step,
                request.index,
                request.task,
                rendered,
                request.n_samples,
                *taken,
            );
            *taken += u64::from(request.n_samples);
            let sampling = self.sampling(false);
            let rolled = roll_out(self.plan.world.as_ref(), self.policy, &[again], &sampling)
                .map_err(at(step, "rollout"))?;
            members.extend(rolled.into_iter().flatten());
        }
        Ok(members)
    }

    pub(crate) fn scores(&self, task: &Task, members: &[Trajectory]) -> Vec<Option<f64>> {
        members
            .iter()
            .map(|m| self.plan.verifier.score(task, m).value())
            .collect()
    }

    /// Drops aborted members, scores the rest, shapes the rewards.
    pub(crate) fn judge(
        &self,
        step: u64,
        index: usize,
        members: Vec<Trajectory>,
        kind: BillKind,
    ) -> Result<Group, PipelineError> {
        let task = &self.tasks[index];
        let (aborted, members): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|m| m.stop == StopReason::Aborted);
        let scores = self.scores(task, &members);
        let outcome = outcome(index, &members, &scores);
        let mut rewards = GroupRewards::new(self.plan.verifier.name(), scores);
        for shaper in &self.plan.shapers {
            shaper
                .shape(task, &members, &mut rewards, self.memory)
                .map_err(at(step, "reward shaper"))?;
        }
        let steps = self.judged_steps(task, &members);
        Ok(Group {
            task: index,
            members,
            outcome,
            rewards,
            kind,
            steps,
            greedy: None,
            n_aborted: aborted.len(),
            aborted_tokens: aborted.iter().map(Trajectory::n_policy_tokens).sum(),
            injected: None,
            estimate: self.estimate(index),
        })
    }

    /// What sampler, or else allocator, expects of a task; both learn of a step's groups only when it is over.
    fn estimate(&self, index: usize) -> Option<f64> {
        let of_sampler = self.sampler.estimate(index);
        let estimate = of_sampler.or_else(|| self.plan.allocator.estimate(&self.memory.stats(index)));
        estimate.filter(|p| p.is_finite())
    }

    /// Judged steps of each member, if the estimator works on them or the objective on the segments they cut.  An
    /// answer that cannot be cut has none.
    fn judged_steps(&self, task: &Task, members: &[Trajectory]) -> Option<Vec<Vec<JudgedStep>>> {
        let needs = self.plan.estimator.needs() | self.plan.objective.needs();
        let wanted = needs.intersects(Needs::PROCESS_REWARDS | Needs::SEGMENTS);
        let cut = |m: &Trajectory| self.plan.verifier.steps(task, m).unwrap_or_default();
        wanted.then(|| members.iter().map(cut).collect())
    }

    /// One greedy answer for each group that enters the update.
    fn greedy_rewards(&mut self, step: u64, groups: &mut [Group]) -> Result<(), PipelineError> {
        let sampling = self.sampling(true);
        let chosen: Vec<usize> = (0..groups.len())
            .filter(|g| groups[*g].kind != BillKind::Discarded)
            .collect();
        let requests: Vec<_> = chosen
            .iter()
            .map(|g| {
                let index = groups[*g].task;
                let mut greedy = request(
                    self.seed,
                    step,
                    index,
                    &self.tasks[index],
                    Rendered::plain(),
                    1,
                    u64::from(u32::MAX),
                );
                greedy.policy_key = Key::new(self.seed, Stream::Auxiliary).step(step);
                greedy
            })
            .collect();
        let rolled = roll_out(self.plan.world.as_ref(), self.policy, &requests, &sampling)
            .map_err(at(step, "greedy rollout"))?;
        for (g, members) in chosen.into_iter().zip(rolled) {
            let finished = members.iter().find(|m| m.stop != StopReason::Aborted);
            groups[g].greedy = Some(Greedy {
                reward: finished
                    .and_then(|m| self.plan.verifier.score(&self.tasks[groups[g].task], m).value()),
                tokens: members.iter().map(Trajectory::n_policy_tokens).sum(),
            });
        }
        Ok(())
    }
}

pub(crate) fn request<'a>(
    seed: u64,
    step: u64,
    index: usize,
    task: &'a Task,
    rendered: Rendered,
    n_samples: u32,
    first_sample: u64,
) -> GroupRequest<'a> {
    GroupRequest {
        index,
        task,
        rendered,
        n_samples,
        first_sample,
        policy_key: Key::new(seed, Stream::Rollout).step(step),
        environment_key: Key::new(seed, Stream::Environment).step(step),
    }
}

fn outcome(task: usize, members: &[Trajectory], scores: &[Option<f64>]) -> GroupOutcome {
    GroupOutcome {
        task,
        rewards: scores.to_vec(),
        lengths: members.iter().map(Trajectory::n_policy_tokens).collect(),
    }
}

/// Checks that every task can be spelled before the first step, so that a run does not die in the middle.
pub(crate) fn check_vocabulary(policy: &dyn Policy, tasks: &[Task]) -> Result<(), PolicyError> {
    tasks
        .iter()
        .try_for_each(|task| policy.encode(&task.prompt).map(|_| ()))
}
