//! Question inversion: a single-choice question, negated, becomes one with several right answers.

use groupwise_core::{DataError, Key};

/// A negated question: its options, as indices into those of the original, and which of them are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvertedChoice {
    /// Options in their new order.
    pub options: Vec<usize>,
    /// Places in `options` that are right now, ascending.
    pub gold: Vec<usize>,
}

/// Inverts a question with given choices: which wrong options are kept, and the order of what remains.
///
/// # Formula
/// The new options are `[correct] ++ kept`, rearranged: the option at place j is the one at place `order[j]` of that
/// list.  Negated, every kept option is right.
///
/// # Shapes
/// `correct` and `kept`: indices below `n_options`; `order`: a permutation of `0..=kept.len()`.
///
/// # Errors
/// [`DataError::Value`]: `correct` or a kept option that does not exist, a kept option that is `correct` or kept twice,
/// none kept, an `order` that is no permutation.
///
/// # Source
/// TW-GRPO (arXiv 2505.24718), question-answer inversion; `data/question_answer_inverse/` of longmalongma/TW-GRPO.
///
/// # Example
/// ```
/// use groupwise_env::inversion::invert_choice;
/// let inverted = invert_choice(4, 2, &[3, 0], &[1, 0, 2])?;
/// assert_eq!((inverted.options, inverted.gold), (vec![3, 2, 0], vec![0, 2]));
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn invert_choice(
    n_options: usize,
    correct: usize,
    kept: &[usize],
    order: &[usize],
) -> Result<InvertedChoice, DataError> {
    let refuse = |place: &str, what: String| Err(DataError::value(place, what));
    if correct >= n_options {
        return Err(no_such_option(correct, n_options));
    }
    if kept.is_empty() {
        return refuse(
            "kept",
            "no option is kept: the negated question has no right answer".into(),
        );
    }
    for (j, option) in kept.iter().enumerate() {
        if *option >= n_options || *option == correct || kept[..j].contains(option) {
            return refuse(
                &format!("kept option {j}"),
                format!("{option} must be a wrong option of {n_options}, kept once"),
            );
        }
    }
    let mut places = order.to_vec();
    places.sort_unstable();
    if !places.iter().copied().eq(0..=kept.len()) {
        return refuse("order", format!("must be a permutation of 0..={}", kept.len()));
    }
    let options = order
        .iter()
        .map(|place| match place.checked_sub(1) {
            None => correct,
            Some(j) => kept[j],
        })
        .collect();
    let gold = (0..order.len()).filter(|j| order[*j] != 0).collect();
    Ok(InvertedChoice { options, gold })
}

fn no_such_option(correct: usize, n_options: usize) -> DataError {
    DataError::value("correct", format!("{correct} is not one of {n_options} options"))
}

/// Inverts a question at random: the number of kept options is uniform in `1..=n_options - 1`, which ones and their
/// order are uniform too.
///
/// The number is drawn so that "three answers" is no shortcut.  A pure function of the key.
///
/// # Errors
/// [`DataError::Value`]: fewer than two options, or `correct` not among them.
///
/// # Source
/// As [`invert_choice`].
///
/// # Example
/// ```
/// use groupwise_core::{Key, Stream};
/// use groupwise_env::inversion::draw_inversion;
/// let inverted = draw_inversion(4, 2, Key::new(7, Stream::Tasks).task(3))?;
/// assert!(inverted.options.contains(&2) && inverted.gold.len() == inverted.options.len() - 1);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn draw_inversion(n_options: usize, correct: usize, key: Key) -> Result<InvertedChoice, DataError> {
    if n_options < 2 {
        return Err(DataError::value(
            "options",
            format!("inversion needs two, found {n_options}"),
        ));
    }
    if correct >= n_options {
        return Err(no_such_option(correct, n_options));
    }
    let below = |name: &str, index: usize, n: usize| {
        let draw = key.named(name, index as u64).uniform() * n as f64;
        (draw as usize).min(n - 1)
    };
    let mut wrong: Vec<usize> = (0..n_options).filter(|o| *o != correct).collect();
    let k = 1 + below("inversion count", 0, wrong.len());
    for j in 0..k {
        let other = j + below("inversion kept", j, wrong.len() - j);
        wrong.swap(j, other);
    }
    let mut order: Vec<usize> = (0..=k).collect();
    for j in 0..k {
        let other = j + below("inversion order", j, order.len() - j);
        order.swap(j, other);
    }
    invert_choice(n_options, correct, &wrong[..k], &order)
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;

    use super::*;

    fn key(seed: u64) -> Key {
        Key::new(seed, Stream::Tasks)
    }

    proptest! {
        #[test]
        fn every_option_but_the_once_right_one_is_right(n in 2usize..8, correct in 0usize..8, seed in any::<u64>()) {
            let correct = correct % n;
            let found = draw_inversion(n, correct, key(seed))?;
            prop_assert_eq!(found.options.iter().filter(|o| **o == correct).count(), 1);
            prop_assert!((2..=n).contains(&found.options.len()));
            let mut distinct = found.options.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), found.options.len());
            let right: Vec<usize> = (0..found.options.len()).filter(|j| found.options[*j] != correct).collect();
            prop_assert_eq!(&found.gold, &right);
            prop_assert_eq!(draw_inversion(n, correct, key(seed))?, found);
        }
    }

    #[test]
    fn count_choice_and_order_are_uniform() {
        let n = 40_000_u32;
        // How many are kept, which option stands first, and where the once right one stands among all four.
        let (mut counts, mut kept, mut places) = ([0.0; 3], [0.0; 4], [0.0; 4]);
        let mut full = 0.0;
        for seed in 0..u64::from(n) {
            let found = draw_inversion(4, 2, key(seed)).expect("valid");
            counts[found.gold.len() - 1] += 1.0;
            if found.gold.len() == 1 {
                kept[found.options[found.gold[0]]] += 1.0;
            }
            if found.gold.len() == 3 {
                full += 1.0;
                let place = found.options.iter().position(|o| *o == 2).expect("there");
                places[place] += 1.0;
            }
        }
        // Five standard errors.
        let near = |found: f64, total: f64, share: f64| {
            (found / total - share).abs() < 5.0 * (share * (1.0 - share) / total).sqrt()
        };
        assert!(
            counts.iter().all(|c| near(*c, f64::from(n), 1.0 / 3.0)),
            "{counts:?}"
        );
        let third = 1.0 / 3.0;
        for (option, share) in [third, third, 0.0, third].into_iter().enumerate() {
            assert!(
                kept[option] == 0.0 && share == 0.0 || near(kept[option], counts[0], share),
                "{kept:?}"
            );
        }
        assert!(places.iter().all(|c| near(*c, full, 0.25)), "{places:?}");
    }

    #[test]
    fn draws_are_pinned() {
        let found: Vec<Vec<usize>> = (0..4)
            .map(|seed| draw_inversion(5, 1, key(seed)).expect("valid").options)
            .collect();
        let expected: [&[usize]; 4] = [&[4, 2, 3, 0, 1], &[2, 1], &[1, 2], &[3, 2, 1, 4]];
        assert_eq!(found, expected);
    }

    #[test]
    fn bad_choices_are_named() {
        let refuse = |n, correct, kept: &[usize], order: &[usize]| {
            invert_choice(n, correct, kept, order)
                .expect_err("refused")
                .to_string()
        };
        assert_eq!(refuse(3, 3, &[0], &[0, 1]), "correct: 3 is not one of 3 options");
        assert_eq!(
            refuse(3, 0, &[], &[0]),
            "kept: no option is kept: the negated question has no right answer"
        );
        for bad in [3, 0] {
            assert_eq!(
                refuse(3, 0, &[1, bad], &[0, 1, 2]),
                format!("kept option 1: {bad} must be a wrong option of 3, kept once")
            );
        }
        assert_eq!(
            refuse(3, 0, &[1, 1], &[0, 1, 2]),
            "kept option 1: 1 must be a wrong option of 3, kept once"
        );
        for order in [&[0, 1][..], &[0, 1, 1], &[1, 2, 3], &[0, 1, 2, 3]] {
            assert_eq!(
                refuse(3, 0, &[1, 2], order),
                "order: must be a permutation of 0..=2"
            );
        }
        let draw = |n, correct| {
            draw_inversion(n, correct, key(0))
                .expect_err("refused")
                .to_string()
        };
        assert_eq!(draw(1, 0), "options: inversion needs two, found 1");
        assert_eq!(draw(3, 3), "correct: 3 is not one of 3 options");
    }
}
