//! Episodes from elsewhere, put into groups before shapers and filter.

use groupwise_core::event::BillKind;
use groupwise_core::seams::{Placement, Rendered, Repair, RolledGroup, Substitute};
use groupwise_core::{DataError, GroupOutcome, Key, StopReason, Stream, Trajectory};
use groupwise_rollout::{demonstrate, roll_out};

use crate::PipelineError;
use crate::error::at;
use crate::generate::{Generator, Group, request};

/// Where rungs of a search and references get their place in the stream of draws.
const NAME: &str = "repair";

/// Log-probabilities that the ratio of what was put in starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Old {
    /// The policy's own of this step, with which it was sampled.
    Fresh,
    /// The policy's own of this step, which must be computed.
    Recomputed,
    /// Those of the policy that once sampled it.
    Stored,
}

/// What was put into a group.
#[derive(Debug)]
pub(crate) struct Injected {
    /// Its place among the members.
    pub(crate) index: usize,
    /// The fresh member that gave way, if one did.
    replaced: Option<Trajectory>,
    /// Scores and lengths with the substitute, as the filter sees them.
    pub(crate) outcome: GroupOutcome,
    /// Rewards after the shapers, of the fresh members.
    pub(crate) fresh_rewards: Vec<Option<f64>>,
    /// Where its ratio starts from.
    pub(crate) old: Old,
    /// The policy did not sample it.
    pub(crate) off_policy: bool,
}

/// An episode on its way into a group.
struct Arrival {
    placement: Placement,
    trajectory: Trajectory,
    old: Old,
    off_policy: bool,
}

/// A search that has not succeeded yet.
struct Open {
    group: usize,
    placement: Placement,
    rungs: Vec<Rendered>,
    tried: Vec<Trajectory>,
}

impl Group {
    /// Fresh members that were rolled out and finished.
    pub(crate) fn n_fresh(&self) -> usize {
        self.outcome.rewards.len()
    }

    /// Rewards after the shapers of the fresh members.
    pub(crate) fn fresh_rewards(&self) -> &[Option<f64>] {
        match &self.injected {
            Some(injected) => &injected.fresh_rewards,
            None => &self.rewards.rewards,
        }
    }

    /// Scores as they train.
    pub(crate) fn trained_outcome(&self) -> &GroupOutcome {
        self.injected.as_ref().map_or(&self.outcome, |i| &i.outcome)
    }

    /// Members as they were rolled out; what was put in is gone.
    pub(crate) fn into_fresh(self) -> (Vec<Trajectory>, GroupOutcome) {
        let mut members = self.members;
        if let Some(injected) = self.injected {
            match injected.replaced {
                Some(fresh) => members[injected.index] = fresh,
                None => members.truncate(injected.index),
            }
        }
        (members, self.outcome)
    }
}

impl Generator<'_> {
    /// Puts into these groups what the repair wants; gives the hinted rollouts that were made for it.
    pub(crate) fn mend(
        &mut self,
        step: u64,
        batch: u32,
        groups: &mut [Group],
    ) -> Result<Vec<Group>, PipelineError> {
        let key = Key::new(self.seed, Stream::Auxiliary)
            .step(step)
            .named(NAME, u64::from(batch));
        let rolled: Vec<RolledGroup<'_>> = groups
            .iter()
            .map(|g| RolledGroup {
                task: &self.tasks[g.task],
                members: &g.members,
                outcome: &g.outcome,
            })
            .collect();
        let repairs = self
            .repair
            .repair(step, &rolled, key)
            .map_err(at(step, "group repair"))?;
        let fits = DataError::check_len("repairs", repairs.len(), groups.len());
        fits.map_err(at(step, "group repair"))?;
        let (mut open, mut arrivals) = (Vec::new(), Vec::new());
        let wanted = repairs.into_iter().enumerate().filter_map(|(g, r)| Some((g, r?)));
        for (g, repair) in wanted {
            let Repair {
                placement,
                substitute,
            } = repair;
            let arrival = |trajectory, old, off_policy| Arrival {
                placement,
                trajectory,
                old,
                off_policy,
            };
            match substitute {
                Substitute::Episode { trajectory, rescore } => {
                    let old = if rescore { Old::Recomputed } else { Old::Stored };
                    arrivals.push((g, arrival(*trajectory, old, false)));
                }
                Substitute::Reference(text) => {
                    let trajectory = self.reference(step, groups[g].task, &text, key)?;
                    arrivals.push((g, arrival(trajectory, Old::Recomputed, true)));
                }
                Substitute::Search(rungs) => open.push(Open {
                    group: g,
                    placement,
                    rungs,
                    tried: Vec::new(),
                }),
            }
        }
        let searches = self.search(step, key, groups, open, &mut arrivals)?;
        for (g, arrival) in arrivals {
            self.inject(step, &mut groups[g], arrival)?;
        }
        Ok(searches)
    }

    /// The reference solution as an episode.
    fn reference(
        &mut self,
        step: u64,
        index: usize,
        text: &str,
        key: Key,
    ) -> Result<Trajectory, PipelineError> {
        let task = &self.tasks[index];
        let mut asked = request(self.seed, step, index, task, Rendered::plain(), 1, 0);
        asked.policy_key = key;
        let trajectory = demonstrate(self.plan.world.as_ref(), self.policy, &asked, text)
            .map_err(at(step, "reference solution"))?;
        if trajectory.stop == StopReason::Aborted {
            let what = format!("the world does not take its reference {text:?}");
            let error = DataError::value(format!("task {}", task.id), what);
            return Err(at(step, "reference solution")(error));
        }
        Ok(trajectory)
    }

    /// One rollout per rung and group, all groups in lock step, until each has a success or no rung left.
    fn search(
        &mut self,
        step: u64,
        key: Key,
        groups: &[Group],
        mut open: Vec<Open>,
        arrivals: &mut Vec<(usize, Arrival)>,
    ) -> Result<Vec<Group>, PipelineError> {
        let mut done = Vec::new();
        for rung in 0.. {
            let (going, over): (Vec<Open>, Vec<Open>) = open.into_iter().partition(|o| rung < o.rungs.len());
            done.extend(over);
            if going.is_empty() {
                break;
            }
            let requests: Vec<_> = going
                .iter()
                .map(|o| {
                    let index = groups[o.group].task;
                    let rendered = o.rungs[rung].clone();
                    let sample = (o.group * o.rungs.len() + rung) as u64;
                    let mut asked = request(self.seed, step, index, &self.tasks[index], rendered, 1, sample);
                    asked.policy_key = key;
                    asked
                })
                .collect();
            let sampling = self.sampling(false);
            let rolled = roll_out(self.plan.world.as_ref(), self.policy, &requests, &sampling)
                .map_err(at(step, "hinted rollout"))?;
            open = Vec::new();
            for (mut search, trajectory) in going.into_iter().zip(rolled.into_iter().flatten()) {
                let index = groups[search.group].task;
                let score = self.scores(&self.tasks[index], std::slice::from_ref(&trajectory))[0];
                search.tried.push(trajectory.clone());
                let won = trajectory.stop != StopReason::Aborted && score.is_some_and(|s| s > 0.0);
                if !won {
                    open.push(search);
                    continue;
                }
                let arrival = Arrival {
                    placement: search.placement,
                    trajectory,
                    old: Old::Fresh,
                    off_policy: false,
                };
                arrivals.push((search.group, arrival));
                done.push(search);
            }
        }
        done.sort_by_key(|o| o.group);
        done.into_iter()
            .map(|o| self.judge(step, groups[o.group].task, o.tried, BillKind::Hint))
            .collect()
    }

    /// Puts an episode into its group and judges the group anew.
    fn inject(&self, step: u64, group: &mut Group, arrival: Arrival) -> Result<(), PipelineError> {
        let mut members = std::mem::take(&mut group.members);
        let n_members = members.len();
        let (index, replaced) = match arrival.placement {
            Placement::Append => {
                members.push(arrival.trajectory);
                (n_members, None)
            }
            Placement::Replace(index) => match members.get_mut(index) {
                Some(member) => {
                    let replaced = std::mem::replace(member, arrival.trajectory);
                    (index, Some(replaced))
                }
                None => {
                    let what = format!("member {index} of {n_members} cannot be replaced");
                    let error = DataError::value(format!("task {}", self.tasks[group.task].id), what);
                    return Err(at(step, "group repair")(error));
                }
            },
        };
        let repaired = self.judge(step, group.task, members, group.kind)?;
        let fresh = std::mem::replace(&mut group.rewards, repaired.rewards);
        group.members = repaired.members;
        group.steps = repaired.steps;
        group.injected = Some(Injected {
            index,
            replaced,
            outcome: repaired.outcome,
            fresh_rewards: fresh.rewards,
            old: arrival.old,
            off_policy: arrival.off_policy,
        });
        Ok(())
    }
}
