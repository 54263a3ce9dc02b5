//! Absolute value, rounding, factorials, binomials, greatest and least.

use super::super::rational::{Rational, Stop, binomial, factorial, gcd};
use super::{Algebra, Atom, Exponent, Fraction, Function, Made, Monomial, Poly, TURN};

impl Algebra {
    /// Applies a named function.
    pub(super) fn function(&mut self, function: Function, arguments: &[Fraction]) -> Made {
        let Some(x) = arguments.first() else {
            return Err(Stop::Undefined);
        };
        match function {
            Function::Sqrt => self.root(x, 2),
            Function::Root => match arguments
                .get(1)
                .and_then(Fraction::as_rational)
                .and_then(|k| k.to_i64())
            {
                Some(k) if k > 0 => self.root(x, k),
                Some(_) => Err(Stop::Undefined),
                None => {
                    let one = Fraction::number(Rational::ONE);
                    let exponent = self.div(one, arguments.get(1).cloned().ok_or(Stop::Undefined)?)?;
                    self.power(x, &exponent)
                }
            },
            Function::Ln => self.ln(x),
            Function::Log => {
                let base = arguments
                    .get(1)
                    .cloned()
                    .unwrap_or_else(|| Fraction::number(Rational::integer(10)));
                let (upper, lower) = (self.ln(x)?, self.ln(&base)?);
                self.div(upper, lower)
            }
            Function::Exp => self.exp(x),
            Function::Abs => self.absolute(x),
            Function::Floor | Function::Ceil => self.round(function, x),
            Function::Binomial => self.binomial(x, arguments.get(1).ok_or(Stop::Undefined)?),
            Function::Arcsin | Function::Arccos | Function::Arctan => {
                self.deeper(|algebra| algebra.inverse_trigonometric(function, x))
            }
            Function::Max | Function::Min | Function::Gcd | Function::Lcm => {
                self.of_list(function, arguments)
            }
            _ => self.trigonometric(function, x),
        }
    }

    /// Sign of plus or minus infinity.
    pub(in super::super) fn infinite_sign(value: &Fraction) -> Option<i32> {
        let (monomial, c) = value.as_term()?;
        (monomial.single() == Some(super::INFINITY)).then_some(if c.is_negative() { -1 } else { 1 })
    }

    /// The only variable of `c x + d`, with c and the root `-d / c`.
    pub(in super::super) fn linear_root(
        &mut self,
        value: &Fraction,
    ) -> Result<Option<(super::AtomId, Rational, Fraction)>, Stop> {
        let Some(poly) = value.as_poly() else {
            return Ok(None);
        };
        let is_symbol = |algebra: &Self, atom: super::AtomId| {
            !matches!(
                algebra.atoms.get(atom as usize),
                Some(
                    Atom::Turn | Atom::Pi | Atom::Integer(_) | Atom::Exp(_) | Atom::Root(_) | Atom::Call(..)
                )
            )
        };
        let (mut found, mut rest) = (None, Vec::new());
        for (monomial, c) in &poly.0 {
            let symbolic = monomial.0.iter().any(|(atom, _)| is_symbol(self, *atom));
            match (symbolic, monomial.single(), &found) {
                (false, _, _) => rest.push((monomial.clone(), c.clone())),
                (true, Some(atom), None) => found = Some((atom, c.clone())),
                _ => return Ok(None),
            }
        }
        let Some((atom, c)) = found else {
            return Ok(None);
        };
        let rest = Fraction::of(Poly::collect(rest, &mut self.fuel)?).negated();
        let root = self.div(rest, Fraction::number(c.clone()))?;
        Ok(Some((atom, c, root)))
    }

    /// The factor r with `a = r b`, if there is a rational one.
    pub(in super::super) fn proportion(
        &mut self,
        a: &Fraction,
        b: &Fraction,
    ) -> Result<Option<Rational>, Stop> {
        let left = self.product(&a.upper, &b.lower)?;
        let right = self.product(&b.upper, &a.lower)?;
        let (Some(left), Some(right)) = (left.as_poly().cloned(), right.as_poly().cloned()) else {
            return Ok(None);
        };
        let (Some((m, c)), Some((n, d))) = (left.0.first(), right.0.first()) else {
            return Ok(None);
        };
        if m != n || left.0.len() != right.0.len() {
            return Ok(None);
        }
        let factor = c.div(d, &mut self.fuel)?;
        let scaled = right.scaled(&factor, &mut self.fuel)?;
        Ok((scaled == left).then_some(factor))
    }

    fn root(&mut self, x: &Fraction, index: i64) -> Made {
        if Self::is_infinite(x) {
            return Err(Stop::Undefined);
        }
        let exponent = Exponent { n: 1, d: index };
        self.deeper(|algebra| algebra.rational_power(x, exponent))
    }

    fn absolute(&mut self, x: &Fraction) -> Made {
        if let Some(value) = x.as_rational() {
            return Ok(Fraction::number(value.abs()));
        }
        if x.atoms().any(|atom| atom == TURN)
            && let Some(value) = self.modulus(x)?
        {
            return Ok(value);
        }
        if let Some(sign) = self.sign(x) {
            return Ok(if sign < 0 { x.clone().negated() } else { x.clone() });
        }
        let Some((monomial, c)) = x.as_term().map(|(m, c)| (m.clone(), c.clone())) else {
            // |a - b| is |b - a|.
            let first = x.upper.0.first().is_some_and(|(_, c)| c.is_negative());
            let x = if first { x.clone().negated() } else { x.clone() };
            return self.call(Function::Abs, vec![x]);
        };
        let mut value = Fraction::number(c.abs());
        for (atom, e) in monomial.0 {
            let even = e.d == 1 && e.n % 2 == 0;
            let factor = if even || self.is_positive(atom) {
                Fraction::of(Poly::term(Monomial::atom(atom, e), Rational::ONE))
            } else {
                let inner = self.intern(Atom::Call(Function::Abs, vec![Fraction::atom(atom)]))?;
                Fraction::of(Poly::term(Monomial::atom(inner, e), Rational::ONE))
            };
            value = self.mul(&value, &factor)?;
        }
        Ok(value)
    }

    /// Modulus of a complex constant.
    fn modulus(&mut self, x: &Fraction) -> Result<Option<Fraction>, Stop> {
        let Some(poly) = x.as_poly() else {
            return Ok(None);
        };
        let (mut real, mut imaginary) = (Vec::new(), Vec::new());
        for (monomial, c) in &poly.0 {
            let turn = monomial.0.iter().find(|(atom, _)| *atom == TURN).map(|(_, e)| *e);
            let others = || monomial.0.iter().filter(|(atom, _)| *atom != TURN);
            let is_real = |atom: super::AtomId| {
                matches!(
                    self.atoms.get(atom as usize),
                    Some(Atom::Pi | Atom::Integer(_) | Atom::Symbol(_))
                )
            };
            if !others().all(|(atom, _)| is_real(*atom)) {
                return Ok(None);
            }
            match turn {
                None => real.push((monomial.clone(), c.clone())),
                Some(Exponent::HALF) => imaginary.push((Monomial(others().copied().collect()), c.clone())),
                Some(_) => return Ok(None),
            }
        }
        let mut sum = Fraction::number(Rational::ZERO);
        for part in [real, imaginary] {
            let part = Fraction::of(Poly::collect(part, &mut self.fuel)?);
            let square = self.mul(&part, &part)?;
            sum = self.add(sum, square)?;
        }
        self.root(&sum, 2).map(Some)
    }

    fn round(&mut self, function: Function, x: &Fraction) -> Made {
        let up = function == Function::Ceil;
        let rounded = |value: &Rational| {
            if up {
                value.negated().floor().negated()
            } else {
                value.floor()
            }
        };
        if let Some(value) = x.as_rational() {
            return Ok(Fraction::number(rounded(&value)));
        }
        if let Some(enclosure) = self.enclosure(x)
            && let Some((low, high)) = enclosure.ends()
        {
            let (low, high) = (rounded(&low), rounded(&high));
            if low == high {
                return Ok(Fraction::number(low));
            }
        }
        self.call(function, vec![x.clone()])
    }

    pub(super) fn factorial(&mut self, x: &Fraction) -> Made {
        match x.as_rational() {
            Some(value) => match value.to_i64() {
                Some(n) if n > 4000 => self.opaque("factorial", vec![x.clone()]),
                Some(n) => factorial(n, &mut self.fuel).map(Fraction::number),
                None => self.opaque("factorial", vec![x.clone()]),
            },
            None => self.opaque("factorial", vec![x.clone()]),
        }
    }

    fn binomial(&mut self, n: &Fraction, k: &Fraction) -> Made {
        let whole = |x: &Fraction| x.as_rational().and_then(|x| x.to_i64());
        match (whole(n), whole(k)) {
            (Some(n), Some(k)) => binomial(n, k, &mut self.fuel).map(Fraction::number),
            _ => self.call(Function::Binomial, vec![n.clone(), k.clone()]),
        }
    }

    fn of_list(&mut self, function: Function, arguments: &[Fraction]) -> Made {
        let numbers: Option<Vec<Rational>> = arguments.iter().map(Fraction::as_rational).collect();
        let Some(numbers) = numbers else {
            return self.call(function, arguments.to_vec());
        };
        let whole = |x: &Rational| x.to_i64().map(|x| u128::from(x.unsigned_abs()));
        let found = match function {
            Function::Max => numbers.into_iter().max(),
            Function::Min => numbers.into_iter().min(),
            _ => {
                let parts: Option<Vec<u128>> = numbers.iter().map(whole).collect();
                let parts = parts.ok_or(Stop::Undefined)?;
                let lcm = |a: u128, b: u128| (a / gcd(a, b).max(1)).checked_mul(b).filter(|c| *c < 1 << 62);
                let value = if function == Function::Gcd {
                    Some(parts.into_iter().fold(0, gcd))
                } else {
                    parts.into_iter().try_fold(1, lcm)
                };
                value
                    .and_then(|value| i64::try_from(value).ok())
                    .map(Rational::integer)
            }
        };
        found.map(Fraction::number).ok_or(Stop::Limit)
    }
}
