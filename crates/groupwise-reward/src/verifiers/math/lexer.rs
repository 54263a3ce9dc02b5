//! Tokens of LaTeX and of plain expressions, produced on demand: the parser says in what place it stands.

use super::rational::{Fuel, Rational, Stop};
use super::tokens::{self, Token};

/// In what place the next token stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// An argument without braces: of a number only one digit belongs to it.
    pub(super) tight: bool,
    /// Outside all brackets: a comma or a blank between groups of three digits is a thousands mark.
    pub(super) open: bool,
    /// Inside a matrix or an aligned block, where `\\` ends a row.
    pub(super) rows: bool,
}

/// A text and how far it has been read.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    /// What is left of the content of a `\text{..}`.
    words: &'t str,
    /// The last token was text, or a blank stood before this one.
    pub(super) spaced: bool,
    /// Blocks open that only arrange, in which `\\` ends a row as well.
    aligned: usize,
    /// The last number starts with a zero that says nothing.
    pub(super) padded: bool,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            words: "",
            spaced: false,
            padded: false,
            aligned: 0,
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    /// The next byte that is no blank, without reading it; 0 at the end.
    pub(super) fn peek(&mut self) -> u8 {
        if self.words.is_empty() {
            self.skip_blanks();
            return self.byte(0);
        }
        b'a'
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blank = tokens::blank_length(rest);
            if blank == 0 {
                return;
            }
            self.spaced = true;
            self.at += blank;
        }
    }

    /// The next token; five steps of fuel for every token and one for every 16 bytes.
    pub(super) fn next(&mut self, place: Place, fuel: &mut Fuel) -> Result<Token<'t>, Stop> {
        let start = self.at;
        self.spaced = false;
        let token = loop {
            if !self.words.is_empty() {
                if let Some(token) = self.next_word(fuel)? {
                    break token;
                }
                continue;
            }
            self.skip_blanks();
            match self.byte(0) {
                0 if self.at >= self.text.len() => break Token::End,
                b'\\' => {
                    if let Some(token) = self.command(place, fuel)? {
                        break token;
                    }
                }
                b'0'..=b'9' => break self.number(place, fuel)?,
                b'.' if self.byte(1).is_ascii_digit() => break self.number(place, fuel)?,
                b'.' | b'$' | b'"' | b'`' => {
                    if self.rest().starts_with("...") {
                        self.at += 3;
                        break Token::Name("\\ldots");
                    }
                    let only_stop = self.byte(0) != b'.' || self.is_last(1);
                    self.at += 1;
                    if !only_stop {
                        break Token::Unknown;
                    }
                }
                b'a'..=b'z' | b'A'..=b'Z' => break self.letters(place),
                b if b < 0x80 => break self.punctuation(),
                _ => break self.foreign(),
            }
        };
        fuel.spend(5 + (self.at - start) as u64 / 16)?;
        Ok(token)
    }

    /// True if nothing but blanks and closing marks stands after the next `skip` bytes.
    fn is_last(&self, skip: usize) -> bool {
        let rest = self.text.get(self.at + skip..).unwrap_or("");
        let rest = rest.trim_start_matches(['.', ' ', '\n', '$', '}', '"', '`', ',']);
        rest.is_empty() || rest.starts_with('\\') && tokens::is_only_blank(rest)
    }

    /// A numeral with its thousands marks, decimal mark, exponent and repeating digits.
    fn number(&mut self, place: Place, fuel: &mut Fuel) -> Result<Token<'t>, Stop> {
        let rest = self.rest();
        if place.tight && self.byte(0) != b'.' {
            self.at += 1;
            return Ok(Token::Number(Rational::parse_decimal(&rest[..1], fuel)?, false));
        }
        let found = tokens::scan_number(rest, place.open);
        self.padded = found.digits.len() > 1 && rest.starts_with('0') && !found.decimal;
        self.at += found.length;
        let mut value = Rational::parse_decimal(&found.digits, fuel)?;
        let places = found.digits.split_once('.').map_or(0, |(_, part)| part.len());
        if let (Some((digits, length)), true) = (tokens::repeating(self.rest()), found.decimal || found.point)
        {
            self.at += length;
            let nines = Rational::power_of_ten(digits.len() as i64, fuel)?.sub(&Rational::ONE, fuel)?;
            let scale = nines.mul(&Rational::power_of_ten(places as i64, fuel)?, fuel)?;
            value = value.add(&Rational::parse_decimal(digits, fuel)?.div(&scale, fuel)?, fuel)?;
            return Ok(Token::Number(value, false));
        }
        if let Some(exponent) = found.exponent {
            let scale = Rational::power_of_ten(exponent.ok_or(Stop::Limit)?, fuel);
            // Zero times anything is zero; a power too large to write down is a limit.
            let value = if value.is_zero() {
                value
            } else {
                value.mul(&scale?, fuel)?
            };
            return Ok(Token::Number(value, false));
        }
        Ok(Token::Number(value, found.decimal))
    }

    /// A run of letters without a backslash.
    fn letters(&mut self, place: Place) -> Token<'t> {
        let rest = self.rest();
        let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let run = &rest[..length];
        if length == 1 && ["a.m", "p.m"].iter().any(|noon| rest.starts_with(noon)) {
            self.at += 3;
            return Token::Word(&rest[..3]);
        }
        if length == 1 || place.tight {
            self.at += 1;
            return tokens::letter(&run[..1]);
        }
        if let Some(token) = tokens::plain_word(run) {
            self.at += length;
            return token;
        }
        let glued = self.at > 0 && !self.spaced && !self.text.as_bytes()[self.at - 1].is_ascii_alphabetic();
        if let (true, Some((word, token))) = (glued, tokens::glued_separator(run)) {
            self.at += word;
            return token;
        }
        let is_unit = self.at > 0 && self.spaced && tokens::is_unit(run);
        if length >= 4 || is_unit {
            self.at += length;
            return Token::Word(run);
        }
        self.at += 1;
        tokens::letter(&run[..1])
    }

    /// Letters that are not ASCII, as one word.
    fn foreign(&mut self) -> Token<'t> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| c.is_ascii() || c.is_whitespace())
            .unwrap_or(rest.len());
        let length = end.max(rest.chars().next().map_or(1, char::len_utf8));
        self.at += length;
        Token::Word(&rest[..length])
    }

    fn punctuation(&mut self) -> Token<'t> {
        let (token, length) = tokens::punctuation(self.rest());
        self.at += length;
        if matches!(token, Token::Caret)
            && let Some(length) = tokens::degree_after_caret(self.rest())
        {
            self.at += length;
            return Token::Degree;
        }
        token
    }

    /// A command; `None` if it is one that says nothing.
    fn command(&mut self, place: Place, fuel: &mut Fuel) -> Result<Option<Token<'t>>, Stop> {
        let rest = &self.rest()[1..];
        if let Some(after) = rest.strip_prefix('\\') {
            // Twice escaped: `\\frac`.  In a matrix it ends a row.
            let escaped = after.starts_with(|c: char| c.is_ascii_alphabetic() || "{}%$!,;".contains(c));
            if place.rows || self.aligned > 0 || !escaped {
                self.at += 2 + tokens::row_gap(after);
                return Ok(Some(Token::Row));
            }
            self.at += 1;
            return Ok(None);
        }
        let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        if length == 0 {
            let first = rest.chars().next();
            self.at += 1 + first.map_or(0, char::len_utf8);
            return Ok(first.and_then(tokens::escaped));
        }
        let name = &rest[..length];
        self.at += 1 + length;
        if tokens::is_text_command(name) {
            self.open_text(fuel)?;
            return Ok(None);
        }
        if let Some(skips) = tokens::ignored(name) {
            for _ in 0..skips {
                self.skip_argument(fuel)?;
            }
            return Ok(None);
        }
        if matches!(name, "overline" | "overleftrightarrow") && tokens::is_points(self.rest()) {
            return Ok(None);
        }
        match name {
            "left" | "mleft" => Ok(self.delimiter(true)),
            "right" | "mright" => Ok(self.delimiter(false)),
            "begin" | "end" => {
                let name = self.argument(fuel)?.trim().trim_end_matches('*');
                self.skip_column_layout(name, fuel)?;
                let aligned = tokens::is_aligned(name);
                if aligned && rest.starts_with("begin") {
                    self.aligned += 1;
                } else if aligned {
                    self.aligned = self.aligned.saturating_sub(1);
                }
                Ok(match (rest.starts_with("begin"), aligned) {
                    (_, true) => None,
                    (true, false) => Some(Token::Begin),
                    (false, false) => Some(Token::Finish),
                })
            }
            "mathbb" | "Bbb" => Ok(Some(tokens::blackboard(self.argument(fuel)?.trim()))),
            _ => Ok(Some(tokens::command(name))),
        }
    }

    /// What follows `\left` or `\right` where it is no token of its own.
    fn delimiter(&mut self, opens: bool) -> Option<Token<'t>> {
        let rest = self.rest();
        let trimmed = rest.trim_start();
        let (token, length) = tokens::delimiter(trimmed, opens)?;
        self.at += rest.len() - trimmed.len() + length;
        token
    }

    /// Reads the content of a text command as words; a single letter or a number is read as mathematics.
    fn open_text(&mut self, fuel: &mut Fuel) -> Result<(), Stop> {
        let before = self.at;
        let content = self.argument(fuel)?;
        let inner = content
            .trim_matches(|c: char| c.is_whitespace() || c == '~')
            .trim_end_matches(['.', '!'])
            .trim_end();
        if tokens::is_math_inside(inner) {
            // Its braces make a group: read on inside them.
            self.at = before;
            return Ok(());
        }
        self.words = content;
        if inner.is_empty() {
            self.words = "";
            self.spaced = true;
        }
        Ok(())
    }

    /// Next token of a text: words up to a separator.
    fn next_word(&mut self, fuel: &mut Fuel) -> Result<Option<Token<'t>>, Stop> {
        let (token, rest) = tokens::split_text(self.words, fuel)?;
        self.words = rest;
        self.spaced = true;
        Ok(token)
    }

    /// The content of a brace group (or the next character), read past; braces inside are counted.
    fn argument(&mut self, fuel: &mut Fuel) -> Result<&'t str, Stop> {
        self.skip_blanks();
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok("");
        };
        if first != '{' {
            self.at += first.len_utf8();
            return Ok(&rest[..first.len_utf8()]);
        }
        let length = tokens::group_length(rest);
        fuel.spend(1 + length as u64 / 16)?;
        self.at += length;
        let closed = rest[..length].ends_with('}') && length > 1;
        Ok(&rest[1..length - usize::from(closed)])
    }

    fn skip_argument(&mut self, fuel: &mut Fuel) -> Result<(), Stop> {
        self.skip_blanks();
        if self.byte(0) == b'{' {
            self.argument(fuel)?;
        }
        Ok(())
    }

    /// `{c|cc}` after `\begin{array}`.
    fn skip_column_layout(&mut self, environment: &str, fuel: &mut Fuel) -> Result<(), Stop> {
        let has_layout = matches!(environment, "array" | "tabular");
        if has_layout && self.byte(0) == b'{' {
            self.argument(fuel)?;
        }
        Ok(())
    }
}
