//! Groups to the batches that estimators and learner see.

use std::ops::Range;
use std::sync::Arc;

use groupwise_core::seams::TokenScores;
use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, JudgedStep, Needs, Offsets, ProcessRewards, RewardBatch, Task,
    TokenBatch, Trajectory,
};

use groupwise_objective::regularizer::KlPenalty;

use crate::generate::Group;
use crate::repair::Old;

/// An update batch before advantages: ragged arrays along all members of the admitted groups.
pub(crate) struct Assembled {
    pub(crate) batch: TokenBatch,
    rewards: Vec<Option<f64>>,
    greedy: Option<Vec<f64>>,
    steps: Offsets,
    step_rewards: Vec<f64>,
    step_tokens: Vec<Range<usize>>,
    anchors: Option<Vec<String>>,
    judged_spans: Offsets,
    judged: Option<Vec<JudgedStep>>,
    entropy: Vec<f64>,
    trajectories: Option<Vec<Trajectory>>,
    off_policy: Vec<bool>,
    /// Trajectories whose log-probabilities are to be computed anew, ascending.
    rescored: Vec<usize>,
    /// Trajectories whose ratio starts from the policy that once sampled them.
    stored: Vec<usize>,
}

/// Flattens the members of these groups.  A member that must not enter the loss, or that could not be scored,
/// keeps its place in the group's statistics and has its mask cleared; so have all members of a group whose greedy
/// answer could not be scored, for there is nothing to compare them with.  Where answers are judged step by step, the
/// steps are the segments of the batch.  Trajectories are kept whole only where `needs` asks for them.
///
/// # Errors
/// A judged step outside its answer, named.
pub(crate) fn assemble(groups: &[&Group], temperature: f64, needs: Needs) -> Result<Assembled, DataError> {
    let mut out = Assembled {
        batch: TokenBatch {
            groups: Offsets::from_lengths(groups.iter().map(|g| g.members.len())),
            tokens: Offsets::default(),
            prompts: Vec::new(),
            ids: Vec::new(),
            mask: Vec::new(),
            logp_sampler: Vec::new(),
            logp_old: None,
            logp_ref: None,
            segments: None,
            advantages: Advantages::Trajectory(Vec::new()),
            temperature,
        },
        rewards: Vec::new(),
        greedy: groups
            .iter()
            .map(|g| g.greedy.map(|g| g.reward.unwrap_or(0.0)))
            .collect(),
        steps: Offsets::default(),
        step_rewards: Vec::new(),
        step_tokens: Vec::new(),
        anchors: Some(Vec::new()),
        judged_spans: Offsets::default(),
        judged: Some(Vec::new()),
        entropy: Vec::new(),
        trajectories: needs.contains(Needs::TRAJECTORIES).then(Vec::new),
        off_policy: Vec::new(),
        rescored: Vec::new(),
        stored: Vec::new(),
    };
    for group in groups {
        for (i, member) in group.members.iter().enumerate() {
            let reward = group.rewards.rewards[i].filter(|_| !group.lacks_baseline());
            let injected = group.injected.as_ref().filter(|x| x.index == i);
            match injected.map(|x| x.old) {
                Some(Old::Recomputed) => out.rescored.push(out.rewards.len()),
                Some(Old::Stored) => out.stored.push(out.rewards.len()),
                Some(Old::Fresh) | None => {}
            }
            out.off_policy.push(injected.is_some_and(|x| x.off_policy));
            out.push(member, reward, group.rewards.trained[i] && reward.is_some());
            out.push_steps(group.steps.as_ref().map(|s| s[i].as_slice()));
        }
    }
    let n = out.rewards.len();
    out.batch.advantages = Advantages::Trajectory(vec![0.0; n]);
    let tokens = out.batch.tokens.spans();
    out.batch.segments = out.process().map(|p| p.segments(tokens)).transpose()?;
    Ok(out)
}

impl Assembled {
    fn push(&mut self, member: &Trajectory, reward: Option<f64>, enters: bool) {
        let first = self.batch.ids.len();
        self.batch.tokens.push(member.completion.len());
        self.batch.prompts.push(Arc::clone(&member.prompt));
        self.batch.ids.extend_from_slice(&member.completion);
        self.batch.mask.extend(member.mask.iter().map(|m| *m && enters));
        self.batch.logp_sampler.extend_from_slice(&member.logp);
        self.entropy.extend_from_slice(&member.entropy);
        self.rewards.push(reward);
        self.steps.push(member.turns.len());
        for turn in &member.turns {
            self.step_rewards.push(turn.reward);
            self.step_tokens
                .push(first + turn.tokens.start..first + turn.tokens.end);
            match (&turn.anchor, &mut self.anchors) {
                (Some(anchor), Some(anchors)) => anchors.push(anchor.clone()),
                _ => self.anchors = None,
            }
        }
        if let Some(trajectories) = &mut self.trajectories {
            trajectories.push(member.clone());
        }
    }

    fn push_steps(&mut self, steps: Option<&[JudgedStep]>) {
        match (steps, &mut self.judged) {
            (Some(steps), Some(judged)) => {
                self.judged_spans.push(steps.len());
                judged.extend_from_slice(steps);
            }
            _ => self.judged = None,
        }
    }

    /// Judged steps of every member, where all of them were judged.
    fn process(&self) -> Option<ProcessRewards<'_>> {
        self.judged.as_deref().map(|steps| ProcessRewards {
            spans: self.judged_spans.spans(),
            steps,
        })
    }

    /// Groups with a trajectory whose log-probabilities must come from the learner, ascending.
    pub(crate) fn unscored_groups(&self) -> Vec<usize> {
        let groups = &self.batch.groups;
        let holds = |g: &usize| groups.range(*g).any(|i| self.rescored.binary_search(&i).is_ok());
        (0..groups.len()).filter(holds).collect()
    }

    /// True if the ratio of some trajectory is not 1 even in the first update.
    pub(crate) fn has_stored(&self) -> bool {
        !self.stored.is_empty()
    }

    /// Makes these scores the old log-probabilities, but for what keeps those it was sampled with.
    pub(crate) fn set_old(&mut self, scores: TokenScores) {
        let mut old = scores.logp;
        for i in &self.stored {
            let tokens = self.batch.tokens.range(*i);
            old[tokens.clone()].copy_from_slice(&self.batch.logp_sampler[tokens]);
        }
        self.batch.logp_old = Some(old);
    }

    /// Writes scores of these groups over those of their trajectories that are to be scored anew.
    pub(crate) fn rescore(&mut self, groups: &[usize], scores: &TokenScores) {
        let batch = &mut self.batch;
        let mut first = 0;
        for i in groups.iter().flat_map(|g| batch.groups.range(*g)) {
            let tokens = batch.tokens.range(i);
            let n_tokens = tokens.len();
            if self.rescored.binary_search(&i).is_ok() {
                for (t, from) in tokens.zip(first..).filter(|(t, _)| batch.mask[*t]) {
                    batch.logp_sampler[t] = scores.logp[from];
                    if let Some(entropy) = scores.entropy.get(from) {
                        self.entropy[t] = *entropy;
                    }
                }
            }
            first += n_tokens;
        }
    }

    /// Entropies of the sampler's distributions, along the batch.
    pub(crate) fn entropy(&self) -> &[f64] {
        &self.entropy
    }

    /// Takes a KL penalty off the rewards; gives the penalty of each trajectory.
    ///
    /// The log-probabilities are those at the start of the update; on policy they are the sampler's.
    pub(crate) fn penalize(&mut self, penalty: &KlPenalty) -> Result<Vec<f64>, DataError> {
        let batch = &self.batch;
        let Some(reference) = &batch.logp_ref else {
            return Err(DataError::Missing {
                what: "logp_ref",
                part: "kl penalty",
            });
        };
        let old = batch.logp_old.as_deref().unwrap_or(&batch.logp_sampler);
        let penalties = penalty.per_trajectory(batch.tokens.spans(), old, reference, &batch.mask)?;
        for (reward, penalty) in self.rewards.iter_mut().zip(&penalties) {
            *reward = reward.map(|r| r - penalty);
        }
        Ok(penalties)
    }

    /// Runs the estimator and stores its advantages, checked; `tasks` holds the task of each group.
    pub(crate) fn estimate(
        &mut self,
        estimator: &dyn AdvantageEstimator,
        tasks: &[&Task],
    ) -> Result<(), DataError> {
        let batch = &self.batch;
        let rewards = RewardBatch {
            greedy_rewards: self.greedy.as_deref(),
            steps: Some(self.steps.spans()),
            step_rewards: Some(&self.step_rewards),
            anchors: self.anchors.as_deref(),
            step_tokens: Some(&self.step_tokens),
            tokens: Some(batch.tokens.spans()),
            mask: Some(&batch.mask),
            logp_old: Some(batch.logp_old.as_deref().unwrap_or(&batch.logp_sampler)),
            logp_ref: batch.logp_ref.as_deref(),
            entropy: Some(&self.entropy),
            process: self.process(),
            trajectories: self.trajectories.as_deref(),
            tasks: Some(tasks),
            off_policy: Some(&self.off_policy),
            ..RewardBatch::new(batch.groups.spans(), &self.rewards)
        };
        let advantages = estimator.estimate(&rewards)?;
        advantages.check(batch.tokens.spans())?;
        self.batch.advantages = advantages;
        self.batch.check()
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::event::BillKind;
    use groupwise_core::{GroupOutcome, GroupRewards};

    use super::*;

    fn trajectory(n_tokens: usize) -> Trajectory {
        Trajectory {
            logp: vec![-1.0; n_tokens],
            turns: Vec::new(),
            ..Trajectory::of_reply("", n_tokens)
        }
    }

    fn group(ends: Option<[&[usize]; 2]>) -> Group {
        let step = |end: &usize| JudgedStep {
            end: *end,
            reward: 1.0,
        };
        Group {
            task: 0,
            members: vec![trajectory(3), trajectory(2)],
            outcome: GroupOutcome {
                task: 0,
                rewards: vec![Some(1.0); 2],
                lengths: vec![3, 2],
            },
            rewards: GroupRewards::new("v", vec![Some(1.0); 2]),
            kind: BillKind::Train,
            steps: ends.map(|ends| ends.iter().map(|e| e.iter().map(step).collect()).collect()),
            greedy: None,
            n_aborted: 0,
            aborted_tokens: 0,
            injected: None,
            estimate: None,
        }
    }

    #[test]
    fn trajectories_are_kept_whole_where_they_are_asked_for() {
        let group = group(None);
        let kept = |needs| assemble(&[&group], 1.0, needs).expect("fits").trajectories;
        assert_eq!(
            kept(Needs::TRAJECTORIES),
            Some(vec![trajectory(3), trajectory(2)])
        );
        assert_eq!(kept(!Needs::TRAJECTORIES), None);
    }

    #[test]
    fn judged_steps_are_the_segments_of_the_batch() {
        let judged = group(Some([&[0, 2], &[0]]));
        let batch = assemble(&[&judged, &judged], 1.0, Needs::empty())
            .expect("fits")
            .batch;
        assert_eq!(batch.segments, Some(vec![0, 1, 1, 0, 1, 0, 1, 1, 0, 1]));
        assert_eq!(batch.check(), Ok(()));
        let plain = group(None);
        assert_eq!(
            assemble(&[&judged, &plain], 1.0, Needs::empty())
                .expect("fits")
                .batch
                .segments,
            None
        );
        let outside = group(Some([&[0], &[2]]));
        assert_eq!(
            assemble(&[&outside], 1.0, Needs::empty())
                .err()
                .map(|e| e.to_string()),
            Some("trajectory 1: a judged step ends at token 2, expected in 0..2".to_owned())
        );
    }
}
