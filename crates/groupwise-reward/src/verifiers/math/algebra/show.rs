//! Normal forms as text, for people.

use std::fmt::Write as _;

use super::super::print::{constant_text, function_text, rational};
use super::{Algebra, Atom, AtomId, Exponent, Fraction, Monomial, Poly};

/// Longest text and deepest nesting that is written out.
const MAX_LENGTH: usize = 400;
const MAX_NESTING: u32 = 4;

impl Algebra {
    /// A normal form as text, cut where it gets long.
    pub(in super::super) fn show(&self, value: &Fraction) -> String {
        self.show_fraction(value, 0)
    }

    fn show_fraction(&self, value: &Fraction, depth: u32) -> String {
        let upper = self.show_poly(&value.upper, depth);
        if value.lower.is_one() {
            return upper;
        }
        format!("({upper})/({})", self.show_poly(&value.lower, depth))
    }

    fn show_poly(&self, poly: &Poly, depth: u32) -> String {
        if poly.is_zero() {
            return "0".to_owned();
        }
        let mut out = String::new();
        for (monomial, c) in &poly.0 {
            if out.len() > MAX_LENGTH {
                out.push_str(" + ...");
                break;
            }
            let sign = match (out.is_empty(), c.is_negative()) {
                (true, false) => "",
                (true, true) => "-",
                (false, false) => " + ",
                (false, true) => " - ",
            };
            out.push_str(sign);
            let c = c.abs();
            if monomial.is_one() {
                out.push_str(&shortened(rational(&c)));
            } else {
                if !c.is_one() {
                    let _ = write!(out, "{}*", shortened(rational(&c)));
                }
                out.push_str(&self.show_monomial(monomial, depth));
            }
        }
        out
    }

    fn show_monomial(&self, monomial: &Monomial, depth: u32) -> String {
        let power = |(atom, e): &(AtomId, Exponent)| {
            let atom = self.show_atom(*atom, depth);
            match (e.n, e.d) {
                (1, 1) => atom,
                (n, 1) => format!("{atom}^{n}"),
                (n, d) => format!("{atom}^({n}/{d})"),
            }
        };
        monomial.0.iter().map(power).collect::<Vec<_>>().join("*")
    }

    fn show_atom(&self, atom: AtomId, depth: u32) -> String {
        if depth > MAX_NESTING {
            return "...".to_owned();
        }
        let list = |arguments: &[Fraction]| {
            let shown: Vec<_> = arguments
                .iter()
                .take(8)
                .map(|a| self.show_fraction(a, depth + 1))
                .collect();
            shown.join(", ")
        };
        match self.atoms.get(atom as usize) {
            None => "?".to_owned(),
            Some(Atom::Turn) => "(-1)".to_owned(),
            Some(Atom::Pi) => "pi".to_owned(),
            Some(Atom::Degree) => "deg".to_owned(),
            Some(Atom::Infinity) => "oo".to_owned(),
            Some(Atom::Integer(value)) => shortened(rational(value)),
            Some(Atom::Symbol(name)) => shortened(name.trim_start_matches('"').to_owned()),
            Some(Atom::Named(constant)) => constant_text(*constant).to_owned(),
            Some(Atom::Exp(monomial)) if monomial.is_one() => "e".to_owned(),
            Some(Atom::Exp(monomial)) => format!("exp({})", self.show_monomial(monomial, depth + 1)),
            Some(Atom::Power(base, monomial)) => {
                format!(
                    "{}^({})",
                    self.show_atom(*base, depth + 1),
                    self.show_monomial(monomial, depth + 1)
                )
            }
            Some(Atom::Root(sum) | Atom::Tower(sum)) => format!("({})", self.show_fraction(sum, depth + 1)),
            Some(Atom::Call(function, arguments)) => {
                format!(
                    "{}({})",
                    function_text(*function).trim_start_matches('\\'),
                    list(arguments)
                )
            }
            Some(Atom::Opaque(kind, arguments)) => format!("{kind}({})", list(arguments)),
        }
    }
}

/// The start of a text that is too long.
fn shortened(text: String) -> String {
    if text.len() <= MAX_LENGTH {
        return text;
    }
    let start: String = text.chars().take(MAX_LENGTH / 4).collect();
    format!("{start}... ({} characters)", text.chars().count())
}
