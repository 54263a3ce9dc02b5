//! From trees to normal forms: one loop over the nodes, children first.

use super::super::print::print;
use super::super::rational::{Rational, Stop};
use super::super::tree::{Big, Bracket, Constant, Function, Id, Op, Relation, Tree};
use super::{Algebra, Atom, DEGREE, Fraction, INFINITY, Made, Monomial, PI};

/// What a percent sign at the end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Percent {
    /// A hundredth.
    Hundredth,
    /// Nothing: the question asked for a percentage.
    Bare,
}

/// How a tree is to be read.
#[derive(Clone, Debug)]
pub(in super::super) struct Setting {
    pub(in super::super) percent: Percent,
    /// The upper sign of `\pm` and `\mp`.
    pub(in super::super) upper_sign: bool,
    /// Values of names: bound indices, and variables renamed by position.
    pub(in super::super) bound: Vec<(String, Fraction)>,
    /// Units at the right end: they count as 1.
    pub(in super::super) erased: Vec<Id>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            percent: Percent::Hundredth,
            upper_sign: true,
            bound: Vec::new(),
            erased: Vec::new(),
        }
    }
}

/// Most terms of a sum or product that is written out.
const MAX_RANGE: i64 = 2000;

impl Algebra {
    /// Normal form of a subtree; degree marks are dropped.
    pub(in super::super) fn evaluate(&mut self, tree: &Tree, root: Id, setting: &Setting) -> Made {
        let value = self.evaluate_marked(tree, root, setting)?;
        self.without_degrees(&value)
    }

    fn evaluate_marked(&mut self, tree: &Tree, root: Id, setting: &Setting) -> Made {
        let first = tree.node(root).first;
        self.fuel.spend(20 + tree.size(root) as u64 / 4)?;
        let skipped = bodies(tree, root);
        let mut skipped = skipped.iter().peekable();
        let mut values: Vec<Option<Fraction>> = Vec::new();
        values.resize(root - first + 1, None);
        let mut id = first;
        while id <= root {
            if let Some((_, end)) = skipped.next_if(|(start, _)| *start == id) {
                id = end + 1;
                continue;
            }
            self.fuel.spend(1)?;
            let value = if setting.erased.contains(&id) {
                Fraction::number(Rational::ONE)
            } else {
                self.node(tree, id, first, &mut values, setting)?
            };
            values[id - first] = Some(value);
            id += 1;
        }
        values.pop().flatten().ok_or(Stop::Undefined)
    }

    fn node(
        &mut self,
        tree: &Tree,
        id: Id,
        first: Id,
        values: &mut [Option<Fraction>],
        setting: &Setting,
    ) -> Made {
        let op = tree.op(id);
        if let Op::Big(big) = op {
            return self.deeper(|algebra| algebra.big(tree, id, big, setting));
        }
        let kids = tree.kids(id);
        let mut take = |k: usize| {
            kids.get(k)
                .and_then(|kid| values[kid - first].take())
                .ok_or(Stop::Undefined)
        };
        match op {
            Op::Number(n, _) => Ok(Fraction::number(tree.number(n).clone())),
            Op::Name(n) => self.bound_or_symbol(tree.name(n), setting),
            Op::Word(n) => self.word(tree.name(n), setting),
            Op::Constant(constant) => self.constant(constant, setting),
            Op::Negate => Ok(take(0)?.negated()),
            Op::Add => self.add(take(0)?, take(1)?),
            Op::Subtract => self.sub(take(0)?, take(1)?),
            Op::PlusMinus | Op::MinusPlus => {
                let (a, b) = (take(0)?, take(1)?);
                let plus = (op == Op::PlusMinus) == setting.upper_sign;
                if plus { self.add(a, b) } else { self.sub(a, b) }
            }
            Op::Multiply => self.mul(&take(0)?, &take(1)?),
            Op::Divide | Op::Ratio => self.div(take(0)?, take(1)?),
            Op::Power => {
                let (base, exponent) = (take(0)?, take(1)?);
                self.power(&base, &exponent)
            }
            Op::Factorial => self.factorial(&take(0)?),
            Op::Percent => self.percent(take(0)?, setting.percent),
            Op::Degree => {
                let value = take(0)?;
                self.mul(&value, &Fraction::atom(DEGREE))
            }
            Op::Function(function) => {
                let arguments = (0..kids.len()).map(&mut take).collect::<Result<Vec<_>, _>>()?;
                let arguments = self.spread(function, arguments);
                self.function(function, &arguments)
            }
            Op::Subscript => self.indexed(take(0)?, take(1)?),
            _ => {
                let arguments = (0..kids.len()).map(&mut take).collect::<Result<Vec<_>, _>>()?;
                self.other(op, arguments)
            }
        }
    }

    fn percent(&mut self, value: Fraction, percent: Percent) -> Made {
        match percent {
            Percent::Bare => Ok(value),
            Percent::Hundredth => self.div(value, Fraction::number(Rational::integer(100))),
        }
    }

    /// An indexed name, or a number in another base than ten: both stay what they are.
    fn indexed(&mut self, base: Fraction, index: Fraction) -> Made {
        let ten = index.as_rational().and_then(|index| index.to_i64()) == Some(10);
        if ten && base.as_rational().is_some() {
            return Ok(base);
        }
        self.opaque("index", vec![base, index])
    }

    /// Elements of a list as arguments of functions that take several.
    fn spread(&self, function: Function, arguments: Vec<Fraction>) -> Vec<Fraction> {
        let takes_many = matches!(
            function,
            Function::Max | Function::Min | Function::Gcd | Function::Lcm
        );
        let list = arguments
            .first()
            .and_then(Fraction::as_term)
            .and_then(|(monomial, _)| monomial.single());
        match list.and_then(|atom| self.atoms.get(atom as usize)) {
            Some(Atom::Opaque("list", elements)) if takes_many => elements.clone(),
            _ => arguments,
        }
    }

    /// Nodes that are no arithmetic stay as they are.
    fn other(&mut self, op: Op, arguments: Vec<Fraction>) -> Made {
        let kind = match op {
            Op::Apply => "apply",
            Op::Prime => "prime",
            Op::List(Bracket::Round, Bracket::Round) => "list",
            Op::Missing => "missing",
            // A relation, a set or a matrix is no number.
            _ => return Err(Stop::Undefined),
        };
        self.opaque(kind, arguments)
    }

    fn bound_or_symbol(&mut self, name: &str, setting: &Setting) -> Made {
        match setting.bound.iter().rev().find(|(known, _)| known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.symbol(name),
        }
    }

    /// A word of one letter is that letter; longer ones differ in more than case.
    fn word(&mut self, word: &str, setting: &Setting) -> Made {
        if word.chars().count() == 1 {
            return self.bound_or_symbol(word, setting);
        }
        self.fuel.spend(word.len() as u64 / 16)?;
        let power_of_ten = match word {
            "hundred" => 2,
            "thousand" => 3,
            "million" => 6,
            "billion" => 9,
            "trillion" => 12,
            _ => 0,
        };
        if power_of_ten > 0 {
            return Rational::power_of_ten(power_of_ten, &mut self.fuel).map(Fraction::number);
        }
        let folded: Vec<&str> = word.split_whitespace().collect();
        let folded = format!("\"{}", folded.join(" ").to_lowercase());
        self.symbol(&folded)
    }

    fn constant(&mut self, constant: Constant, setting: &Setting) -> Made {
        match constant {
            Constant::Pi => Ok(Fraction::atom(PI)),
            Constant::E => {
                let e = self.intern(Atom::Exp(Monomial::default()))?;
                Ok(Fraction::atom(e))
            }
            Constant::I => match setting.bound.iter().rev().find(|(known, _)| known == "i") {
                Some((_, value)) => Ok(value.clone()),
                None => Ok(self.i()),
            },
            Constant::Infinity => Ok(Fraction::atom(INFINITY)),
            other => {
                let atom = self.intern(Atom::Named(other))?;
                Ok(Fraction::atom(atom))
            }
        }
    }

    /// A sum or product over a short range; anything else stays as it is written.
    fn big(&mut self, tree: &Tree, id: Id, big: Big, setting: &Setting) -> Made {
        if let Some((name, start, end)) = self.range(tree, id, big, setting)? {
            let mut value = Fraction::number(if big == Big::Sum {
                Rational::ZERO
            } else {
                Rational::ONE
            });
            let mut inner = setting.clone();
            for k in start..=end {
                inner
                    .bound
                    .push((name.clone(), Fraction::number(Rational::integer(k))));
                let term = self.evaluate_marked(tree, tree.kid(id, 2), &inner)?;
                inner.bound.pop();
                value = if big == Big::Sum {
                    self.add(value, term)?
                } else {
                    self.mul(&value, &term)?
                };
            }
            return Ok(value);
        }
        self.fuel.spend(tree.size(id) as u64)?;
        let written = print(tree, id);
        self.symbol(&written)
    }

    /// Name, first and last value of an index that runs over whole numbers.
    fn range(
        &mut self,
        tree: &Tree,
        id: Id,
        big: Big,
        setting: &Setting,
    ) -> Result<Option<(String, i64, i64)>, Stop> {
        let (lower, upper) = (tree.kid(id, 0), tree.kid(id, 1));
        let runs = matches!(big, Big::Sum | Big::Product) && tree.op(lower) == Op::Relation(Relation::Equal);
        if !runs || tree.op(upper) == Op::Missing {
            return Ok(None);
        }
        let name = match tree.op(tree.kid(lower, 0)) {
            Op::Name(n) => tree.name(n).to_owned(),
            Op::Constant(Constant::I) => "i".to_owned(),
            _ => return Ok(None),
        };
        let start = self.evaluate_marked(tree, tree.kid(lower, 1), setting)?;
        let end = self.evaluate_marked(tree, upper, setting)?;
        let whole = |value: &Fraction| value.as_rational().and_then(|value| value.to_i64());
        Ok(match (whole(&start), whole(&end)) {
            (Some(start), Some(end)) if end.saturating_sub(start) <= MAX_RANGE => Some((name, start, end)),
            _ => None,
        })
    }
}

/// Subtrees below operators with an index, outermost ones only, as (first node, last node).
fn bodies(tree: &Tree, root: Id) -> Vec<(Id, Id)> {
    let mut out: Vec<(Id, Id)> = Vec::new();
    for id in tree.subtree(root).rev() {
        let inside = out.last().is_some_and(|(start, _)| id >= *start);
        if matches!(tree.op(id), Op::Big(_)) && !inside {
            out.push((tree.node(id).first, id - 1));
        }
    }
    out.reverse();
    out
}
