//! The first part of a reference solution as a hint.

use serde::{Deserialize, Serialize};

/// What a solution is counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HintUnit {
    /// Characters: the tokens of a policy that reads characters.
    #[default]
    Character,
    /// Words with the white space after them.
    Word,
    /// Lines that hold more than white space: the steps of a solution that writes one a line.
    Line,
}

impl HintUnit {
    /// Plural, as it stands in a formula.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Character => "characters",
            Self::Word => "words",
            Self::Line => "lines",
        }
    }
}

/// Where each unit of a text ends, the white space after it included.
///
/// # Formula
/// The first `l` units are `text[..ends[l - 1]]`; all of them are the whole text.
///
/// # Shapes
/// Byte offsets, increasing, one per unit.
///
/// # Edge cases
/// White space before the first word or line belongs to it.  A text without words has no words and no lines.
///
/// # Source
/// SEELE (arXiv 2509.06923), section 4.1: the hint is the first part of the solution; the units are ours.
///
/// # Example
/// ```
/// use groupwise_sampler::hint_prefix::{HintUnit, unit_ends};
/// let text = "add 2\n\nthen 3";
/// assert_eq!(unit_ends(text, HintUnit::Word), [4, 7, 12, 13]);
/// assert_eq!(unit_ends(text, HintUnit::Line), [7, 13]);
/// ```
pub fn unit_ends(text: &str, unit: HintUnit) -> Vec<usize> {
    let pieces: Vec<&str> = match unit {
        HintUnit::Character => text.split_inclusive(|_| true).collect(),
        HintUnit::Word => text.split_inclusive(char::is_whitespace).collect(),
        HintUnit::Line => text.split_inclusive('\n').collect(),
    };
    let (mut ends, mut end, mut started) = (Vec::new(), 0, false);
    for piece in pieces {
        let blank = unit != HintUnit::Character && piece.trim().is_empty();
        // What is blank goes with the unit before it.
        if !blank && started {
            ends.push(end);
        }
        started |= !blank;
        end += piece.len();
    }
    if started {
        ends.push(end);
    }
    ends
}

/// The first `n` units of a text whose units end at `ends`; all of it if it has no more.
///
/// # Example
/// ```
/// use groupwise_sampler::hint_prefix::{HintUnit, first_units, unit_ends};
/// let ends = unit_ends("a12b7", HintUnit::Character);
/// assert_eq!((first_units("a12b7", &ends, 3), first_units("a12b7", &ends, 0)), ("a12", ""));
/// ```
pub fn first_units<'a>(text: &'a str, ends: &[usize], n: usize) -> &'a str {
    match ends.get(..n.min(ends.len())).and_then(<[usize]>::last) {
        Some(end) => text.get(..*end).unwrap_or(text),
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [HintUnit; 3] = [HintUnit::Character, HintUnit::Word, HintUnit::Line];

    #[test]
    fn blanks_go_with_the_unit_before_them() {
        assert_eq!(unit_ends(" é x", HintUnit::Character), [1, 3, 4, 5]);
        assert_eq!(unit_ends("  é \n x ", HintUnit::Word), [7, 9]);
        assert_eq!(unit_ends("\n a b\n\n c\n", HintUnit::Line), [7, 10]);
        for unit in ALL {
            assert!(unit_ends("", unit).is_empty());
        }
        assert!(unit_ends(" \n ", HintUnit::Word).is_empty());
        assert!(unit_ends(" \n ", HintUnit::Line).is_empty());
        assert_eq!(unit_ends(" \n ", HintUnit::Character).len(), 3);
        assert_eq!(ALL.map(HintUnit::plural), ["characters", "words", "lines"]);
    }

    proptest! {
        #[test]
        fn prefixes_grow_to_the_whole_text(text in "[ab é\n]{0,24}") {
            for unit in ALL {
                let ends = unit_ends(&text, unit);
                prop_assert!(ends.windows(2).all(|w| w[0] < w[1]));
                for n in 0..=ends.len() + 1 {
                    let prefix = first_units(&text, &ends, n);
                    prop_assert!(text.starts_with(prefix));
                    prop_assert_eq!(unit_ends(prefix, unit).len(), n.min(ends.len()));
                }
                if !ends.is_empty() {
                    prop_assert_eq!(first_units(&text, &ends, ends.len()), text.as_str());
                }
            }
        }
    }
}
