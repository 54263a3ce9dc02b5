//! A batch of steps for tests: two tokens per step, the second of them masked.

use std::ops::Range;
use std::sync::Arc;

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Offsets, RewardBatch, StopReason, Trajectory, Turn,
};

/// One step: reward, anchor, action, valid.
pub(crate) type Step = (f64, &'static str, &'static str, bool);

/// Everything a batch of steps borrows.
pub(crate) struct Fixture {
    pub(crate) groups: Offsets,
    pub(crate) steps: Offsets,
    pub(crate) tokens: Offsets,
    pub(crate) rewards: Vec<Option<f64>>,
    pub(crate) step_rewards: Vec<f64>,
    pub(crate) anchors: Vec<String>,
    pub(crate) ranges: Vec<Range<usize>>,
    pub(crate) mask: Vec<bool>,
    pub(crate) trajectories: Vec<Trajectory>,
}

impl Fixture {
    /// Group > trajectory: its reward and its steps.
    pub(crate) fn of(rows: &[Vec<(Option<f64>, Vec<Step>)>]) -> Self {
        let flat = || rows.iter().flatten();
        let steps = || flat().flat_map(|row| &row.1);
        let n_steps = steps().count();
        Self {
            groups: Offsets::from_lengths(rows.iter().map(Vec::len)),
            steps: Offsets::from_lengths(flat().map(|row| row.1.len())),
            tokens: Offsets::from_lengths(flat().map(|row| 2 * row.1.len())),
            rewards: flat().map(|row| row.0).collect(),
            step_rewards: steps().map(|s| s.0).collect(),
            anchors: steps().map(|s| s.1.to_owned()).collect(),
            ranges: (0..n_steps).map(|k| 2 * k..2 * k + 2).collect(),
            mask: (0..2 * n_steps).map(|t| t % 2 == 0).collect(),
            trajectories: flat().map(|row| trajectory(&row.1)).collect(),
        }
    }

    pub(crate) fn batch(&self) -> RewardBatch<'_> {
        let mut batch = RewardBatch::new(self.groups.spans(), &self.rewards);
        batch.steps = Some(self.steps.spans());
        batch.step_rewards = Some(&self.step_rewards);
        batch.anchors = Some(&self.anchors);
        batch.step_tokens = Some(&self.ranges);
        batch.tokens = Some(self.tokens.spans());
        batch.mask = Some(&self.mask);
        batch.trajectories = Some(&self.trajectories);
        batch
    }

    /// Advantages per step; the masked tokens must have 0.
    pub(crate) fn estimate(&self, part: &dyn AdvantageEstimator) -> Result<Vec<f64>, DataError> {
        match part.estimate(&self.batch())? {
            Advantages::Token(a) => {
                assert!(a.iter().zip(&self.mask).all(|(a, counted)| *counted || *a == 0.0));
                Ok(a.into_iter().step_by(2).collect())
            }
            Advantages::Trajectory(_) => Err(DataError::value("test", "not per token")),
        }
    }

    /// What the part says when the inputs of a batch are put in one after the other.
    pub(crate) fn missing(&self, part: &dyn AdvantageEstimator) -> Vec<String> {
        let whole = self.batch();
        let mut batch = RewardBatch::new(self.groups.spans(), &self.rewards);
        let mut said = Vec::new();
        for n in 0..6 {
            said.extend(part.estimate(&batch).err().map(|e| e.to_string()));
            match n {
                0 => batch.steps = whole.steps,
                1 => batch.step_tokens = whole.step_tokens,
                2 => (batch.tokens, batch.mask) = (whole.tokens, whole.mask),
                3 => batch.anchors = whole.anchors,
                4 => batch.trajectories = whole.trajectories,
                _ => batch.step_rewards = whole.step_rewards,
            }
        }
        assert!(part.estimate(&batch).is_ok());
        said
    }
}

fn trajectory(steps: &[Step]) -> Trajectory {
    let turn = |(reward, anchor, action, valid): &Step| Turn {
        anchor: Some((*anchor).to_owned()),
        action: (*action).to_owned(),
        tokens: 0..0,
        reward: *reward,
        valid: *valid,
    };
    Trajectory {
        task: 0,
        sample: 0,
        agent: None,
        prompt: Arc::from([]),
        completion: Vec::new(),
        mask: Vec::new(),
        logp: Vec::new(),
        entropy: Vec::new(),
        turns: steps.iter().map(turn).collect(),
        version: 0,
        stop: StopReason::Terminal,
    }
}
