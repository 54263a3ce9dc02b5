//! Powers of rational numbers as products of powers of primes.

use num_integer::Integer;
use num_traits::{One, ToPrimitive, Zero};

use super::super::rational::{Rational, Stop};
use super::{Algebra, Atom, AtomId, Exponent, Fraction, Monomial, Poly};

/// Primes up to here are divided out.
const TRIAL: u64 = 2000;

impl Algebra {
    /// Prime factors of a positive rational with their exponents; a large cofactor counts as one.
    pub(super) fn factor(&mut self, value: &Rational) -> Result<Vec<(Rational, i64)>, Stop> {
        let mut out = Vec::new();
        for (part, sign) in [(value.numerator(), 1), (value.denominator(), -1)] {
            let mut rest = part;
            self.fuel.spend(1 + rest.bits() / 64)?;
            let mut divisor = 2_u64;
            while divisor <= TRIAL && !rest.is_one() {
                if let Some(small) = rest.to_u64()
                    && divisor * divisor > small
                {
                    break;
                }
                let mut times = 0;
                loop {
                    let (quotient, remainder) = rest.div_rem(&divisor.into());
                    if !remainder.is_zero() {
                        break;
                    }
                    rest = quotient;
                    times += sign;
                }
                self.fuel.spend(1 + rest.bits() / 512)?;
                if times != 0 {
                    out.push((Rational::integer(divisor as i64), times));
                }
                divisor += if divisor == 2 { 1 } else { 2 };
            }
            if !rest.is_one() {
                out.push((Rational::of_integer(rest)?, sign));
            }
        }
        Ok(out)
    }

    fn integer_atom(&mut self, value: Rational) -> Result<AtomId, Stop> {
        self.intern(Atom::Integer(value))
    }

    /// A positive rational to a rational power.
    pub(super) fn number_power(&mut self, base: &Rational, exponent: Exponent) -> Result<Fraction, Stop> {
        if base.is_one() {
            return Ok(Fraction::number(Rational::ONE));
        }
        if exponent.d == 1 {
            return Ok(Fraction::number(base.pow(exponent.n, &mut self.fuel)?));
        }
        let root = u32::try_from(exponent.d).map_err(|_| Stop::Limit)?;
        self.fuel.spend(1 + (base.bits() / 64) * (base.bits() / 64))?;
        if let Some(root) = base.exact_root(root) {
            return Ok(Fraction::number(root.pow(exponent.n, &mut self.fuel)?));
        }
        let mut terms = vec![(Monomial::default(), Rational::ONE)];
        for (prime, times) in self.factor(base)? {
            let power = exponent.mul(Exponent { n: times, d: 1 })?;
            // A cofactor that was not factored may still be a perfect power.
            let (prime, power) = match prime.exact_root(root) {
                Some(inner) => (inner, power.mul(Exponent { n: exponent.d, d: 1 })?),
                None => (prime, power),
            };
            let atom = self.integer_atom(prime)?;
            for (monomial, _) in &mut terms {
                *monomial = monomial.mul(&Monomial::atom(atom, power))?;
            }
        }
        self.settle(terms)
    }

    /// Natural logarithm of a positive rational: a sum over its primes.
    pub(super) fn number_logarithm(&mut self, value: &Rational) -> Result<Fraction, Stop> {
        let mut sum = Poly::default();
        for (prime, times) in self.factor(value)? {
            let prime = Fraction::number(prime);
            let atom = self.intern(Atom::Call(super::Function::Ln, vec![prime]))?;
            let term = Poly::term(Monomial::atom(atom, Exponent::ONE), Rational::integer(times));
            sum = sum.add(term, &mut self.fuel)?;
        }
        Ok(Fraction::of(sum))
    }
}
