//! Enclosures of constants: intervals of doubles, rounded outwards.

use groupwise_core::{Key, Stream};

use super::super::rational::Rational;
use super::{Algebra, Atom, AtomId, Exponent, Fraction, Function, Monomial, Poly};

/// A closed interval.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Interval {
    low: f64,
    high: f64,
}

/// An interval for the real and one for the imaginary part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Complex {
    re: Interval,
    im: Interval,
}

/// A constant, enclosed.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Enclosure(Complex);

/// Library functions are off by one unit in the last place or two; four are allowed for.
const LIBRARY_ULPS: usize = 4;

impl Interval {
    const ZERO: Self = Self { low: 0.0, high: 0.0 };
    const ONE: Self = Self { low: 1.0, high: 1.0 };

    /// From computed ends, moved outwards; `None` if one is not a number.
    fn outward(low: f64, high: f64, ulps: usize) -> Option<Self> {
        let (mut low, mut high) = (low, high);
        for _ in 0..ulps {
            (low, high) = (low.next_down(), high.next_up());
        }
        (low <= high).then_some(Self { low, high })
    }

    fn add(self, other: Self) -> Option<Self> {
        if other == Self::ZERO {
            return Some(self);
        }
        Self::outward(self.low + other.low, self.high + other.high, 1)
    }

    fn negated(self) -> Self {
        Self {
            low: -self.high,
            high: -self.low,
        }
    }

    fn mul(self, other: Self) -> Option<Self> {
        if self == Self::ZERO || other == Self::ZERO {
            return Some(Self::ZERO);
        }
        let ends = [
            self.low * other.low,
            self.low * other.high,
            self.high * other.low,
            self.high * other.high,
        ];
        if ends.iter().any(|end| end.is_nan()) {
            return None;
        }
        let low = ends.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ends.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self::outward(low, high, 1)
    }

    fn inverse(self) -> Option<Self> {
        if self.low <= 0.0 && self.high >= 0.0 {
            return None;
        }
        Self::outward(1.0 / self.high, 1.0 / self.low, 1)
    }

    /// A growing function of the library, end by end.
    fn growing(self, f: impl Fn(f64) -> f64) -> Option<Self> {
        Self::outward(f(self.low), f(self.high), LIBRARY_ULPS)
    }

    /// Cosine by its value in the middle: it moves no faster than its argument.
    fn cos(self) -> Option<Self> {
        let middle = self.low / 2.0 + self.high / 2.0;
        let radius = ((self.high - middle).max(middle - self.low)).next_up();
        // Beyond this the argument itself is not known well enough.
        if middle.abs() > 1e9 || radius > 1.0 {
            return Some(Self { low: -1.0, high: 1.0 });
        }
        Self::outward(middle.cos() - radius, middle.cos() + radius, LIBRARY_ULPS)
    }

    fn sin(self) -> Option<Self> {
        let middle = self.low / 2.0 + self.high / 2.0;
        let radius = ((self.high - middle).max(middle - self.low)).next_up();
        if middle.abs() > 1e9 || radius > 1.0 {
            return Some(Self { low: -1.0, high: 1.0 });
        }
        Self::outward(middle.sin() - radius, middle.sin() + radius, LIBRARY_ULPS)
    }

    fn pi() -> Self {
        Self {
            low: std::f64::consts::PI,
            high: std::f64::consts::PI.next_up(),
        }
    }

    /// Value of a variable at a random point: a double between 1 and 3, drawn by name and number of the point.
    fn draw(name: &str, point: u64) -> Self {
        let value = 1.0 + 2.0 * Key::new(0, Stream::Auxiliary).named(name, point).uniform();
        Self {
            low: value,
            high: value,
        }
    }

    fn of(value: &Rational) -> Option<Self> {
        let (mantissa, exponent) = value.to_scaled();
        if value.is_zero() {
            return Some(Self::ZERO);
        }
        let scaled = match exponent {
            0 => mantissa,
            // In two steps, so that neither overflows while the product does not.
            -2000..=2000 => {
                let half = (exponent / 2) as i32;
                mantissa * 2.0_f64.powi(half) * 2.0_f64.powi(exponent as i32 - half)
            }
            i64::MIN..=-2001 => 0.0,
            _ => f64::INFINITY * mantissa,
        };
        if scaled == 0.0 {
            let tiny = f64::MIN_POSITIVE;
            let (low, high) = if mantissa < 0.0 { (-tiny, 0.0) } else { (0.0, tiny) };
            return Some(Self { low, high });
        }
        if scaled.is_infinite() {
            let (low, high) = if mantissa < 0.0 {
                (f64::NEG_INFINITY, f64::MIN)
            } else {
                (f64::MAX, f64::INFINITY)
            };
            return Some(Self { low, high });
        }
        if exponent == 0 && value.is_integer() && mantissa.abs() < 9e15 {
            return Some(Self {
                low: mantissa,
                high: mantissa,
            });
        }
        Self::outward(scaled, scaled, 3)
    }
}

impl Complex {
    fn real(re: Interval) -> Self {
        Self {
            re,
            im: Interval::ZERO,
        }
    }

    fn is_real(self) -> bool {
        self.im == Interval::ZERO
    }

    fn add(self, other: Self) -> Option<Self> {
        Some(Self {
            re: self.re.add(other.re)?,
            im: self.im.add(other.im)?,
        })
    }

    fn mul(self, other: Self) -> Option<Self> {
        let re = self.re.mul(other.re)?.add(self.im.mul(other.im)?.negated())?;
        let im = self.re.mul(other.im)?.add(self.im.mul(other.re)?)?;
        Some(Self { re, im })
    }

    fn inverse(self) -> Option<Self> {
        if self.is_real() {
            return Some(Self::real(self.re.inverse()?));
        }
        let norm = self.re.mul(self.re)?.add(self.im.mul(self.im)?)?.inverse()?;
        Some(Self {
            re: self.re.mul(norm)?,
            im: self.im.negated().mul(norm)?,
        })
    }

    fn exp(self) -> Option<Self> {
        let size = self.re.growing(f64::exp)?;
        if self.is_real() {
            return Some(Self::real(Interval {
                low: size.low.max(0.0),
                high: size.high,
            }));
        }
        Some(Self {
            re: size.mul(self.im.cos()?)?,
            im: size.mul(self.im.sin()?)?,
        })
    }

    /// A power of this with a rational exponent, where that is plain.
    fn pow(self, exponent: Exponent) -> Option<Self> {
        if exponent == Exponent::ONE {
            return Some(self);
        }
        if exponent.d == 1 && exponent.n.unsigned_abs() <= 64 {
            let mut product = Self::real(Interval::ONE);
            for _ in 0..exponent.n.unsigned_abs() {
                product = product.mul(self)?;
            }
            return if exponent.n < 0 {
                product.inverse()
            } else {
                Some(product)
            };
        }
        if !self.is_real() || self.re.low <= 0.0 {
            return None;
        }
        if exponent == Exponent::HALF {
            return self.re.growing(f64::sqrt).map(Self::real);
        }
        let logarithm = self
            .re
            .growing(f64::ln)?
            .mul(Interval::of(&exponent.rational())?)?;
        logarithm.growing(f64::exp).map(Self::real)
    }
}

impl Enclosure {
    /// Ends of the real part, if the value can be taken for real.
    pub(in super::super) fn ends(self) -> Option<(Rational, Rational)> {
        let im = self.0.im;
        if im.low > 0.0 || im.high < 0.0 || im.high - im.low > 1e-9 {
            return None;
        }
        Some((
            Rational::from_f64(self.0.re.low)?,
            Rational::from_f64(self.0.re.high)?,
        ))
    }
}

impl Algebra {
    /// Encloses a constant; `None` if it is no constant, or one that is not understood.
    pub(in super::super) fn enclosure(&mut self, value: &Fraction) -> Option<Enclosure> {
        for at in self.values.len()..self.atoms.len() {
            self.fuel.spend(4).ok()?;
            let known = self.atom_enclosure(at as AtomId);
            self.values.push(known);
        }
        self.fraction_value(value).map(Enclosure)
    }

    /// Sign of a real constant, if it can be told.
    pub(in super::super) fn sign(&mut self, value: &Fraction) -> Option<i32> {
        if let Some(value) = value.as_rational() {
            return Some(i32::from(!value.is_zero()) * if value.is_negative() { -1 } else { 1 });
        }
        let Enclosure(value) = self.enclosure(value)?;
        if value.im.low > 0.0 || value.im.high < 0.0 || value.im.high - value.im.low > 1e-9 {
            return None;
        }
        if value.re.low > 0.0 {
            Some(1)
        } else if value.re.high < 0.0 {
            Some(-1)
        } else {
            None
        }
    }

    /// True if a difference is away from zero at a random point: proof that two expressions differ.
    ///
    /// False says nothing: the enclosure may be too wide, the variables outside the domain.
    pub(in super::super) fn is_apart(&mut self, difference: &Fraction) -> bool {
        const POINTS: u64 = 3;
        let mut apart = false;
        for point in 0..POINTS {
            self.values.clear();
            self.point = Some(point);
            if let Some(Enclosure(Complex { re, im })) = self.enclosure(difference) {
                apart |= re.low > 0.0 || re.high < 0.0 || im.low > 0.0 || im.high < 0.0;
            }
            if apart {
                break;
            }
        }
        self.values.clear();
        self.point = None;
        apart
    }

    fn fraction_value(&self, value: &Fraction) -> Option<Complex> {
        let upper = self.poly_value(&value.upper)?;
        if value.lower.is_one() {
            return Some(upper);
        }
        upper.mul(self.poly_value(&value.lower)?.inverse()?)
    }

    fn poly_value(&self, poly: &Poly) -> Option<Complex> {
        let mut sum = Complex::real(Interval::ZERO);
        for (monomial, c) in &poly.0 {
            let term = self
                .monomial_value(monomial)?
                .mul(Complex::real(Interval::of(c)?))?;
            sum = sum.add(term)?;
        }
        Some(sum)
    }

    fn monomial_value(&self, monomial: &Monomial) -> Option<Complex> {
        let mut product = Complex::real(Interval::ONE);
        for (atom, exponent) in &monomial.0 {
            let factor = if *atom == super::TURN {
                rotation(*exponent)?
            } else {
                self.values
                    .get(*atom as usize)
                    .copied()
                    .flatten()?
                    .pow(*exponent)?
            };
            product = product.mul(factor)?;
        }
        Some(product)
    }

    /// Value of an atom whose arguments have theirs.
    fn atom_enclosure(&self, atom: AtomId) -> Option<Complex> {
        let real = Complex::real;
        match self.atoms.get(atom as usize)? {
            Atom::Pi => Some(real(Interval::pi())),
            Atom::Degree => Some(real(Interval::ONE)),
            Atom::Symbol(name) => self.point.map(|point| real(Interval::draw(name, point))),
            Atom::Integer(value) => Interval::of(value).map(real),
            Atom::Exp(monomial) => self.monomial_value(monomial)?.exp(),
            Atom::Power(base, monomial) => {
                let base = self.values.get(*base as usize).copied().flatten()?;
                let exponent = self.monomial_value(monomial)?;
                if !base.is_real() || base.re.low <= 0.0 || *self.atoms.get(atom as usize)? == Atom::Turn {
                    return None;
                }
                real(base.re.growing(f64::ln)?).mul(exponent)?.exp()
            }
            Atom::Root(sum) | Atom::Tower(sum) => self.fraction_value(sum),
            Atom::Call(function, arguments) => {
                let x = self.fraction_value(arguments.first()?)?;
                if !x.is_real() {
                    return None;
                }
                self.call_value(*function, x.re).map(real)
            }
            _ => None,
        }
    }

    fn call_value(&self, function: Function, x: Interval) -> Option<Interval> {
        match function {
            Function::Ln if x.low > 0.0 => x.growing(f64::ln),
            Function::Arctan => x.growing(f64::atan),
            Function::Arcsin if x.low >= -1.0 && x.high <= 1.0 => x.growing(f64::asin),
            Function::Arccos if x.low >= -1.0 && x.high <= 1.0 => {
                Interval::outward(x.high.acos(), x.low.acos(), LIBRARY_ULPS)
            }
            Function::Abs if x.low >= 0.0 => Some(x),
            Function::Abs if x.high <= 0.0 => Some(x.negated()),
            _ => None,
        }
    }
}

/// `e^(i pi c)`.
fn rotation(c: Exponent) -> Option<Complex> {
    if c == Exponent::HALF {
        return Some(Complex {
            re: Interval::ZERO,
            im: Interval::ONE,
        });
    }
    let angle = Interval::pi().mul(Interval::of(&c.rational())?)?;
    Some(Complex {
        re: angle.cos()?,
        im: angle.sin()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_enclosure_holds_the_rational_it_came_from(a: i64, b in 1..i64::MAX) {
            let exact = Rational::ratio(a, b).unwrap();
            let interval = Interval::of(&exact).unwrap();
            prop_assert!(Rational::from_f64(interval.low).unwrap() <= exact);
            prop_assert!(Rational::from_f64(interval.high).unwrap() >= exact);
        }

        #[test]
        fn operations_enclose_exact_results(a in -999..999_i64, b in 1..999_i64, c in -999..999_i64, d in 1..999_i64) {
            let fuel = &mut super::super::Fuel::new(1000);
            let (x, y) = (Rational::ratio(a, b).unwrap(), Rational::ratio(c, d).unwrap());
            let (p, q) = (Interval::of(&x).unwrap(), Interval::of(&y).unwrap());
            let holds = |i: Interval, v: &Rational| {
                Rational::from_f64(i.low).unwrap() <= *v && Rational::from_f64(i.high).unwrap() >= *v
            };
            prop_assert!(holds(p.add(q).unwrap(), &x.add(&y, fuel).unwrap()));
            prop_assert!(holds(p.mul(q).unwrap(), &x.mul(&y, fuel).unwrap()));
            if c != 0 {
                prop_assert!(holds(q.inverse().unwrap(), &y.inverse().unwrap()));
            }
        }
    }
}
