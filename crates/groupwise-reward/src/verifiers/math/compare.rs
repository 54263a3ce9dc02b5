//! Whether an answer is the reference: the rules of comparison, reference first.

mod pieces;

use super::algebra::{Algebra, Fraction, Percent};
use super::config::MathConfig;
use super::form::{self, Form, Scalar, Shape};
use super::rational::{Rational, Stop};
use super::tree::{Bracket, Constant, Function, Id, Op, Relation, Tree};
use super::units;
use pieces::is_relation;

/// Which side an expression is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Gold,
    Answer,
}

/// A comparison under way.
pub(super) struct Comparison<'a> {
    pub(super) tree: &'a Tree,
    pub(super) algebra: Algebra,
    pub(super) config: &'a MathConfig,
    /// Variables renamed by position, of gold and answer.
    pub(super) bound: [Vec<(String, Fraction)>; 2],
    /// The last step that decided.
    pub(super) step: &'static str,
}

type Found = Result<bool, Stop>;

impl Comparison<'_> {
    /// True if the answer meets the reference.
    pub(super) fn meets(&mut self, gold: &Form, answer: &Form) -> Found {
        self.algebra.fuel.spend(1)?;
        match (gold, answer) {
            (Form::Assign(n, v), Form::Assign(m, w)) => {
                if self.same_name(*n, *m)? && self.meets(v, w)? {
                    self.step = "equal names and values";
                    return Ok(true);
                }
                self.same_equation(gold, answer)
            }
            (Form::Assign(..) | Form::Equation(..), Form::Equation(..))
            | (Form::Equation(..), Form::Assign(..)) => self.same_equation(gold, answer),
            (Form::Equation(..), _) | (_, Form::Equation(..)) => self.differ("an equation is no value"),
            (Form::Member(n, s), Form::Member(m, t)) => Ok(self.same_name(*n, *m)? && self.meets(s, t)?),
            (Form::Assign(_, value), other) => self.meets(value, other),
            (other, Form::Assign(_, value)) => self.meets(other, value),
            (Form::Member(_, set), other) => self.meets(set, other),
            (other, Form::Member(_, set)) => self.meets(other, set),
            (Form::Scalar(a), Form::Scalar(b)) => self.same_scalar(*a, *b),
            (Form::Matrix(n, a), Form::Matrix(m, b)) => {
                self.step = "matrices by entry";
                Ok(n == m && a.len() == b.len() && self.all_scalars(a, b)?)
            }
            (Form::Relation(a, r, b), Form::Relation(c, s, d)) => {
                self.same_relation((*a, *r, *b), (*c, *s, *d))
            }
            (Form::Order(a), Form::Order(b)) => self.same_orders(a, b),
            (Form::Named(a), Form::Named(b)) if a == b => self.agree("equal sets"),
            (Form::List(shape, items), Form::List(other, others)) => {
                if self.same_lists((*shape, items), (*other, others))? {
                    return Ok(true);
                }
                if is_relation(gold) || is_relation(answer) {
                    return self.same_sets_of_relations(gold, answer);
                }
                Ok(false)
            }
            (Form::SetOperation(a, ..), Form::SetOperation(b, ..)) if a == b && *a == Op::Union => {
                let (left, right) = (flatten_union(gold), flatten_union(answer));
                if self.match_any_order(&left, &right)? {
                    return self.agree("equal unions");
                }
                self.same_pieces(gold, answer)
            }
            _ => self.same_sets_of_relations(gold, answer),
        }
    }

    fn agree(&mut self, step: &'static str) -> Found {
        self.step = step;
        Ok(true)
    }

    fn differ(&mut self, step: &'static str) -> Found {
        self.step = step;
        Ok(false)
    }

    pub(super) fn value(&mut self, side: Side, scalar: Scalar, percent: Percent) -> Result<Fraction, Stop> {
        let bound = &self.bound[usize::from(side == Side::Answer)];
        let setting = form::setting(self.tree, scalar, percent, bound);
        self.algebra.evaluate(self.tree, scalar.id, &setting)
    }

    fn same_name(&mut self, gold: Scalar, answer: Scalar) -> Found {
        if self.tree.same(gold.id, answer.id) {
            return Ok(true);
        }
        let (a, b) = (self.tree.op(gold.id), self.tree.op(answer.id));
        if (a, b) == (Op::Apply, Op::Apply) {
            // `f(n) = ..` and `f(x) = ..` define one function.
            return Ok(self
                .tree
                .same(self.tree.kid(gold.id, 0), self.tree.kid(answer.id, 0)));
        }
        if let Some(equal) = self.same_spelling(gold.id, answer.id) {
            return Ok(equal);
        }
        let values = (
            self.value(Side::Gold, gold, Percent::Hundredth),
            self.value(Side::Answer, answer, Percent::Hundredth),
        );
        match values {
            (Ok(a), Ok(b)) => self.algebra.equal(&a, &b),
            (Err(Stop::Limit), _) | (_, Err(Stop::Limit)) => Err(Stop::Limit),
            _ => Ok(false),
        }
    }

    fn all_scalars(&mut self, gold: &[Scalar], answer: &[Scalar]) -> Found {
        for (a, b) in gold.iter().zip(answer) {
            if !self.same_scalar(*a, *b)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Letters and words of a product in their order, with whether words are among them.
    fn spelling(&self, id: Id) -> Option<(String, bool)> {
        let (mut letters, mut words) = (String::new(), false);
        if self.tree.size(id) > 64 {
            return None;
        }
        for n in self.tree.subtree(id) {
            match self.tree.op(n) {
                Op::Name(name) if self.tree.name(name).chars().count() == 1 => {
                    letters.push_str(self.tree.name(name))
                }
                Op::Word(word) => {
                    letters.extend(self.tree.name(word).chars().filter(|c| !c.is_whitespace()));
                    words = true;
                }
                Op::Constant(Constant::E) => letters.push('e'),
                Op::Constant(Constant::I) => letters.push('i'),
                Op::Multiply => {}
                _ => return None,
            }
        }
        Some((letters, words))
    }

    /// For words: equal letters in order, case ignored past one letter.  `None` if these are no words.
    fn same_spelling(&self, gold: Id, answer: Id) -> Option<bool> {
        let ((a, word), (b, other)) = (self.spelling(gold)?, self.spelling(answer)?);
        if !word && !other {
            return None;
        }
        Some(if a.chars().count() > 1 {
            a.to_lowercase() == b.to_lowercase()
        } else {
            a == b
        })
    }

    fn same_scalar(&mut self, gold: Scalar, answer: Scalar) -> Found {
        if let Some(equal) = self.same_spelling(gold.id, answer.id) {
            self.step = if equal { "equal words" } else { "different words" };
            return Ok(equal);
        }
        if self.units_conflict(gold.id, answer.id) {
            return self.differ("different units");
        }
        if let Some(equal) = self.same_clock(gold.id, answer.id) {
            self.step = "times of day";
            return Ok(equal);
        }
        self.same_values(gold, answer)
    }

    /// Two known units that differ, or a unit on one side and a percent sign on the other.
    fn units_conflict(&self, gold: Id, answer: Id) -> bool {
        let (a, b) = (form::units(self.tree, gold).1, form::units(self.tree, answer).1);
        match (a, b) {
            (Some(a), Some(b)) => units::conflict(&a, &b),
            (Some(_), None) => form::is_percentage(self.tree, answer),
            (None, Some(_)) => form::is_percentage(self.tree, gold),
            (None, None) => false,
        }
    }

    fn same_values(&mut self, gold: Scalar, answer: Scalar) -> Found {
        let identical = gold.upper_sign == answer.upper_sign && self.tree.same(gold.id, answer.id);
        let (p, q) = (
            form::is_percentage(self.tree, gold.id),
            form::is_percentage(self.tree, answer.id),
        );
        let value = match self.value(Side::Gold, gold, Percent::Hundredth) {
            // Too large to work out, but the very same expression.
            Err(Stop::Limit) if identical => return self.agree("equal expressions"),
            other => other?,
        };
        if identical && self.bound.iter().all(Vec::is_empty) {
            return self.agree("equal expressions");
        }
        let other = self.value(Side::Answer, answer, Percent::Hundredth)?;
        let decimal = self.tree.has_decimal(gold.id) || self.tree.has_decimal(answer.id);
        if self.same_numbers(&value, &other, decimal)? {
            return Ok(true);
        }
        // One percent sign: the question may have asked for a percentage.
        if p != q {
            let (bare, still) = if p {
                (self.value(Side::Gold, gold, Percent::Bare)?, other)
            } else {
                (value, self.value(Side::Answer, answer, Percent::Bare)?)
            };
            if self.same_numbers(&bare, &still, decimal)? {
                return self.agree("equal but for the percent sign");
            }
        }
        Ok(false)
    }

    fn same_numbers(&mut self, a: &Fraction, b: &Fraction, decimal: bool) -> Found {
        if let (Some(x), Some(y)) = (a.as_rational(), b.as_rational()) {
            if x == y {
                return self.agree("equal numbers");
            }
            if !decimal {
                return self.differ("different numbers");
            }
        }
        if self.algebra.equal(a, b)? {
            return self.agree("the difference is zero");
        }
        if decimal && self.same_rounded(a, b)? {
            return self.agree("equal after rounding");
        }
        let reason = match (self.ends(a), self.ends(b)) {
            (Some((low, high)), Some((from, to))) if high < from || to < low => "different numbers",
            (Some(_), Some(_)) => "not proved equal",
            _ => {
                let difference = self.algebra.sub(a.clone(), b.clone())?;
                if self.algebra.is_apart(&difference) {
                    "different values at a point"
                } else {
                    "not proved equal"
                }
            }
        };
        self.differ(reason)
    }

    fn ends(&mut self, value: &Fraction) -> Option<(Rational, Rational)> {
        if let Some(value) = value.as_rational() {
            return Some((value.clone(), value));
        }
        self.algebra.enclosure(value)?.ends()
    }

    /// Both rounded to the places of the configuration, if all values enclosed round alike.
    fn same_rounded(&mut self, a: &Fraction, b: &Fraction) -> Found {
        let (Some((low, high)), Some((from, to))) = (self.ends(a), self.ends(b)) else {
            return Ok(false);
        };
        let decimals = self.config.decimals.min(15);
        let fuel = &mut self.algebra.fuel;
        let rounded = low.rounded(decimals, fuel)?;
        Ok(rounded == high.rounded(decimals, fuel)?
            && rounded == from.rounded(decimals, fuel)?
            && rounded == to.rounded(decimals, fuel)?)
    }

    /// Times such as `10:30`, which are no ratios and no numbers; `None` if neither side is one.
    fn same_clock(&self, gold: Id, answer: Id) -> Option<bool> {
        let (a, b) = (self.ratio_parts(gold), self.ratio_parts(answer));
        if a.is_none() && b.is_none() {
            return None;
        }
        let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
        let clock = |parts: &[(Rational, bool)]| match parts {
            [(hour, _), rest @ ..] => {
                let minutes = |(m, padded): &(Rational, bool)| {
                    *padded || m.to_i64().is_some_and(|m| (10..60).contains(&m))
                };
                hour.to_i64().is_some_and(|h| (0..=24).contains(&h)) && rest.iter().all(minutes)
            }
            [] => false,
        };
        let padded = b.iter().skip(1).any(|(_, padded)| *padded);
        (a.len() > 2 || b.len() > 2 || clock(&a) || padded || a.is_empty() && clock(&b)).then(|| a == b)
    }

    /// Parts of a ratio of plain numbers, and whether each is written with a zero in front.
    fn ratio_parts(&self, id: Id) -> Option<Vec<(Rational, bool)>> {
        let (erased, _) = form::units(self.tree, id);
        let mut at = id;
        while self.tree.op(at) == Op::Multiply && erased.contains(&self.tree.kid(at, 1)) {
            at = self.tree.kid(at, 0);
        }
        let mut parts = Vec::new();
        while self.tree.op(at) == Op::Ratio && parts.len() < 8 {
            let last = self.tree.kid(at, 1);
            // The unit stands behind the last part: `9:30 p.m.`
            let last = if self.tree.op(last) == Op::Multiply {
                self.tree.kid(last, 0)
            } else {
                last
            };
            parts.push(self.plain_number(last)?);
            at = self.tree.kid(at, 0);
        }
        if parts.is_empty() {
            return None;
        }
        parts.push(self.plain_number(at)?);
        parts.reverse();
        Some(parts)
    }

    fn plain_number(&self, id: Id) -> Option<(Rational, bool)> {
        match self.tree.op(id) {
            Op::Number(n, _) => Some((self.tree.number(n).clone(), self.tree.is_padded(n))),
            _ => None,
        }
    }

    fn same_lists(&mut self, (shape, gold): (Shape, &[Form]), (other, answer): (Shape, &[Form])) -> Found {
        let unordered = |shape| !matches!(shape, Shape::Brackets(..));
        match (unordered(shape), unordered(other)) {
            (true, true) => {
                let distinct = shape == Shape::Set || other == Shape::Set;
                let (gold, answer) = if distinct {
                    (
                        self.without_repeats(gold, Side::Gold)?,
                        self.without_repeats(answer, Side::Answer)?,
                    )
                } else {
                    (gold.to_vec(), answer.to_vec())
                };
                let equal = self.match_any_order(&gold, &answer)?;
                self.step = if equal {
                    "equal elements in any order"
                } else {
                    "different elements"
                };
                Ok(equal)
            }
            (false, false) if shape != other => self.differ("different brackets"),
            (gold_is_free, answer_is_free) => {
                let (free, brackets) = if gold_is_free {
                    (shape, other)
                } else {
                    (other, shape)
                };
                let both = !gold_is_free && !answer_is_free;
                // A tuple meets a bare list in its order; a set has none.
                let tuple = brackets == Shape::Brackets(Bracket::Round, Bracket::Round);
                let vector = brackets == Shape::Brackets(Bracket::Square, Bracket::Square) && gold.len() != 2;
                if !both && (free == Shape::Set || !(tuple || vector)) {
                    return self.differ("a set is no tuple");
                }
                let equal = gold.len() == answer.len() && self.all_in_order(gold, answer)?;
                self.step = if equal {
                    "equal elements in order"
                } else {
                    "different elements"
                };
                Ok(equal)
            }
        }
    }

    fn all_in_order(&mut self, gold: &[Form], answer: &[Form]) -> Found {
        for (a, b) in gold.iter().zip(answer) {
            if !self.element_meets(a, b)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// As [`Self::meets`]; infinities may stand as ends.
    fn element_meets(&mut self, gold: &Form, answer: &Form) -> Found {
        match self.meets(gold, answer) {
            Err(Stop::Undefined) => Ok(false),
            other => other,
        }
    }

    fn without_repeats(&mut self, items: &[Form], side: Side) -> Result<Vec<Form>, Stop> {
        let mut kept: Vec<Form> = Vec::with_capacity(items.len());
        let mut values: Vec<Fraction> = Vec::new();
        for item in items {
            if let Form::Scalar(scalar) = item
                && let Ok(value) = self.value(side, *scalar, Percent::Hundredth)
            {
                self.algebra.fuel.spend(values.len() as u64)?;
                let mut seen = false;
                for known in &values {
                    seen |= self.algebra.equal(known, &value)?;
                }
                if seen {
                    continue;
                }
                values.push(value);
            }
            kept.push(item.clone());
        }
        Ok(kept)
    }

    /// One to one, in any order.  Equality is transitive, so that the first partner is as good as any.
    fn match_any_order(&mut self, gold: &[Form], answer: &[Form]) -> Found {
        if gold.len() != answer.len() {
            return Ok(false);
        }
        let mut left: Vec<usize> = (0..answer.len()).collect();
        for a in gold {
            let mut partner = None;
            for (at, b) in left.iter().enumerate() {
                if self.element_meets(a, &answer[*b])? {
                    partner = Some(at);
                    break;
                }
            }
            match partner {
                Some(at) => left.remove(at),
                None => return Ok(false),
            };
        }
        Ok(true)
    }

    /// Sides of an equation as a difference.
    fn difference(&mut self, side: Side, form: &Form) -> Result<Option<Fraction>, Stop> {
        let (a, b) = match form {
            Form::Equation(a, b) => (*a, *b),
            Form::Assign(name, value) => match **value {
                Form::Scalar(value) => (*name, value),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let (a, b) = (
            self.value(side, a, Percent::Hundredth)?,
            self.value(side, b, Percent::Hundredth)?,
        );
        self.algebra.sub(a, b).map(Some)
    }

    fn same_equation(&mut self, gold: &Form, answer: &Form) -> Found {
        let (Some(a), Some(b)) = (
            self.difference(Side::Gold, gold)?,
            self.difference(Side::Answer, answer)?,
        ) else {
            return Ok(false);
        };
        let equal = self.algebra.proportion(&a, &b)?.is_some();
        self.step = if equal {
            "equal equations up to a factor"
        } else {
            "different equations"
        };
        Ok(equal)
    }

    fn same_relation(
        &mut self,
        gold: (Scalar, Relation, Scalar),
        answer: (Scalar, Relation, Scalar),
    ) -> Found {
        if gold.1 != answer.1 {
            return self.differ("different relations");
        }
        let same = self.same_scalar(gold.0, answer.0)? && self.same_scalar(gold.2, answer.2)?;
        if same {
            return self.agree("equal relations");
        }
        if gold.1 != Relation::NotEqual {
            return Ok(false);
        }
        let (a, b) = (self.sides(Side::Gold, gold)?, self.sides(Side::Answer, answer)?);
        let equal = self.algebra.proportion(&a, &b)?.is_some();
        self.step = if equal {
            "equal relations up to a factor"
        } else {
            "different relations"
        };
        Ok(equal)
    }

    fn sides(&mut self, side: Side, relation: (Scalar, Relation, Scalar)) -> Result<Fraction, Stop> {
        let a = self.value(side, relation.0, Percent::Hundredth)?;
        let b = self.value(side, relation.2, Percent::Hundredth)?;
        self.algebra.sub(a, b)
    }
}

/// Members of a union, left to right.
fn flatten_union(form: &Form) -> Vec<Form> {
    let mut out = Vec::new();
    let mut at = form;
    while let Form::SetOperation(Op::Union, left, right) = at {
        out.push((**right).clone());
        at = left;
    }
    out.push(at.clone());
    out.reverse();
    out
}

/// True for expressions whose value must be looked at although they are written alike: it may not exist.
pub(super) fn may_be_undefined(tree: &Tree, id: Id) -> bool {
    tree.holds(id, |op| {
        matches!(
            op,
            Op::Divide
                | Op::Power
                | Op::Function(Function::Ln | Function::Log | Function::Tan | Function::Root)
                | Op::Constant(Constant::Infinity)
        )
    })
}
