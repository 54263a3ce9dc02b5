//! One token per character, through the `tokenizers` crate.

use groupwise_core::seams::{PolicyError, Symbols};
use tokenizers::Tokenizer;
use tokenizers::models::bpe::{BPE, Vocab};

/// Starts a text; never produced by [`CharTokenizer::encode`].
pub const START: u32 = 0;
/// Ends an answer.
pub const END: u32 = 1;
/// Fills rectangles; never attended to.
pub const PADDING: u32 = 2;
/// Stands for what the vocabulary lacks; never produced by [`CharTokenizer::encode`].
pub const UNKNOWN: u32 = 3;

const SPECIAL: [&str; 4] = ["<start>", "<end>", "<pad>", "<unk>"];

/// A vocabulary of four special tokens (ids 0..3) and one token per character, in the order given.
///
/// A special token has a name of several characters, so no text spells one.
#[derive(Clone, Debug)]
pub struct CharTokenizer {
    inner: Tokenizer,
    characters: Vec<char>,
}

impl CharTokenizer {
    /// A vocabulary for the symbols of a world; a repeated character counts once.
    ///
    /// # Errors
    /// [`PolicyError::Unavailable`] for a world of whole words, which the tabular policy plays.
    pub fn new(symbols: &Symbols) -> Result<Self, PolicyError> {
        let Symbols::Characters(text) = symbols else {
            return Err(PolicyError::Unavailable(
                "the transformer spells characters; a world of whole words needs the tabular policy".into(),
            ));
        };
        let mut characters = Vec::new();
        for c in text.chars() {
            if !characters.contains(&c) {
                characters.push(c);
            }
        }
        let names = SPECIAL.iter().map(|s| (*s).to_string());
        let spelled = characters.iter().map(char::to_string);
        // A byte-pair model without merges splits every word into its characters.
        let model = BPE::builder()
            .vocab_and_merges(names.chain(spelled).zip(0..).collect::<Vocab>(), Vec::new())
            .unk_token(SPECIAL[UNKNOWN as usize].into())
            .cache_capacity(0)
            .build()
            .map_err(|e| PolicyError::Unavailable(format!("tokenizer: {e}")))?;
        Ok(Self {
            inner: Tokenizer::new(model),
            characters,
        })
    }

    /// Number of tokens, special ones included.
    pub fn vocab_size(&self) -> usize {
        SPECIAL.len() + self.characters.len()
    }

    /// The `tokenizer.json` of this vocabulary.
    ///
    /// # Errors
    /// If the tokenizer cannot be written as JSON.
    pub fn to_json(&self) -> Result<String, PolicyError> {
        self.inner
            .to_string(true)
            .map_err(|e| PolicyError::Checkpoint(format!("tokenizer: {e}")))
    }

    /// Text to tokens.
    ///
    /// # Errors
    /// [`PolicyError::Vocabulary`] naming the first character that has no token.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, PolicyError> {
        if let Some(c) = text.chars().find(|c| !self.characters.contains(c)) {
            return Err(PolicyError::Vocabulary {
                symbol: c.to_string(),
                text: text.into(),
            });
        }
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|e| PolicyError::Unavailable(format!("tokenizer: {e}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Tokens to text; the end token vanishes, any other special token shows as U+FFFD.
    ///
    /// A policy may sample a start or padding token inside an answer.  Were it dropped, a verifier would take an
    /// answer for right that is not, and tokens and characters of an answer could not be matched.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let spell = |id: u32| match id {
            END => None,
            id => Some(
                self.characters
                    .get((id as usize).wrapping_sub(SPECIAL.len()))
                    .copied()
                    .unwrap_or(char::REPLACEMENT_CHARACTER),
            ),
        };
        tokens.iter().filter_map(|id| spell(*id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digit_completion_has_its_sixteen_tokens() {
        let tokenizer = CharTokenizer::new(&Symbols::Characters("0123456789,:".into())).unwrap();
        assert_eq!(tokenizer.vocab_size(), 16);
        let ids = tokenizer.encode("3,9:12,4").unwrap();
        assert_eq!(ids, [7, 14, 13, 15, 5, 6, 14, 8]);
        assert_eq!(tokenizer.decode(&ids), "3,9:12,4");
        assert_eq!(
            tokenizer.decode(&[START, 4, END, PADDING, UNKNOWN, 99]),
            "\u{fffd}0\u{fffd}\u{fffd}\u{fffd}"
        );
        assert_eq!(tokenizer.encode("").unwrap(), Vec::<u32>::new());
    }

    #[test]
    fn special_names_cannot_be_spelled_and_strangers_are_named() {
        let tokenizer = CharTokenizer::new(&Symbols::Characters("<>endaé\n é".into())).unwrap();
        assert_eq!(tokenizer.vocab_size(), 4 + 9);
        let ids = tokenizer.encode("<end>é\n ").unwrap();
        assert_eq!(ids.len(), 8);
        assert!(ids.iter().all(|id| *id > UNKNOWN));
        assert_eq!(tokenizer.decode(&ids), "<end>é\n ");
        assert_eq!(
            tokenizer.encode("ean7").unwrap_err().to_string(),
            "the vocabulary has no token for \"7\" in \"ean7\""
        );
        let words = Symbols::Words {
            states: vec![],
            actions: vec![],
        };
        assert!(CharTokenizer::new(&words).is_err());
    }

    #[test]
    fn every_character_survives_a_round_trip() {
        let all: String = (' '..='~').collect();
        let tokenizer = CharTokenizer::new(&Symbols::Characters(all.clone())).unwrap();
        assert_eq!(tokenizer.decode(&tokenizer.encode(&all).unwrap()), all);
        assert!(tokenizer.to_json().unwrap().contains("<unk>"));
    }
}
