//! Groups on their way from lines to slices: one update batch, flat.

use std::ops::Range;

use groupwise_core::{Advantages, DataError, JudgedStep, Offsets, ProcessRewards, RewardBatch};

use crate::error::ScoreError;
use crate::line::{Id, Line, Tokens};
use crate::ragged::{Given, Ragged};
use crate::shape::Shape;

/// Values of an optional field over the groups of a batch: all have it or none has.
#[derive(Debug)]
pub(crate) struct Column<T> {
    key: &'static str,
    values: Option<Vec<T>>,
}

impl<T> Column<T> {
    fn new(key: &'static str) -> Self {
        Self { key, values: None }
    }

    pub(crate) fn get(&self) -> Option<&[T]> {
        self.values.as_deref()
    }

    pub(crate) fn take(&mut self) -> Option<Vec<T>> {
        self.values.take()
    }

    fn push(&mut self, at: &Place, values: Option<Vec<T>>) -> Result<(), ScoreError> {
        match (&mut self.values, values) {
            (None, values) if at.before.is_none() => self.values = values,
            (None, None) => {}
            (Some(column), Some(mut values)) => column.append(&mut values),
            (column, _) => {
                let (mine, its) = if column.is_some() {
                    ("lacks", "has")
                } else {
                    ("has", "lacks")
                };
                let before = at.before.unwrap_or_default();
                let what = format!(
                    "{mine} `{}`, which line {before} of the same batch {its}",
                    self.key
                );
                return Err(ScoreError::line(at.line, what));
            }
        }
        Ok(())
    }
}

/// A line and the one before it in the batch.
struct Place {
    line: u64,
    before: Option<u64>,
}

/// One update batch.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) lines: Vec<u64>,
    pub(crate) ids: Vec<Id<'static>>,
    pub(crate) groups: Offsets,
    pub(crate) rewards: Column<Option<f64>>,
    pub(crate) greedy: Column<f64>,
    pub(crate) off_policy: Column<bool>,
    pub(crate) steps: Column<usize>,
    pub(crate) step_rewards: Column<f64>,
    pub(crate) anchors: Column<String>,
    step_tokens: Column<Range<usize>>,
    judged_lengths: Column<usize>,
    pub(crate) judged: Column<JudgedStep>,
    pub(crate) tokens: Column<usize>,
    pub(crate) mask: Vec<bool>,
    pub(crate) logp: Column<f64>,
    pub(crate) logp_old: Column<f64>,
    pub(crate) logp_ref: Column<f64>,
    pub(crate) entropy: Column<f64>,
    pub(crate) values: Column<f64>,
    given: Column<f64>,
    given_per_token: Column<f64>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            ids: Vec::new(),
            groups: Offsets::default(),
            rewards: Column::new("rewards"),
            greedy: Column::new("greedy_reward"),
            off_policy: Column::new("off_policy"),
            steps: Column::new("steps"),
            step_rewards: Column::new("steps.rewards"),
            anchors: Column::new("steps.anchors"),
            step_tokens: Column::new("steps.n_tokens"),
            judged_lengths: Column::new("judged_steps"),
            judged: Column::new("judged_steps"),
            tokens: Column::new("tokens"),
            mask: Vec::new(),
            logp: Column::new("tokens.logp"),
            logp_old: Column::new("tokens.logp_old"),
            logp_ref: Column::new("tokens.logp_ref"),
            entropy: Column::new("tokens.entropy"),
            values: Column::new("tokens.values"),
            given: Column::new("advantages"),
            given_per_token: Column::new("advantages per token"),
        }
    }
}

fn flat<T>(rows: Option<Ragged<T>>) -> Option<Vec<T>> {
    rows.map(|rows| rows.values)
}

impl Batch {
    /// Number of groups.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Appends a group.
    ///
    /// # Errors
    /// Lists of the group that disagree; a field that other groups of the batch have and this one has not, or the
    /// other way round.
    pub(crate) fn push(&mut self, line: Line<'_>, number: u64) -> Result<(), ScoreError> {
        let at = Place {
            line: number,
            before: self.lines.last().copied(),
        };
        let shape = Shape::of(&line).map_err(|what| ScoreError::line(number, what))?;
        self.groups.push(shape.n_trajectories);
        self.lines.push(number);
        let id = line.id.map(Id::into_owned);
        self.ids
            .push(id.unwrap_or_else(|| Id::Number(i64::try_from(number).unwrap_or(i64::MAX))));
        self.rewards.push(&at, line.rewards)?;
        self.greedy.push(&at, line.greedy_reward.map(|r| vec![r]))?;
        let off_policy = line.off_policy.map(|flags| flags.iter().map(|f| f.0).collect());
        self.off_policy.push(&at, off_policy)?;
        if let Some(given) = &shape.step_tokens {
            let first = self.tokens.get().map_or(0, |t| t.iter().sum());
            self.step_tokens.push(&at, Some(consecutive(first, given)))?;
        } else {
            self.step_tokens.push(&at, None)?;
        }
        let steps = line.steps.unwrap_or_default();
        self.steps.push(&at, shape.steps)?;
        self.step_rewards.push(&at, flat(steps.rewards))?;
        self.anchors.push(&at, flat(steps.anchors))?;
        let (lengths, judged) = line
            .judged_steps
            .map(|j| (j.ends.lengths.clone(), zip(j)))
            .unzip();
        self.judged_lengths.push(&at, lengths)?;
        self.judged.push(&at, judged)?;
        self.push_tokens(&at, line.tokens.unwrap_or_default(), shape.tokens)?;
        let (given, per_token) = match line.advantages {
            Some(Given::Trajectory(values)) => (Some(values), None),
            Some(Given::Token(rows)) => (None, Some(rows.values)),
            None => (None, None),
        };
        self.given.push(&at, given)?;
        self.given_per_token.push(&at, per_token)
    }

    fn push_tokens(
        &mut self,
        at: &Place,
        tokens: Tokens,
        lengths: Option<Vec<usize>>,
    ) -> Result<(), ScoreError> {
        let n_tokens = lengths.as_ref().map_or(0, |l| l.iter().sum());
        match tokens.mask {
            Some(mask) => self.mask.extend(mask.values.iter().map(|flag| flag.0)),
            None => self.mask.resize(self.mask.len() + n_tokens, true),
        }
        self.tokens.push(at, lengths)?;
        self.logp.push(at, flat(tokens.logp))?;
        self.logp_old.push(at, flat(tokens.logp_old))?;
        self.logp_ref.push(at, flat(tokens.logp_ref))?;
        self.entropy.push(at, flat(tokens.entropy))?;
        self.values.push(at, flat(tokens.values))
    }

    /// Advantages that came with the groups.
    pub(crate) fn take_given(&mut self) -> Option<Advantages> {
        let per_token = self.given_per_token.take().map(Advantages::Token);
        self.given.take().map(Advantages::Trajectory).or(per_token)
    }

    /// True if advantages came with the groups.
    pub(crate) fn has_given(&self) -> bool {
        self.given.get().is_some() || self.given_per_token.get().is_some()
    }

    /// Trajectory -> tokens; trajectories without tokens where the groups say nothing about them.
    pub(crate) fn token_offsets(&self) -> Offsets {
        match self.tokens.get() {
            Some(lengths) => Offsets::from_lengths(lengths.iter().copied()),
            None => Offsets::from_lengths((0..self.groups.total()).map(|_| 0)),
        }
    }

    /// Segment of each token, where steps were judged.
    ///
    /// # Errors
    /// A step outside its answer, named.
    pub(crate) fn segments(&self, tokens: &Offsets) -> Result<Option<Vec<u32>>, DataError> {
        let (Some(lengths), Some(steps)) = (self.judged_lengths.get(), self.judged.get()) else {
            return Ok(None);
        };
        let spans = Offsets::from_lengths(lengths.iter().copied());
        let process = ProcessRewards {
            spans: spans.spans(),
            steps,
        };
        process.segments(tokens.spans()).map(Some)
    }

    /// Calls `use_it` with what an estimator sees.
    ///
    /// # Errors
    /// As `use_it`.
    pub(crate) fn with_rewards<T>(
        &self,
        tokens: &Offsets,
        rewards: &[Option<f64>],
        use_it: impl FnOnce(&RewardBatch<'_>) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        let steps = self.steps.get().map(|l| Offsets::from_lengths(l.iter().copied()));
        let judged = self
            .judged_lengths
            .get()
            .map(|l| Offsets::from_lengths(l.iter().copied()));
        let has_tokens = self.tokens.get().is_some();
        use_it(&RewardBatch {
            greedy_rewards: self.greedy.get(),
            off_policy: self.off_policy.get(),
            steps: steps.as_ref().map(Offsets::spans),
            step_rewards: self.step_rewards.get(),
            anchors: self.anchors.get(),
            step_tokens: self.step_tokens.get(),
            tokens: has_tokens.then(|| tokens.spans()),
            mask: has_tokens.then_some(self.mask.as_slice()),
            logp_old: self.logp_old.get().or(self.logp.get()),
            logp_ref: self.logp_ref.get(),
            entropy: self.entropy.get(),
            values: self.values.get(),
            process: judged
                .as_ref()
                .zip(self.judged.get())
                .map(|(spans, steps)| ProcessRewards {
                    spans: spans.spans(),
                    steps,
                }),
            ..RewardBatch::new(self.groups.spans(), rewards)
        })
    }
}

/// Ranges one after the other.
fn consecutive(first: usize, lengths: &[usize]) -> Vec<Range<usize>> {
    let mut start = first;
    let mut next = |n: &usize| {
        let range = start..start + n;
        start = range.end;
        range
    };
    lengths.iter().map(&mut next).collect()
}

fn zip(judged: crate::line::JudgedSteps) -> Vec<JudgedStep> {
    let pairs = judged.ends.values.into_iter().zip(judged.rewards.values);
    pairs.map(|(end, reward)| JudgedStep { end, reward }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(batch: &mut Batch, line: u64, text: &str) -> Result<(), ScoreError> {
        batch.push(Line::parse(text.as_bytes(), line)?, line)
    }

    #[test]
    fn groups_of_a_batch_must_have_the_same_fields() {
        let plain = r#"{"rewards": [1, 0]}"#;
        let more = r#"{"rewards": [1, 0], "greedy_reward": 1}"#;
        let after = |first: &str, second: &str| {
            let mut batch = Batch::default();
            push(&mut batch, 3, first).unwrap();
            push(&mut batch, 5, second).map_err(|e| e.to_string())
        };
        assert_eq!(
            after(plain, more).unwrap_err(),
            "line 5: has `greedy_reward`, which line 3 of the same batch lacks"
        );
        assert_eq!(
            after(more, plain).unwrap_err(),
            "line 5: lacks `greedy_reward`, which line 3 of the same batch has"
        );
        assert!(after(more, more).is_ok() && after(plain, plain).is_ok());
        // A mask that is absent is full; that needs no agreement.
        let masked = r#"{"tokens": {"logp": [[-1, -2]], "mask": [[1, 0]]}}"#;
        assert!(after(masked, r#"{"tokens": {"logp": [[-1, -2]]}}"#).is_ok());
    }

    #[test]
    fn steps_are_counted_over_the_batch() {
        let mut batch = Batch::default();
        let text = r#"{"rewards": [1], "steps": {"anchors": [["a", "b"]], "n_tokens": [[2, 1]]},
                       "judged_steps": {"ends": [[1]], "rewards": [[0.5]]}}"#;
        push(&mut batch, 1, text).unwrap();
        push(&mut batch, 2, text).unwrap();
        assert_eq!(batch.step_tokens.get(), Some(&[0..2, 2..3, 3..5, 5..6][..]));
        let tokens = batch.token_offsets();
        assert_eq!(tokens, Offsets::from_lengths([3, 3]));
        let rewards = batch.rewards.get().unwrap().to_vec();
        let seen = batch.with_rewards(&tokens, &rewards, |view| {
            view.check()?;
            Ok((
                view.steps.map(|s| s.total()),
                view.process.map(|p| p.steps.len()),
                view.mask.map(<[bool]>::len),
            ))
        });
        assert_eq!(seen, Ok((Some(4), Some(2), Some(6))));
        assert_eq!(batch.ids, [Id::Number(1), Id::Number(2)]);
    }
}
