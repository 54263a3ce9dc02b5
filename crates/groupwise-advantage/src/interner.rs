//! Strings to small numbers: every text is hashed once, and read again only to confirm that it is a known one.

/// Distinct texts, numbered in order of first appearance.
///
/// Environments say the same long observation thousands of times; a search tree would compare prefixes of it at
/// every level.  The hash is fixed, so that two runs do the same work; it never decides equality.
///
/// # Shapes
/// Time and memory: one pass over the text, one confirming comparison if it is known; no copy of the text.
///
/// # Edge cases
/// The empty text is a text.  Texts are compared byte by byte: no case folding, no normalization.
///
/// # Example
/// ```
/// use groupwise_advantage::Interner;
/// let mut states = Interner::default();
/// assert_eq!(["hall", "shelf", "hall"].map(|s| states.intern(s)), [0, 1, 0]);
/// assert_eq!(states.texts(), ["hall", "shelf"]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Interner<'a> {
    /// Number of a text plus one, by hash; 0: free.  A power of two long, at most half full.
    slots: Vec<usize>,
    hashes: Vec<u64>,
    texts: Vec<&'a str>,
}

impl<'a> Interner<'a> {
    /// Number of this text, a new one if it was not seen before.
    pub fn intern(&mut self, text: &'a str) -> usize {
        self.intern_hashed(text, hash(text.as_bytes()))
    }

    fn intern_hashed(&mut self, text: &'a str, hash: u64) -> usize {
        if 2 * (self.texts.len() + 1) > self.slots.len() {
            self.grow();
        }
        let mut at = self.slot(hash);
        while self.slots[at] > 0 {
            let id = self.slots[at] - 1;
            if self.hashes[id] == hash && self.texts[id] == text {
                return id;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.texts.push(text);
        self.hashes.push(hash);
        self.slots[at] = self.texts.len();
        self.texts.len() - 1
    }

    /// Forgets every text and keeps the memory.
    pub fn clear(&mut self) {
        self.slots.fill(0);
        self.hashes.clear();
        self.texts.clear();
    }

    /// Number of distinct texts.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// True if no text was seen.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The distinct texts by number.
    pub fn texts(&self) -> &[&'a str] {
        &self.texts
    }

    fn slot(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    fn grow(&mut self) {
        let n = (2 * self.slots.len()).max(16);
        self.slots.clear();
        self.slots.resize(n, 0);
        for id in 0..self.hashes.len() {
            let mut at = self.slot(self.hashes[id]);
            while self.slots[at] > 0 {
                at = (at + 1) & (n - 1);
            }
            self.slots[at] = id + 1;
        }
    }
}

/// Two lanes of eight bytes, each folded through a full product.
fn hash(bytes: &[u8]) -> u64 {
    let (mut even, mut odd) = (0x9e37_79b9_7f4a_7c15 ^ bytes.len() as u64, 0xd1b5_4a32_d192_ed03);
    let mut absorb = |chunk: &[u8; 16]| {
        let both = u128::from_le_bytes(*chunk);
        even = fold(even ^ both as u64, 0xa076_1d64_78bd_642f);
        odd = fold(odd ^ (both >> 64) as u64, 0xe703_7ed1_a0b4_28db);
    };
    let (chunks, rest) = bytes.as_chunks::<16>();
    chunks.iter().for_each(&mut absorb);
    if !rest.is_empty() {
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        absorb(&last);
    }
    fold(even ^ 0x8ebc_6af0_9c88_c6e3, odd ^ 0x5899_65cc_7537_4cc3)
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn clearing_forgets_and_numbers_anew() {
        let mut interner = Interner::default();
        assert!(interner.is_empty());
        assert_eq!(["", "a", ""].map(|s| interner.intern(s)), [0, 1, 0]);
        assert_eq!((interner.len(), interner.is_empty()), (2, false));
        interner.clear();
        assert_eq!(interner.len(), 0);
        assert_eq!(["a", ""].map(|s| interner.intern(s)), [0, 1]);
    }

    #[test]
    fn a_hash_in_common_makes_no_texts_equal() {
        let mut interner = Interner::default();
        let texts: Vec<String> = (0..40).map(|i| format!("text {i}")).collect();
        for _ in 0..2 {
            for (i, text) in texts.iter().enumerate() {
                assert_eq!(interner.intern_hashed(text, 7), i);
            }
        }
        assert_eq!(interner.len(), 40);
    }

    #[test]
    fn texts_that_differ_in_length_or_in_any_byte_hash_apart() {
        let base = "x".repeat(40);
        let mut seen = vec![hash(base.as_bytes())];
        for n in 0..40 {
            seen.push(hash(&base.as_bytes()[..n]));
            let mut changed = base.clone().into_bytes();
            changed[n] = b'y';
            seen.push(hash(&changed));
        }
        seen.push(hash(&[0]));
        seen.push(hash(&[0, 0]));
        let n = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), n);
    }

    #[test]
    fn hashes_are_fixed() {
        // Computed with integers of any size, in another language.
        for (text, expected) in [
            ("", 0x2f14_6e57_baef_3299),
            ("hall", 0x3f1d_8362_2895_09b5),
            ("sixteen letters.", 0xab07_676c_8e74_ab73),
            ("You stand in a hall; a shelf is here.", 0x5bf9_3bfa_947e_6678),
        ] {
            assert_eq!(hash(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn the_table_grows_once_it_would_be_more_than_half_full() {
        let texts: Vec<String> = (0..40).map(|i| format!("text {i}")).collect();
        let mut interner = Interner::default();
        for (text, expected) in texts
            .iter()
            .zip([[16; 8], [32; 8], [64; 8], [64; 8], [128; 8]].as_flattened())
        {
            interner.intern(text);
            assert_eq!(interner.slots.len(), *expected, "{text}");
        }
    }

    #[test]
    fn many_texts_keep_short_chains() {
        let texts: Vec<String> = (0..5000).map(|i| format!("cell {i}, goal {}", i % 7)).collect();
        let mut interner = Interner::default();
        texts.iter().for_each(|t| {
            interner.intern(t);
        });
        assert_eq!(interner.len(), 5000);
        assert!(interner.slots.len() <= 4 * 5000);
        let longest = interner
            .slots
            .split(|slot| *slot == 0)
            .map(<[usize]>::len)
            .max()
            .unwrap();
        assert!(longest < 64, "{longest}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn equal_texts_and_only_they_share_a_number(texts in prop::collection::vec("[ab]{0,40}|[a-c]{0,2}", 0..60)) {
            let mut interner = Interner::default();
            let ids: Vec<usize> = texts.iter().map(|t| interner.intern(t)).collect();
            let mut distinct: Vec<&str> = Vec::new();
            for (text, id) in texts.iter().zip(ids) {
                let expected = distinct.iter().position(|d| d == text).unwrap_or_else(|| {
                    distinct.push(text);
                    distinct.len() - 1
                });
                prop_assert_eq!(id, expected);
            }
            prop_assert_eq!(interner.texts(), distinct);
        }
    }
}
