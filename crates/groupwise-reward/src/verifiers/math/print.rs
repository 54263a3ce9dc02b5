//! Trees as LaTeX that reads back as the same tree.

use std::fmt;

use super::rational::{Fuel, Rational, VERDICT_FUEL};
use super::tree::{Big, Bracket, Constant, Function, Id, Op, Relation, Tree};

/// How tightly what stands in a place must bind, as the parser has it.
const ANY: u8 = 0;
const GIVEN: u8 = 25;
const RELATION: u8 = 30;
const SETS: u8 = 40;
const RATIO: u8 = 50;
const SUM: u8 = 60;
const BIG: u8 = 65;
const PRODUCT: u8 = 70;
const SIGN: u8 = 72;
const POWER: u8 = 90;
const ATOM: u8 = 100;

/// A step of printing.
enum Step {
    /// A subtree, in brackets if it binds less than this.
    Node(Id, u8),
    Text(&'static str),
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print(self, self.root()))
    }
}

/// Writes a subtree.
pub(super) fn print(tree: &Tree, root: Id) -> String {
    let mut out = String::new();
    let mut steps = vec![Step::Node(root, ANY)];
    let mut inner = Vec::new();
    while let Some(step) = steps.pop() {
        match step {
            Step::Text(text) => append(&mut out, text),
            Step::Node(id, least) => {
                let brackets = binds(tree.op(id)) < least;
                if brackets {
                    append(&mut out, "(");
                    steps.push(Step::Text(")"));
                }
                node(tree, id, &mut out, &mut inner);
                steps.extend(inner.drain(..).rev());
            }
        }
    }
    out
}

/// Appends, with a blank where a command would swallow a letter.
fn append(out: &mut String, text: &str) {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    if starts && ends_in_command(out) {
        out.push(' ');
    }
    out.push_str(text);
}

fn ends_in_command(out: &str) -> bool {
    let letters = out.bytes().rev().take_while(u8::is_ascii_alphabetic).count();
    letters > 0 && out[..out.len() - letters].ends_with('\\')
}

fn binds(op: Op) -> u8 {
    match op {
        Op::List(Bracket::None, _) => ANY,
        Op::Relation(Relation::Given) => GIVEN,
        Op::Relation(_) => RELATION,
        Op::Union | Op::Intersection | Op::Without => SETS,
        Op::Ratio => RATIO,
        Op::Add | Op::Subtract | Op::PlusMinus | Op::MinusPlus => SUM,
        Op::Big(_) => BIG,
        Op::Multiply => PRODUCT,
        Op::Negate => SIGN,
        Op::Power => POWER,
        _ => ATOM,
    }
}

/// Steps for a node, in order.
fn node(tree: &Tree, id: Id, out: &mut String, steps: &mut Vec<Step>) {
    let kids = tree.kids(id);
    let kid = |k: usize| kids.get(k).copied().unwrap_or(id);
    let mut infix = |mark: &'static str, own: u8| {
        steps.extend([
            Step::Node(kid(0), own),
            Step::Text(mark),
            Step::Node(kid(1), own + 1),
        ]);
    };
    match tree.op(id) {
        Op::Number(n, _) => append(out, &numeral(tree.number(n))),
        Op::Name(n) => name(out, tree.name(n)),
        Op::Word(n) => {
            out.push_str("\\text{");
            out.push_str(tree.name(n));
            out.push('}');
        }
        Op::Constant(constant) => append(out, constant_text(constant)),
        Op::Missing => {}
        Op::Add => infix("+", SUM),
        Op::Subtract => infix("-", SUM),
        Op::PlusMinus => infix("\\pm ", SUM),
        Op::MinusPlus => infix("\\mp ", SUM),
        Op::Multiply => infix("\\cdot ", PRODUCT),
        Op::Ratio => infix(":", RATIO),
        Op::Union => infix("\\cup ", SETS),
        Op::Intersection => infix("\\cap ", SETS),
        Op::Without => infix("\\setminus ", SETS),
        Op::Relation(Relation::Given) => infix(relation_text(Relation::Given), GIVEN),
        Op::Relation(relation) => infix(relation_text(relation), RELATION),
        Op::Negate => steps.extend([Step::Text("-"), Step::Node(kid(0), SIGN)]),
        Op::Divide => braces(steps, "\\frac{", &[kid(0), kid(1)]),
        Op::Power => {
            steps.push(Step::Node(kid(0), ATOM));
            braces(steps, "^{", &[kid(1)]);
        }
        Op::Subscript => {
            steps.push(Step::Node(kid(0), ATOM));
            braces(steps, "_{", &[kid(1)]);
        }
        Op::Factorial => steps.extend([Step::Node(kid(0), ATOM), Step::Text("!")]),
        Op::Percent => steps.extend([Step::Node(kid(0), ATOM), Step::Text("\\%")]),
        Op::Degree => steps.extend([Step::Node(kid(0), ATOM), Step::Text("^{\\circ}")]),
        Op::Prime => steps.extend([Step::Node(kid(0), ATOM), Step::Text("'")]),
        Op::Function(function) => call(tree, function, kids, steps),
        Op::Apply => {
            steps.extend([Step::Node(kid(0), ATOM), Step::Text("(")]);
            list(tree, kids.get(1..).unwrap_or(&[]), steps);
            steps.push(Step::Text(")"));
        }
        Op::Big(big) => big_operator(tree, big, kids, steps),
        Op::List(open, close) => {
            steps.push(Step::Text(open_text(open)));
            list(tree, kids, steps);
            steps.push(Step::Text(close_text(close)));
        }
        Op::Matrix(columns) => matrix(columns, kids, steps),
    }
}

fn matrix(columns: usize, kids: &[Id], steps: &mut Vec<Step>) {
    steps.push(Step::Text("\\begin{pmatrix}"));
    for (at, kid) in kids.iter().enumerate() {
        let ends_row = at % columns.max(1) == 0;
        if at > 0 {
            steps.push(Step::Text(if ends_row { " \\\\ " } else { " & " }));
        }
        steps.push(Step::Node(*kid, SETS));
    }
    steps.push(Step::Text("\\end{pmatrix}"));
}

/// Arguments in braces.
fn braces(steps: &mut Vec<Step>, start: &'static str, arguments: &[Id]) {
    for (at, argument) in arguments.iter().enumerate() {
        steps.extend([
            Step::Text(if at == 0 { start } else { "{" }),
            Step::Node(*argument, RELATION),
            Step::Text("}"),
        ]);
    }
}

/// Elements of a list; rows of elements are divided by semicolons.
fn list(tree: &Tree, kids: &[Id], steps: &mut Vec<Step>) {
    let is_row = |kid: &Id| matches!(tree.op(*kid), Op::List(Bracket::None, _));
    let rows = kids.iter().any(is_row);
    for (at, kid) in kids.iter().enumerate() {
        if at > 0 {
            steps.push(Step::Text(if rows { "; " } else { ", " }));
        }
        steps.push(Step::Node(*kid, if rows { ANY } else { GIVEN }));
    }
}

fn call(tree: &Tree, function: Function, kids: &[Id], steps: &mut Vec<Step>) {
    let first = kids.first().copied().unwrap_or_default();
    match function {
        Function::Sqrt => braces(steps, "\\sqrt{", &[first]),
        Function::Binomial => braces(steps, "\\binom{", kids),
        Function::Root => {
            let index = kids.get(1).copied().unwrap_or(first);
            steps.extend([
                Step::Text("\\sqrt["),
                Step::Node(index, RELATION),
                Step::Text("]"),
            ]);
            braces(steps, "{", &[first]);
        }
        Function::Abs | Function::Floor | Function::Ceil => {
            let (open, close) = match function {
                Function::Abs => ("\\left|", "\\right|"),
                Function::Floor => ("\\lfloor ", "\\rfloor "),
                _ => ("\\lceil ", "\\rceil "),
            };
            steps.extend([Step::Text(open), Step::Node(first, RELATION), Step::Text(close)]);
        }
        _ => {
            steps.push(Step::Text(function_text(function)));
            if let Some(base) = kids.get(1) {
                braces(steps, "_{", &[*base]);
            }
            if matches!(tree.op(first), Op::List(Bracket::Round, Bracket::Round)) {
                steps.push(Step::Node(first, ANY));
            } else {
                steps.extend([Step::Text("("), Step::Node(first, RELATION), Step::Text(")")]);
            }
        }
    }
}

fn big_operator(tree: &Tree, big: Big, kids: &[Id], steps: &mut Vec<Step>) {
    steps.push(Step::Text(match big {
        Big::Sum => "\\sum",
        Big::Product => "\\prod",
        Big::Integral => "\\int",
        Big::Limit => "\\lim",
    }));
    for (kid, mark) in kids.iter().zip(["_{", "^{"]) {
        if tree.op(*kid) != Op::Missing {
            braces(steps, mark, &[*kid]);
        }
    }
    steps.push(Step::Text(" "));
    steps.extend(kids.get(2).map(|body| Step::Node(*body, PRODUCT)));
}

fn name(out: &mut String, name: &str) {
    if name.starts_with('\\') || name.chars().count() == 1 {
        append(out, name);
    } else {
        out.push('\\');
        out.push_str(name);
    }
}

/// A whole number, or a decimal with as many places as it needs.
fn numeral(value: &Rational) -> String {
    if value.is_integer() {
        return value.numerator().to_string();
    }
    let mut fuel = Fuel::new(VERDICT_FUEL);
    let mut scaled = value.clone();
    let mut places = 0;
    while !scaled.is_integer() {
        match scaled.mul(&Rational::integer(10), &mut fuel) {
            Ok(next) => (scaled, places) = (next, places + 1),
            Err(_) => return format!("{}/{}", value.numerator(), value.denominator()),
        }
    }
    let digits = scaled.numerator().to_string();
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, part) = padded.split_at(padded.len() - places);
    format!("{whole}.{part}")
}

/// A rational as `n` or `n/d`.
pub(super) fn rational(value: &Rational) -> String {
    if value.is_integer() {
        value.numerator().to_string()
    } else {
        format!("{}/{}", value.numerator(), value.denominator())
    }
}

pub(super) fn constant_text(constant: Constant) -> &'static str {
    match constant {
        Constant::Pi => "\\pi",
        Constant::E => "e",
        Constant::I => "i",
        Constant::Infinity => "\\infty",
        Constant::EmptySet => "\\emptyset",
        Constant::Reals => "\\mathbb{R}",
        Constant::Integers => "\\mathbb{Z}",
        Constant::Naturals => "\\mathbb{N}",
        Constant::Rationals => "\\mathbb{Q}",
        Constant::Complexes => "\\mathbb{C}",
    }
}

pub(super) fn relation_text(relation: Relation) -> &'static str {
    match relation {
        Relation::Equal => "=",
        Relation::NotEqual => "\\ne ",
        Relation::Less => "<",
        Relation::LessEqual => "\\le ",
        Relation::Greater => ">",
        Relation::GreaterEqual => "\\ge ",
        Relation::Near => "\\approx ",
        Relation::In => "\\in ",
        Relation::Congruent => "\\equiv ",
        Relation::Arrow => "\\to ",
        Relation::Subset => "\\subset ",
        Relation::Given => "\\mid ",
    }
}

pub(super) fn function_text(function: Function) -> &'static str {
    match function {
        Function::Sin => "\\sin",
        Function::Cos => "\\cos",
        Function::Tan => "\\tan",
        Function::Cot => "\\cot",
        Function::Sec => "\\sec",
        Function::Csc => "\\csc",
        Function::Arcsin => "\\arcsin",
        Function::Arccos => "\\arccos",
        Function::Arctan => "\\arctan",
        Function::Sinh => "\\sinh",
        Function::Cosh => "\\cosh",
        Function::Tanh => "\\tanh",
        Function::Ln => "\\ln",
        Function::Log => "\\log",
        Function::Exp => "\\exp",
        Function::Sqrt | Function::Root => "\\sqrt",
        Function::Abs => "\\abs",
        Function::Floor => "\\floor",
        Function::Ceil => "\\ceil",
        Function::Binomial => "\\binom",
        Function::Max => "\\max",
        Function::Min => "\\min",
        Function::Gcd => "\\gcd",
        Function::Lcm => "\\lcm",
    }
}

fn open_text(bracket: Bracket) -> &'static str {
    match bracket {
        Bracket::None => "",
        Bracket::Round => "(",
        Bracket::Square => "[",
        Bracket::Set => "\\{",
        Bracket::Brace => "{",
        Bracket::Angle => "\\langle ",
        Bracket::Bar => "\\lvert ",
        Bracket::Floor => "\\lfloor ",
        Bracket::Ceil => "\\lceil ",
    }
}

fn close_text(bracket: Bracket) -> &'static str {
    match bracket {
        Bracket::None => "",
        Bracket::Round => ")",
        Bracket::Square => "]",
        Bracket::Set => "\\}",
        Bracket::Brace => "}",
        Bracket::Angle => "\\rangle ",
        Bracket::Bar => "\\rvert ",
        Bracket::Floor => "\\rfloor ",
        Bracket::Ceil => "\\rceil ",
    }
}
