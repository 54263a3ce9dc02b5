//! Short answers to questions: normal form, exact match, token F1.
//!
//! SQuAD, HotpotQA and Search-R1 share one normal form; they differ in what they pay for it.

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// Where the published scorers of F1 differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum F1Rule {
    /// Two answers without tokens agree: 1.
    #[default]
    Squad,
    /// Without a common token: 0.  So are different answers of which one is `yes`, `no` or `noanswer`.
    Hotpot,
}

/// Appends the normal form of a text, in one pass.
///
/// # Formula
/// Lower case; the 32 ASCII punctuation characters removed, with nothing in their place; the words `a`, `an` and `the`
/// replaced by a blank; runs of white space become one blank, those at the ends none.
///
/// # Edge cases
/// - Words end where a character is neither a letter nor a digit: a quotation mark or dash outside ASCII stays and
///   bounds a word, so `“the” end` becomes `“ ” end`.
/// - "rock-and-roll" is `rockandroll`, "3-4" is `34`, "a." is empty.
/// - No Unicode normalization form is applied.
///
/// # Source
/// `evaluate-v1.1.py` of SQuAD (arXiv 1606.05250); hotpotqa/hotpot @3635853403a8 `hotpot_evaluate_v1.py`;
/// PeterGriffinJin/Search-R1 @a14dc3a4ffc6, in verl `search_r1_like_qa_em.py`.
///
/// # Example
/// ```
/// use groupwise_reward::qa::normal_form;
/// assert_eq!(normal_form("The U.S.  rock-and-roll!"), "us rockandroll");
/// assert_eq!(normal_form("U S A"), "u s");
/// ```
pub fn normal_form(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    normal_form_into(text, &mut out);
    out
}

/// [`normal_form`] into a buffer, whose old content is lost; ASCII text allocates nothing once the buffer is large
/// enough.
pub fn normal_form_into(text: &str, out: &mut String) {
    out.clear();
    let mut writer = Writer {
        out,
        word: None,
        blank: false,
    };
    if text.is_ascii() {
        for byte in text.bytes() {
            writer.push(char::from(byte.to_ascii_lowercase()));
        }
    } else {
        for c in text.to_lowercase().chars() {
            writer.push(c);
        }
    }
    writer.end_word();
}

/// Where a normal form is.
struct Writer<'a> {
    out: &'a mut String,
    /// Start of the word being written.
    word: Option<usize>,
    /// A blank is due before the next character.
    blank: bool,
}

impl Writer<'_> {
    fn push(&mut self, c: char) {
        if c.is_ascii_punctuation() {
            return;
        }
        // Python splits at the four separators of ASCII, too.
        if c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c) {
            self.end_word();
            self.blank = true;
            return;
        }
        let is_word = c.is_alphanumeric();
        if !is_word {
            self.end_word();
        }
        if self.blank {
            self.blank = false;
            if !self.out.is_empty() {
                self.out.push(' ');
            }
        }
        if is_word && self.word.is_none() {
            self.word = Some(self.out.len());
        }
        self.out.push(c);
    }

    /// Takes the last word back if it is an article.
    fn end_word(&mut self) {
        let Some(start) = self.word.take() else { return };
        if matches!(self.out.get(start..), Some("a" | "an" | "the")) {
            self.out.truncate(start);
            if self.out.ends_with(' ') {
                self.out.pop();
            }
            self.blank = true;
        }
    }
}

/// Scores answers one after another, in buffers that it keeps.
///
/// # Example
/// ```
/// use groupwise_reward::qa::{F1Rule, QaScorer};
/// let mut scorer = QaScorer::default();
/// assert!(scorer.is_exact_match("the Eiffel tower.", &["Eiffel Tower"]));
/// assert_eq!(scorer.f1("tall tower", &["Eiffel Tower"], F1Rule::Squad), 0.5);
/// ```
#[derive(Clone, Debug, Default)]
pub struct QaScorer {
    answer: String,
    gold: String,
}

impl QaScorer {
    /// True if the normal forms of the answer and of some gold are equal.
    ///
    /// # Edge cases
    /// Two empty normal forms are equal: whoever rewards by this must refuse golds without words.
    pub fn is_exact_match<S: AsRef<str>>(&mut self, answer: &str, golds: &[S]) -> bool {
        normal_form_into(answer, &mut self.answer);
        golds.iter().any(|gold| {
            normal_form_into(gold.as_ref(), &mut self.gold);
            self.answer == self.gold
        })
    }

    /// True if the normal form of some gold is a part of the answer's.
    ///
    /// For evaluation only: listing every candidate wins.  A gold with an empty normal form is a part of everything.
    pub fn is_sub_exact_match<S: AsRef<str>>(&mut self, answer: &str, golds: &[S]) -> bool {
        normal_form_into(answer, &mut self.answer);
        golds.iter().any(|gold| {
            normal_form_into(gold.as_ref(), &mut self.gold);
            self.answer.contains(self.gold.as_str())
        })
    }

    /// F1 of tokens against the gold that gives most; 0 without golds.
    ///
    /// # Formula
    /// `2 c / (n_answer + n_gold)` with c the size of the intersection of both multisets of tokens.
    ///
    /// # Edge cases
    /// See [`F1Rule`].
    pub fn f1<S: AsRef<str>>(&mut self, answer: &str, golds: &[S], rule: F1Rule) -> f64 {
        normal_form_into(answer, &mut self.answer);
        let mut best = 0.0;
        for gold in golds {
            normal_form_into(gold.as_ref(), &mut self.gold);
            best = f64::max(best, f1_of_forms(&self.answer, &self.gold, rule));
        }
        best
    }
}

/// F1 of two normal forms.
fn f1_of_forms(answer: &str, gold: &str, rule: F1Rule) -> f64 {
    let is_special = |form: &str| matches!(form, "yes" | "no" | "noanswer");
    if rule == F1Rule::Hotpot && answer != gold && (is_special(answer) || is_special(gold)) {
        return 0.0;
    }
    let (answer, gold) = (sorted_tokens(answer), sorted_tokens(gold));
    let n_tokens = answer.len() + gold.len();
    if n_tokens == 0 {
        return match rule {
            F1Rule::Squad => 1.0,
            F1Rule::Hotpot => 0.0,
        };
    }
    2.0 * n_common(&answer, &gold) as f64 / n_tokens as f64
}

fn sorted_tokens(form: &str) -> Vec<&str> {
    let mut tokens: Vec<&str> = form.split(' ').filter(|t| !t.is_empty()).collect();
    tokens.sort_unstable();
    tokens
}

/// Size of the intersection of two sorted multisets.
pub(crate) fn n_common<T: Ord>(a: &[T], b: &[T]) -> usize {
    let (mut i, mut j, mut common) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                (i, j, common) = (i + 1, j + 1, common + 1);
            }
        }
    }
    common
}

/// True if the normal forms of the answer and of some gold are equal; see [`QaScorer::is_exact_match`].
pub fn is_exact_match<S: AsRef<str>>(answer: &str, golds: &[S]) -> bool {
    QaScorer::default().is_exact_match(answer, golds)
}

/// True if the normal form of some gold is a part of the answer's; see [`QaScorer::is_sub_exact_match`].
pub fn is_sub_exact_match<S: AsRef<str>>(answer: &str, golds: &[S]) -> bool {
    QaScorer::default().is_sub_exact_match(answer, golds)
}

/// F1 of tokens against the best gold; see [`QaScorer::f1`].
pub fn token_f1<S: AsRef<str>>(answer: &str, golds: &[S], rule: F1Rule) -> f64 {
    QaScorer::default().f1(answer, golds, rule)
}

/// Verdict by exact match, with the normal forms that were compared.
///
/// # Edge cases
/// No gold with words: unscorable.
pub fn exact_match_verdict<S: AsRef<str>>(answer: &str, golds: &[S]) -> Verdict {
    let form = normal_form(answer);
    let golds: Vec<String> = golds
        .iter()
        .map(|gold| normal_form(gold.as_ref()))
        .filter(|g| !g.is_empty())
        .collect();
    let verdict = match golds.iter().find(|gold| **gold == form) {
        Some(gold) => Verdict::judged(true, "equal normal forms").normal_forms(&form, gold),
        None if golds.is_empty() => return Verdict::unscorable("no reference has words"),
        None => Verdict::judged(false, "no normal form is equal").normal_forms(&form, golds.join(" | ")),
    };
    verdict.extracted(answer)
}

#[cfg(test)]
#[path = "qa_tests.rs"]
mod tests;
