//! A group's answers behind one copy of their prompt: positions, what each token sees, which tokens predict, what it saves.

mod attention;

pub use attention::{AttentionGradients, AttentionWeights, PackedAttention, packed_attention};

use crate::error::DataError;

/// The packed sequence `[prompt; answer 1; ..; answer G]`.
///
/// # Formula
/// Positions: `0 .. P` of the prompt, `P .. P + s_i` of every answer.  Token i sees token j iff `j <= i` and j is of the prompt or of the same
/// answer.  Token t of an answer is predicted by the last token of the prompt if `t = 0`, else by the answer's token before it.
///
/// # Shapes
/// `P + sum s_i` tokens; segments: 0 for the prompt, i for the i-th answer, counted from 1.
///
/// # Edge cases
/// An answer without tokens has no place and no loss.
///
/// # Errors
/// [`DataError`] for a prompt without tokens (nothing would predict the first token of an answer), and without an answer.
///
/// # Source
/// Prefix Grouper, arXiv 2506.05433; `src/prefix_grouper` of johncaged/PrefixGrouper.
///
/// # Example
/// ```
/// use groupwise_core::shared_prefix::SharedPrefix;
/// let packed = SharedPrefix::new(3, &[2, 3])?;
/// assert_eq!(packed.positions(), [0, 1, 2, 3, 4, 3, 4, 5]);
/// assert_eq!(packed.predicting(), [vec![2, 3], vec![2, 5, 6]]);
/// assert!(packed.sees(6, 2) && packed.sees(6, 5) && !packed.sees(6, 4));
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedPrefix {
    prefix: usize,
    suffixes: Vec<usize>,
    segments: Vec<usize>,
}

impl SharedPrefix {
    /// A prompt of `prefix` tokens and answers of these lengths.
    ///
    /// # Errors
    /// Those of [`SharedPrefix`].
    pub fn new(prefix: usize, suffixes: &[usize]) -> Result<Self, DataError> {
        if prefix == 0 || suffixes.is_empty() {
            let what = "prefix must have at least one token and there must be a response";
            return Err(DataError::value(
                format!("prefix of {prefix}, {} responses", suffixes.len()),
                what,
            ));
        }
        let answers = suffixes.iter().enumerate();
        let answers = answers.flat_map(|(i, length)| std::iter::repeat_n(i + 1, *length));
        Ok(Self {
            prefix,
            suffixes: suffixes.to_vec(),
            segments: std::iter::repeat_n(0, prefix).chain(answers).collect(),
        })
    }

    /// Tokens of the prompt.
    pub fn prefix_len(&self) -> usize {
        self.prefix
    }

    /// Tokens of each answer.
    pub fn suffix_lens(&self) -> &[usize] {
        &self.suffixes
    }

    /// Segment of every token.
    pub fn segments(&self) -> &[usize] {
        &self.segments
    }

    /// Position of every token, as in a sequence of its own.
    pub fn positions(&self) -> Vec<usize> {
        let answers = self
            .suffixes
            .iter()
            .flat_map(|length| self.prefix..self.prefix + length);
        (0..self.prefix).chain(answers).collect()
    }

    /// True if token `i` attends to token `j`.
    pub fn sees(&self, i: usize, j: usize) -> bool {
        match (self.segments.get(i), self.segments.get(j)) {
            (Some(own), Some(other)) => j <= i && (*other == 0 || other == own),
            _ => false,
        }
    }

    /// For each answer, the tokens whose outputs predict its tokens.
    pub fn predicting(&self) -> Vec<Vec<usize>> {
        let mut start = self.prefix;
        let answer = |length: &usize| {
            let before = |t: usize| if t == 0 { self.prefix - 1 } else { start + t - 1 };
            let tokens = (0..*length).map(before).collect();
            start += length;
            tokens
        };
        self.suffixes.iter().map(answer).collect()
    }

    /// What packing saves.
    ///
    /// # Formula
    /// Tokens: `P + sum s_i` instead of `sum (P + s_i)`.  Pairs that attend, full squares: `P^2 + sum s_i (2 P + s_i)` instead of `sum (P + s_i)^2`.  Padded:
    /// `G (P + max s_i)`.
    ///
    /// # Edge cases
    /// Both ratios are in [1/G, 1], and 1 for one answer.
    ///
    /// # Source
    /// Prefix Grouper, arXiv 2506.05433, which counts full squares.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::shared_prefix::SharedPrefix;
    /// let cost = SharedPrefix::new(4096, &[256; 8])?.cost();
    /// assert_eq!((cost.tokens_grouped, cost.tokens_base), (6144, 34816));
    /// assert!((cost.attention_ratio() - 0.22491349480968859).abs() < 1e-15);
    /// # Ok::<(), groupwise_core::DataError>(())
    /// ```
    pub fn cost(&self) -> PackingCost {
        let prefix = self.prefix as u128;
        let lengths = || self.suffixes.iter().map(|length| *length as u128);
        let longest = lengths().max().unwrap_or_default();
        let count = self.suffixes.len() as u128;
        PackingCost {
            tokens_base: lengths().map(|s| prefix + s).sum(),
            tokens_grouped: prefix + lengths().sum::<u128>(),
            tokens_base_padded: count * (prefix + longest),
            attention_base: lengths().map(|s| (prefix + s) * (prefix + s)).sum(),
            attention_grouped: prefix * prefix + lengths().map(|s| s * (2 * prefix + s)).sum::<u128>(),
        }
    }
}

/// Work with the prompt once, and with a copy for each answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackingCost {
    /// Tokens with copies.
    pub tokens_base: u128,
    /// Tokens without.
    pub tokens_grouped: u128,
    /// Tokens with copies, each padded to the longest.
    pub tokens_base_padded: u128,
    /// Pairs of tokens with copies.
    pub attention_base: u128,
    /// Pairs of tokens without.
    pub attention_grouped: u128,
}

impl PackingCost {
    /// Share of the tokens that is left.
    pub fn token_ratio(&self) -> f64 {
        self.tokens_grouped as f64 / self.tokens_base as f64
    }

    /// Share of the pairs that is left.
    pub fn attention_ratio(&self) -> f64 {
        self.attention_grouped as f64 / self.attention_base as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_to_share_is_refused() {
        for (prefix, suffixes) in [(0, &[2][..]), (3, &[])] {
            let refused = SharedPrefix::new(prefix, suffixes).unwrap_err().to_string();
            assert!(
                refused.ends_with("prefix must have at least one token and there must be a response"),
                "{refused}"
            );
        }
        let packed = SharedPrefix::new(2, &[1, 0, 2]).unwrap();
        assert_eq!((packed.prefix_len(), packed.suffix_lens()), (2, &[1, 0, 2][..]));
        assert_eq!(packed.segments(), [0, 0, 1, 3, 3]);
        assert_eq!(packed.predicting(), [vec![1], vec![], vec![1, 3]]);
        assert!(!packed.sees(9, 0) && !packed.sees(0, 9));
    }

    proptest! {
        #[test]
        fn an_answer_sees_what_it_would_see_alone(prefix in 1..6usize, suffixes in prop::collection::vec(0..5usize, 1..5)) {
            let packed = SharedPrefix::new(prefix, &suffixes).unwrap();
            let positions = packed.positions();
            for (i, position) in positions.iter().enumerate() {
                let seen: Vec<usize> = (0..positions.len()).filter(|j| packed.sees(i, *j)).map(|j| positions[j]).collect();
                prop_assert_eq!(seen, (0..=*position).collect::<Vec<_>>());
            }
            for (answer, predicting) in packed.predicting().iter().enumerate() {
                let at: Vec<usize> = predicting.iter().map(|token| positions[*token]).collect();
                prop_assert_eq!(at, (prefix - 1..prefix - 1 + suffixes[answer]).collect::<Vec<_>>());
            }
        }

        #[test]
        fn ratios_lie_between_one_over_the_group_and_one(prefix in 1..500usize, suffixes in prop::collection::vec(0..500usize, 1..9)) {
            let cost = SharedPrefix::new(prefix, &suffixes).unwrap().cost();
            let least = 1.0 / suffixes.len() as f64 - 1e-12;
            for ratio in [cost.token_ratio(), cost.attention_ratio()] {
                prop_assert!((least..=1.0).contains(&ratio));
                prop_assert!(suffixes.len() > 1 || ratio == 1.0);
            }
        }
    }
}
