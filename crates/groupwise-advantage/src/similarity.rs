//! Near-equal texts: the Ratcliff-Obershelp ratio, and greedy groups of texts by it.
//!
//! The ratio is a recursive search, so deciding "at least the threshold" goes through bounds of rising cost, each of
//! which only ever says what the search would have said:
//!
//! 1. equal texts share a group, so each distinct text is placed once;
//! 2. `M <= min(|a|, |b|)`;
//! 3. `M <= sum over characters of the smaller count`;
//! 4. `M <= longest common subsequence` (matched blocks keep their order), 64 cells at a time;
//! 5. in the search itself, what is matched so far and what could still be matched.

use std::collections::BTreeMap;

use groupwise_core::ParamError;

use crate::interner::Interner;

/// Ratcliff-Obershelp ratio of two texts, in [0, 1].
///
/// # Formula
/// `2 M / (|a| + |b|)`; M: length of the longest common block of characters (ties: earliest in a, then earliest in b)
/// plus, by recursion, that of what lies to its left and of what lies to its right in both texts.
///
/// # Shapes
/// Lengths count characters (Unicode scalar values), not bytes.
///
/// # Edge cases
/// Two empty texts: 1.  The ratio is not symmetric: the ties depend on the order.
///
/// # Source
/// J. W. Ratcliff and D. Metzener, "Pattern matching: the gestalt approach", 1988; `SequenceMatcher` of CPython's
/// difflib without its popularity heuristic, which would switch on at 200 characters.
///
/// # Example
/// ```
/// use groupwise_advantage::similarity::ratio;
/// // Blocks "WIKIM" and "IA": M = 7 of 9 + 9 characters.
/// assert_eq!(ratio("WIKIMEDIA", "WIKIMANIA"), 14.0 / 18.0);
/// assert_eq!(ratio("", ""), 1.0);
/// ```
pub fn ratio(a: &str, b: &str) -> f64 {
    let mut search = Search::default();
    search.place(a);
    let b = search.alphabet.encode(b);
    search.index();
    let matched = search.walk(&b, |_, _| false);
    ratio_of(matched, search.text.len() + b.len())
}

fn ratio_of(matched: usize, total: usize) -> f64 {
    if total == 0 {
        1.0
    } else {
        2.0 * matched as f64 / total as f64
    }
}

/// Greedy groups of texts by [`ratio`].
///
/// # Formula
/// Texts in order; text `a` joins the first group whose *first* member `b` has `ratio(a, b) >= threshold`, else it
/// opens a group.
///
/// # Shapes
/// One group number per text, numbered in order of first appearance.
///
/// # Edge cases
/// - Equal texts share a group.  No text: no group.
/// - Which group a text joins depends on the order of the texts.
///
/// # Errors
/// `similarity` outside (0, 1).
///
/// # Source
/// GiGPO, arXiv 2505.10978; `gigpo/core_gigpo.py` of its authors compares with the first member of each group, too.
///
/// # Example
/// ```
/// use groupwise_advantage::Similarity;
/// let similarity = Similarity::new(0.9)?;
/// let texts = ["results for red lamp: 12 items", "lamp page", "results for red lamp: 13 items", "chair page"];
/// assert_eq!(similarity.groups(texts), [0, 1, 0, 2]);
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    threshold: f64,
}

impl Similarity {
    /// Validates the threshold.
    ///
    /// # Errors
    /// `similarity` outside (0, 1).
    pub fn new(threshold: f64) -> Result<Self, ParamError> {
        ParamError::check(
            threshold > 0.0 && threshold < 1.0,
            "similarity",
            threshold,
            "a number in (0, 1)",
        )?;
        Ok(Self { threshold })
    }

    /// Group of every text.
    pub fn groups<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Vec<usize> {
        let mut distinct = Interner::default();
        let ids: Vec<usize> = texts.into_iter().map(|text| distinct.intern(text)).collect();
        let mut search = Search::default();
        let mut leaders: Vec<Leader> = Vec::new();
        let of: Vec<usize> = distinct
            .texts()
            .iter()
            .map(|text| {
                search.place(text);
                let found = leaders
                    .iter()
                    .position(|leader| search.reaches(leader, self.needed(search.text.len(), leader)));
                found.unwrap_or_else(|| {
                    leaders.push(search.leader());
                    leaders.len() - 1
                })
            })
            .collect();
        ids.into_iter().map(|id| of[id]).collect()
    }

    /// Fewest matched characters with which the ratio, rounded as it is, reaches the threshold.
    fn needed(&self, len: usize, leader: &Leader) -> usize {
        let total = len + leader.text.len();
        let reaches = |matched| ratio_of(matched, total) >= self.threshold;
        // Below it by one at least, whichever way the product rounds.
        let mut needed = ((self.threshold * total as f64 / 2.0) as usize).saturating_sub(1);
        while !reaches(needed) {
            needed += 1;
        }
        needed
    }
}

/// Characters as small numbers, in order of first appearance.
#[derive(Debug)]
struct Alphabet {
    /// Number plus one; 0: not seen.
    ascii: [u32; 128],
    others: BTreeMap<char, u32>,
    len: u32,
}

impl Default for Alphabet {
    fn default() -> Self {
        Self {
            ascii: [0; 128],
            others: BTreeMap::new(),
            len: 0,
        }
    }
}

impl Alphabet {
    fn encode(&mut self, text: &str) -> Vec<u32> {
        let mut out = Vec::with_capacity(text.len());
        self.encode_into(text, &mut out);
        out
    }

    fn encode_into(&mut self, text: &str, out: &mut Vec<u32>) {
        out.clear();
        out.extend(text.chars().map(|c| {
            let known = match self.ascii.get_mut(c as usize) {
                Some(slot) => slot,
                None => self.others.entry(c).or_default(),
            };
            if *known == 0 {
                self.len += 1;
                *known = self.len;
            }
            *known - 1
        }));
    }
}

/// First member of a group.
#[derive(Debug)]
struct Leader {
    text: Vec<u32>,
    /// Its characters and how often each stands in it.
    counts: Vec<(u32, u32)>,
}

/// Runs `a..a_end` of one text and `b..b_end` of the other that are still to be matched.
#[derive(Clone, Copy, Debug)]
struct Segment {
    a: usize,
    a_end: usize,
    b: usize,
    b_end: usize,
}

impl Segment {
    /// No more characters than this can be matched in it.
    fn bound(&self) -> usize {
        (self.a_end - self.a).min(self.b_end - self.b)
    }
}

/// A common block: starts in both texts and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    a: usize,
    b: usize,
    len: usize,
}

impl Block {
    fn comes_before(&self, other: &Self) -> bool {
        (other.len, self.a, self.b) < (self.len, other.a, other.b)
    }
}

/// One text made ready to be compared with many; the memory is used again for the next.
#[derive(Debug, Default)]
struct Search {
    alphabet: Alphabet,
    text: Vec<u32>,
    /// By character: how often it stands in `text`.
    counts: Vec<u32>,
    /// True once `rows`, `starts`, `places` and `masks` describe `text`.
    indexed: bool,
    /// By character: number plus one of its row, 0 if it is not in `text`.
    rows: Vec<u32>,
    /// Row -> its places, as offsets.
    starts: Vec<usize>,
    /// Places of the characters in `text`, row by row, ascending.
    places: Vec<usize>,
    /// The same places as bits, `text.len()` rounded up to 64 for each row.
    masks: Vec<u64>,
    state: Vec<u64>,
    stack: Vec<Segment>,
}

impl Search {
    /// Takes the next text.
    fn place(&mut self, text: &str) {
        for c in &self.text {
            self.counts[*c as usize] = 0;
            self.rows[*c as usize] = 0;
        }
        self.alphabet.encode_into(text, &mut self.text);
        self.indexed = false;
        let n = self.alphabet.len as usize;
        self.counts.resize(n, 0);
        self.rows.resize(n, 0);
        for c in &self.text {
            self.counts[*c as usize] += 1;
        }
    }

    /// The text as the first member of a group.
    fn leader(&self) -> Leader {
        let mut chars = self.text.clone();
        chars.sort_unstable();
        chars.dedup();
        Leader {
            counts: chars.into_iter().map(|c| (c, self.counts[c as usize])).collect(),
            text: self.text.clone(),
        }
    }

    /// Builds what only texts that pass the cheap bounds need.
    fn index(&mut self) {
        if self.indexed {
            return;
        }
        self.indexed = true;
        self.starts.clear();
        let mut next = 0;
        for c in &self.text {
            let row = &mut self.rows[*c as usize];
            if *row == 0 {
                self.starts.push(next);
                *row = self.starts.len() as u32;
                next += self.counts[*c as usize] as usize;
            }
        }
        let rows = self.starts.len();
        self.starts.push(next);
        let words = self.words();
        self.places.clear();
        self.places.resize(self.text.len(), 0);
        self.masks.clear();
        self.masks.resize(words * rows, 0);
        // From behind, so that the places of a row ascend.
        let mut ends: Vec<usize> = self.starts[1..].to_vec();
        for (i, c) in self.text.iter().enumerate().rev() {
            let row = self.rows[*c as usize] as usize - 1;
            ends[row] -= 1;
            self.places[ends[row]] = i;
            self.masks[row * words + i / 64] |= 1 << (i % 64);
        }
    }

    fn words(&self) -> usize {
        self.text.len().div_ceil(64)
    }

    /// Row of a character that stands in `text`.
    fn row(&self, c: u32) -> Option<usize> {
        match self.rows.get(c as usize) {
            None | Some(0) => None,
            Some(row) => Some(*row as usize - 1),
        }
    }

    /// True if at least `needed` characters of this text are matched with the leader's.
    fn reaches(&mut self, leader: &Leader, needed: usize) -> bool {
        if self.text.len().min(leader.text.len()) < needed {
            return false;
        }
        let shared = leader
            .counts
            .iter()
            .map(|(c, n)| self.counts[*c as usize].min(*n) as usize);
        if shared.sum::<usize>() < needed {
            return false;
        }
        self.index();
        self.shares_subsequence(&leader.text, needed)
            && self.walk(&leader.text, |matched, open| {
                matched >= needed || matched + open < needed
            }) >= needed
    }

    /// True if the longest common subsequence has `needed` characters: bit `i` of the state is 0 where the row of the
    /// dynamic programme steps up (Hyyro, "Bit-parallel LCS-length computation revisited", 2004).
    fn shares_subsequence(&mut self, b: &[u32], needed: usize) -> bool {
        let words = self.words();
        self.state.clear();
        self.state.resize(words, u64::MAX);
        let steps = |state: &[u64]| state.iter().map(|w| w.count_zeros() as usize).sum::<usize>();
        for (j, c) in b.iter().enumerate() {
            if j % 16 == 0 && steps(&self.state) + (b.len() - j) < needed {
                return false;
            }
            let Some(row) = self.row(*c) else { continue };
            let mut carry = false;
            for (v, m) in self.state.iter_mut().zip(&self.masks[row * words..]) {
                let (sum, first) = v.overflowing_add(*v & *m);
                let (sum, second) = sum.overflowing_add(u64::from(carry));
                carry = first | second;
                *v = sum | (*v & !*m);
            }
        }
        steps(&self.state) >= needed
    }

    /// Matched characters; ends early when `stop(matched, open)` says so, `open` being the most that may still come.
    fn walk(&mut self, b: &[u32], stop: impl Fn(usize, usize) -> bool) -> usize {
        let whole = Segment {
            a: 0,
            a_end: self.text.len(),
            b: 0,
            b_end: b.len(),
        };
        let (mut matched, mut open) = (0, whole.bound());
        let mut stack = std::mem::take(&mut self.stack);
        stack.clear();
        stack.push(whole);
        while let Some(segment) = stack.pop() {
            open -= segment.bound();
            if let Some(block) = self.longest(b, segment) {
                matched += block.len;
                let left = Segment {
                    a_end: block.a,
                    b_end: block.b,
                    ..segment
                };
                let right = Segment {
                    a: block.a + block.len,
                    b: block.b + block.len,
                    ..segment
                };
                open += left.bound() + right.bound();
                // The larger part first: it decides sooner.
                let (small, large) = if left.bound() < right.bound() {
                    (left, right)
                } else {
                    (right, left)
                };
                stack.extend([small, large].iter().filter(|part| part.bound() > 0));
            }
            if stop(matched, open) {
                break;
            }
        }
        self.stack = stack;
        matched
    }

    /// Longest common block of a segment; ties: earliest in `text`, then earliest in `b`.
    ///
    /// A block of at least `stride` characters covers one of the places `stride - 1`, `2 stride - 1`, ... of `b`, so
    /// extending matches at these alone finds all such blocks; strides halve until there is one.  Near-equal texts
    /// are done after a handful of extensions.
    fn longest(&self, b: &[u32], segment: Segment) -> Option<Block> {
        let mut stride = segment.bound();
        while stride > 0 {
            let mut best: Option<Block> = None;
            for at in (segment.b + stride - 1..segment.b_end).step_by(stride) {
                let Some(row) = self.row(b[at]) else { continue };
                let places = &self.places[self.starts[row]..self.starts[row + 1]];
                let first = places.partition_point(|i| *i < segment.a);
                for i in places[first..].iter().take_while(|i| **i < segment.a_end) {
                    let back = common_suffix(&self.text[segment.a..*i], &b[segment.b..at]);
                    let ahead = common_prefix(&self.text[*i..segment.a_end], &b[at..segment.b_end]);
                    let block = Block {
                        a: i - back,
                        b: at - back,
                        len: back + ahead,
                    };
                    if block.len >= stride && best.is_none_or(|best| block.comes_before(&best)) {
                        best = Some(block);
                    }
                }
            }
            if best.is_some() {
                return best;
            }
            stride /= 2;
        }
        None
    }
}

fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

fn common_suffix(a: &[u32], b: &[u32]) -> usize {
    a.iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(x, y)| x == y)
        .count()
}

#[cfg(test)]
#[path = "similarity_tests.rs"]
mod tests;
