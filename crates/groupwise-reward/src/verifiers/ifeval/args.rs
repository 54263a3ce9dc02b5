//! Arguments of an instruction, read by key and checked before any response is.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

/// Why an instruction cannot be checked.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::ifeval::{Instruction, InstructionError};
/// let unknown = Instruction::new("keywords:anagram", &serde_json::Map::new()).unwrap_err();
/// assert_eq!(unknown, InstructionError::Unknown { id: "keywords:anagram".to_owned() });
/// assert_eq!(unknown.to_string(), "unknown instruction `keywords:anagram`");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstructionError {
    /// No instruction has this name.
    Unknown {
        /// The name.
        id: String,
    },
    /// The instruction is known, and what its verdict depends on is not to be had here.
    Unsupported {
        /// The name.
        id: String,
        /// What is missing.
        reason: &'static str,
    },
    /// An argument is missing, of the wrong kind, or not one of this instruction.
    Argument {
        /// The name.
        id: String,
        /// Key of the argument.
        key: String,
        /// What stands there, as JSON; `null` if it is missing.
        value: String,
        /// What may stand there.
        expected: &'static str,
    },
}

impl fmt::Display for InstructionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { id } => write!(f, "unknown instruction `{id}`"),
            Self::Unsupported { id, reason } => write!(f, "instruction `{id}`: {reason}"),
            Self::Argument {
                id,
                key,
                value,
                expected,
            } => write!(
                f,
                "instruction `{id}`, argument `{key}` = {value}: must be {expected}"
            ),
        }
    }
}

impl std::error::Error for InstructionError {}

/// How a count is compared with its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    LessThan,
    AtLeast,
}

impl Relation {
    pub(super) fn holds(self, count: usize, threshold: u64) -> bool {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        match self {
            Self::LessThan => count < threshold,
            Self::AtLeast => count >= threshold,
        }
    }
}

/// Arguments of the instruction `id`; one that is `null` counts as missing, as in the published data set.
#[derive(Clone, Copy)]
pub(super) struct Args<'a> {
    pub(super) id: &'a str,
    pub(super) values: &'a Map<String, Value>,
}

impl Args<'_> {
    pub(super) fn wrong(&self, key: &str, expected: &'static str) -> InstructionError {
        /// More of a long value would only hide the rest of the message.
        const SHOWN: usize = 80;
        let value = self.values.get(key).unwrap_or(&Value::Null).to_string();
        let shown = value.char_indices().nth(SHOWN).map(|(end, _)| &value[..end]);
        InstructionError::Argument {
            id: self.id.to_owned(),
            key: key.to_owned(),
            value: shown.map_or_else(|| value.clone(), |start| format!("{start}..")),
            expected,
        }
    }

    /// Refuses every argument that is not among `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), InstructionError> {
        let stranger = |(key, value): &(&String, &Value)| !value.is_null() && !known.contains(&key.as_str());
        match self.values.iter().find(stranger) {
            Some((key, _)) => Err(self.wrong(key, "absent: this instruction has no such argument")),
            None => Ok(()),
        }
    }

    /// A whole number of at least 0, also written `3.0`.
    pub(super) fn count(&self, key: &str) -> Result<u64, InstructionError> {
        let value = self.values.get(key).unwrap_or(&Value::Null);
        let whole = |x: f64| (x.fract() == 0.0 && (0.0..=1e15).contains(&x)).then_some(x as u64);
        value
            .as_u64()
            .or_else(|| value.as_f64().and_then(whole))
            .ok_or_else(|| self.wrong(key, "a whole number of at least 0"))
    }

    /// A text that is more than blanks.
    pub(super) fn text(&self, key: &str) -> Result<&str, InstructionError> {
        let text = self.values.get(key).and_then(Value::as_str);
        text.filter(|text| !super::text::strip(text).is_empty())
            .ok_or_else(|| self.wrong(key, "a text that is not blank"))
    }

    /// A list of at least one text, none of them blank.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<&str>, InstructionError> {
        let list = self.values.get(key).and_then(Value::as_array);
        let texts: Option<Vec<&str>> = list.and_then(|list| list.iter().map(Value::as_str).collect());
        texts
            .filter(|texts| !texts.is_empty() && texts.iter().all(|t| !super::text::strip(t).is_empty()))
            .ok_or_else(|| self.wrong(key, "a list of texts that are not blank"))
    }

    pub(super) fn relation(&self, key: &str) -> Result<Relation, InstructionError> {
        match self.values.get(key).and_then(Value::as_str) {
            Some("less than") => Ok(Relation::LessThan),
            Some("at least") => Ok(Relation::AtLeast),
            _ => Err(self.wrong(key, "`less than` or `at least`")),
        }
    }

    /// The argument `key` as a pattern, between `before` and `after`.
    ///
    /// The checkers of the harness put arguments into regular expressions as they stand, so `c.t` finds `cat`; here too.
    /// What is no pattern (`:(`) stands for itself; what only a backtracking engine could run is refused.
    pub(super) fn pattern(
        &self,
        key: &str,
        [before, word, after]: [&str; 3],
        case: Case,
    ) -> Result<Regex, InstructionError> {
        /// Bytes of a compiled pattern: ample for any sentence, and a bound on time.
        const SIZE_LIMIT: usize = 1 << 20;
        let compile = |word: &str| {
            RegexBuilder::new(&format!("{before}{word}{after}"))
                .case_insensitive(case == Case::Ignored)
                .size_limit(SIZE_LIMIT)
                .dfa_size_limit(SIZE_LIMIT)
                .build()
        };
        let refused = || {
            self.wrong(
                key,
                "a text, or a pattern without look-around and back-references",
            )
        };
        match compile(word) {
            Ok(pattern) => Ok(pattern),
            Err(regex::Error::Syntax(_)) if !needs_backtracking(word) => {
                compile(&regex::escape(word)).map_err(|_| refused())
            }
            Err(_) => Err(refused()),
        }
    }
}

/// Whether a pattern tells upper from lower case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Matters,
    Ignored,
}

/// True for look-around, named groups of other dialects, and back-references.
fn needs_backtracking(pattern: &str) -> bool {
    let digit_after_backslash = |pair: &[u8]| matches!(pair, [b'\\', b'1'..=b'9']);
    pattern.contains("(?") || pattern.as_bytes().windows(2).any(digit_after_backslash)
}
