//! What tokens there are, and which text makes which.

mod numeral;

pub(super) use numeral::{repeating, scan_number};

use super::rational::{Fuel, Rational, Stop};
use super::tree::{Big, Bracket, Constant, Function, Relation};

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'t> {
    End,
    /// Value, and whether it is written with a decimal point.
    Number(Rational, bool),
    Name(&'t str),
    Word(&'t str),
    Constant(Constant),
    Function(Function),
    /// `\frac`.
    Fraction,
    Binomial,
    /// `\sqrt`.
    Root,
    Big(Big),
    Plus,
    Minus,
    Times,
    Over,
    PlusMinus,
    MinusPlus,
    Caret,
    Under,
    Bang,
    Percent,
    Degree,
    Prime,
    Open(Bracket),
    Close(Bracket),
    /// A bar that opens or closes.
    Bar,
    Comma,
    Semicolon,
    /// "and", "or".
    Separator,
    Colon,
    Relation(Relation),
    Union,
    Intersection,
    Without,
    Begin,
    Finish,
    Ampersand,
    Row,
    Unknown,
}

/// Length of one blank or spacing command at the start; 0 if there is none.
pub(super) fn blank_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(b' ' | b'\n' | b'\t' | b'\r' | b'~' | 0x0B | 0x0C) => 1,
        Some(b'\\') => match bytes.get(1) {
            Some(b',' | b';' | b':' | b'!' | b' ' | b'\n' | b'/' | b'>') => 2,
            Some(b'q' | b't' | b'e') => {
                let name = text[1..].bytes().take_while(u8::is_ascii_alphabetic).count();
                match &text[1..1 + name] {
                    "quad" | "qquad" | "thinspace" | "enspace" => 1 + name,
                    _ => 0,
                }
            }
            _ => 0,
        },
        _ => 0,
    }
}

/// True if the text holds only spacing.
pub(super) fn is_only_blank(mut text: &str) -> bool {
    loop {
        match blank_length(text) {
            0 => return text.is_empty(),
            length => text = &text[length..],
        }
    }
}

/// Length of a brace group that starts the text; the whole text if it is never closed.
pub(super) fn group_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// Length of `[2pt]` after the end of a row.
pub(super) fn row_gap(text: &str) -> usize {
    let gap = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match gap {
        Some((gap, _)) if gap.len() < 12 && gap.ends_with(|c: char| c.is_ascii_alphabetic()) => gap.len() + 2,
        _ => 0,
    }
}

/// `{AB}`: the name of a segment or line.
pub(super) fn is_points(text: &str) -> bool {
    let inner = text.trim_start().strip_prefix('{').unwrap_or("");
    let n_letters = inner.bytes().take_while(u8::is_ascii_uppercase).count();
    n_letters > 1 && inner[n_letters..].starts_with('}')
}

/// Length of `\circ` or `{\circ}` (with blanks) after a caret.
pub(super) fn degree_after_caret(text: &str) -> Option<usize> {
    let trimmed = text.trim_start();
    let skipped = text.len() - trimmed.len();
    for (name, length) in [
        ("{\\circ}", 7),
        ("\\circ", 5),
        ("{ \\circ }", 9),
        ("{o}", 3),
        ("\\degree", 7),
    ] {
        if trimmed.starts_with(name) {
            return Some(skipped + length);
        }
    }
    None
}

/// A single letter.
pub(super) fn letter(letter: &str) -> Token<'_> {
    match letter {
        "i" => Token::Constant(Constant::I),
        "e" => Token::Constant(Constant::E),
        _ => Token::Name(letter),
    }
}

/// A run of letters that has a meaning of its own.
pub(super) fn plain_word(run: &str) -> Option<Token<'_>> {
    Some(match run {
        "pi" => Token::Constant(Constant::Pi),
        "inf" | "infty" | "infinity" | "Infinity" | "oo" => Token::Constant(Constant::Infinity),
        "and" | "or" | "And" | "Or" | "AND" | "OR" => Token::Separator,
        "percent" | "pct" | "percentage" | "Percent" => Token::Percent,
        "degrees" | "degree" | "deg" => Token::Degree,
        "sqrt" => Token::Root,
        "frac" => Token::Fraction,
        // A unit, a product of letters.
        "min" | "tg" | "lg" => return None,
        _ => match command(run) {
            token @ Token::Function(_) if run.bytes().all(|b| b.is_ascii_lowercase()) => token,
            _ => return None,
        },
    })
}

/// "or" or "and" glued to the single letter of what follows: `1orW(x)`.
pub(super) fn glued_separator<'t>(run: &str) -> Option<(usize, Token<'t>)> {
    let word = ["and", "or"].into_iter().find(|word| run.starts_with(word))?;
    (run.len() == word.len() + 1).then_some((word.len(), Token::Separator))
}

/// True for short units of measure that would otherwise be read as a product of letters.
pub(super) fn is_unit(run: &str) -> bool {
    super::units::canonical(run).is_some()
}

/// A command that stands for a character: `\%`, `\{`.
pub(super) fn escaped<'t>(c: char) -> Option<Token<'t>> {
    Some(match c {
        '%' => Token::Percent,
        '{' => Token::Open(Bracket::Set),
        '}' => Token::Close(Bracket::Set),
        '|' => Token::Bar,
        '_' => Token::Unknown,
        '(' | '[' | ')' | ']' | '$' | '-' | '\'' | '"' => return None,
        _ => Token::Unknown,
    })
}

/// Commands whose argument is text.
pub(super) fn is_text_command(name: &str) -> bool {
    matches!(
        name,
        "text"
            | "mbox"
            | "textbf"
            | "textit"
            | "textrm"
            | "textsf"
            | "texttt"
            | "textnormal"
            | "textup"
            | "hbox"
            | "mathrm"
            | "operatorname"
            | "rm"
            | "emph"
            | "textsc"
            | "fbox"
            | "mathop"
    )
}

/// Commands without meaning, and how many arguments vanish with them.
pub(super) fn ignored(name: &str) -> Option<usize> {
    Some(match name {
        "displaystyle" | "textstyle" | "scriptstyle" | "limits" | "nolimits" | "mathbf" | "mathit"
        | "mathsf" | "mathtt" | "mathcal" | "mathnormal" | "boldsymbol" | "bm" | "bf" | "it" | "bold"
        | "big" | "Big" | "bigg" | "Bigg" | "bigl" | "bigr" | "Bigl" | "Bigr" | "biggl" | "biggr"
        | "Biggl" | "Biggr" | "middle" | "boxed" | "ensuremath" | "underline" | "pounds" | "euro"
        | "hline" | "par" | "newline" | "centering" | "large" | "Large" | "small" | "fbox" | "smash"
        | "relax" | "allowbreak" | "overrightarrow" | "vec" | "dollar" | "textdollar" | "nonumber"
        | "notag" | "bigskip" | "quad" => 0,
        "phantom" | "hphantom" | "vphantom" | "hspace" | "vspace" | "color" | "textcolor" | "label"
        | "tag" | "mskip" | "kern" => 1,
        _ => return None,
    })
}

/// Environments that only arrange what stands in them.
pub(super) fn is_aligned(name: &str) -> bool {
    matches!(
        name,
        "align"
            | "aligned"
            | "equation"
            | "gather"
            | "gathered"
            | "split"
            | "math"
            | "displaymath"
            | "eqnarray"
            | "multline"
            | "center"
            | "flalign"
    )
}

pub(super) fn blackboard(letter: &str) -> Token<'_> {
    match letter {
        "R" => Token::Constant(Constant::Reals),
        "Z" => Token::Constant(Constant::Integers),
        "N" => Token::Constant(Constant::Naturals),
        "Q" => Token::Constant(Constant::Rationals),
        "C" => Token::Constant(Constant::Complexes),
        _ => Token::Name(letter),
    }
}

/// Any other command; an unknown one is a name.
pub(super) fn command(name: &str) -> Token<'_> {
    if let Some(function) = function(name) {
        return Token::Function(function);
    }
    if let Some(relation) = relation(name) {
        return Token::Relation(relation);
    }
    match name {
        "frac" | "dfrac" | "tfrac" | "cfrac" | "nicefrac" | "sfrac" | "fraction" => Token::Fraction,
        "binom" | "dbinom" | "tbinom" => Token::Binomial,
        "sqrt" => Token::Root,
        "sum" => Token::Big(Big::Sum),
        "prod" => Token::Big(Big::Product),
        "int" | "iint" | "oint" => Token::Big(Big::Integral),
        "lim" => Token::Big(Big::Limit),
        "cdot" | "times" | "ast" | "cdotp" | "bullet" | "star" => Token::Times,
        "div" => Token::Over,
        "pm" => Token::PlusMinus,
        "mp" => Token::MinusPlus,
        "cup" | "bigcup" => Token::Union,
        "cap" | "bigcap" => Token::Intersection,
        "setminus" | "backslash" | "smallsetminus" => Token::Without,
        "pi" => Token::Constant(Constant::Pi),
        "infty" | "infinity" => Token::Constant(Constant::Infinity),
        "emptyset" | "varnothing" | "empty" => Token::Constant(Constant::EmptySet),
        "imath" | "i" => Token::Constant(Constant::I),
        "circ" | "degree" | "degrees" => Token::Degree,
        "percent" => Token::Percent,
        "prime" => Token::Prime,
        "langle" => Token::Open(Bracket::Angle),
        "rangle" => Token::Close(Bracket::Angle),
        "lbrace" => Token::Open(Bracket::Set),
        "rbrace" => Token::Close(Bracket::Set),
        "lbrack" => Token::Open(Bracket::Square),
        "rbrack" => Token::Close(Bracket::Square),
        "lfloor" => Token::Open(Bracket::Floor),
        "rfloor" => Token::Close(Bracket::Floor),
        "lceil" => Token::Open(Bracket::Ceil),
        "rceil" => Token::Close(Bracket::Ceil),
        "lvert" | "lVert" => Token::Open(Bracket::Bar),
        "rvert" | "rVert" => Token::Close(Bracket::Bar),
        "mid" | "vert" | "Vert" => Token::Bar,
        "colon" => Token::Colon,
        "ldots" | "dots" | "cdots" | "dotsc" | "dotsb" => Token::Name("\\ldots"),
        "lor" | "vee" | "land" | "wedge" => Token::Separator,
        "cr" => Token::Row,
        _ => Token::Name(long_name(name)),
    }
}

/// Other spellings of one letter.
fn long_name(name: &str) -> &str {
    match name {
        "varepsilon" => "epsilon",
        "vartheta" => "theta",
        "varphi" => "phi",
        "varrho" => "rho",
        "varsigma" => "sigma",
        other => other,
    }
}

fn function(name: &str) -> Option<Function> {
    Some(match name {
        "sin" => Function::Sin,
        "cos" => Function::Cos,
        "tan" | "tg" => Function::Tan,
        "cot" | "ctg" | "cotan" => Function::Cot,
        "sec" => Function::Sec,
        "csc" | "cosec" => Function::Csc,
        "arcsin" | "asin" => Function::Arcsin,
        "arccos" | "acos" => Function::Arccos,
        "arctan" | "atan" | "arctg" => Function::Arctan,
        "sinh" => Function::Sinh,
        "cosh" => Function::Cosh,
        "tanh" => Function::Tanh,
        "ln" => Function::Ln,
        "log" | "lg" => Function::Log,
        "exp" => Function::Exp,
        "abs" => Function::Abs,
        "floor" => Function::Floor,
        "ceil" => Function::Ceil,
        "max" => Function::Max,
        "min" => Function::Min,
        "gcd" => Function::Gcd,
        "lcm" => Function::Lcm,
        _ => return None,
    })
}

fn relation(name: &str) -> Option<Relation> {
    Some(match name {
        "le" | "leq" | "leqslant" | "leqq" => Relation::LessEqual,
        "ge" | "geq" | "geqslant" | "geqq" => Relation::GreaterEqual,
        "lt" => Relation::Less,
        "gt" => Relation::Greater,
        "ne" | "neq" => Relation::NotEqual,
        "approx" | "approxeq" | "simeq" | "thickapprox" | "doteq" | "cong" | "sim" => Relation::Near,
        "in" | "isin" => Relation::In,
        "equiv" => Relation::Congruent,
        "to" | "rightarrow" | "Rightarrow" | "implies" | "longrightarrow" | "Longrightarrow" | "mapsto"
        | "therefore" | "iff" | "Leftrightarrow" => Relation::Arrow,
        "subset" | "subseteq" => Relation::Subset,
        _ => return None,
    })
}

/// A token of punctuation and its length.
pub(super) fn punctuation<'t>(text: &str) -> (Token<'t>, usize) {
    const DOUBLE: [(&str, Relation); 8] = [
        ("<=", Relation::LessEqual),
        (">=", Relation::GreaterEqual),
        ("!=", Relation::NotEqual),
        ("<>", Relation::NotEqual),
        ("==", Relation::Equal),
        ("=>", Relation::Arrow),
        ("->", Relation::Arrow),
        (":=", Relation::Equal),
    ];
    if let Some((_, relation)) = DOUBLE.iter().find(|(mark, _)| text.starts_with(mark)) {
        return (Token::Relation(*relation), 2);
    }
    if text.starts_with("**") {
        return (Token::Caret, 2);
    }
    let token = match text.as_bytes().first().copied().unwrap_or(0) {
        b'+' => Token::Plus,
        b'-' => Token::Minus,
        b'*' => Token::Times,
        b'/' => Token::Over,
        b'^' => Token::Caret,
        b'_' => Token::Under,
        b'!' => Token::Bang,
        b'%' => Token::Percent,
        b'\'' => Token::Prime,
        b'(' => Token::Open(Bracket::Round),
        b')' => Token::Close(Bracket::Round),
        b'[' => Token::Open(Bracket::Square),
        b']' => Token::Close(Bracket::Square),
        b'{' => Token::Open(Bracket::Brace),
        b'}' => Token::Close(Bracket::Brace),
        b'|' => Token::Bar,
        b',' => Token::Comma,
        b';' => Token::Semicolon,
        b':' => Token::Colon,
        b'=' => Token::Relation(Relation::Equal),
        b'<' => Token::Relation(Relation::Less),
        b'>' => Token::Relation(Relation::Greater),
        b'&' => Token::Ampersand,
        _ => Token::Unknown,
    };
    (token, 1)
}

/// The delimiter after `\left` or `\right`, if it is no ordinary bracket; `None` inside if it is a full stop.
pub(super) fn delimiter<'t>(text: &str, opens: bool) -> Option<(Option<Token<'t>>, usize)> {
    let side = |bracket| {
        if opens {
            Token::Open(bracket)
        } else {
            Token::Close(bracket)
        }
    };
    let bar = if text.starts_with('|') { 1 } else { 2 };
    match text.as_bytes() {
        [b'.', ..] => Some((None, 1)),
        [b'|', ..] | [b'\\', b'|', ..] => Some((Some(side(Bracket::Bar)), bar)),
        [b'<', ..] | [b'>', ..] => Some((Some(side(Bracket::Angle)), 1)),
        _ => None,
    }
}

/// True for the content of a text command that is mathematics: a letter, a number, a formula without words.
pub(super) fn is_math_inside(content: &str) -> bool {
    let letters = content.bytes().filter(u8::is_ascii_alphabetic).count();
    let digits = content.bytes().any(|b| b.is_ascii_digit());
    let math = content.contains(['\\', '^', '=', '$']);
    let plain = !content.is_empty();
    plain
        && ((letters == 0 && digits)
            || math
            || (content.len() == 1 && matches!(content, "e" | "i"))
            || (content != "min" && function(content).is_some()))
}

/// Takes one token off a text: a separator, a number, or words up to the next separator.
pub(super) fn split_text<'t>(text: &'t str, fuel: &mut Fuel) -> Result<(Option<Token<'t>>, &'t str), Stop> {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '~');
    if let Some(rest) = text.strip_prefix([',', ';']) {
        return Ok((Some(Token::Comma), rest));
    }
    for word in ["and", "or"] {
        if let Some(rest) = text.strip_prefix(word)
            && !rest.starts_with(|c: char| c.is_alphanumeric())
        {
            return Ok((Some(Token::Separator), rest));
        }
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let found = scan_number(text, true);
        let value = Rational::parse_decimal(&found.digits, fuel)?;
        return Ok((Some(Token::Number(value, found.decimal)), &text[found.length..]));
    }
    let ends = [
        text.find(','),
        text.find(';'),
        text.find(" and "),
        text.find(" or "),
    ];
    let end = ends.into_iter().flatten().min().unwrap_or(text.len());
    fuel.spend(1 + text.len() as u64 / 16)?;
    let (word, rest) = text.split_at(end);
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let word = word.trim().trim_end_matches(['.', '!']).trim();
    let mut bare = word;
    while let Some(inner) = bare.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        bare = inner.trim().trim_end_matches(['.', '!']).trim();
    }
    let token = match bare {
        "" => None,
        "percent" | "pct" | "%" => Some(Token::Percent),
        "degrees" | "degree" => Some(Token::Degree),
        "e" | "i" => Some(letter(bare)),
        bare if is_math_inside(bare) => Some(Token::Unknown),
        bare => Some(Token::Word(bare)),
    };
    Ok((token, rest))
}
