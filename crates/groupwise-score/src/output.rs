//! Results as JSON lines.

use std::io::Write;
use std::ops::Range;

use groupwise_core::{Advantages, Offsets};
use serde::{Serialize, Serializer};

use crate::batch::Batch;
use crate::error::ScoreError;
use crate::line::Id;
use crate::scorer::Scored;

/// A line of output.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a Id<'static>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advantages: Option<Rows<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grad_logp: Option<Rows<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grad_entropy: Option<Rows<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grad_values: Option<Rows<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terms: Option<Terms<'a>>,
}

/// Values of the trajectories of one group.
#[derive(Clone, Copy)]
enum Rows<'a> {
    /// One per trajectory.
    Trajectory(&'a [f64]),
    /// A list per trajectory: values of the batch, its tokens, trajectories of the group.
    Token(&'a [f64], &'a Offsets, (usize, usize)),
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Trajectory(values) => values.serialize(serializer),
            Self::Token(values, tokens, (start, end)) => {
                serializer.collect_seq((*start..*end).map(|i| &values[tokens.range(i)]))
            }
        }
    }
}

impl Rows<'_> {
    /// Where the first number stands that JSON cannot hold, and the number.
    fn non_finite(&self) -> Option<(String, f64)> {
        match self {
            Self::Trajectory(values) => {
                let i = values.iter().position(|v| !v.is_finite())?;
                Some((format!("trajectory {i}"), values[i]))
            }
            Self::Token(values, tokens, (start, end)) => (*start..*end).find_map(|i| {
                let row = &values[tokens.range(i)];
                let t = row.iter().position(|v| !v.is_finite())?;
                Some((format!("trajectory {}, token {t}", i - start), row[t]))
            }),
        }
    }
}

struct Terms<'a>(&'a [(&'static str, f64)]);

impl Serialize for Terms<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// Writes the results of a batch, a line per group.
///
/// # Errors
/// A number that is not finite, with its place: JSON has no word for it, and null would hide it.
pub(crate) fn write(to: &mut impl Write, batch: &Batch, scored: &Scored) -> Result<(), ScoreError> {
    for g in 0..batch.len() {
        let line = line(batch, scored, g);
        line.check(batch.lines[g])?;
        serde_json::to_writer(&mut *to, &line).map_err(|e| ScoreError::Write(e.into()))?;
        to.write_all(b"\n").map_err(ScoreError::Write)?;
    }
    Ok(())
}

fn line<'a>(batch: &'a Batch, scored: &'a Scored, g: usize) -> Line<'a> {
    let members: Range<usize> = batch.groups.range(g);
    let per_token = |values: &'a [f64]| Rows::Token(values, &scored.tokens, (members.start, members.end));
    let advantages = scored.advantages.as_ref().map(|advantages| match advantages {
        Advantages::Trajectory(values) => Rows::Trajectory(&values[members.clone()]),
        Advantages::Token(values) => per_token(values),
    });
    let loss = scored.loss.as_ref();
    Line {
        id: &batch.ids[g],
        advantages,
        loss: loss.map(|l| l.total),
        loss_share: loss.and_then(|l| Some(l.shares.as_ref()?[g])),
        grad_logp: loss.map(|l| per_token(&l.d_logp)),
        grad_entropy: loss.and_then(|l| l.d_entropy.as_deref().map(per_token)),
        grad_values: loss.and_then(|l| l.d_value.as_deref().map(per_token)),
        terms: loss.map(|l| Terms(&l.terms)),
    }
}

impl Line<'_> {
    fn check(&self, number: u64) -> Result<(), ScoreError> {
        let bad = |key: &str, place: &str, value: f64| {
            Err(ScoreError::line(
                number,
                format!("`{key}`{place} comes out as {value}"),
            ))
        };
        for (key, rows) in [
            ("advantages", self.advantages),
            ("grad_logp", self.grad_logp),
            ("grad_entropy", self.grad_entropy),
            ("grad_values", self.grad_values),
        ] {
            if let Some((place, value)) = rows.and_then(|rows| rows.non_finite()) {
                return bad(key, &format!(" of {place}"), value);
            }
        }
        let terms = self
            .terms
            .iter()
            .flat_map(|t| t.0.iter().map(|(name, v)| (*name, *v)));
        let scalars = [("loss", self.loss), ("loss_share", self.loss_share)];
        let scalars = scalars.into_iter().filter_map(|(key, v)| Some((key, v?)));
        match scalars.chain(terms).find(|(_, v)| !v.is_finite()) {
            Some((key, value)) => bad(key, "", value),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scorer::Loss;

    fn batch() -> Batch {
        let mut batch = Batch::default();
        for (number, text) in [
            (4, r#"{"id": "a", "rewards": [1, 0]}"#),
            (6, r#"{"rewards": [1]}"#),
        ] {
            batch
                .push(crate::line::Line::parse(text.as_bytes(), number).unwrap(), number)
                .unwrap();
        }
        batch
    }

    fn scored(d_logp: [f64; 4], total: f64) -> Scored {
        Scored {
            tokens: Offsets::from_lengths([1, 2, 1]),
            advantages: Some(Advantages::Trajectory(vec![0.5, -0.5, 0.0])),
            loss: Some(Loss {
                total,
                shares: Some(vec![1.0, 2.0]),
                terms: vec![("kl", 0.25)],
                d_logp: d_logp.to_vec(),
                d_entropy: None,
                d_value: Some(vec![1.0, 2.0, 3.0, 4.0]),
            }),
        }
    }

    fn text(scored: &Scored) -> Result<String, String> {
        let mut out = Vec::new();
        write(&mut out, &batch(), scored).map_err(|e| e.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn each_group_gets_its_own_numbers_nested_as_they_came() {
        assert_eq!(
            text(&scored([0.1, 0.2, 0.3, 1e-9], 3.0)).unwrap(),
            concat!(
                r#"{"id":"a","advantages":[0.5,-0.5],"loss":3.0,"loss_share":1.0,"grad_logp":[[0.1],[0.2,0.3]],"#,
                r#""grad_values":[[1.0],[2.0,3.0]],"terms":{"kl":0.25}}"#,
                "\n",
                r#"{"id":6,"advantages":[0.0],"loss":3.0,"loss_share":2.0,"grad_logp":[[1e-9]],"#,
                r#""grad_values":[[4.0]],"terms":{"kl":0.25}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn what_json_cannot_say_is_an_error_with_its_place() {
        assert_eq!(
            text(&scored([0.0, 0.0, f64::NAN, 0.0], 3.0)).unwrap_err(),
            "line 4: `grad_logp` of trajectory 1, token 1 comes out as NaN"
        );
        assert_eq!(
            text(&scored([0.0, 0.0, 0.0, f64::INFINITY], 3.0)).unwrap_err(),
            "line 6: `grad_logp` of trajectory 0, token 0 comes out as inf"
        );
        assert_eq!(
            text(&scored([0.0; 4], f64::NEG_INFINITY)).unwrap_err(),
            "line 4: `loss` comes out as -inf"
        );
        let mut bad = scored([0.0; 4], 1.0);
        bad.advantages = Some(Advantages::Trajectory(vec![0.0, f64::NAN, 0.0]));
        assert_eq!(
            text(&bad).unwrap_err(),
            "line 4: `advantages` of trajectory 1 comes out as NaN"
        );
        let mut bad = scored([0.0; 4], 1.0);
        if let Some(loss) = &mut bad.loss {
            loss.terms = vec![("kl", f64::NAN)];
        }
        assert_eq!(text(&bad).unwrap_err(), "line 4: `kl` comes out as NaN");
    }
}
