//! Sets of real numbers as pieces in order: intervals and points.

use super::algebra::{Algebra, Fraction};
use super::rational::{Rational, Stop};

/// An end of a piece.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// Minus or plus infinity.
    Infinite,
    /// A number, and whether it belongs to the piece.
    At(Fraction, bool),
}

/// All numbers between two ends.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) low: End,
    pub(super) high: End,
}

impl Piece {
    pub(super) fn point(value: Fraction) -> Self {
        Self {
            low: End::At(value.clone(), true),
            high: End::At(value, true),
        }
    }

    pub(super) fn all() -> Self {
        Self {
            low: End::Infinite,
            high: End::Infinite,
        }
    }
}

/// Sign of `a - b`, which must be constant.
fn order(a: &Fraction, b: &Fraction, algebra: &mut Algebra) -> Result<i32, Stop> {
    let difference = algebra.sub(a.clone(), b.clone())?;
    if difference.is_zero() {
        return Ok(0);
    }
    algebra.sign(&difference).ok_or(Stop::Undefined)
}

/// Order of two low ends.
fn compare_lows(a: &End, b: &End, algebra: &mut Algebra) -> Result<i32, Stop> {
    Ok(match (a, b) {
        (End::Infinite, End::Infinite) => 0,
        (End::Infinite, _) => -1,
        (_, End::Infinite) => 1,
        (End::At(x, p), End::At(y, q)) => match order(x, y, algebra)? {
            0 => i32::from(*q) - i32::from(*p),
            sign => sign,
        },
    })
}

/// Order of two high ends.
fn compare_highs(a: &End, b: &End, algebra: &mut Algebra) -> Result<i32, Stop> {
    Ok(match (a, b) {
        (End::Infinite, End::Infinite) => 0,
        (End::Infinite, _) => 1,
        (_, End::Infinite) => -1,
        (End::At(x, p), End::At(y, q)) => match order(x, y, algebra)? {
            0 => i32::from(*p) - i32::from(*q),
            sign => sign,
        },
    })
}

/// True if nothing lies between the ends.
pub(super) fn is_empty(piece: &Piece, algebra: &mut Algebra) -> Result<bool, Stop> {
    match (&piece.low, &piece.high) {
        (End::At(x, p), End::At(y, q)) => {
            let sign = order(x, y, algebra)?;
            Ok(sign > 0 || (sign == 0 && !(*p && *q)))
        }
        _ => Ok(false),
    }
}

/// True if nothing lies between the high end of one piece and the low end of the next.
fn touch(high: &End, low: &End, algebra: &mut Algebra) -> Result<bool, Stop> {
    match (high, low) {
        (End::At(x, p), End::At(y, q)) => {
            let sign = order(x, y, algebra)?;
            Ok(sign > 0 || (sign == 0 && (*p || *q)))
        }
        _ => Ok(true),
    }
}

/// The same set as pieces in order that do not touch.
pub(super) fn normal(pieces: Vec<Piece>, algebra: &mut Algebra) -> Result<Vec<Piece>, Stop> {
    let mut sorted: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        if is_empty(&piece, algebra)? {
            continue;
        }
        let mut at = sorted.len();
        while at > 0 && compare_lows(&sorted[at - 1].low, &piece.low, algebra)? > 0 {
            at -= 1;
        }
        sorted.insert(at, piece);
    }
    let mut out: Vec<Piece> = Vec::with_capacity(sorted.len());
    for piece in sorted {
        if let Some(last) = out.last_mut()
            && touch(&last.high, &piece.low, algebra)?
        {
            if compare_highs(&piece.high, &last.high, algebra)? > 0 {
                last.high = piece.high;
            }
            continue;
        }
        out.push(piece);
    }
    Ok(out)
}

pub(super) fn intersection(a: &[Piece], b: &[Piece], algebra: &mut Algebra) -> Result<Vec<Piece>, Stop> {
    let mut out = Vec::new();
    for x in a {
        for y in b {
            let low = if compare_lows(&x.low, &y.low, algebra)? >= 0 {
                &x.low
            } else {
                &y.low
            };
            let high = if compare_highs(&x.high, &y.high, algebra)? <= 0 {
                &x.high
            } else {
                &y.high
            };
            out.push(Piece {
                low: low.clone(),
                high: high.clone(),
            });
        }
    }
    normal(out, algebra)
}

/// Everything outside a set in normal form.
pub(super) fn complement(pieces: &[Piece]) -> Vec<Piece> {
    let mut out = Vec::with_capacity(pieces.len() + 1);
    let mut low = Some(End::Infinite);
    for piece in pieces {
        if let (Some(low), End::At(value, closed)) = (low.take(), &piece.low) {
            out.push(Piece {
                low,
                high: End::At(value.clone(), !closed),
            });
        }
        low = match &piece.high {
            End::Infinite => None,
            End::At(value, closed) => Some(End::At(value.clone(), !closed)),
        };
    }
    out.extend(low.map(|low| Piece {
        low,
        high: End::Infinite,
    }));
    out
}

/// The half-line where `c x + d` is negative (or zero, if `closed`).
pub(super) fn half_line(c: &Rational, bound: Fraction, closed: bool) -> Piece {
    let end = End::At(bound, closed);
    if c.is_negative() {
        Piece {
            low: end,
            high: End::Infinite,
        }
    } else {
        Piece {
            low: End::Infinite,
            high: end,
        }
    }
}
