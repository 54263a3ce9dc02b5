//! Exact rational numbers of bounded size, and the fuel that bounds the work on them.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

pub(super) use crate::response::{Fuel, OutOfFuel};

/// Most bits of a numerator or denominator: 2006! and 2^4950 fit, 2^(2^30) does not.
const MAX_BITS: u64 = 1 << 15;

/// Why a computation ended without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The fuel is spent, or a number is too large to write down.
    Limit,
    /// There is no such value: a division by zero, a logarithm of zero.
    Undefined,
}

/// Fuel of one verdict, in steps of some tens of nanoseconds.
pub(super) const VERDICT_FUEL: u64 = 1_200_000;

impl From<OutOfFuel> for Stop {
    fn from(_: OutOfFuel) -> Self {
        Self::Limit
    }
}

/// A rational in lowest terms, denominator positive.  `Small` whenever both parts fit, so that equality is structural.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rational {
    /// Numerator (never `i64::MIN`) and denominator.
    Small(i64, i64),
    /// Anything larger.
    Big(Box<BigRational>),
}

impl Rational {
    pub(super) const ZERO: Self = Self::Small(0, 1);
    pub(super) const ONE: Self = Self::Small(1, 1);
    pub(super) const MINUS_ONE: Self = Self::Small(-1, 1);

    pub(super) fn integer(n: i64) -> Self {
        if n == i64::MIN {
            return Self::of_big(BigRational::from_integer(n.into()));
        }
        Self::Small(n, 1)
    }

    /// `n / d`; `None` if `d` is 0.
    pub(super) fn ratio(n: i64, d: i64) -> Option<Self> {
        (d != 0).then(|| Self::reduced(i128::from(n), i128::from(d)))
    }

    fn reduced(n: i128, d: i128) -> Self {
        let (n, d) = if d < 0 { (-n, -d) } else { (n, d) };
        let (n, d) = if d == 1 {
            (n, d)
        } else {
            let g = gcd(n.unsigned_abs(), d.unsigned_abs()) as i128;
            (n / g.max(1), d / g.max(1))
        };
        match (i64::try_from(n), i64::try_from(d)) {
            (Ok(n), Ok(d)) if n != i64::MIN => Self::Small(n, d),
            _ => Self::Big(Box::new(BigRational::new_raw(n.into(), d.into()))),
        }
    }

    /// From a big rational in lowest terms.
    fn of_big(value: BigRational) -> Self {
        match (value.numer().to_i64(), value.denom().to_i64()) {
            (Some(n), Some(d)) if n != i64::MIN => Self::Small(n, d),
            _ => Self::Big(Box::new(value)),
        }
    }

    pub(super) fn of_integer(value: BigInt) -> Result<Self, Stop> {
        if value.bits() > MAX_BITS {
            return Err(Stop::Limit);
        }
        Ok(Self::of_big(BigRational::from_integer(value)))
    }

    fn to_big(&self) -> BigRational {
        match self {
            Self::Small(n, d) => BigRational::new_raw((*n).into(), (*d).into()),
            Self::Big(value) => (**value).clone(),
        }
    }

    pub(super) fn numerator(&self) -> BigInt {
        match self {
            Self::Small(n, _) => (*n).into(),
            Self::Big(value) => value.numer().clone(),
        }
    }

    pub(super) fn denominator(&self) -> BigInt {
        match self {
            Self::Small(_, d) => (*d).into(),
            Self::Big(value) => value.denom().clone(),
        }
    }

    /// Bits of the longer of numerator and denominator.
    pub(super) fn bits(&self) -> u64 {
        match self {
            Self::Small(..) => 64,
            Self::Big(value) => value.numer().bits().max(value.denom().bits()),
        }
    }

    pub(super) fn is_zero(&self) -> bool {
        matches!(self, Self::Small(0, _))
    }

    pub(super) fn is_one(&self) -> bool {
        matches!(self, Self::Small(1, 1))
    }

    pub(super) fn is_integer(&self) -> bool {
        match self {
            Self::Small(_, d) => *d == 1,
            Self::Big(value) => value.is_integer(),
        }
    }

    pub(super) fn is_negative(&self) -> bool {
        match self {
            Self::Small(n, _) => *n < 0,
            Self::Big(value) => value.is_negative(),
        }
    }

    /// The exact value of a finite double.
    pub(super) fn from_f64(value: f64) -> Option<Self> {
        BigRational::from_float(value).map(Self::of_big)
    }

    /// The value as a small integer, if it is one.
    pub(super) fn to_i64(&self) -> Option<i64> {
        match self {
            Self::Small(n, 1) => Some(*n),
            _ => None,
        }
    }

    pub(super) fn negated(&self) -> Self {
        match self {
            Self::Small(n, d) => Self::Small(-n, *d),
            Self::Big(value) => Self::of_big(-(**value).clone()),
        }
    }

    pub(super) fn abs(&self) -> Self {
        if self.is_negative() {
            self.negated()
        } else {
            self.clone()
        }
    }

    /// Fuel of an operation on two big numbers: their reduction costs the square of their length.
    fn charge(&self, other: &Self, fuel: &mut Fuel) -> Result<(), Stop> {
        let words = (self.bits() + other.bits()) / 64;
        Ok(fuel.spend(40 + 64 * words + 4 * words * words)?)
    }

    fn bounded(value: BigRational) -> Result<Self, Stop> {
        if value.numer().bits().max(value.denom().bits()) > MAX_BITS {
            return Err(Stop::Limit);
        }
        Ok(Self::of_big(value))
    }

    pub(super) fn add(&self, other: &Self, fuel: &mut Fuel) -> Result<Self, Stop> {
        if let (Self::Small(a, b), Self::Small(c, d)) = (self, other) {
            let (a, b, c, d) = (i128::from(*a), i128::from(*b), i128::from(*c), i128::from(*d));
            if b == d {
                return Ok(Self::reduced(a + c, b));
            }
            return Ok(Self::reduced(a * d + c * b, b * d));
        }
        if other.is_zero() {
            return Ok(self.clone());
        }
        if self.is_zero() {
            return Ok(other.clone());
        }
        self.charge(other, fuel)?;
        Self::bounded(self.to_big() + other.to_big())
    }

    pub(super) fn sub(&self, other: &Self, fuel: &mut Fuel) -> Result<Self, Stop> {
        self.add(&other.negated(), fuel)
    }

    pub(super) fn mul(&self, other: &Self, fuel: &mut Fuel) -> Result<Self, Stop> {
        if let (Self::Small(a, b), Self::Small(c, d)) = (self, other) {
            return Ok(Self::reduced(
                i128::from(*a) * i128::from(*c),
                i128::from(*b) * i128::from(*d),
            ));
        }
        if other.is_one() {
            return Ok(self.clone());
        }
        if self.is_one() {
            return Ok(other.clone());
        }
        self.charge(other, fuel)?;
        Self::bounded(self.to_big() * other.to_big())
    }

    pub(super) fn inverse(&self) -> Result<Self, Stop> {
        match self {
            Self::Small(0, _) => Err(Stop::Undefined),
            Self::Small(n, d) => Ok(Self::reduced(i128::from(*d), i128::from(*n))),
            Self::Big(value) => Ok(Self::of_big(value.recip())),
        }
    }

    pub(super) fn div(&self, other: &Self, fuel: &mut Fuel) -> Result<Self, Stop> {
        self.mul(&other.inverse()?, fuel)
    }

    /// Integer power; `0^0` is 1, as everywhere in algebra, and `0^-1` has no value.
    pub(super) fn pow(&self, exponent: i64, fuel: &mut Fuel) -> Result<Self, Stop> {
        if exponent < 0 {
            let positive = exponent.checked_neg().ok_or(Stop::Limit)?;
            return self.inverse()?.pow(positive, fuel);
        }
        if self.is_one() || exponent == 0 {
            return Ok(Self::ONE);
        }
        if self.is_zero() {
            return Ok(Self::ZERO);
        }
        if *self == Self::MINUS_ONE {
            return Ok(if exponent % 2 == 0 {
                Self::ONE
            } else {
                Self::MINUS_ONE
            });
        }
        let value = self.to_big();
        let width = value.numer().bits().max(value.denom().bits());
        let bits = (width - 1).saturating_mul(exponent.unsigned_abs());
        let exponent = u32::try_from(exponent).map_err(|_| Stop::Limit)?;
        if bits > MAX_BITS {
            return Err(Stop::Limit);
        }
        let words = bits / 64;
        fuel.spend(1 + words * words / 16)?;
        let (n, d) = (value.numer().pow(exponent), value.denom().pow(exponent));
        Self::bounded(BigRational::new_raw(n, d))
    }

    /// `10^exponent`.
    pub(super) fn power_of_ten(exponent: i64, fuel: &mut Fuel) -> Result<Self, Stop> {
        Self::integer(10).pow(exponent, fuel)
    }

    /// The digits of a numeral (no sign, at most one point, blanks and commas already gone).
    pub(super) fn parse_decimal(digits: &str, fuel: &mut Fuel) -> Result<Self, Stop> {
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let part = part.trim_end_matches('0');
        if whole.len() + part.len() <= 18 {
            let fold = |n: i64, b: u8| n * 10 + i64::from(b.wrapping_sub(b'0').min(9));
            let n = whole.bytes().chain(part.bytes()).fold(0, fold);
            let d = 10_i64.pow(part.len() as u32);
            return Ok(Self::reduced(n.into(), d.into()));
        }
        let n_digits = (whole.len() + part.len()) as u64;
        if n_digits * 10 / 3 > MAX_BITS {
            return Err(Stop::Limit);
        }
        fuel.spend(1 + n_digits * n_digits / 64)?;
        let all: Vec<u8> = whole.bytes().chain(part.bytes()).collect();
        let n = BigInt::parse_bytes(&all, 10).ok_or(Stop::Limit)?;
        let scale = Self::power_of_ten(-(part.len() as i64), fuel)?;
        Self::of_big(BigRational::from_integer(n)).mul(&scale, fuel)
    }

    /// The nearest integer to `self * 10^decimals`, ties to even.
    pub(super) fn rounded(&self, decimals: u32, fuel: &mut Fuel) -> Result<BigInt, Stop> {
        let scaled = self.mul(&Self::power_of_ten(i64::from(decimals), fuel)?, fuel)?;
        let (n, d) = (scaled.numerator(), scaled.denominator());
        let (floor, rest) = n.div_mod_floor(&d);
        Ok(match (rest * 2_u8).cmp(&d) {
            Ordering::Less => floor,
            Ordering::Greater => floor + 1_u8,
            Ordering::Equal if floor.is_even() => floor,
            Ordering::Equal => floor + 1_u8,
        })
    }

    pub(super) fn floor(&self) -> Self {
        match self {
            Self::Small(n, d) => Self::integer(n.div_euclid(*d)),
            Self::Big(value) => Self::of_big(value.floor()),
        }
    }

    /// Exact `k`-th root of a positive integer or rational, if it has one.
    pub(super) fn exact_root(&self, k: u32) -> Option<Self> {
        let (n, d) = (self.numerator(), self.denominator());
        if k == 0 || n.sign() == Sign::Minus || n.bits().max(d.bits()) > 4096 {
            return None;
        }
        let root = |value: &BigInt| {
            let root = value.nth_root(k);
            (Pow::pow(&root, k) == *value).then_some(root)
        };
        Some(Self::of_big(BigRational::new_raw(root(&n)?, root(&d)?)))
    }

    /// Nearest double and its binary exponent: `self = m * 2^e` with m near 1, relative error below 2^-50.
    pub(super) fn to_scaled(&self) -> (f64, i64) {
        if let Self::Small(n, d) = self {
            return (*n as f64 / *d as f64, 0);
        }
        let (n, d) = (self.numerator(), self.denominator());
        let shift = n.bits() as i64 - d.bits() as i64 - 62;
        let quotient = if shift >= 0 {
            n / (d << shift.unsigned_abs())
        } else {
            (n << shift.unsigned_abs()) / d
        };
        (quotient.to_f64().unwrap_or(f64::NAN), shift)
    }
}

impl PartialOrd for Rational {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rational {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Small(a, b), Self::Small(c, d)) => {
                (i128::from(*a) * i128::from(*d)).cmp(&(i128::from(*c) * i128::from(*b)))
            }
            _ => (self.numerator() * other.denominator()).cmp(&(other.numerator() * self.denominator())),
        }
    }
}

/// Greatest common divisor; of 0 and n it is n.
pub(super) fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        if let (Ok(mut x), Ok(mut y)) = (u64::try_from(a), u64::try_from(b)) {
            while y != 0 {
                (x, y) = (y, x % y);
            }
            return x.into();
        }
        (a, b) = (b, a % b);
    }
    a
}

/// Product of `1..=n`.
pub(super) fn factorial(n: i64, fuel: &mut Fuel) -> Result<Rational, Stop> {
    if n < 0 {
        return Err(Stop::Undefined);
    }
    if n > 4000 {
        return Err(Stop::Limit);
    }
    let mut product = BigInt::one();
    for k in 2..=n {
        product *= k;
        fuel.spend(1 + product.bits() / 2048)?;
    }
    Rational::of_integer(product)
}

/// Binomial coefficient `n over k` for whole numbers.
pub(super) fn binomial(n: i64, k: i64, fuel: &mut Fuel) -> Result<Rational, Stop> {
    if k < 0 || (n >= 0 && k > n) {
        return Ok(Rational::ZERO);
    }
    let k = if n >= 0 { k.min(n - k) } else { k };
    if k > 20_000 {
        return Err(Stop::Limit);
    }
    let mut product = BigInt::one();
    for j in 0..k {
        let factor = n.checked_sub(j).ok_or(Stop::Limit)?;
        product = product * factor / (j + 1);
        if product.is_zero() {
            break;
        }
        fuel.spend(2 + product.bits() / 1024)?;
        if product.bits() > MAX_BITS {
            return Err(Stop::Limit);
        }
    }
    Rational::of_integer(product)
}

#[cfg(test)]
#[path = "rational_tests.rs"]
mod tests;
