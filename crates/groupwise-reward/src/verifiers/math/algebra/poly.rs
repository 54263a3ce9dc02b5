//! Sums of products of powers of atoms with rational coefficients, and quotients of two of them.

use super::super::rational::{Fuel, Rational, Stop, gcd};

/// Index of an atom.
pub(in super::super) type AtomId = u32;

/// Most terms of a sum.
pub(super) const MAX_TERMS: usize = 2000;

/// A rational exponent in lowest terms, denominator positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Exponent {
    pub(super) n: i64,
    pub(super) d: i64,
}

impl Exponent {
    pub(super) const ONE: Self = Self { n: 1, d: 1 };
    pub(super) const HALF: Self = Self { n: 1, d: 2 };

    pub(super) fn new(n: i128, d: i128) -> Result<Self, Stop> {
        let g = gcd(n.unsigned_abs(), d.unsigned_abs()).max(1) as i128;
        let sign = if d < 0 { -1 } else { 1 };
        let part = |value: i128| i64::try_from(sign * (value / g)).map_err(|_| Stop::Limit);
        Ok(Self {
            n: part(n)?,
            d: part(d)?,
        })
    }

    pub(super) fn of(value: &Rational) -> Result<Self, Stop> {
        match value {
            Rational::Small(n, d) => Ok(Self { n: *n, d: *d }),
            Rational::Big(_) => Err(Stop::Limit),
        }
    }

    pub(super) fn rational(self) -> Rational {
        Rational::Small(self.n, self.d)
    }

    pub(super) fn add(self, other: Self) -> Result<Self, Stop> {
        if self.d == 1 && other.d == 1 {
            let n = self.n.checked_add(other.n).filter(|n| *n != i64::MIN);
            return n.map(|n| Self { n, d: 1 }).ok_or(Stop::Limit);
        }
        let (a, b, c, d) = (
            i128::from(self.n),
            i128::from(self.d),
            i128::from(other.n),
            i128::from(other.d),
        );
        Self::new(a * d + c * b, b * d)
    }

    pub(super) fn mul(self, other: Self) -> Result<Self, Stop> {
        Self::new(
            i128::from(self.n) * i128::from(other.n),
            i128::from(self.d) * i128::from(other.d),
        )
    }

    /// Whole part (towards minus infinity) and the rest in [0, 1).
    pub(super) fn split(self) -> (i64, Self) {
        let whole = self.n.div_euclid(self.d);
        (
            whole,
            Self {
                n: self.n.rem_euclid(self.d),
                d: self.d,
            },
        )
    }
}

/// A product of powers of atoms, by atom; no exponent is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Monomial(pub(super) Vec<(AtomId, Exponent)>);

impl Monomial {
    pub(super) fn atom(atom: AtomId, exponent: Exponent) -> Self {
        if exponent.n == 0 {
            return Self::default();
        }
        Self(vec![(atom, exponent)])
    }

    pub(super) fn is_one(&self) -> bool {
        self.0.is_empty()
    }

    /// The only atom, if it is one with exponent 1.
    pub(super) fn single(&self) -> Option<AtomId> {
        match self.0.as_slice() {
            [(atom, Exponent::ONE)] => Some(*atom),
            _ => None,
        }
    }

    pub(super) fn mul(&self, other: &Self) -> Result<Self, Stop> {
        if self.is_one() {
            return Ok(other.clone());
        }
        if other.is_one() {
            return Ok(self.clone());
        }
        let mut out = Vec::with_capacity(self.0.len() + other.0.len());
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        loop {
            match (left.peek(), right.peek()) {
                (Some((a, x)), Some((b, y))) if a == b => {
                    let sum = x.add(*y)?;
                    if sum.n != 0 {
                        out.push((*a, sum));
                    }
                    left.next();
                    right.next();
                }
                (Some((a, _)), Some((b, _))) if a > b => out.extend(right.next()),
                (Some(_), _) => out.extend(left.next()),
                (None, Some(_)) => out.extend(right.next()),
                (None, None) => return Ok(Self(out)),
            }
        }
    }

    pub(super) fn pow(&self, exponent: Exponent) -> Result<Self, Stop> {
        if exponent.n == 0 {
            return Ok(Self::default());
        }
        let power = |(atom, e): &(AtomId, Exponent)| Ok((*atom, e.mul(exponent)?));
        self.0.iter().map(power).collect::<Result<_, Stop>>().map(Self)
    }
}

/// A sum of terms, ordered by monomial; no coefficient is zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Poly(pub(super) Vec<(Monomial, Rational)>);

impl Poly {
    pub(super) fn constant(value: Rational) -> Self {
        Self::term(Monomial::default(), value)
    }

    pub(super) fn one() -> Self {
        Self::constant(Rational::ONE)
    }

    pub(super) fn term(monomial: Monomial, coefficient: Rational) -> Self {
        if coefficient.is_zero() {
            return Self::default();
        }
        Self(vec![(monomial, coefficient)])
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_one(&self) -> bool {
        matches!(self.0.as_slice(), [(monomial, c)] if monomial.is_one() && c.is_one())
    }

    /// The value, if it is a rational number.
    pub(super) fn as_rational(&self) -> Option<Rational> {
        match self.0.as_slice() {
            [] => Some(Rational::ZERO),
            [(monomial, c)] if monomial.is_one() => Some(c.clone()),
            _ => None,
        }
    }

    pub(super) fn as_term(&self) -> Option<(&Monomial, &Rational)> {
        match self.0.as_slice() {
            [(monomial, c)] => Some((monomial, c)),
            _ => None,
        }
    }

    pub(super) fn atoms(&self) -> impl Iterator<Item = AtomId> + '_ {
        self.0
            .iter()
            .flat_map(|(monomial, _)| monomial.0.iter().map(|(atom, _)| *atom))
    }

    pub(super) fn negated(mut self) -> Self {
        for (_, c) in &mut self.0 {
            *c = c.negated();
        }
        self
    }

    pub(super) fn scaled(&self, factor: &Rational, fuel: &mut Fuel) -> Result<Self, Stop> {
        if factor.is_one() {
            return Ok(self.clone());
        }
        fuel.spend(self.0.len() as u64)?;
        let scale = |(m, c): &(Monomial, Rational)| Ok((m.clone(), c.mul(factor, fuel)?));
        let terms: Vec<_> = self.0.iter().map(scale).collect::<Result<_, Stop>>()?;
        Ok(if factor.is_zero() {
            Self::default()
        } else {
            Self(terms)
        })
    }

    pub(super) fn add(self, other: Self, fuel: &mut Fuel) -> Result<Self, Stop> {
        if other.is_zero() {
            return Ok(self);
        }
        if self.is_zero() {
            return Ok(other);
        }
        fuel.spend(1 + (self.0.len() + other.0.len()) as u64 / 2)?;
        let mut out = Vec::with_capacity(self.0.len() + other.0.len());
        let (mut left, mut right) = (self.0.into_iter().peekable(), other.0.into_iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => break,
            };
            match order {
                std::cmp::Ordering::Less => out.extend(left.next()),
                std::cmp::Ordering::Greater => out.extend(right.next()),
                std::cmp::Ordering::Equal => {
                    if let (Some((m, a)), Some((_, b))) = (left.next(), right.next()) {
                        let sum = a.add(&b, fuel)?;
                        if !sum.is_zero() {
                            out.push((m, sum));
                        }
                    }
                }
            }
        }
        if out.len() > MAX_TERMS {
            return Err(Stop::Limit);
        }
        Ok(Self(out))
    }

    /// Brings terms in order and adds those of one monomial.
    pub(super) fn collect(mut terms: Vec<(Monomial, Rational)>, fuel: &mut Fuel) -> Result<Self, Stop> {
        fuel.spend(terms.len() as u64)?;
        terms.sort_by(|a, b| a.0.cmp(&b.0));
        let mut out: Vec<(Monomial, Rational)> = Vec::with_capacity(terms.len());
        for (monomial, c) in terms {
            match out.last_mut() {
                Some((last, sum)) if *last == monomial => *sum = sum.add(&c, fuel)?,
                _ => out.push((monomial, c)),
            }
        }
        out.retain(|(_, c)| !c.is_zero());
        if out.len() > MAX_TERMS {
            return Err(Stop::Limit);
        }
        Ok(Self(out))
    }

    /// Sign and greatest common divisor of the coefficients: what is left is primitive.
    pub(super) fn content(&self, fuel: &mut Fuel) -> Result<Rational, Stop> {
        let (mut n, mut d) = (0_u128, 1_u128);
        for (_, c) in &self.0 {
            let Rational::Small(a, b) = c else {
                return Ok(Rational::ONE);
            };
            fuel.spend(1)?;
            n = gcd(n, a.unsigned_abs().into());
            let b = u128::from(b.unsigned_abs());
            d = match (d / gcd(d, b)).checked_mul(b) {
                Some(d) if d < 1 << 62 => d,
                _ => return Ok(Rational::ONE),
            };
        }
        match (i64::try_from(n), i64::try_from(d)) {
            (Ok(n), Ok(d)) if n > 0 => Rational::ratio(n, d).ok_or(Stop::Undefined),
            _ => Ok(Rational::ONE),
        }
    }
}

/// A quotient; the denominator is 1 or has at least two terms.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Fraction {
    pub(super) upper: Poly,
    pub(super) lower: Poly,
}

impl Fraction {
    pub(super) fn of(upper: Poly) -> Self {
        Self {
            upper,
            lower: Poly::one(),
        }
    }

    pub(super) fn number(value: Rational) -> Self {
        Self::of(Poly::constant(value))
    }

    pub(super) fn atom(atom: AtomId) -> Self {
        Self::of(Poly::term(Monomial::atom(atom, Exponent::ONE), Rational::ONE))
    }

    pub(in super::super) fn is_zero(&self) -> bool {
        self.upper.is_zero()
    }

    /// The value, if it is a rational number.
    pub(in super::super) fn as_rational(&self) -> Option<Rational> {
        if self.lower.is_one() {
            self.upper.as_rational()
        } else {
            None
        }
    }

    pub(super) fn as_poly(&self) -> Option<&Poly> {
        self.lower.is_one().then_some(&self.upper)
    }

    pub(super) fn as_term(&self) -> Option<(&Monomial, &Rational)> {
        self.as_poly().and_then(Poly::as_term)
    }

    pub(super) fn negated(self) -> Self {
        Self {
            upper: self.upper.negated(),
            lower: self.lower,
        }
    }

    pub(super) fn atoms(&self) -> impl Iterator<Item = AtomId> + '_ {
        self.upper.atoms().chain(self.lower.atoms())
    }
}
