//! Whole answers: what objectives that compare the trajectories of a group read off a view.
//!
//! Such an objective has one figure per trajectory (a score, a log-ratio) and one number to compare it with, which
//! the update batch carries as the advantage of the trajectory.  A trajectory without counted tokens was left out
//! by a shaper or could not be scored, and takes no part in any comparison.

use std::ops::Range;

use groupwise_core::batch::AdvantageRow;
use groupwise_core::{DataError, TokenView};

use crate::ratio::log_ratio;

/// A trajectory that takes part in the comparisons of its group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Answer {
    /// Index in the view.
    pub(crate) index: usize,
    /// Its advantage.
    pub(crate) advantage: f64,
    /// Counted tokens, at least one.
    pub(crate) counted: usize,
}

/// Replaces `out` by the members of a group that have counted tokens.
///
/// # Errors
/// An advantage that is not finite, or that differs between counted tokens of a trajectory.
pub(crate) fn answers(
    view: &TokenView<'_>,
    members: Range<usize>,
    out: &mut Vec<Answer>,
) -> Result<(), DataError> {
    out.clear();
    for index in members {
        let counted = view.n_counted(index);
        if counted > 0 {
            let advantage = advantage(view, index)?;
            out.push(Answer {
                index,
                advantage,
                counted,
            });
        }
    }
    Ok(())
}

/// The one advantage of a trajectory with counted tokens.
fn advantage(view: &TokenView<'_>, index: usize) -> Result<f64, DataError> {
    let found = match view.advantage_row(index) {
        AdvantageRow::Constant(a) => a,
        AdvantageRow::Tokens(row) => {
            let tokens = view.tokens.range(index);
            let mut counted = (0..row.len()).filter(|t| view.mask[tokens.start + t]);
            let first = counted.next().map_or(f64::NAN, |t| row[t]);
            // Numbers that are not finite are reported below, not as a difference.
            if let Some(t) = counted.find(|t| row[*t] != first && row[*t].is_finite() && first.is_finite()) {
                return Err(DataError::value(
                    place(view, index, t),
                    format!(
                        "advantage {} where the trajectory starts with {first}: whole answers are compared, so \
                         every token must carry the same",
                        row[t]
                    ),
                ));
            }
            first
        }
    };
    if found.is_finite() {
        return Ok(found);
    }
    Err(DataError::NonFinite {
        place: format!("trajectory {}", view.first_trajectory + index),
        what: "advantage".into(),
        value: found.to_string(),
    })
}

/// Sum of the clamped log-ratios of the counted tokens of a trajectory to an anchor, nats; the sum itself is not
/// clamped, for no exponential is taken of it.
///
/// # Errors
/// Names trajectory and token of a log-probability that is not finite.
pub(crate) fn log_ratio_sum(
    view: &TokenView<'_>,
    index: usize,
    (anchor_name, anchor): (&str, &[f64]),
) -> Result<f64, DataError> {
    let tokens = view.tokens.range(index);
    let mut sum = 0.0;
    for t in tokens.clone().filter(|t| view.mask[*t]) {
        let at = t - tokens.start;
        check_finite(view, (index, at), "logp", view.logp[t])?;
        check_finite(view, (index, at), anchor_name, anchor[t])?;
        sum += log_ratio(view.logp[t], anchor[t]);
    }
    Ok(sum)
}

/// Place of a token in the whole batch, for messages.
pub(crate) fn place(view: &TokenView<'_>, index: usize, token: usize) -> String {
    format!("trajectory {}, token {token}", view.first_trajectory + index)
}

/// Refuses a number that is not finite.
#[inline]
pub(crate) fn check_finite(
    view: &TokenView<'_>,
    (index, token): (usize, usize),
    what: &str,
    value: f64,
) -> Result<(), DataError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(DataError::NonFinite {
        place: place(view, index, token),
        what: what.into(),
        value: value.to_string(),
    })
}

/// Refuses a loss that overflowed although all inputs are finite.
pub(crate) fn check_loss(loss: f64) -> Result<f64, DataError> {
    if loss.is_finite() {
        return Ok(loss);
    }
    Err(DataError::NonFinite {
        place: "sum over trajectories".into(),
        what: "loss".into(),
        value: loss.to_string(),
    })
}

/// Constants an objective froze, as many as it asks for.
///
/// # Errors
/// [`DataError::Length`] if there are fewer or more.
pub(crate) fn constants<const N: usize>(scalars: &[f64]) -> Result<[f64; N], DataError> {
    scalars.try_into().map_err(|_| DataError::Length {
        what: "frozen constants".into(),
        found: scalars.len(),
        expected: N,
    })
}

#[cfg(test)]
mod tests {
    use groupwise_core::batch::AdvantageView;
    use groupwise_core::{Denominators, Offsets};

    use super::*;

    fn view<'a>(tokens: &'a Offsets, mask: &'a [bool], advantages: AdvantageView<'a>) -> TokenView<'a> {
        TokenView {
            segments: None,
            groups: Offsets::from_lengths([tokens.len()]),
            tokens: tokens.spans(),
            first_trajectory: 5,
            mask,
            logp: &[-1.0, -2.0, -40.0, -1.0],
            logp_old: &[-1.5, -1.0, -1.0, f64::NAN],
            logp_ref: None,
            entropy: None,
            value: None,
            advantages,
        }
    }

    fn found(view: &TokenView<'_>) -> Result<Vec<Answer>, String> {
        let mut out = vec![];
        answers(view, 0..view.n_trajectories(), &mut out)
            .map(|()| out)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn silent_trajectories_take_no_part() {
        let (tokens, mask) = (Offsets::from_lengths([2, 1, 1]), [false, true, true, false]);
        let answer = |index, advantage| Answer {
            index,
            advantage,
            counted: 1,
        };
        let rows = [0.5, 0.25, f64::NAN];
        let whole = view(&tokens, &mask, AdvantageView::Trajectory(&rows));
        assert_eq!(found(&whole), Ok(vec![answer(0, 0.5), answer(1, 0.25)]));
        // Masked tokens may hold anything.
        let rows = [9.0, 0.5, 0.25, f64::NAN];
        let each = view(&tokens, &mask, AdvantageView::Token(&rows));
        assert_eq!(found(&each), Ok(vec![answer(0, 0.5), answer(1, 0.25)]));
    }

    #[test]
    fn an_advantage_must_be_one_finite_number() {
        let (tokens, mask) = (Offsets::from_lengths([3, 1]), [true; 4]);
        let refuse =
            |row: &[f64]| found(&view(&tokens, &mask, AdvantageView::Token(row))).expect_err("refused");
        assert_eq!(
            refuse(&[0.5, 0.5, 0.75, 0.0]),
            "trajectory 5, token 2: advantage 0.75 where the trajectory starts with 0.5: whole answers are \
             compared, so every token must carry the same"
        );
        assert_eq!(
            refuse(&[f64::NAN, 0.5, 0.5, 0.0]),
            "trajectory 5: `advantage` is NaN"
        );
        assert_eq!(
            refuse(&[0.5, 0.5, 0.5, f64::INFINITY]),
            "trajectory 6: `advantage` is inf"
        );
    }

    #[test]
    fn log_ratios_add_up_over_counted_tokens_and_each_is_clamped() {
        let tokens = Offsets::from_lengths([3, 1]);
        let rows = [0.0; 2];
        let at = |mask: &[bool]| {
            let view = view(&tokens, mask, AdvantageView::Trajectory(&rows));
            (0..2)
                .map(|i| log_ratio_sum(&view, i, ("logp_old", view.logp_old)).map_err(|e| e.to_string()))
                .collect::<Vec<_>>()
        };
        assert_eq!(at(&[true, true, true, false]), [Ok(-20.5), Ok(0.0)]);
        assert_eq!(
            at(&[true, true, false, true]),
            [Ok(-0.5), Err("trajectory 6, token 0: `logp_old` is NaN".into())]
        );
    }

    #[test]
    fn weights_and_constants_must_be_there() {
        let (tokens, mask) = (Offsets::from_lengths([3, 1]), [true; 4]);
        let view = view(&tokens, &mask, AdvantageView::Trajectory(&[0.0; 2]));
        let whole = |n: usize| Denominators {
            trajectory: (0..n).map(|i| i as f64).collect(),
            scalars: vec![],
        };
        assert_eq!(whole(7).of_view(&view), Ok([5.0, 6.0].as_slice()));
        assert_eq!(
            whole(6).of_view(&view).expect_err("refused").to_string(),
            "`denominators` has 6 entries, expected 7"
        );
        assert_eq!(constants(&[1.0, 2.0]), Ok([1.0, 2.0]));
        assert_eq!(
            constants::<2>(&[1.0]).expect_err("refused").to_string(),
            "`frozen constants` has 1 entries, expected 2"
        );
        assert_eq!(check_loss(1.0), Ok(1.0));
        assert_eq!(
            check_loss(f64::INFINITY).expect_err("refused").to_string(),
            "sum over trajectories: `loss` is inf"
        );
    }
}
