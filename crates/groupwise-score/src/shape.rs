//! Whether the lists of a group agree: trajectories, steps, tokens.

use crate::line::Line;
use crate::ragged::{Given, Ragged};

/// Structure of a group.
#[derive(Debug, PartialEq)]
pub(crate) struct Shape {
    /// Trajectories of the group.
    pub(crate) n_trajectories: usize,
    /// Steps of each trajectory.
    pub(crate) steps: Option<Vec<usize>>,
    /// Tokens of each step, where known.
    pub(crate) step_tokens: Option<Vec<usize>>,
    /// Tokens of each trajectory.
    pub(crate) tokens: Option<Vec<usize>>,
}

/// Lists that must have the same rows: the first one is what the others are compared with.
struct Rows<'a> {
    unit: &'static str,
    first: Option<(&'static str, &'a [usize])>,
}

impl<'a> Rows<'a> {
    fn of(unit: &'static str) -> Self {
        Self { unit, first: None }
    }

    fn add(&mut self, key: &'static str, lengths: &'a [usize]) -> Result<(), String> {
        let Some((other, expected)) = self.first else {
            self.first = Some((key, lengths));
            return Ok(());
        };
        // Numbers of trajectories are compared before.
        match lengths.iter().zip(expected).position(|(a, b)| a != b) {
            None => Ok(()),
            Some(i) => Err(format!(
                "trajectory {i} has {} {unit} in `{key}` and {} in `{other}`",
                lengths[i],
                expected[i],
                unit = self.unit,
            )),
        }
    }

    fn into_lengths(self) -> Option<Vec<usize>> {
        self.first.map(|(_, lengths)| lengths.to_vec())
    }
}

impl Shape {
    /// Reads the structure off a line.
    ///
    /// # Errors
    /// Which two lists disagree, and where; a group without trajectories.
    pub(crate) fn of(line: &Line<'_>) -> Result<Self, String> {
        let n_trajectories = count(line)?;
        let (mut tokens, mut steps) = (Rows::of("tokens"), Rows::of("steps"));
        for (key, lengths) in per_token(line) {
            tokens.add(key, lengths)?;
        }
        for (key, lengths) in per_step(line) {
            steps.add(key, lengths)?;
        }
        if let Some(judged) = &line.judged_steps {
            let mut rows = Rows::of("steps");
            rows.add("judged_steps.ends", &judged.ends.lengths)?;
            rows.add("judged_steps.rewards", &judged.rewards.lengths)?;
        }
        let given = line.steps.as_ref().and_then(|s| s.n_tokens.as_ref());
        let sums = given.map(sums);
        if let Some(sums) = &sums {
            tokens.add("steps.n_tokens", sums)?;
        }
        let tokens = tokens.into_lengths();
        let steps = steps.into_lengths();
        let step_tokens = match (given, &tokens, &steps) {
            (Some(given), _, _) => Some(given.values.clone()),
            // Without tokens of its own a step is one token.
            (None, None, Some(steps)) => Some(vec![1; steps.iter().sum()]),
            _ => None,
        };
        Ok(Self {
            n_trajectories,
            tokens: tokens.or_else(|| steps.clone()),
            steps,
            step_tokens,
        })
    }
}

/// Sums of the rows.
fn sums(rows: &Ragged<usize>) -> Vec<usize> {
    let mut rest = rows.values.as_slice();
    let mut next = |n: &usize| {
        let (row, behind) = rest.split_at((*n).min(rest.len()));
        rest = behind;
        row.iter().sum()
    };
    rows.lengths.iter().map(&mut next).collect()
}

/// Lists of one row per trajectory of the tokens.
fn per_token<'a>(line: &'a Line<'_>) -> impl Iterator<Item = (&'static str, &'a [usize])> {
    fn lengths<T>(rows: &Option<Ragged<T>>) -> Option<&[usize]> {
        rows.as_ref().map(|rows| rows.lengths.as_slice())
    }
    let advantages = match &line.advantages {
        Some(Given::Token(rows)) => Some(rows.lengths.as_slice()),
        _ => None,
    };
    let columns = line.tokens.iter().flat_map(|t| {
        [
            ("tokens.logp", lengths(&t.logp)),
            ("tokens.logp_old", lengths(&t.logp_old)),
            ("tokens.logp_ref", lengths(&t.logp_ref)),
            ("tokens.entropy", lengths(&t.entropy)),
            ("tokens.values", lengths(&t.values)),
            ("tokens.mask", lengths(&t.mask)),
        ]
    });
    columns
        .chain([("advantages", advantages)])
        .filter_map(|(key, lengths)| Some((key, lengths?)))
}

/// Lists of one row per trajectory of the steps.
fn per_step<'a>(line: &'a Line<'_>) -> impl Iterator<Item = (&'static str, &'a [usize])> {
    let columns = line.steps.iter().flat_map(|s| {
        [
            ("steps.rewards", s.rewards.as_ref().map(|r| r.lengths.as_slice())),
            ("steps.anchors", s.anchors.as_ref().map(|r| r.lengths.as_slice())),
            (
                "steps.n_tokens",
                s.n_tokens.as_ref().map(|r| r.lengths.as_slice()),
            ),
        ]
    });
    columns.filter_map(|(key, lengths)| Some((key, lengths?)))
}

/// Number of trajectories, on which all lists must agree.
fn count(line: &Line<'_>) -> Result<usize, String> {
    let judged = line.judged_steps.iter().flat_map(|j| {
        [
            ("judged_steps.ends", j.ends.lengths.len()),
            ("judged_steps.rewards", j.rewards.lengths.len()),
        ]
    });
    let per_trajectory = match &line.advantages {
        Some(Given::Trajectory(values)) => Some(("advantages", values.len())),
        _ => None,
    };
    let rows = per_token(line)
        .chain(per_step(line))
        .map(|(key, rows)| (key, rows.len()));
    let rewards = line.rewards.iter().map(|r| ("rewards", r.len()));
    let off_policy = line.off_policy.iter().map(|o| ("off_policy", o.len()));
    let mut all = rewards
        .chain(off_policy)
        .chain(per_trajectory)
        .chain(rows)
        .chain(judged);
    let Some((first, n)) = all.next() else {
        return Err("holds neither `rewards` nor `tokens`".to_owned());
    };
    if let Some((key, other)) = all.find(|(_, other)| *other != n) {
        return Err(format!("`{key}` has {other} trajectories, `{first}` has {n}"));
    }
    match n {
        0 => Err("the group holds no trajectory".to_owned()),
        n => Ok(n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Result<Shape, String> {
        Shape::of(&Line::parse(text.as_bytes(), 1).map_err(|e| e.to_string())?)
    }

    #[test]
    fn lists_that_disagree_are_named_with_the_place() {
        let refused = |text: &str| shape(text).unwrap_err();
        assert_eq!(refused(r#"{"id": 1}"#), "holds neither `rewards` nor `tokens`");
        assert_eq!(refused(r#"{"rewards": []}"#), "the group holds no trajectory");
        assert_eq!(
            refused(r#"{"rewards": [1, 0], "tokens": {"mask": [[1]]}}"#),
            "`tokens.mask` has 1 trajectories, `rewards` has 2"
        );
        assert_eq!(
            refused(r#"{"rewards": [1, 0], "advantages": [1]}"#),
            "`advantages` has 1 trajectories, `rewards` has 2"
        );
        assert_eq!(
            refused(r#"{"rewards": [1], "judged_steps": {"ends": [[0], []], "rewards": [[1]]}}"#),
            "`judged_steps.ends` has 2 trajectories, `rewards` has 1"
        );
        for key in ["logp_old", "logp_ref", "entropy", "values", "mask"] {
            let text = format!(r#"{{"tokens": {{"logp": [[-1], [-1, -2]], "{key}": [[1], [1]]}}}}"#);
            assert_eq!(
                refused(&text),
                format!("trajectory 1 has 1 tokens in `tokens.{key}` and 2 in `tokens.logp`")
            );
        }
        assert_eq!(
            refused(r#"{"advantages": [[1]], "tokens": {"logp": [[-1, -2]]}}"#),
            "trajectory 0 has 1 tokens in `advantages` and 2 in `tokens.logp`"
        );
        assert_eq!(
            refused(r#"{"steps": {"rewards": [[1]], "anchors": [["a", "b"]]}}"#),
            "trajectory 0 has 2 steps in `steps.anchors` and 1 in `steps.rewards`"
        );
        assert_eq!(
            refused(r#"{"steps": {"n_tokens": [[1, 1], [2, 3]]}, "tokens": {"mask": [[1, 1], [1]]}}"#),
            "trajectory 1 has 5 tokens in `steps.n_tokens` and 1 in `tokens.mask`"
        );
        assert_eq!(
            refused(r#"{"rewards": [1], "judged_steps": {"ends": [[0, 1]], "rewards": [[1]]}}"#),
            "trajectory 0 has 1 steps in `judged_steps.rewards` and 2 in `judged_steps.ends`"
        );
    }

    #[test]
    fn tokens_come_from_token_lists_from_steps_or_from_nowhere() {
        let bare = shape(r#"{"rewards": [1, 0]}"#).unwrap();
        assert_eq!(
            bare,
            Shape {
                n_trajectories: 2,
                steps: None,
                step_tokens: None,
                tokens: None
            }
        );
        let singles = shape(r#"{"steps": {"rewards": [[1, 2], [3]]}}"#).unwrap();
        assert_eq!(singles.tokens, Some(vec![2, 1]));
        assert_eq!(singles.step_tokens, Some(vec![1, 1, 1]));
        let sized = shape(r#"{"steps": {"rewards": [[1, 2], [3]], "n_tokens": [[3, 0], [4]]}}"#).unwrap();
        assert_eq!(sized.tokens, Some(vec![3, 4]));
        assert_eq!(sized.step_tokens, Some(vec![3, 0, 4]));
        let loose = shape(r#"{"steps": {"rewards": [[1, 2]]}, "tokens": {"mask": [[1, 1, 1]]}}"#).unwrap();
        assert_eq!(loose.tokens, Some(vec![3]));
        assert_eq!(loose.steps, Some(vec![2]));
        assert_eq!(loose.step_tokens, None);
    }
}
