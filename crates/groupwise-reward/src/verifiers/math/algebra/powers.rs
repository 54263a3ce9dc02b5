//! Powers, roots, exponentials and logarithms.

use super::super::rational::{Rational, Stop};
use super::{Algebra, Atom, AtomId, Exponent, Fraction, Function, MAX_TERMS, Made, Monomial, PI, Poly, TURN};

/// Largest whole power that is ever multiplied out.
const MAX_POWER: u64 = 1000;

impl Algebra {
    /// A whole power.
    pub(super) fn whole_power(&mut self, base: &Fraction, exponent: i64) -> Made {
        if exponent < 0 {
            let one = Fraction::number(Rational::ONE);
            let inverse = self.div(one, base.clone())?;
            return self.whole_power(&inverse, exponent.checked_neg().ok_or(Stop::Limit)?);
        }
        if exponent == 0 {
            return Ok(Fraction::number(Rational::ONE));
        }
        if exponent == 1 {
            return Ok(base.clone());
        }
        if let Some((monomial, c)) = base.as_term() {
            let (monomial, c) = (monomial.pow(Exponent { n: exponent, d: 1 })?, c.clone());
            let c = c.pow(exponent, &mut self.fuel)?;
            return self.settle(vec![(monomial, c)]);
        }
        let n_terms = base.upper.0.len().max(base.lower.0.len()) as u64;
        if exponent.unsigned_abs() > MAX_POWER || too_many_terms(n_terms, exponent.unsigned_abs()) {
            let tower = self.intern(Atom::Tower(base.clone()))?;
            let power = Monomial::atom(tower, Exponent { n: exponent, d: 1 });
            return Ok(Fraction::of(Poly::term(power, Rational::ONE)));
        }
        let mut power = base.clone();
        for _ in 1..exponent {
            power = self.mul(&power, base)?;
        }
        Ok(power)
    }

    /// `base^exponent` for any two expressions.
    pub(super) fn power(&mut self, base: &Fraction, exponent: &Fraction) -> Made {
        if Self::is_infinite(base) || Self::is_infinite(exponent) {
            return Err(Stop::Undefined);
        }
        if let Some(exponent) = exponent.as_rational() {
            return match exponent.to_i64() {
                Some(whole) if base.is_zero() && whole <= 0 => {
                    if whole == 0 {
                        Ok(Fraction::number(Rational::ONE))
                    } else {
                        Err(Stop::Undefined)
                    }
                }
                Some(whole) => self.whole_power(base, whole),
                None => {
                    let exponent = Exponent::of(&exponent)?;
                    self.deeper(|algebra| algebra.rational_power(base, exponent))
                }
            };
        }
        self.deeper(|algebra| algebra.symbolic_power(base, exponent))
    }

    /// A power with a rational exponent that is not whole; odd roots of negative numbers are real.
    pub(super) fn rational_power(&mut self, base: &Fraction, exponent: Exponent) -> Made {
        if exponent.d == 1 {
            return self.whole_power(base, exponent.n);
        }
        if base.is_zero() {
            return if exponent.n > 0 {
                Ok(base.clone())
            } else {
                Err(Stop::Undefined)
            };
        }
        if let Some((monomial, c)) = base.as_term() {
            let (monomial, c) = (monomial.clone(), c.clone());
            return self.term_power(&monomial, &c, exponent);
        }
        if let Some(root) = self.denested(base, exponent)? {
            return Ok(root);
        }
        let content = base.upper.content(&mut self.fuel)?;
        let inner = Fraction {
            upper: base.upper.scaled(&content.inverse()?, &mut self.fuel)?,
            lower: base.lower.clone(),
        };
        let outer = self.number_power(&content, exponent)?;
        let (whole, part) = exponent.split();
        let root = self.intern(Atom::Root(inner.clone()))?;
        let root = Fraction::of(Poly::term(Monomial::atom(root, part), Rational::ONE));
        let power = self.whole_power(&inner, whole)?;
        let power = self.mul(&power, &root)?;
        self.mul(&outer, &power)
    }

    /// Power of a single term.
    fn term_power(&mut self, monomial: &Monomial, c: &Rational, exponent: Exponent) -> Made {
        let mut value = self.number_power(&c.abs(), exponent)?;
        if c.is_negative() {
            let sign = if exponent.d % 2 == 0 {
                self.unity(exponent)?
            } else {
                let odd = exponent.n % 2 != 0;
                Fraction::number(if odd { Rational::MINUS_ONE } else { Rational::ONE })
            };
            value = self.mul(&value, &sign)?;
        }
        for (atom, e) in &monomial.0 {
            let power = e.mul(exponent)?;
            let is_even = e.d == 1 && e.n % 2 == 0 && exponent.d % 2 == 0;
            // The root of an even power of something of unknown sign is its absolute value.
            let atom = if is_even && power.n % 2 != 0 && !self.is_positive(*atom) {
                self.intern(Atom::Call(Function::Abs, vec![Fraction::atom(*atom)]))?
            } else {
                *atom
            };
            let factor = self.settle(vec![(Monomial::atom(atom, power), Rational::ONE)])?;
            value = self.mul(&value, &factor)?;
        }
        Ok(value)
    }

    /// True for what is positive wherever it is real.
    pub(super) fn is_positive(&self, atom: AtomId) -> bool {
        match self.atoms.get(atom as usize) {
            Some(Atom::Pi | Atom::Integer(_) | Atom::Degree) => true,
            Some(Atom::Exp(monomial)) => monomial.0.iter().all(|(atom, _)| *atom != TURN),
            Some(Atom::Call(Function::Abs, _)) => true,
            Some(Atom::Power(base, _)) => *base != atom && self.is_positive(*base),
            _ => false,
        }
    }

    /// `sqrt(a + b sqrt(c))` as a sum of two roots, where that is rational underneath.
    fn denested(&mut self, base: &Fraction, exponent: Exponent) -> Result<Option<Fraction>, Stop> {
        let Some(poly) = base.as_poly().filter(|_| exponent == Exponent::HALF) else {
            return Ok(None);
        };
        let [(one, a), (root, b)] = poly.0.as_slice() else {
            return Ok(None);
        };
        let is_root = |(atom, e): &(AtomId, Exponent)| {
            *e == Exponent::HALF && matches!(self.atoms.get(*atom as usize), Some(Atom::Integer(_)))
        };
        if !one.is_one() || a.is_negative() || !root.0.iter().all(is_root) {
            return Ok(None);
        }
        let (root, a, b) = (root.clone(), a.clone(), b.clone());
        let square = self.settle(vec![(root.pow(Exponent { n: 2, d: 1 })?, Rational::ONE)])?;
        let Some(c) = square.as_rational() else {
            return Ok(None);
        };
        let fuel = &mut self.fuel;
        let norm = a.mul(&a, fuel)?.sub(&b.mul(&b, fuel)?.mul(&c, fuel)?, fuel)?;
        let Some(s) = (!norm.is_negative()).then(|| norm.exact_root(2)).flatten() else {
            return Ok(None);
        };
        let half = Rational::ratio(1, 2).ok_or(Stop::Undefined)?;
        let upper = a.add(&s, fuel)?.mul(&half, fuel)?;
        let lower = a.sub(&s, fuel)?.mul(&half, fuel)?;
        if lower.is_negative() {
            return Ok(None);
        }
        let upper = self.number_power(&upper, Exponent::HALF)?;
        let lower = if lower.is_zero() {
            Fraction::number(lower)
        } else {
            self.number_power(&lower, Exponent::HALF)?
        };
        let lower = if b.is_negative() { lower.negated() } else { lower };
        self.add(upper, lower).map(Some)
    }

    /// A power whose exponent is no rational number.
    fn symbolic_power(&mut self, base: &Fraction, exponent: &Fraction) -> Made {
        if base.as_rational().is_some_and(|value| value.is_one()) {
            return Ok(base.clone());
        }
        if base.is_zero() {
            return Err(Stop::Undefined);
        }
        let is_logarithm =
            |atom: AtomId| matches!(self.atoms.get(atom as usize), Some(Atom::Call(Function::Ln, _)));
        let logarithmic = exponent.atoms().any(is_logarithm);
        let rotating = exponent.atoms().any(|atom| atom == TURN);
        if logarithmic || rotating {
            let logarithm = self.ln(base)?;
            let product = self.mul(exponent, &logarithm)?;
            return self.exp(&product);
        }
        let Some(terms) = exponent.as_poly().map(|poly| poly.0.clone()) else {
            return self.opaque("power", vec![base.clone(), exponent.clone()]);
        };
        let mut value = Fraction::number(Rational::ONE);
        for (monomial, c) in terms {
            let c = Exponent::of(&c)?;
            let factor = if monomial.is_one() {
                self.rational_power(base, c)?
            } else {
                self.power_of_base(base, &monomial, c)?
            };
            value = self.mul(&value, &factor)?;
        }
        Ok(value)
    }

    /// `base^(c m)` for a monomial m, factor by factor of the base.
    fn power_of_base(&mut self, base: &Fraction, m: &Monomial, c: Exponent) -> Made {
        let mut factors: Vec<(AtomId, Exponent)> = Vec::new();
        match base.as_term() {
            Some((monomial, coefficient)) => {
                let (monomial, coefficient) = (monomial.clone(), coefficient.clone());
                for (prime, times) in self.factor(&coefficient.abs())? {
                    let atom = self.intern(Atom::Integer(prime))?;
                    factors.push((atom, Exponent { n: times, d: 1 }));
                }
                if coefficient.is_negative() {
                    factors.push((TURN, Exponent::ONE));
                }
                factors.extend(monomial.0);
            }
            None => {
                let sum = self.intern(Atom::Root(base.clone()))?;
                factors.push((sum, Exponent::ONE));
            }
        }
        let mut terms = vec![(Monomial::default(), Rational::ONE)];
        for (atom, times) in factors {
            let exponent = c.mul(times)?;
            let power = match self.atoms.get(atom as usize) {
                // (e^a)^m is e^(a m).
                Some(Atom::Exp(inner)) if self.is_positive(atom) => {
                    let product = inner.clone().mul(m)?;
                    self.intern(Atom::Exp(product))?
                }
                Some(Atom::Power(inner, n)) => {
                    let (inner, product) = (*inner, n.clone().mul(m)?);
                    self.intern(Atom::Power(inner, product))?
                }
                _ => self.intern(Atom::Power(atom, m.clone()))?,
            };
            for (monomial, _) in &mut terms {
                *monomial = monomial.mul(&Monomial::atom(power, exponent))?;
            }
        }
        self.settle(terms)
    }

    /// e to a power.
    pub(super) fn exp(&mut self, exponent: &Fraction) -> Made {
        let Some(terms) = exponent.as_poly().map(|poly| poly.0.clone()) else {
            return self.call(Function::Exp, vec![exponent.clone()]);
        };
        if Self::is_infinite(exponent) {
            return Err(Stop::Undefined);
        }
        let mut value = Fraction::number(Rational::ONE);
        for (monomial, c) in terms {
            let factor = self.deeper(|algebra| algebra.exp_term(&monomial, &c))?;
            value = self.mul(&value, &factor)?;
        }
        Ok(value)
    }

    fn exp_term(&mut self, monomial: &Monomial, c: &Rational) -> Made {
        if *monomial == Monomial(vec![(TURN, Exponent::HALF), (PI, Exponent::ONE)]) {
            return self.unity(Exponent::of(c)?);
        }
        if let Some(atom) = monomial.single()
            && let Some(Atom::Call(Function::Ln, arguments)) = self.atoms.get(atom as usize)
            && let [inner] = arguments.as_slice()
        {
            let inner = inner.clone();
            return self.rational_power(&inner, Exponent::of(c)?);
        }
        let atom = self.intern(Atom::Exp(monomial.clone()))?;
        Ok(Fraction::of(Poly::term(
            Monomial::atom(atom, Exponent::of(c)?),
            Rational::ONE,
        )))
    }

    /// Natural logarithm, principal value.
    pub(super) fn ln(&mut self, value: &Fraction) -> Made {
        if value.is_zero() {
            return Err(Stop::Undefined);
        }
        if Self::is_infinite(value) {
            return Err(Stop::Undefined);
        }
        let Some((monomial, c)) = value.as_term().map(|(m, c)| (m.clone(), c.clone())) else {
            let content = value.upper.content(&mut self.fuel)?;
            let inner = Fraction {
                upper: value.upper.scaled(&content.inverse()?, &mut self.fuel)?,
                lower: value.lower.clone(),
            };
            let outer = self.number_logarithm(&content)?;
            let inner = self.call(Function::Ln, vec![inner])?;
            return self.add(outer, inner);
        };
        let mut sum = self.number_logarithm(&c.abs())?;
        if monomial.is_one() {
            if c.is_negative() {
                let turn = Monomial(vec![(TURN, Exponent::HALF), (PI, Exponent::ONE)]);
                sum = self.add(sum, Fraction::of(Poly::term(turn, Rational::ONE)))?;
            }
            return Ok(sum);
        }
        let mut unknown = Vec::new();
        for (atom, e) in &monomial.0 {
            let logarithm = match self.atoms.get(*atom as usize) {
                Some(Atom::Exp(inner)) if self.is_positive(*atom) => {
                    Fraction::of(Poly::term(inner.clone(), Rational::ONE))
                }
                Some(_) if self.is_positive(*atom) => {
                    self.call(Function::Ln, vec![self.atom_value(*atom)])?
                }
                _ => {
                    unknown.push((*atom, *e));
                    continue;
                }
            };
            let factor = Fraction::number(e.rational());
            let term = self.mul(&logarithm, &factor)?;
            sum = self.add(sum, term)?;
        }
        let rest = self.unknown_logarithm(unknown, c.is_negative())?;
        self.add(sum, rest)
    }

    /// Logarithm of factors of unknown sign: split only where an odd power shows the sign.
    fn unknown_logarithm(&mut self, factors: Vec<(AtomId, Exponent)>, negative: bool) -> Made {
        if factors.is_empty() && !negative {
            return Ok(Fraction::number(Rational::ZERO));
        }
        if let ([(atom, e)], false) = (factors.as_slice(), negative)
            && e.n % 2 != 0
        {
            let logarithm = self.call(Function::Ln, vec![Fraction::atom(*atom)])?;
            return self.mul(&logarithm, &Fraction::number(e.rational()));
        }
        let sign = if negative {
            Rational::MINUS_ONE
        } else {
            Rational::ONE
        };
        self.call(
            Function::Ln,
            vec![Fraction::of(Poly::term(Monomial(factors), sign))],
        )
    }

    /// An atom as a value: a prime atom stands for its number.
    fn atom_value(&self, atom: AtomId) -> Fraction {
        match self.atoms.get(atom as usize) {
            Some(Atom::Integer(value)) => Fraction::number(value.clone()),
            _ => Fraction::atom(atom),
        }
    }
}

/// True if a sum of so many terms to this power has too many to write out.
fn too_many_terms(n_terms: u64, power: u64) -> bool {
    // Binomial coefficient (power + n - 1) over (n - 1), stopped when it is large.
    let mut count = 1_u64;
    for k in 1..n_terms {
        count = count.saturating_mul(power + k) / k;
        if count > MAX_TERMS as u64 {
            return true;
        }
    }
    false
}
