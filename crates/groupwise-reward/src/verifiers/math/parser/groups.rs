//! Brackets, lists and matrices: what opens, divides and closes.

use super::super::tree::{Bracket, Constant, Function, Id, Op};
use super::{Group, Item, Kind, ParseError, Parser};

/// Most braces that may be left open at the end of a text.
const MAX_UNCLOSED: usize = 4;

impl Parser<'_, '_> {
    pub(super) fn open(&mut self, open: Bracket, kind: Kind) {
        let base = self.operands.len();
        if kind != Kind::Argument && !self.stack.is_empty() {
            self.brackets += 1;
        }
        self.stack.push(Item::Group(Group {
            open,
            base,
            row: base,
            done: base,
            columns: 0,
            kind,
        }));
        self.expect = true;
    }

    fn top_group(&mut self) -> Result<&mut Group, ParseError> {
        match self.stack.last_mut() {
            Some(Item::Group(group)) => Ok(group),
            _ => Err(ParseError::Malformed),
        }
    }

    pub(super) fn in_matrix(&self) -> bool {
        let group = self.stack.iter().rev().find_map(|item| match item {
            Item::Group(group) => Some(group),
            _ => None,
        });
        group.is_some_and(|group| group.kind == Kind::Matrix)
    }

    /// True if a bar is open in the innermost bracket.
    pub(super) fn closes_bar(&self) -> bool {
        let group = self.stack.iter().rev().take(64).find_map(|item| match item {
            Item::Group(group) => Some(group),
            _ => None,
        });
        group.is_some_and(|group| group.open == Bracket::Bar)
    }

    /// True right inside the braces of a set.
    pub(super) fn in_set(&self) -> bool {
        let group = self.stack.iter().rev().take(8).find_map(|item| match item {
            Item::Group(group) => Some(group),
            _ => None,
        });
        group.is_some_and(|group| group.open == Bracket::Set)
    }

    /// Ends an element of a list; `row`: and the list inside the list.
    pub(super) fn divide(&mut self, row: bool) -> Result<(), ParseError> {
        self.reduce(0)?;
        let n_operands = self.operands.len();
        let group = self.top_group()?;
        if group.done + 1 != n_operands {
            return Err(ParseError::Malformed);
        }
        group.done = n_operands;
        self.expect = true;
        if row { self.wrap_row() } else { Ok(()) }
    }

    /// Makes one list of the elements since the last semicolon.
    fn wrap_row(&mut self) -> Result<(), ParseError> {
        let row = self.top_group()?.row;
        if self.operands.len() > row + 1 {
            let list = self
                .tree
                .push(Op::List(Bracket::None, Bracket::None), &self.operands[row..]);
            self.operands.truncate(row);
            self.operands.push(list);
        }
        let n_operands = self.operands.len();
        let group = self.top_group()?;
        (group.row, group.done) = (n_operands, n_operands);
        Ok(())
    }

    pub(super) fn end_row(&mut self) -> Result<(), ParseError> {
        self.divide(false)?;
        let n_operands = self.operands.len();
        let group = self.top_group()?;
        let columns = n_operands - group.row;
        if group.columns != 0 && group.columns != columns {
            return Err(ParseError::Malformed);
        }
        (group.columns, group.row) = (columns, n_operands);
        Ok(())
    }

    pub(super) fn close_matrix(&mut self) -> Result<(), ParseError> {
        if !self.expect {
            self.end_row()?;
        }
        let group = *self.top_group()?;
        if group.kind != Kind::Matrix || group.columns == 0 || group.row != self.operands.len() {
            return Err(ParseError::Malformed);
        }
        self.stack.pop();
        (self.matrices, self.brackets) = (self.matrices.saturating_sub(1), self.brackets.saturating_sub(1));
        let matrix = self
            .tree
            .push(Op::Matrix(group.columns), &self.operands[group.base..]);
        self.operands.truncate(group.base);
        self.operands.push(matrix);
        self.complete()
    }

    pub(super) fn close(&mut self, close: Bracket) -> Result<(), ParseError> {
        if !self.expect {
            self.reduce(0)?;
        }
        let group = *self.top_group()?;
        let rounded = |b| matches!(b, Bracket::Round | Bracket::Square);
        let braced = |b| matches!(b, Bracket::Brace | Bracket::Set);
        let fits = group.open == close
            || rounded(group.open) && rounded(close)
            || braced(group.open) && braced(close);
        if !fits || group.kind == Kind::Matrix {
            return Err(ParseError::Malformed);
        }
        if group.row > group.base && self.operands.len() > group.row {
            self.wrap_row()?;
        }
        self.stack.pop();
        if group.kind != Kind::Argument {
            self.brackets = self.brackets.saturating_sub(1);
        }
        self.build_group(group, close)
    }

    fn build_group(&mut self, group: Group, close: Bracket) -> Result<(), ParseError> {
        let elements = self.operands.len() - group.base;
        if group.kind == Kind::Apply {
            let id = self
                .tree
                .push(Op::Apply, &self.operands[group.base.saturating_sub(1)..]);
            self.operands.truncate(group.base.saturating_sub(1));
            self.operands.push(id);
            return self.complete();
        }
        let single = elements == 1 && self.top_is(group.base, elements);
        let id = match (group.open, close) {
            (Bracket::Brace, _) if elements == 0 && group.kind == Kind::Plain => return Ok(()),
            (Bracket::Set, Bracket::Set) if elements == 0 => {
                self.tree.push(Op::Constant(Constant::EmptySet), &[])
            }
            _ if elements == 0 => return Err(ParseError::Malformed),
            (Bracket::Round, Bracket::Round) | (Bracket::Square, Bracket::Square) | (Bracket::Brace, _)
                if single =>
            {
                self.operands[group.base]
            }
            (Bracket::Bar, _) if single => self.enclose(Function::Abs, group.base),
            (Bracket::Floor, _) if single => self.enclose(Function::Floor, group.base),
            (Bracket::Ceil, _) if single => self.enclose(Function::Ceil, group.base),
            (Bracket::Bar | Bracket::Floor | Bracket::Ceil, _) => return Err(ParseError::Malformed),
            (open, close) if open != close && single && open != Bracket::Set => {
                return Err(ParseError::Malformed);
            }
            (open, close) => {
                let close = if open == Bracket::Set || open == Bracket::Brace {
                    open
                } else {
                    close
                };
                self.tree
                    .push(Op::List(open, close), &self.operands[group.base..])
            }
        };
        self.operands.truncate(group.base);
        self.operands.push(id);
        // `\sin(x)y` is a product: brackets right after a function hold its argument.
        if let Some(Item::Function { .. }) = self.stack.last() {
            self.apply_top()?;
        }
        self.complete()
    }

    fn top_is(&self, base: usize, elements: usize) -> bool {
        self.operands.len() == base + elements
    }

    fn enclose(&mut self, function: Function, base: usize) -> Id {
        let kid = self.operands[base];
        self.tree.push(Op::Function(function), &[kid])
    }

    /// The end of the text: closes what may be left open.
    pub(super) fn finish(&mut self) -> Result<Id, ParseError> {
        let mut unclosed = 0;
        loop {
            if !self.expect {
                self.reduce(0)?;
            }
            let group = *self.top_group()?;
            if self.stack.len() == 1 {
                break;
            }
            unclosed += 1;
            let is_open_end = matches!(group.open, Bracket::Brace | Bracket::Set);
            if !is_open_end || unclosed > MAX_UNCLOSED || self.expect {
                return Err(ParseError::Malformed);
            }
            self.finding.malformed = true;
            self.close(group.open)?;
        }
        let group = *self.top_group()?;
        if group.row > group.base && self.operands.len() > group.row {
            self.wrap_row()?;
        }
        match self.operands.len() {
            0 => Err(ParseError::Empty),
            1 => self.pop(),
            _ => Ok(self
                .tree
                .push(Op::List(Bracket::None, Bracket::None), &self.operands)),
        }
    }
}
