//! Trigonometric and hyperbolic functions by exponentials, with the angles that have roots as values.

use super::super::rational::{Rational, Stop};
use super::{Algebra, DEGREE, Exponent, Fraction, Function, Made, Monomial, PI, Poly, TURN};

impl Algebra {
    /// `e^(i pi c)`: -1 to the power c.
    pub(super) fn unity(&mut self, c: Exponent) -> Made {
        let c = Exponent::new(i128::from(c.n).rem_euclid(2 * i128::from(c.d)), i128::from(c.d))?;
        if c.n == 0 {
            return Ok(Fraction::number(Rational::ONE));
        }
        if !matches!(c.d, 1 | 2 | 3 | 4 | 5 | 6 | 8 | 10 | 12) {
            return self.settle(vec![(Monomial::atom(TURN, c), Rational::ONE)]);
        }
        let right = Exponent { n: 1, d: 2 };
        let cos = self.cos_of(c)?;
        let sin = self.cos_of(right.add(Exponent { n: -c.n, d: c.d })?)?;
        let sin = self.mul(&sin, &self.i())?;
        self.add(cos, sin)
    }

    /// Cosine of `pi c` for the denominators of [`Self::unity`].
    fn cos_of(&mut self, c: Exponent) -> Made {
        // Even, of period 2, and antisymmetric about 1/2.
        let n = i128::from(c.n).abs() % (2 * i128::from(c.d));
        let d = i128::from(c.d);
        let n = if n > d { 2 * d - n } else { n };
        let (n, negative) = if 2 * n > d { (d - n, true) } else { (n, false) };
        let c = Exponent::new(n, d)?;
        let value = match (c.n, c.d) {
            (0, _) => Fraction::number(Rational::ONE),
            (1, 2) => Fraction::number(Rational::ZERO),
            (1, 3) => self.surds(&[(1, 1, 2)])?,
            (1, 4) => self.surds(&[(2, 1, 2)])?,
            (1, 6) => self.surds(&[(3, 1, 2)])?,
            (1, 12) => self.surds(&[(6, 1, 4), (2, 1, 4)])?,
            (5, 12) => self.surds(&[(6, 1, 4), (2, -1, 4)])?,
            (1, 5) => self.surds(&[(1, 1, 4), (5, 1, 4)])?,
            (2, 5) => self.surds(&[(1, -1, 4), (5, 1, 4)])?,
            (1, 8) => self.nested(&[(1, 1, 2), (2, 1, 4)])?,
            (3, 8) => self.nested(&[(1, 1, 2), (2, -1, 4)])?,
            (1, 10) => self.nested(&[(1, 5, 8), (5, 1, 8)])?,
            (3, 10) => self.nested(&[(1, 5, 8), (5, -1, 8)])?,
            _ => return Err(Stop::Limit),
        };
        Ok(if negative { value.negated() } else { value })
    }

    /// Sum of `n/d sqrt(r)` over (r, n, d).
    fn surds(&mut self, terms: &[(i64, i64, i64)]) -> Made {
        let mut sum = Fraction::number(Rational::ZERO);
        for (r, n, d) in terms {
            let root = self.number_power(&Rational::integer(*r), Exponent::HALF)?;
            let factor = Fraction::number(Rational::ratio(*n, *d).ok_or(Stop::Undefined)?);
            let term = self.mul(&root, &factor)?;
            sum = self.add(sum, term)?;
        }
        Ok(sum)
    }

    fn nested(&mut self, terms: &[(i64, i64, i64)]) -> Made {
        let inner = self.surds(terms)?;
        self.rational_power(&inner, Exponent::HALF)
    }

    /// The angle in radians: degree marks become pi/180.
    fn radians(&mut self, angle: &Fraction) -> Made {
        self.replace_degrees(angle, true)
    }

    /// A value with its degree marks dropped.
    pub(super) fn without_degrees(&mut self, value: &Fraction) -> Made {
        self.replace_degrees(value, false)
    }

    fn replace_degrees(&mut self, value: &Fraction, radians: bool) -> Made {
        if !value.atoms().any(|atom| atom == DEGREE) {
            return Ok(value.clone());
        }
        let upper = self.replace_in(&value.upper, radians)?;
        let lower = self.replace_in(&value.lower, radians)?;
        self.div(upper, lower)
    }

    fn replace_in(&mut self, poly: &Poly, radians: bool) -> Made {
        let mut terms = Vec::with_capacity(poly.0.len());
        for (monomial, c) in &poly.0 {
            let degree = monomial
                .0
                .iter()
                .find(|(atom, _)| *atom == DEGREE)
                .map(|(_, e)| *e);
            let Some(e) = degree else {
                terms.push((monomial.clone(), c.clone()));
                continue;
            };
            let kept = monomial.0.iter().filter(|(atom, _)| *atom != DEGREE).copied();
            let mut monomial = Monomial(kept.collect());
            let mut c = c.clone();
            if radians {
                if e.d != 1 {
                    return Err(Stop::Limit);
                }
                monomial = monomial.mul(&Monomial::atom(PI, e))?;
                let scale = Rational::integer(180).pow(-e.n, &mut self.fuel)?;
                c = c.mul(&scale, &mut self.fuel)?;
            }
            terms.push((monomial, c));
        }
        self.settle(terms)
    }

    /// `e^(k x)` and `e^(-k x)`, k = i for circular functions and 1 for hyperbolic ones.
    fn exponentials(&mut self, x: &Fraction, circular: bool) -> Result<(Fraction, Fraction), Stop> {
        let x = if circular {
            self.mul(x, &self.i())?
        } else {
            x.clone()
        };
        Ok((self.exp(&x)?, self.exp(&x.negated())?))
    }

    pub(super) fn trigonometric(&mut self, function: Function, x: &Fraction) -> Made {
        if Self::is_infinite(x) {
            return Err(Stop::Undefined);
        }
        self.fuel.spend(50)?;
        let circular = !matches!(function, Function::Sinh | Function::Cosh | Function::Tanh);
        let x = self.radians(x)?;
        let (plus, minus) = self.exponentials(&x, circular)?;
        let sum = self.add(plus.clone(), minus.clone())?;
        let difference = self.sub(plus, minus)?;
        let two = Fraction::number(Rational::integer(2));
        let k = if circular {
            self.i()
        } else {
            Fraction::number(Rational::ONE)
        };
        // cos = sum / 2, sin = difference / 2k.
        let cos = self.div(sum, two.clone())?;
        let two_k = self.mul(&two, &k)?;
        let sin = self.div(difference, two_k)?;
        let one = Fraction::number(Rational::ONE);
        match function {
            Function::Sin | Function::Sinh => Ok(sin),
            Function::Cos | Function::Cosh => Ok(cos),
            Function::Tan | Function::Tanh => self.div(sin, cos),
            Function::Cot => self.div(cos, sin),
            Function::Sec => self.div(one, cos),
            _ => self.div(one, sin),
        }
    }

    /// Inverse functions, where the angle is one of those with roots as values.
    pub(super) fn inverse_trigonometric(&mut self, function: Function, x: &Fraction) -> Made {
        let forward = match function {
            Function::Arcsin => Function::Sin,
            Function::Arccos => Function::Cos,
            _ => Function::Tan,
        };
        if x.atoms().any(|atom| !self.is_algebraic(atom)) {
            return self.call(function, vec![x.clone()]);
        }
        for n in -12..=24_i64 {
            let angle = Rational::ratio(n, 24).ok_or(Stop::Undefined)?;
            let range = match function {
                Function::Arccos => 0..=24,
                Function::Arcsin => -12..=12,
                _ => -11..=11,
            };
            if !range.contains(&n) || !matches!(24 / num_integer::gcd(n, 24), 1 | 2 | 3 | 4 | 6 | 8 | 12) {
                continue;
            }
            let angle = Fraction::of(Poly::term(Monomial::atom(PI, Exponent::ONE), angle));
            let value = self.trigonometric(forward, &angle)?;
            if self.equal(&value, x)? {
                return Ok(angle);
            }
        }
        self.call(function, vec![x.clone()])
    }

    fn is_algebraic(&self, atom: super::AtomId) -> bool {
        matches!(
            self.atoms.get(atom as usize),
            Some(super::Atom::Integer(_) | super::Atom::Root(_))
        )
    }
}
