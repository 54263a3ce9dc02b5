//! Labels of the steps of a judged trajectory: which to imitate, which to avoid (SEAgent).

use groupwise_core::DataError;
use serde::{Deserialize, Serialize};

/// What a judge says about a whole trajectory.  Step numbers start at 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Judgement {
    /// The task was done.
    pub correct: bool,
    /// Without a needless step.
    pub optimized: bool,
    /// Needless steps, in any order.
    pub redundant: Vec<usize>,
    /// The first mistake, where the judge could name one.
    #[serde(alias = "first_error_step")]
    pub first_error: Option<usize>,
}

/// How a judgement becomes labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelRule {
    /// The paper's.
    #[default]
    Paper,
    /// The authors' script, which ignores mistakes at steps 1 and 2 and cuts at redundant steps of failures.
    Code,
}

/// Label of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepLabel {
    /// To be imitated: +1.
    Positive,
    /// Used for nothing: 0.
    Unused,
    /// To be avoided: -1.
    Negative,
}

impl StepLabel {
    /// +1, 0 or -1.
    pub fn sign(self) -> i8 {
        match self {
            Self::Positive => 1,
            Self::Unused => 0,
            Self::Negative => -1,
        }
    }
}

/// Labels of the steps of one trajectory.
///
/// # Formula
/// `paper`: correct and optimized: all +1.  Correct: +1 before the first redundant step, then 0.  Not correct: +1
/// before `first_error`, -1 at it, then 0; without one: all 0.
/// `code`: correct and optimized: all +1.  Else, with `first_error > 2`: cut = the first redundant step where one is at
/// or before it, else `first_error`; with `2 <= cut < n_images`: +1 before the cut, -1 at it, then 0.  Otherwise all 0.
///
/// # Shapes
/// One label per step.  `n_images`: screens stored for the trajectory, read by the rule `code` only.
///
/// # Edge cases
/// Correct, not optimized and no redundant step named: nothing is known to be needless, so all +1 (`paper`).
///
/// # Errors
/// A step number that is 0 or beyond the trajectory.
///
/// # Source
/// SEAgent (arXiv 2508.04700); `gen_sft.py` of the authors (SunzeY/SEAgent at c8887f15) for `code`, without the slip
/// by which it stores the negative example once per positive one.
///
/// # Example
/// ```
/// use groupwise_reward::step_labels::{Judgement, LabelRule, step_labels};
/// let failed = Judgement { first_error: Some(3), ..Judgement::default() };
/// let labels = step_labels(LabelRule::Paper, 5, &failed, 6)?;
/// assert_eq!(labels.iter().map(|l| l.sign()).collect::<Vec<_>>(), [1, 1, -1, 0, 0]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn step_labels(
    rule: LabelRule,
    n_steps: usize,
    judgement: &Judgement,
    n_images: usize,
) -> Result<Vec<StepLabel>, DataError> {
    let named = judgement.redundant.iter().map(|s| ("redundant", *s));
    for (what, step) in named.chain(judgement.first_error.map(|s| ("first_error", s))) {
        if step == 0 || step > n_steps {
            let text = format!("`{what}` names step {step}, expected one of 1..={n_steps}");
            return Err(DataError::value("judgement", text));
        }
    }
    let redundant = judgement.redundant.iter().min().copied();
    let mut labels = vec![StepLabel::Unused; n_steps];
    let positive_before =
        |labels: &mut [StepLabel], step: usize| labels[..step - 1].fill(StepLabel::Positive);
    if judgement.correct && judgement.optimized {
        labels.fill(StepLabel::Positive);
        return Ok(labels);
    }
    match rule {
        LabelRule::Paper if judgement.correct => {
            positive_before(&mut labels, redundant.unwrap_or(n_steps + 1));
        }
        LabelRule::Paper => {
            if let Some(error) = judgement.first_error {
                positive_before(&mut labels, error);
                labels[error - 1] = StepLabel::Negative;
            }
        }
        LabelRule::Code => {
            let error = judgement.first_error.filter(|error| *error > 2);
            let cut = error.map(|error| redundant.filter(|r| *r <= error).unwrap_or(error));
            if let Some(cut) = cut.filter(|cut| *cut >= 2 && *cut < n_images) {
                positive_before(&mut labels, cut);
                labels[cut - 1] = StepLabel::Negative;
            }
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signs(rule: LabelRule, n: usize, judgement: &Judgement, images: usize) -> Vec<i8> {
        let labels = step_labels(rule, n, judgement, images).unwrap();
        labels.into_iter().map(StepLabel::sign).collect()
    }

    fn judged(correct: bool, optimized: bool, redundant: &[usize], first_error: Option<usize>) -> Judgement {
        Judgement {
            correct,
            optimized,
            redundant: redundant.to_vec(),
            first_error,
        }
    }

    #[test]
    fn the_paper_s_rule() {
        for (judgement, expected) in [
            (judged(true, true, &[2], None), [1, 1, 1, 1]),
            (judged(true, false, &[4, 3], None), [1, 1, 0, 0]),
            (judged(true, false, &[1], None), [0, 0, 0, 0]),
            (judged(true, false, &[], None), [1, 1, 1, 1]),
            (judged(false, false, &[2], Some(3)), [1, 1, -1, 0]),
            (judged(false, true, &[], Some(1)), [-1, 0, 0, 0]),
            (judged(false, false, &[], Some(4)), [1, 1, 1, -1]),
            (judged(false, false, &[1], None), [0, 0, 0, 0]),
        ] {
            assert_eq!(
                signs(LabelRule::Paper, 4, &judgement, 0),
                expected,
                "{judgement:?}"
            );
        }
    }

    #[test]
    fn the_rule_of_the_authors_script() {
        for (judgement, images, expected) in [
            (judged(true, true, &[], None), 0, [1, 1, 1, 1]),
            (judged(true, false, &[3], None), 9, [0, 0, 0, 0]),
            (judged(false, false, &[], Some(3)), 4, [1, 1, -1, 0]),
            (judged(false, false, &[], Some(3)), 3, [0, 0, 0, 0]),
            (judged(false, false, &[], Some(2)), 9, [0, 0, 0, 0]),
            (judged(false, false, &[], Some(1)), 9, [0, 0, 0, 0]),
            (judged(false, false, &[2], Some(4)), 9, [1, -1, 0, 0]),
            (judged(false, false, &[4], Some(4)), 9, [1, 1, 1, -1]),
            (judged(false, false, &[4], Some(3)), 9, [1, 1, -1, 0]),
            (judged(false, false, &[1], Some(3)), 9, [0, 0, 0, 0]),
            (judged(true, false, &[], Some(3)), 9, [1, 1, -1, 0]),
            (judged(false, true, &[], None), 9, [0, 0, 0, 0]),
        ] {
            assert_eq!(
                signs(LabelRule::Code, 4, &judgement, images),
                expected,
                "{judgement:?}"
            );
        }
    }

    #[test]
    fn steps_that_are_not_there_are_refused() {
        let refuse = |j: Judgement| step_labels(LabelRule::Paper, 3, &j, 9).unwrap_err().to_string();
        assert_eq!(
            refuse(judged(false, false, &[], Some(4))),
            "judgement: `first_error` names step 4, expected one of 1..=3"
        );
        assert_eq!(
            refuse(judged(true, true, &[0], None)),
            "judgement: `redundant` names step 0, expected one of 1..=3"
        );
    }

    proptest! {
        #[test]
        fn at_most_one_step_is_negative_and_every_positive_one_precedes_it(
            n in 1usize..9, correct: bool, optimized: bool, redundant in prop::collection::vec(1usize..9, 0..3),
            error in prop::option::of(1usize..9), images in 0usize..10, code: bool,
        ) {
            let judgement = Judgement {
                correct,
                optimized,
                redundant: redundant.into_iter().filter(|s| *s <= n).collect(),
                first_error: error.filter(|s| *s <= n),
            };
            let rule = if code { LabelRule::Code } else { LabelRule::Paper };
            let labels = signs(rule, n, &judgement, images);
            prop_assert!(labels.iter().filter(|l| **l < 0).count() <= 1);
            let positive = labels.iter().take_while(|l| **l == 1).count();
            prop_assert!(labels[positive..].iter().all(|l| *l != 1));
            if let Some(at) = labels.iter().position(|l| *l < 0) {
                prop_assert_eq!(at, positive);
            }
        }
    }
}
