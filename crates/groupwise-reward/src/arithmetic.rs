//! Arithmetic of whole numbers: expressions with `+ - * /` and brackets, evaluated exactly.
//!
//! Expressions are kept in postfix order, so that reading, evaluating and printing are loops: no depth of brackets can
//! overflow a stack.

use std::cmp::Ordering;
use std::fmt;

use num_integer::gcd;

/// Longest expression that is read, bytes.
pub const MAX_BYTES: usize = 1 << 16;

/// One entry of an expression in postfix order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A number.
    Number(u64),
    /// Changes the sign of what stands before it.
    Negate,
    /// Joins the two values before it.
    Binary(Operator),
}

/// What joins two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Sum.
    Add,
    /// Difference.
    Subtract,
    /// Product.
    Multiply,
    /// Exact quotient.
    Divide,
}

impl Operator {
    fn of(c: char) -> Option<Self> {
        Some(match c {
            '+' => Self::Add,
            '-' => Self::Subtract,
            '*' => Self::Multiply,
            '/' => Self::Divide,
            _ => return None,
        })
    }

    fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Subtract => '-',
            Self::Multiply => '*',
            Self::Divide => '/',
        }
    }

    /// How tightly it binds; a sign binds tighter, a number most.
    fn rank(self) -> u8 {
        match self {
            Self::Add | Self::Subtract => 1,
            Self::Multiply | Self::Divide => 2,
        }
    }
}

const RANK_SIGN: u8 = 3;
const RANK_NUMBER: u8 = 4;

/// Why a text is no expression, or an expression has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArithmeticError {
    /// Longer than [`MAX_BYTES`].
    TooLong,
    /// A character that is neither digit, blank, bracket nor `+ - * /`, or is out of place; where it stands, in bytes.
    Unexpected(usize),
    /// A number that starts with a needless 0 or does not fit 64 bits; where it starts.
    BadNumber(usize),
    /// The text ends where a value must stand.
    Unfinished,
    /// A bracket without its partner.
    Unbalanced,
    /// A quotient by 0.
    DivisionByZero,
    /// A value whose numerator or denominator does not fit 127 bits.
    Overflow,
}

impl fmt::Display for ArithmeticError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "limit: longer than {MAX_BYTES} bytes"),
            Self::Unexpected(at) => write!(f, "byte {at} is out of place"),
            Self::BadNumber(at) => write!(f, "the number at byte {at} is no whole number of 64 bits"),
            Self::Unfinished => f.write_str("a value is missing at the end"),
            Self::Unbalanced => f.write_str("a bracket has no partner"),
            Self::DivisionByZero => f.write_str("division by zero"),
            Self::Overflow => f.write_str("limit: a value has more than 127 bits"),
        }
    }
}

/// A fraction in lowest terms, denominator above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    numerator: i128,
    denominator: i128,
}

impl Fraction {
    /// The quotient in lowest terms; `None` if the denominator is 0 or a part overflows.
    pub fn new(numerator: i128, denominator: i128) -> Option<Self> {
        if denominator == 0 || numerator == i128::MIN || denominator == i128::MIN {
            return None;
        }
        let gcd = gcd(numerator.unsigned_abs(), denominator.unsigned_abs());
        // A divisor of a number that fits fits, too.
        let gcd = i128::try_from(gcd).ok()? * denominator.signum();
        Some(Self {
            numerator: numerator / gcd,
            denominator: denominator / gcd,
        })
    }

    /// True if it is this whole number.
    pub fn is(self, whole: i128) -> bool {
        self.denominator == 1 && self.numerator == whole
    }

    fn apply(self, operator: Operator, other: Self) -> Result<Self, ArithmeticError> {
        let value = || {
            let (a, b) = (self.numerator, self.denominator);
            let (c, d) = (other.numerator, other.denominator);
            match operator {
                Operator::Add => Self::new(
                    a.checked_mul(d)?.checked_add(c.checked_mul(b)?)?,
                    b.checked_mul(d)?,
                ),
                Operator::Subtract => Self::new(
                    a.checked_mul(d)?.checked_sub(c.checked_mul(b)?)?,
                    b.checked_mul(d)?,
                ),
                Operator::Multiply => Self::new(a.checked_mul(c)?, b.checked_mul(d)?),
                Operator::Divide => Self::new(a.checked_mul(d)?, b.checked_mul(c)?),
            }
        };
        if operator == Operator::Divide && other.numerator == 0 {
            return Err(ArithmeticError::DivisionByZero);
        }
        value().ok_or(ArithmeticError::Overflow)
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => write!(f, "{}", self.numerator),
            denominator => write!(f, "{}/{denominator}", self.numerator),
        }
    }
}

/// An expression of whole numbers.
///
/// # Formula
/// `+` and `-` bind less than `*` and `/`, all from left to right; a sign before a value binds most; brackets as usual.
///
/// # Edge cases
/// - Powers (`**`), whole quotients (`//`), decimals, `2(3)` and `1 2` are refused.
/// - A number does not start with a needless 0.  `+5` is 5.
/// - Time and memory grow with the length of the text, at most [`MAX_BYTES`]; depth costs nothing.
///
/// # Errors
/// [`ArithmeticError`].
///
/// # Example
/// ```
/// use groupwise_reward::arithmetic::{ArithmeticError, Expression};
/// let expression = Expression::parse("5 * (5 - 1 / 5)")?;
/// assert!(expression.value()?.is(24));
/// assert_eq!(expression.numbers().collect::<Vec<_>>(), [5, 5, 1, 5]);
/// assert_eq!(Expression::parse("2 ** 3"), Err(ArithmeticError::Unexpected(3)));
/// # Ok::<(), ArithmeticError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    postfix: Vec<Item>,
}

/// What waits for its right side while an expression is read.
#[derive(Clone, Copy)]
enum Waiting {
    Open,
    Negate,
    Binary(Operator),
}

impl Expression {
    /// An expression from its postfix order; `None` unless exactly one value is left over.
    pub fn from_postfix(postfix: Vec<Item>) -> Option<Self> {
        let mut n_values = 0_usize;
        for item in &postfix {
            match item {
                Item::Number(_) => n_values += 1,
                Item::Negate => (n_values >= 1).then_some(())?,
                Item::Binary(_) => {
                    (n_values >= 2).then_some(())?;
                    n_values -= 1;
                }
            }
        }
        (n_values == 1).then_some(Self { postfix })
    }

    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong first, from the left; values are not looked at.
    pub fn parse(text: &str) -> Result<Self, ArithmeticError> {
        if text.len() > MAX_BYTES {
            return Err(ArithmeticError::TooLong);
        }
        let (mut postfix, mut waiting) = (Vec::new(), Vec::new());
        let mut wants_value = true;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let at = text.len() - rest.len();
            let mut n_bytes = c.len_utf8();
            match (c, wants_value) {
                (c, _) if c.is_whitespace() => {}
                ('0'..='9', true) => {
                    n_bytes = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                    postfix.push(number(&rest[..n_bytes]).ok_or(ArithmeticError::BadNumber(at))?);
                    wants_value = false;
                }
                ('+', true) => {}
                ('-', true) => waiting.push(Waiting::Negate),
                ('(', true) => waiting.push(Waiting::Open),
                (')', false) => close(&mut waiting, &mut postfix)?,
                (c, false) => {
                    let operator = Operator::of(c).ok_or(ArithmeticError::Unexpected(at))?;
                    settle(&mut waiting, &mut postfix, operator.rank());
                    waiting.push(Waiting::Binary(operator));
                    wants_value = true;
                }
                _ => return Err(ArithmeticError::Unexpected(at)),
            }
            rest = &rest[n_bytes..];
        }
        if wants_value {
            return Err(ArithmeticError::Unfinished);
        }
        settle(&mut waiting, &mut postfix, 0);
        match waiting.is_empty() {
            true => Ok(Self { postfix }),
            false => Err(ArithmeticError::Unbalanced),
        }
    }

    /// Its numbers from left to right.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.postfix.iter().filter_map(|item| match item {
            Item::Number(number) => Some(*number),
            _ => None,
        })
    }

    /// Its exact value.
    ///
    /// # Errors
    /// A division by 0; a value too large.
    pub fn value(&self) -> Result<Fraction, ArithmeticError> {
        let mut stack: Vec<Fraction> = Vec::new();
        for item in &self.postfix {
            let value = match item {
                Item::Number(number) => Fraction::new(i128::from(*number), 1),
                Item::Negate => stack
                    .pop()
                    .and_then(|v| Fraction::new(-v.numerator, v.denominator)),
                Item::Binary(operator) => match (stack.pop(), stack.pop()) {
                    (Some(right), Some(left)) => Some(left.apply(*operator, right)?),
                    _ => None,
                },
            };
            stack.push(value.ok_or(ArithmeticError::Overflow)?);
        }
        stack.pop().ok_or(ArithmeticError::Unfinished)
    }
}

fn number(digits: &str) -> Option<Item> {
    let needless_zero = digits.len() > 1 && digits.starts_with('0');
    let value = digits.parse().ok().filter(|_| !needless_zero)?;
    Some(Item::Number(value))
}

/// Writes what binds at least as tightly as `rank`, back to the last open bracket.
fn settle(waiting: &mut Vec<Waiting>, postfix: &mut Vec<Item>, rank: u8) {
    while let Some(last) = waiting.last() {
        let item = match last {
            Waiting::Negate => Item::Negate,
            Waiting::Binary(operator) if operator.rank() >= rank => Item::Binary(*operator),
            _ => return,
        };
        postfix.push(item);
        waiting.pop();
    }
}

fn close(waiting: &mut Vec<Waiting>, postfix: &mut Vec<Item>) -> Result<(), ArithmeticError> {
    settle(waiting, postfix, 0);
    match waiting.pop() {
        Some(Waiting::Open) => Ok(()),
        _ => Err(ArithmeticError::Unbalanced),
    }
}

/// With no more brackets than needed; reading it gives the same expression.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut stack: Vec<(String, u8)> = Vec::new();
        let bracketed = |(text, rank): (String, u8), needs: bool| match needs {
            true => (format!("({text})"), rank),
            false => (text, rank),
        };
        for item in &self.postfix {
            let written = match item {
                Item::Number(number) => (number.to_string(), RANK_NUMBER),
                Item::Negate => {
                    let inner = stack.pop().ok_or(fmt::Error)?;
                    let needs = inner.1 < RANK_SIGN;
                    (format!("-{}", bracketed(inner, needs).0), RANK_SIGN)
                }
                Item::Binary(operator) => {
                    let (right, left) = (stack.pop().ok_or(fmt::Error)?, stack.pop().ok_or(fmt::Error)?);
                    let rank = operator.rank();
                    let needs = (
                        left.1.cmp(&rank) == Ordering::Less,
                        right.1.cmp(&rank) != Ordering::Greater,
                    );
                    let (mut text, _) = bracketed(left, needs.0);
                    text.extend([' ', operator.sign(), ' ']);
                    text += &bracketed(right, needs.1).0;
                    (text, rank)
                }
            };
            stack.push(written);
        }
        f.write_str(&stack.pop().ok_or(fmt::Error)?.0)
    }
}

#[cfg(test)]
#[path = "arithmetic_tests.rs"]
mod tests;
