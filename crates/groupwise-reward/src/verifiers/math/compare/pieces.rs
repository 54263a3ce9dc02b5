//! Relations and sets of numbers: inequalities, intervals, unions.

use super::super::algebra::{Algebra, Percent};
use super::super::config::RelationForSet;
use super::super::form::{Form, Scalar, Shape};
use super::super::rational::Stop;
use super::super::sets::{self, End, Piece};
use super::super::tree::{Bracket, Constant, Op, Relation};
use super::{Comparison, Found, Side};

impl Comparison<'_> {
    /// Chains of inequalities as sets of single ones, flipped and scaled as needed.
    pub(super) fn same_orders(
        &mut self,
        gold: &[(Scalar, Relation, Scalar)],
        answer: &[(Scalar, Relation, Scalar)],
    ) -> Found {
        if gold.len() != answer.len() {
            return self.same_pieces(&Form::Order(gold.to_vec()), &Form::Order(answer.to_vec()));
        }
        let mut left: Vec<usize> = (0..answer.len()).collect();
        for a in gold {
            let x = self.sides(Side::Gold, *a)?;
            let mut partner = None;
            for (at, b) in left.iter().enumerate() {
                let y = self.sides(Side::Answer, answer[*b])?;
                let factor = self.algebra.proportion(&x, &y)?;
                let relation = factor.map(|factor| {
                    if factor.is_negative() {
                        answer[*b].1.flipped()
                    } else {
                        answer[*b].1
                    }
                });
                if relation == Some(a.1) {
                    partner = Some(at);
                    break;
                }
            }
            match partner {
                Some(at) => left.remove(at),
                None => return self.differ("different relations"),
            };
        }
        self.agree("equal inequalities")
    }

    /// Sets, and relations that describe sets.
    pub(super) fn same_sets_of_relations(&mut self, gold: &Form, answer: &Form) -> Found {
        let describes = |form: &Form| is_relation(form);
        if describes(answer) && !describes(gold) && self.config.relation_for_set == RelationForSet::Refused {
            return self.differ("a relation is no set");
        }
        let set = |form: &Form| {
            matches!(form, Form::SetOperation(..) | Form::Named(_) | Form::List(..)) || describes(form)
        };
        if !set(gold) || !set(answer) {
            return self.differ("different kinds of answer");
        }
        self.same_pieces(gold, answer)
    }

    pub(super) fn same_pieces(&mut self, gold: &Form, answer: &Form) -> Found {
        let (Some(a), Some(b)) = (
            self.pieces(Side::Gold, gold, 0)?,
            self.pieces(Side::Answer, answer, 0)?,
        ) else {
            return self.differ("different kinds of answer");
        };
        let (a, b) = (
            sets::normal(a, &mut self.algebra)?,
            sets::normal(b, &mut self.algebra)?,
        );
        // Contradictions describe the empty set, but not on purpose.
        let mut equal = a.len() == b.len() && !a.is_empty();
        for (x, y) in a.iter().zip(&b) {
            equal = equal && self.same_end(&x.low, &y.low)? && self.same_end(&x.high, &y.high)?;
        }
        self.step = if equal { "equal sets" } else { "different sets" };
        Ok(equal)
    }

    fn same_end(&mut self, a: &End, b: &End) -> Found {
        match (a, b) {
            (End::Infinite, End::Infinite) => Ok(true),
            (End::At(x, p), End::At(y, q)) => Ok(p == q && self.algebra.equal(x, y)?),
            _ => Ok(false),
        }
    }

    /// A form as a set of numbers, if it is one.
    fn pieces(&mut self, side: Side, form: &Form, depth: u32) -> Result<Option<Vec<Piece>>, Stop> {
        if depth > 16 {
            return Err(Stop::Limit);
        }
        match form {
            Form::Named(Constant::Reals) => Ok(Some(vec![Piece::all()])),
            Form::Named(Constant::EmptySet) => Ok(Some(Vec::new())),
            Form::Scalar(scalar) => {
                let value = self.value(side, *scalar, Percent::Hundredth)?;
                Ok(Some(vec![Piece::point(value)]))
            }
            Form::List(Shape::Brackets(open, close), items) => self.interval(side, (*open, *close), items),
            Form::List(_, items) => {
                let mut all = Vec::new();
                for item in items {
                    match self.pieces(side, item, depth + 1)? {
                        Some(pieces) => all.extend(pieces),
                        None => return Ok(None),
                    }
                }
                Ok(Some(all))
            }
            Form::Member(_, set) => self.pieces(side, set, depth + 1),
            Form::SetOperation(op, a, b) => {
                let (Some(a), Some(b)) = (self.pieces(side, a, depth + 1)?, self.pieces(side, b, depth + 1)?)
                else {
                    return Ok(None);
                };
                let (a, b) = (
                    sets::normal(a, &mut self.algebra)?,
                    sets::normal(b, &mut self.algebra)?,
                );
                Ok(Some(match op {
                    Op::Union => a.into_iter().chain(b).collect(),
                    Op::Intersection => sets::intersection(&a, &b, &mut self.algebra)?,
                    _ => sets::intersection(&a, &sets::complement(&b), &mut self.algebra)?,
                }))
            }
            Form::Order(relations) => {
                let mut pieces = vec![Piece::all()];
                let mut variable = None;
                for relation in relations {
                    let Some((atom, piece)) = self.half_line(side, *relation)? else {
                        return Ok(None);
                    };
                    if *variable.get_or_insert(atom) != atom {
                        return Ok(None);
                    }
                    pieces = sets::intersection(&pieces, &[piece], &mut self.algebra)?;
                }
                Ok(Some(pieces))
            }
            Form::Relation(a, Relation::NotEqual, b) => {
                let difference = self.sides(side, (*a, Relation::NotEqual, *b))?;
                let root = self.algebra.linear_root(&difference)?;
                Ok(root.map(|(_, _, root)| sets::complement(&[Piece::point(root)])))
            }
            _ => Ok(None),
        }
    }

    fn half_line(
        &mut self,
        side: Side,
        relation: (Scalar, Relation, Scalar),
    ) -> Result<Option<(u32, Piece)>, Stop> {
        let difference = self.sides(side, relation)?;
        let Some((atom, c, root)) = self.algebra.linear_root(&difference)? else {
            return Ok(None);
        };
        let closed = matches!(relation.1, Relation::LessEqual | Relation::GreaterEqual);
        let less = matches!(relation.1, Relation::Less | Relation::LessEqual);
        let c = if less { c } else { c.negated() };
        Ok(Some((atom, sets::half_line(&c, root, closed))))
    }

    fn interval(
        &mut self,
        side: Side,
        brackets: (Bracket, Bracket),
        items: &[Form],
    ) -> Result<Option<Vec<Piece>>, Stop> {
        let [Form::Scalar(low), Form::Scalar(high)] = items else {
            return Ok(None);
        };
        let mut end = |scalar: Scalar, bracket: Bracket, infinite: i32| {
            let value = self.value(side, scalar, Percent::Hundredth)?;
            Ok::<_, Stop>(match Algebra::infinite_sign(&value) {
                Some(sign) if sign == infinite => Some(End::Infinite),
                Some(_) => None,
                None => Some(End::At(value, bracket == Bracket::Square)),
            })
        };
        let (low, high) = (end(*low, brackets.0, -1)?, end(*high, brackets.1, 1)?);
        let Some((low, high)) = low.zip(high) else {
            return Ok(None);
        };
        let piece = Piece { low, high };
        // `(3, 1)` is a point, no interval.
        Ok((!sets::is_empty(&piece, &mut self.algebra)?).then(|| vec![piece]))
    }
}

/// True for relations, and lists of them, that describe a set.
pub(super) fn is_relation(form: &Form) -> bool {
    match form {
        Form::Order(_) | Form::Relation(..) => true,
        Form::List(Shape::Bare, items) => items.iter().any(is_relation),
        _ => false,
    }
}
