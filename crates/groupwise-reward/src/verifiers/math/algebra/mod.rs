//! Normal form of expressions: quotients of sums of products of powers of atoms.
//!
//! Atoms are primes (under roots only), pi, -1 as a rotation (`i` is its square root), variables, exponentials,
//! logarithms, roots of sums, and whatever is not understood.  A difference that vanishes here is zero; nothing else
//! is ever taken for zero.

mod eval;
mod functions;
mod number;
mod numeric;
mod poly;
mod powers;
mod show;
mod trig;

pub(super) use eval::{Percent, Setting};
pub(super) use poly::Fraction;
use poly::{AtomId, Exponent, MAX_TERMS, Monomial, Poly};

use super::rational::{Fuel, Rational, Stop};
use super::tree::{Constant, Function};

/// What cannot be taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Atom {
    /// -1 as a rotation by half a turn; exponents in [0, 1).
    Turn,
    Pi,
    /// The degree sign: pi/180 inside trigonometric functions, nothing elsewhere.
    Degree,
    Infinity,
    /// A prime, or a large whole number that was not factored; exponents in [0, 1).
    Integer(Rational),
    /// A variable, by name.
    Symbol(String),
    Named(Constant),
    /// e to the power of a monomial.
    Exp(Monomial),
    /// An atom to the power of a monomial.
    Power(AtomId, Monomial),
    /// A sum under a root; exponents in [0, 1).
    Root(Fraction),
    /// A sum to a power too large to write out.
    Tower(Fraction),
    Call(Function, Vec<Fraction>),
    /// Any other node, by the name of its kind.
    Opaque(&'static str, Vec<Fraction>),
}

const TURN: AtomId = 0;
const PI: AtomId = 1;
const DEGREE: AtomId = 2;
const INFINITY: AtomId = 3;

/// Deepest nesting of rules that call each other.
const MAX_DEPTH: u32 = 24;

/// The atoms of a comparison, and its fuel.
#[derive(Debug)]
pub(super) struct Algebra {
    pub(super) atoms: Vec<Atom>,
    pub(super) fuel: Fuel,
    depth: u32,
    values: Vec<Option<numeric::Complex>>,
    /// Number of the random point at which variables have values.
    point: Option<u64>,
}

type Made = Result<Fraction, Stop>;

impl Algebra {
    pub(super) fn new(fuel: Fuel) -> Self {
        Self {
            atoms: vec![Atom::Turn, Atom::Pi, Atom::Degree, Atom::Infinity],
            fuel,
            depth: 0,
            values: Vec::new(),
            point: None,
        }
    }

    /// Runs a rule one level deeper.
    fn deeper<T>(&mut self, rule: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        if self.depth >= MAX_DEPTH {
            return Err(Stop::Limit);
        }
        self.depth += 1;
        let made = rule(self);
        self.depth -= 1;
        made
    }

    /// Index of an atom; equal atoms have one index.
    fn intern(&mut self, atom: Atom) -> Result<AtomId, Stop> {
        self.fuel.spend(2 + self.atoms.len() as u64 / 2)?;
        if let Some(at) = self.atoms.iter().position(|known| *known == atom) {
            return Ok(at as AtomId);
        }
        if let Some(at) = self.find_equal(&atom)? {
            return Ok(at);
        }
        self.atoms.push(atom);
        Ok((self.atoms.len() - 1) as AtomId)
    }

    /// Atoms with arguments that are equal without looking so.
    fn find_equal(&mut self, atom: &Atom) -> Result<Option<AtomId>, Stop> {
        let arguments = arguments(atom);
        if arguments.iter().all(|argument| argument.lower.is_one()) {
            return Ok(None);
        }
        for at in 0..self.atoms.len() {
            let known = self.atoms[at].clone();
            if same_head(&known, atom) && self.all_equal(self::arguments(&known), arguments)? {
                return Ok(Some(at as AtomId));
            }
        }
        Ok(None)
    }

    fn all_equal(&mut self, a: &[Fraction], b: &[Fraction]) -> Result<bool, Stop> {
        if a.len() != b.len() {
            return Ok(false);
        }
        for (x, y) in a.iter().zip(b) {
            if !self.equal(x, y)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// True if the difference vanishes.
    pub(super) fn equal(&mut self, a: &Fraction, b: &Fraction) -> Result<bool, Stop> {
        if a == b {
            return Ok(true);
        }
        if let (Some(x), Some(y)) = (a.as_rational(), b.as_rational()) {
            return Ok(x == y);
        }
        let difference = self.sub(a.clone(), b.clone())?;
        Ok(difference.is_zero())
    }

    fn symbol(&mut self, name: &str) -> Made {
        let atom = self.intern(Atom::Symbol(name.to_owned()))?;
        Ok(Fraction::atom(atom))
    }

    /// The variable that stands at a place, whatever its name.
    pub(super) fn place(&mut self, at: usize) -> Made {
        self.symbol(&format!("#{at}"))
    }

    fn call(&mut self, function: Function, arguments: Vec<Fraction>) -> Made {
        let atom = self.intern(Atom::Call(function, arguments))?;
        Ok(Fraction::atom(atom))
    }

    fn opaque(&mut self, kind: &'static str, arguments: Vec<Fraction>) -> Made {
        let atom = self.intern(Atom::Opaque(kind, arguments))?;
        Ok(Fraction::atom(atom))
    }

    /// The imaginary unit.
    fn i(&self) -> Fraction {
        Fraction::of(Poly::term(Monomial::atom(TURN, Exponent::HALF), Rational::ONE))
    }

    fn is_infinite(value: &Fraction) -> bool {
        value.atoms().any(|atom| atom == INFINITY)
    }

    pub(super) fn add(&mut self, a: Fraction, b: Fraction) -> Made {
        if a.is_zero() {
            return Ok(b);
        }
        if b.is_zero() {
            return Ok(a);
        }
        if Self::is_infinite(&a) || Self::is_infinite(&b) {
            return Err(Stop::Undefined);
        }
        if a.lower == b.lower {
            let upper = a.upper.add(b.upper, &mut self.fuel)?;
            return self.quotient(upper, a.lower);
        }
        let left = self.product(&a.upper, &b.lower)?;
        let right = self.product(&b.upper, &a.lower)?;
        let lower = self.product(&a.lower, &b.lower)?;
        // The three products can hold roots of sums and so have denominators of their own.
        let upper = self.add_settled(left, right)?;
        self.div(upper, lower)
    }

    fn add_settled(&mut self, a: Fraction, b: Fraction) -> Made {
        if a.lower == b.lower {
            let upper = a.upper.add(b.upper, &mut self.fuel)?;
            return self.quotient(upper, a.lower);
        }
        self.deeper(|algebra| algebra.add(a, b))
    }

    pub(super) fn sub(&mut self, a: Fraction, b: Fraction) -> Made {
        self.add(a, b.negated())
    }

    pub(super) fn mul(&mut self, a: &Fraction, b: &Fraction) -> Made {
        if Self::is_infinite(a) || Self::is_infinite(b) {
            return Err(Stop::Undefined);
        }
        if a.lower.is_one() && b.lower.is_one() {
            return self.product(&a.upper, &b.upper);
        }
        for (x, y) in [(a, b), (b, a)] {
            if let Some(factor) = self.cancelled(&x.lower, &y.upper)? {
                let upper = x.upper.scaled(&factor, &mut self.fuel)?;
                return self.quotient(upper, y.lower.clone());
            }
        }
        let upper = self.product(&a.upper, &b.upper)?;
        let lower = self.product(&a.lower, &b.lower)?;
        self.div(upper, lower)
    }

    /// The factor r with `upper = r lower`, for two sums of several terms.
    fn cancelled(&mut self, lower: &Poly, upper: &Poly) -> Result<Option<Rational>, Stop> {
        if lower.0.len() < 2 || lower.0.len() != upper.0.len() {
            return Ok(None);
        }
        let (Some((_, c)), Some((_, d))) = (lower.0.first(), upper.0.first()) else {
            return Ok(None);
        };
        let factor = d.div(c, &mut self.fuel)?;
        Ok((lower.scaled(&factor, &mut self.fuel)? == *upper).then_some(factor))
    }

    pub(super) fn div(&mut self, a: Fraction, b: Fraction) -> Made {
        if b.is_zero() {
            return Err(Stop::Undefined);
        }
        if Self::is_infinite(&a) || Self::is_infinite(&b) {
            return Err(Stop::Undefined);
        }
        if let Some(factor) = b.as_rational() {
            let upper = a.upper.scaled(&factor.inverse()?, &mut self.fuel)?;
            return Ok(Fraction {
                upper,
                lower: a.lower,
            });
        }
        if a.lower.is_one() && b.lower.is_one() {
            return self.quotient(a.upper, b.upper);
        }
        let upper = self.product(&a.upper, &b.lower)?;
        let lower = self.product(&a.lower, &b.upper)?;
        if upper.lower.is_one() && lower.lower.is_one() {
            return self.quotient(upper.upper, lower.upper);
        }
        self.deeper(|algebra| algebra.div(upper, lower))
    }

    /// A quotient of sums: a single term below is multiplied away, and the first coefficient below becomes 1.
    fn quotient(&mut self, upper: Poly, lower: Poly) -> Made {
        if lower.is_one() || upper.is_zero() {
            return if lower.is_zero() {
                Err(Stop::Undefined)
            } else {
                Ok(Fraction::of(upper))
            };
        }
        if let Some(factor) = self.cancelled(&lower, &upper)? {
            return Ok(Fraction::number(factor));
        }
        match lower.0.as_slice() {
            [] => Err(Stop::Undefined),
            [(monomial, c)] => {
                let inverse = monomial.pow(Exponent { n: -1, d: 1 })?;
                let inverse = self.settle(vec![(inverse, c.inverse()?)])?;
                if inverse.lower.is_one() {
                    return self.product(&upper, &inverse.upper);
                }
                self.deeper(|algebra| algebra.mul(&Fraction::of(upper), &inverse))
            }
            [(_, first), ..] => {
                let factor = first.inverse()?;
                Ok(Fraction {
                    upper: upper.scaled(&factor, &mut self.fuel)?,
                    lower: lower.scaled(&factor, &mut self.fuel)?,
                })
            }
        }
    }

    /// Product of two sums.
    fn product(&mut self, a: &Poly, b: &Poly) -> Made {
        if a.is_one() {
            return Ok(Fraction::of(b.clone()));
        }
        if b.is_one() {
            return Ok(Fraction::of(a.clone()));
        }
        for (x, y) in [(a, b), (b, a)] {
            if let Some(factor) = x.as_rational() {
                return Ok(Fraction::of(y.scaled(&factor, &mut self.fuel)?));
            }
        }
        let n_terms = a.0.len() * b.0.len();
        self.fuel.spend(2 * n_terms as u64)?;
        if n_terms > 64 * MAX_TERMS {
            return Err(Stop::Limit);
        }
        let mut terms = Vec::with_capacity(n_terms);
        for (m, c) in &a.0 {
            for (n, d) in &b.0 {
                terms.push((m.mul(n)?, c.mul(d, &mut self.fuel)?));
            }
        }
        self.settle(terms)
    }

    /// Brings exponents of primes, of the rotation and of roots of sums back into [0, 1).
    fn settle(&mut self, terms: Vec<(Monomial, Rational)>) -> Made {
        let mut plain = Vec::with_capacity(terms.len());
        let mut rest: Option<Fraction> = None;
        for (monomial, c) in terms {
            let is_special = |atom: AtomId| {
                matches!(
                    self.atoms.get(atom as usize),
                    Some(Atom::Turn | Atom::Integer(_) | Atom::Root(_))
                )
            };
            if !monomial
                .0
                .iter()
                .any(|(atom, e)| (e.n < 0 || e.n >= e.d) && is_special(*atom))
            {
                plain.push((monomial, c));
                continue;
            }
            let settled = self.settle_term(monomial, c)?;
            match settled.as_poly() {
                Some(poly) => plain.extend(poly.0.iter().cloned()),
                None => {
                    rest = Some(match rest {
                        Some(sum) => self.deeper(|algebra| algebra.add(sum, settled))?,
                        None => settled,
                    });
                }
            }
        }
        let plain = Fraction::of(Poly::collect(plain, &mut self.fuel)?);
        match rest {
            Some(rest) => self.deeper(|algebra| algebra.add(plain, rest)),
            None => Ok(plain),
        }
    }

    fn settle_term(&mut self, monomial: Monomial, mut c: Rational) -> Made {
        let mut kept = Vec::with_capacity(monomial.0.len());
        let mut sums = Vec::new();
        for (atom, exponent) in monomial.0 {
            let (whole, part) = exponent.split();
            match self.atoms.get(atom as usize) {
                Some(Atom::Turn) => {
                    if whole % 2 != 0 {
                        c = c.negated();
                    }
                }
                Some(Atom::Integer(value)) => {
                    let value = value.clone();
                    c = c.mul(&value.pow(whole, &mut self.fuel)?, &mut self.fuel)?;
                }
                Some(Atom::Root(sum)) if whole != 0 => sums.push((sum.clone(), whole)),
                Some(Atom::Root(_)) => {}
                _ => {
                    kept.push((atom, exponent));
                    continue;
                }
            }
            if part.n != 0 {
                kept.push((atom, part));
            }
        }
        let mut value = Fraction::of(Poly::term(Monomial(kept), c));
        for (sum, whole) in sums {
            value = self.deeper(|algebra| {
                let power = algebra.whole_power(&sum, whole)?;
                algebra.mul(&value, &power)
            })?;
        }
        Ok(value)
    }
}

fn arguments(atom: &Atom) -> &[Fraction] {
    match atom {
        Atom::Root(sum) | Atom::Tower(sum) => std::slice::from_ref(sum),
        Atom::Call(_, arguments) | Atom::Opaque(_, arguments) => arguments,
        _ => &[],
    }
}

fn same_head(a: &Atom, b: &Atom) -> bool {
    match (a, b) {
        (Atom::Root(_), Atom::Root(_)) | (Atom::Tower(_), Atom::Tower(_)) => true,
        (Atom::Call(f, _), Atom::Call(g, _)) => f == g,
        (Atom::Opaque(f, _), Atom::Opaque(g, _)) => f == g,
        _ => false,
    }
}
