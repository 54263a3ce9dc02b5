//! Parser of LaTeX and plain expressions: operator precedence with an explicit stack.

mod groups;

use super::lexer::{Lexer, Place};
use super::rational::{Fuel, Rational, Stop};
use super::tokens::Token;
use super::tree::{Big, Bracket, Function, Id, Op, Relation, Tree};

/// Why a text is no expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Nothing is written.
    Empty,
    /// It breaks off, or operators, brackets or numbers stand where none can.
    Malformed,
    /// It takes more than the work allowed.
    Limit,
}

impl From<Stop> for ParseError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Limit => Self::Limit,
            Stop::Undefined => Self::Malformed,
        }
    }
}

/// How tightly operators bind.
mod precedence {
    /// The bar of `\{x | x > 2\}`.
    pub(super) const GIVEN: u8 = 25;
    pub(super) const RELATION: u8 = 30;
    pub(super) const SETS: u8 = 40;
    pub(super) const RATIO: u8 = 50;
    pub(super) const SUM: u8 = 60;
    pub(super) const BIG: u8 = 65;
    /// `1 1/2`: the slash binds first.
    pub(super) const MIXED_SLASH: u8 = 69;
    pub(super) const PRODUCT: u8 = 70;
    pub(super) const SIGN: u8 = 72;
    pub(super) const MIXED: u8 = 75;
    pub(super) const FUNCTION: u8 = 77;
    pub(super) const INSIDE_FUNCTION: u8 = 80;
}
use precedence as prec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Fraction,
    Binomial,
    Sqrt,
    /// Index, then argument.
    Root,
    Power,
    Under,
    FunctionBase,
    FunctionPower,
    BigLower,
    BigUpper,
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Binary(Op, u8),
    /// A whole number before a fraction, which is `\frac` or has a slash.
    Mixed {
        slash: bool,
    },
    Negate,
    Function {
        function: Function,
        base: bool,
        power: bool,
    },
    Big {
        big: Big,
        lower: Option<Id>,
        upper: Option<Id>,
    },
    Command {
        command: Command,
        missing: u8,
    },
    Group(Group),
}

/// An open bracket and what stands in it so far.
#[derive(Clone, Copy, Debug)]
struct Group {
    open: Bracket,
    /// Operands below it.
    base: usize,
    /// Operands below the current row.
    row: usize,
    /// Finished elements end here.
    done: usize,
    /// Columns of the first row of a matrix.
    columns: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Braces around an argument of a command.
    Argument,
    /// Arguments of the name that is the operand below.
    Apply,
    Matrix,
}

/// What the parser found out about the writing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Finding {
    /// Braces left out or never closed.
    pub(super) malformed: bool,
    /// A comma was read as a thousands mark.
    pub(super) merged: bool,
}

/// How to read a text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    /// Commas always divide.
    pub(super) commas_divide: bool,
}

pub(super) struct Parser<'t, 'w> {
    lexer: Lexer<'t>,
    tree: &'w mut Tree,
    fuel: &'w mut Fuel,
    operands: Vec<Id>,
    stack: Vec<Item>,
    /// The next token must begin an operand.
    expect: bool,
    /// The last token was a whole number that may begin a mixed number.
    whole: bool,
    /// The last token was a name that can be a function.
    applies: bool,
    /// Brackets open, other than braces of arguments.
    brackets: usize,
    matrices: usize,
    reading: Reading,
    finding: Finding,
}

/// Appends the tree of a text to `tree`.
pub(super) fn parse_into(
    text: &str,
    tree: &mut Tree,
    fuel: &mut Fuel,
    reading: Reading,
) -> Result<(Id, Finding), ParseError> {
    let mut parser = Parser {
        lexer: Lexer::new(text),
        tree,
        fuel,
        operands: Vec::new(),
        stack: Vec::new(),
        expect: true,
        whole: false,
        applies: false,
        brackets: 0,
        matrices: 0,
        reading,
        finding: Finding::default(),
    };
    let root = parser.run()?;
    let mut finding = parser.finding;
    finding.merged = !reading.commas_divide && text.contains(',');
    Ok((root, finding))
}

impl Parser<'_, '_> {
    fn run(&mut self) -> Result<Id, ParseError> {
        self.open(Bracket::None, Kind::Plain);
        loop {
            let place = Place {
                tight: self.wants_digit(),
                open: self.brackets == 0 && !self.reading.commas_divide,
                rows: self.matrices > 0,
            };
            let token = self.lexer.next(place, self.fuel)?;
            if token == Token::End {
                return self.finish();
            }
            let (whole, applies) = (self.whole, self.applies);
            (self.whole, self.applies) = (false, false);
            if self.expect {
                self.begin(token)?;
            } else {
                self.go_on(token, whole, applies)?;
            }
        }
    }

    /// True if a digit alone is the argument that comes next.
    fn wants_digit(&self) -> bool {
        use Command::{Binomial, Fraction, FunctionBase, Root, Sqrt};
        let tight = |c| matches!(c, Fraction | Binomial | Sqrt | Root | FunctionBase);
        self.expect && matches!(self.stack.last(), Some(Item::Command { command, .. }) if tight(*command))
    }

    fn push_operand(&mut self, op: Op) -> Result<(), ParseError> {
        let id = self.tree.push(op, &[]);
        self.operands.push(id);
        self.complete()
    }

    /// A token where an operand must begin.
    fn begin(&mut self, token: Token<'_>) -> Result<(), ParseError> {
        match token {
            Token::Number(..) | Token::Name(_) | Token::Word(_) | Token::Constant(_) => {
                self.begin_atom(token)
            }
            Token::Open(bracket) => {
                let is_argument = matches!(self.stack.last(), Some(Item::Command { .. }));
                let braces = is_argument && bracket == Bracket::Brace;
                let kind = [Kind::Plain, Kind::Argument][usize::from(braces)];
                self.open(bracket, kind);
                Ok(())
            }
            Token::Bar if !self.closes_bar() => {
                self.open(Bracket::Bar, Kind::Plain);
                Ok(())
            }
            Token::Function(function) => {
                self.stack.push(Item::Function {
                    function,
                    base: false,
                    power: false,
                });
                Ok(())
            }
            Token::Fraction => self.command(Command::Fraction, 2),
            Token::Binomial => self.command(Command::Binomial, 2),
            Token::Root if self.lexer.peek() == b'[' => self.command(Command::Root, 2),
            Token::Root => self.command(Command::Sqrt, 1),
            Token::Big(big) => {
                self.stack.push(Item::Big {
                    big,
                    lower: None,
                    upper: None,
                });
                Ok(())
            }
            Token::Minus => {
                self.stack.push(Item::Negate);
                Ok(())
            }
            Token::Plus => Ok(()),
            Token::PlusMinus | Token::MinusPlus => {
                let plus = token == Token::PlusMinus;
                let op = if plus { Op::PlusMinus } else { Op::MinusPlus };
                let zero = self.tree.push_number(Rational::ZERO, false);
                self.operands.push(zero);
                self.stack.push(Item::Binary(op, prec::SIGN));
                Ok(())
            }
            Token::Under | Token::Caret => self.begin_script(token == Token::Under),
            Token::Begin => {
                self.matrices += 1;
                self.open(Bracket::None, Kind::Matrix);
                Ok(())
            }
            Token::Relation(relation) => self.begin_relation(relation),
            other => self.begin_nothing(&other),
        }
    }

    /// A number, a name, a word or a constant.
    fn begin_atom(&mut self, token: Token<'_>) -> Result<(), ParseError> {
        match token {
            Token::Number(value, decimal) => {
                self.whole = value.is_integer()
                    && !decimal
                    && !matches!(self.stack.last(), Some(Item::Command { .. }));
                self.note_missing_braces();
                let id = self.push_number(value, decimal);
                self.operands.push(id);
                self.complete()
            }
            Token::Name(name) => {
                self.applies = matches!(name, "f" | "g" | "h" | "F" | "G" | "H" | "P" | "Q" | "W");
                self.note_missing_braces();
                let id = self.tree.push_name(name, self.fuel)?;
                self.operands.push(id);
                self.complete()
            }
            Token::Word(word) => {
                let word = self.tree.intern(word, self.fuel)?;
                self.push_operand(Op::Word(word))
            }
            Token::Constant(constant) => self.push_operand(Op::Constant(constant)),
            _ => Err(ParseError::Malformed),
        }
    }

    /// A number; what is neither whole nor written as a decimal (`0.\overline{3}`, `5e-1`) is a fraction.
    fn push_number(&mut self, value: Rational, decimal: bool) -> Id {
        if decimal || value.is_integer() {
            let id = self.tree.push_number(value, decimal);
            if std::mem::take(&mut self.lexer.padded) {
                self.tree.note_padding();
            }
            return id;
        }
        let whole = |n| Rational::of_integer(n).unwrap_or(Rational::ZERO);
        let upper = self.tree.push_number(whole(value.numerator()), false);
        let lower = self.tree.push_number(whole(value.denominator()), false);
        self.tree.push(Op::Divide, &[upper, lower])
    }

    /// `_` or `^` right after a function or a sum.
    fn begin_script(&mut self, under: bool) -> Result<(), ParseError> {
        let command = match (self.stack.last(), under) {
            (Some(Item::Function { base: false, .. }), true) => Command::FunctionBase,
            (Some(Item::Function { power: false, .. }), false) => Command::FunctionPower,
            (Some(Item::Big { lower: None, .. }), true) => Command::BigLower,
            (Some(Item::Big { upper: None, .. }), false) => Command::BigUpper,
            _ => return Err(ParseError::Malformed),
        };
        self.command(command, 1)
    }

    fn begin_relation(&mut self, relation: Relation) -> Result<(), ParseError> {
        let at_start =
            matches!(self.stack.last(), Some(Item::Group(group)) if group.done == self.operands.len());
        if !at_start {
            return Err(ParseError::Malformed);
        }
        // `= 5` and `\approx 5` say 5; `> 5` lacks its left side.
        if matches!(relation, Relation::Equal | Relation::Near | Relation::Arrow) {
            return Ok(());
        }
        let missing = self.tree.push(Op::Missing, &[]);
        self.operands.push(missing);
        self.stack
            .push(Item::Binary(Op::Relation(relation), prec::RELATION));
        Ok(())
    }

    /// A token that cannot begin an operand: it closes or divides what is empty.
    fn begin_nothing(&mut self, token: &Token<'_>) -> Result<(), ParseError> {
        let Some(Item::Group(group)) = self.stack.last().copied() else {
            return Err(ParseError::Malformed);
        };
        let nothing_yet = group.done == self.operands.len();
        match token {
            Token::Close(bracket) if nothing_yet => self.close(*bracket),
            Token::Bar if nothing_yet => self.close(Bracket::Bar),
            Token::Finish if nothing_yet => self.close_matrix(),
            Token::Separator | Token::Comma | Token::Semicolon
                if nothing_yet && self.operands.len() > group.base =>
            {
                Ok(())
            }
            Token::Row | Token::Ampersand if nothing_yet && group.kind != Kind::Matrix => Ok(()),
            Token::Row if nothing_yet && group.row == self.operands.len() => Ok(()),
            Token::Degree | Token::Prime | Token::Separator if nothing_yet => Ok(()),
            _ => Err(ParseError::Malformed),
        }
    }

    /// A token after an operand.
    fn go_on(&mut self, token: Token<'_>, whole: bool, applies: bool) -> Result<(), ParseError> {
        match token {
            Token::Plus => self.binary(Op::Add, prec::SUM),
            Token::Minus => self.binary(Op::Subtract, prec::SUM),
            Token::PlusMinus => self.binary(Op::PlusMinus, prec::SUM),
            Token::MinusPlus => self.binary(Op::MinusPlus, prec::SUM),
            Token::Times => self.binary(Op::Multiply, prec::PRODUCT),
            Token::Over => self.binary(Op::Divide, prec::PRODUCT),
            Token::Union => self.binary(Op::Union, prec::SETS),
            Token::Intersection => self.binary(Op::Intersection, prec::SETS),
            Token::Without => self.binary(Op::Without, prec::SETS),
            Token::Relation(relation) => self.binary(Op::Relation(relation), prec::RELATION),
            Token::Caret => self.command(Command::Power, 1),
            Token::Under => self.command(Command::Under, 1),
            Token::Bang => self.postfix(Op::Factorial),
            Token::Percent => self.postfix(Op::Percent),
            Token::Degree => self.postfix(Op::Degree),
            Token::Prime => self.postfix(Op::Prime),
            Token::Comma | Token::Separator => self.divide(false),
            Token::Ampersand if self.in_matrix() => self.divide(false),
            Token::Row if self.in_matrix() => self.end_row(),
            Token::Semicolon | Token::Row => self.divide(true),
            Token::Ampersand => Ok(()),
            Token::Close(bracket) => self.close(bracket),
            Token::Bar if self.closes_bar() => self.close(Bracket::Bar),
            Token::Bar | Token::Colon if self.in_set() => {
                self.binary(Op::Relation(Relation::Given), prec::GIVEN)
            }
            Token::Colon => self.binary(Op::Ratio, prec::RATIO),
            Token::Finish => self.close_matrix(),
            Token::Open(Bracket::Round) if applies => {
                self.open(Bracket::Round, Kind::Apply);
                Ok(())
            }
            Token::Open(Bracket::Square) if self.lexer.peek() == 0 => Err(ParseError::Malformed),
            Token::Unknown => Err(ParseError::Malformed),
            other => self.multiply(other, whole),
        }
    }

    /// An operand right after an operand: a product, or a mixed number.
    fn multiply(&mut self, token: Token<'_>, whole: bool) -> Result<(), ParseError> {
        let is_number = matches!(token, Token::Number(..));
        if whole && matches!(token, Token::Fraction) {
            self.reduce(prec::MIXED + 1)?;
            self.stack.push(Item::Mixed { slash: false });
        } else if is_number {
            let fraction = whole && self.lexer.spaced && self.lexer.peek() == b'/';
            let last = self.operands.last().map(|id| self.tree.op(*id));
            if fraction {
                self.reduce(prec::MIXED + 1)?;
                self.stack.push(Item::Mixed { slash: true });
            } else if matches!(last, Some(Op::Number(..))) {
                return Err(ParseError::Malformed);
            } else {
                self.juxtapose()?;
            }
        } else if matches!(token, Token::Function(_)) {
            self.reduce(prec::FUNCTION)?;
            self.binary(Op::Multiply, prec::PRODUCT)?;
        } else {
            self.juxtapose()?;
        }
        self.expect = true;
        self.begin(token)
    }

    fn juxtapose(&mut self) -> Result<(), ParseError> {
        let mut above = self.stack.iter().rev().take(4);
        let inner = above.find(|item| !matches!(item, Item::Negate | Item::Binary(_, prec::INSIDE_FUNCTION)));
        let precedence = match inner {
            Some(Item::Function { .. }) => prec::INSIDE_FUNCTION,
            _ => prec::PRODUCT,
        };
        self.binary(Op::Multiply, precedence)
    }

    fn binary(&mut self, op: Op, precedence: u8) -> Result<(), ParseError> {
        self.reduce(precedence)?;
        let is_whole = matches!(self.stack.last(), Some(Item::Mixed { slash: true }));
        if is_whole
            && self
                .operands
                .last()
                .is_some_and(|last| self.is_proper_fraction(*last))
        {
            self.apply_top()?;
        }
        self.stack.push(Item::Binary(op, precedence));
        self.expect = true;
        Ok(())
    }

    fn postfix(&mut self, op: Op) -> Result<(), ParseError> {
        let operand = self.operands.pop().ok_or(ParseError::Malformed)?;
        self.operands.push(self.tree.push(op, &[operand]));
        Ok(())
    }

    fn command(&mut self, command: Command, missing: u8) -> Result<(), ParseError> {
        self.stack.push(Item::Command { command, missing });
        self.expect = true;
        Ok(())
    }

    fn note_missing_braces(&mut self) {
        if let Some(Item::Command {
            command: Command::Fraction | Command::Sqrt | Command::Binomial | Command::Root,
            ..
        }) = self.stack.last()
        {
            self.finding.malformed = true;
        }
    }

    /// An operand is complete: it may complete commands that wait for an argument.
    fn complete(&mut self) -> Result<(), ParseError> {
        self.expect = false;
        loop {
            let n_items = self.stack.len();
            let below = n_items.checked_sub(2).and_then(|at| self.stack.get(at));
            match self.stack.last().copied() {
                Some(Item::Negate) if matches!(below, Some(Item::Command { .. })) => self.apply_top()?,
                Some(Item::Command { command, missing }) => {
                    if missing > 1 {
                        self.stack.pop();
                        self.stack.push(Item::Command {
                            command,
                            missing: missing - 1,
                        });
                        self.expect = true;
                        return Ok(());
                    }
                    // `2^3^2` is `2^{3^2}`.
                    if command == Command::Power && self.lexer.peek() == b'^' {
                        return Ok(());
                    }
                    self.stack.pop();
                    if self.build(command)? {
                        self.expect = true;
                        return Ok(());
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    fn pop(&mut self) -> Result<Id, ParseError> {
        self.operands.pop().ok_or(ParseError::Malformed)
    }

    /// Builds a command whose arguments stand; true if an operand must follow it.
    fn build(&mut self, command: Command) -> Result<bool, ParseError> {
        let last = self.pop()?;
        let id = match command {
            Command::Sqrt => self.tree.push(Op::Function(Function::Sqrt), &[last]),
            Command::Root => {
                let index = self.pop()?;
                self.tree.push(Op::Function(Function::Root), &[last, index])
            }
            Command::Fraction | Command::Binomial | Command::Power | Command::Under => {
                let first = self.pop()?;
                let op = match command {
                    Command::Fraction => Op::Divide,
                    Command::Binomial => Op::Function(Function::Binomial),
                    Command::Power => Op::Power,
                    _ => Op::Subscript,
                };
                self.tree.push(op, &[first, last])
            }
            Command::FunctionBase | Command::FunctionPower => {
                if let Some(Item::Function { base, power, .. }) = self.stack.last_mut() {
                    let flag = if command == Command::FunctionBase {
                        base
                    } else {
                        power
                    };
                    *flag = true;
                }
                // Keep the order base, power, whatever was written first.
                let swapped = command == Command::FunctionBase
                    && matches!(self.stack.last(), Some(Item::Function { power: true, .. }));
                let at = self.operands.len() - usize::from(swapped && !self.operands.is_empty());
                self.operands.insert(at, last);
                return Ok(true);
            }
            Command::BigLower | Command::BigUpper => {
                if let Some(Item::Big { lower, upper, .. }) = self.stack.last_mut() {
                    let end = if command == Command::BigLower {
                        lower
                    } else {
                        upper
                    };
                    *end = Some(last);
                }
                return Ok(true);
            }
        };
        self.operands.push(id);
        Ok(false)
    }

    /// Applies every pending operator that binds at least as tightly.
    fn reduce(&mut self, precedence: u8) -> Result<(), ParseError> {
        loop {
            let binds = match self.stack.last() {
                Some(Item::Binary(_, own)) => *own,
                Some(Item::Mixed { slash: false }) => prec::MIXED,
                Some(Item::Mixed { slash: true }) => prec::MIXED_SLASH,
                Some(Item::Negate) => prec::SIGN,
                Some(Item::Function { .. }) => prec::FUNCTION,
                Some(Item::Big { .. }) => prec::BIG,
                Some(Item::Command { .. }) => return Err(ParseError::Malformed),
                Some(Item::Group(_)) | None => return Ok(()),
            };
            if binds < precedence {
                return Ok(());
            }
            self.apply_top()?;
        }
    }

    /// Applies the operator on top of the stack.
    fn apply_top(&mut self) -> Result<(), ParseError> {
        let item = self.stack.pop().ok_or(ParseError::Malformed)?;
        let last = self.pop()?;
        let id = match item {
            Item::Binary(op, _) => {
                let first = self.pop()?;
                self.tree.push(op, &[first, last])
            }
            Item::Mixed { .. } => {
                let first = self.pop()?;
                let op = if self.is_proper_fraction(last) {
                    Op::Add
                } else {
                    Op::Multiply
                };
                self.tree.push(op, &[first, last])
            }
            Item::Negate => self.tree.push(Op::Negate, &[last]),
            Item::Function {
                function,
                base,
                power,
            } => self.build_function(function, base, power, last)?,
            Item::Big { big, lower, upper } => {
                let mut end = |end: Option<Id>| end.unwrap_or_else(|| self.tree.push(Op::Missing, &[]));
                let (lower, upper) = (end(lower), end(upper));
                self.tree.push(Op::Big(big), &[lower, upper, last])
            }
            Item::Command { .. } | Item::Group(_) => return Err(ParseError::Malformed),
        };
        self.operands.push(id);
        Ok(())
    }

    fn build_function(
        &mut self,
        function: Function,
        base: bool,
        power: bool,
        argument: Id,
    ) -> Result<Id, ParseError> {
        let power = if power { Some(self.pop()?) } else { None };
        let base = if base { Some(self.pop()?) } else { None };
        let inverse = power.is_some_and(|power| self.is_minus_one(power));
        let (function, power) = match (function, inverse) {
            (Function::Sin, true) => (Function::Arcsin, None),
            (Function::Cos, true) => (Function::Arccos, None),
            (Function::Tan, true) => (Function::Arctan, None),
            (function, _) => (function, power),
        };
        let id = match base {
            Some(base) => self.tree.push(Op::Function(function), &[argument, base]),
            None => self.tree.push(Op::Function(function), &[argument]),
        };
        Ok(match power {
            Some(power) => self.tree.push(Op::Power, &[id, power]),
            None => id,
        })
    }

    fn is_minus_one(&self, id: Id) -> bool {
        self.tree.op(id) == Op::Negate
            && matches!(self.tree.op(self.tree.kid(id, 0)), Op::Number(n, _) if self.tree.number(n).is_one())
    }

    /// `1/2` of whole numbers, the upper one smaller.
    fn is_proper_fraction(&self, id: Id) -> bool {
        if self.tree.op(id) != Op::Divide {
            return false;
        }
        let part = |k| match self.tree.op(self.tree.kid(id, k)) {
            Op::Number(n, false) => Some(self.tree.number(n)).filter(|value| value.is_integer()),
            _ => None,
        };
        matches!((part(0), part(1)), (Some(upper), Some(lower)) if upper < lower)
    }
}
