//! Listener reward: reasoning is paid that convinces an independent reader.
//!
//! The listener is a second, frozen model, so these functions take its logits or probabilities.  In a run the environment
//! asks the listener and returns its belief: [`ListenerRewardConfig`](crate::shapers::ListenerRewardConfig).

use groupwise_core::{DataError, ParamError};

/// Weighted sum of format, accuracy and the listener's belief in the right choice, valid by construction.
///
/// # Formula
/// `R = w_format + w_acc [answer right] + w_listener p` if the format holds, else 0; `p`: probability that the listener
/// gives to the right choice, having read the reasoning without the answer ([`mask_answer`], [`listener_probabilities`]).
///
/// # Shapes
/// `p` in [0, 1]; R in [0, w_format + w_acc + w_listener].
///
/// # Edge cases
/// - Badly formed: 0, and the listener need not be asked (`None`).
/// - `w_listener = 0`: the plain reasoner.  With `w_acc > w_listener` a right answer always outranks a wrong one.
/// - `w_acc = 0` takes all pressure off the answer itself.
///
/// # Errors
/// Parameters: a weight negative or not finite.  Data: `p` outside [0, 1], whatever the format; no `p` for a well-formed
/// answer; inputs that differ in number.
///
/// # Source
/// "Listener-Rewarded Thinking in VLMs for Image Preferences", arXiv 2506.22832, from public summaries (weights 1, 0.5,
/// 0.5); no authors' code was found.  That a bad format earns nothing is a choice made here.
///
/// # Example
/// ```
/// use groupwise_reward::listener::ListenerReward;
/// let reward = ListenerReward::new(1.0, 0.5, 0.5)?;
/// // A right answer with unconvincing reasoning still beats a wrong one with convincing reasoning.
/// assert_eq!(reward.score(true, true, Some(0.2))?, 1.6);
/// assert_eq!(reward.score(true, false, Some(0.8))?, 1.4);
/// assert_eq!(reward.score(false, true, None)?, 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ListenerReward {
    w_format: f64,
    w_acc: f64,
    w_listener: f64,
}

impl ListenerReward {
    /// Validates the weights; the paper's are 1, 0.5 and 0.5.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(w_format: f64, w_acc: f64, w_listener: f64) -> Result<Self, ParamError> {
        for (key, weight) in [
            ("w_format", w_format),
            ("w_acc", w_acc),
            ("w_listener", w_listener),
        ] {
            ParamError::check_coefficient(key, weight)?;
        }
        Ok(Self {
            w_format,
            w_acc,
            w_listener,
        })
    }

    /// Reward of one answer.
    ///
    /// # Errors
    /// See [`ListenerReward`].
    pub fn score(
        &self,
        well_formed: bool,
        correct: bool,
        probability: Option<f64>,
    ) -> Result<f64, DataError> {
        if let Some(p) = probability.filter(|p| !(0.0..=1.0).contains(p)) {
            let what = format!("{p} is not in [0, 1]");
            return Err(DataError::value("probability of the listener", what));
        }
        match (well_formed, probability) {
            (false, _) => Ok(0.0),
            (true, None) => Err(DataError::value(
                "probability of the listener",
                "is missing for a well-formed answer",
            )),
            (true, Some(p)) => {
                Ok(self.w_format + self.w_acc * f64::from(u8::from(correct)) + self.w_listener * p)
            }
        }
    }

    /// Rewards of a group.
    ///
    /// # Errors
    /// See [`ListenerReward`]; the trajectory is named.
    pub fn score_group(
        &self,
        well_formed: &[bool],
        correct: &[bool],
        probabilities: &[Option<f64>],
    ) -> Result<Vec<f64>, DataError> {
        DataError::check_len("correct", correct.len(), well_formed.len())?;
        DataError::check_len("probabilities", probabilities.len(), well_formed.len())?;
        (0..well_formed.len())
            .map(|i| {
                self.score(well_formed[i], correct[i], probabilities[i])
                    .map_err(|e| DataError::value(format!("trajectory {i}"), e.to_string()))
            })
            .collect()
    }
}

/// Reasoning without the answer: every occurrence of the answer span removed, so that the listener cannot copy it.
///
/// # Edge cases
/// - An empty span removes nothing.
/// - What a removal joins together is looked at again: no occurrence is left.
///
/// # Example
/// ```
/// use groupwise_reward::listener::mask_answer;
/// assert_eq!(mask_answer("more legs, so <B>. Yes, <B>", "<B>"), "more legs, so . Yes, ");
/// ```
pub fn mask_answer(trace: &str, answer: &str) -> String {
    let mut masked = trace.to_owned();
    while !answer.is_empty() && masked.contains(answer) {
        masked = masked.replace(answer, "");
    }
    masked
}

/// The listener's distribution over the choices.
///
/// # Formula
/// `p_c = exp(z_c - max z) / sum_d exp(z_d - max z)`, over the choice tokens only.
///
/// # Shapes
/// One logit per choice; no threshold and no argmax: the reward is the probability itself.
///
/// # Edge cases
/// A constant added to all logits changes nothing.  Logits of any size give finite probabilities.
///
/// # Errors
/// No choice; a logit that is not finite.
///
/// # Source
/// arXiv 2506.22832, see [`ListenerReward`].
///
/// # Example
/// ```
/// use groupwise_reward::listener::listener_probabilities;
/// let p = listener_probabilities(&[2.0, 0.5])?;
/// assert!((p[0] - 0.8175744761936437).abs() < 1e-12);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn listener_probabilities(logits: &[f64]) -> Result<Vec<f64>, DataError> {
    if logits.is_empty() {
        return Err(DataError::value("logits of the listener", "there is no choice"));
    }
    DataError::check_finite("logits of the listener", logits)?;
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|z| (z - top).exp()).collect();
    let total: f64 = weights.iter().sum();
    Ok(weights.into_iter().map(|w| w / total).collect())
}

/// Which answers the listener, having read the reasoning, would not have given, and their share.
#[derive(Clone, Debug, PartialEq)]
pub struct Contradictions {
    /// Whether each answer is contradicted by its own reasoning; `None`: no answer.
    pub contradicts: Vec<Option<bool>>,
    /// Share of contradictions among the answers given; `None`: none was given.
    pub rate: Option<f64>,
}

/// Compares each answer with the choice that its reasoning suggests to the listener.
///
/// # Formula
/// `contradiction_i = [argmax_c p_ic != a_i]`, ties to the first choice.
///
/// # Shapes
/// `probabilities`: answer -> choices; `answers`: choice given, counted from 0, or none.
///
/// # Edge cases
/// Missing answers are left out of the rate.
///
/// # Errors
/// Inputs that differ in number; no choice; a probability outside [0, 1]; an answer that is not among the choices.
///
/// # Source
/// arXiv 2506.22832, see [`ListenerReward`].
///
/// # Example
/// ```
/// use groupwise_reward::listener::contradictions;
/// let found = contradictions(&[[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]], &[Some(0), Some(0), None])?;
/// assert_eq!(found.contradicts, [Some(false), Some(true), None]);
/// assert_eq!(found.rate, Some(0.5));
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn contradictions<P: AsRef<[f64]>>(
    probabilities: &[P],
    answers: &[Option<usize>],
) -> Result<Contradictions, DataError> {
    DataError::check_len("answers", answers.len(), probabilities.len())?;
    let mut contradicts = Vec::with_capacity(answers.len());
    for (i, (p, answer)) in probabilities.iter().zip(answers).enumerate() {
        let p = p.as_ref();
        let refuse = |what: String| Err(DataError::value(format!("answer {i}"), what));
        if let Some(bad) = p.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return refuse(format!("probability {bad} is not in [0, 1]"));
        }
        let Some(suggested) = first_argmax(p) else {
            return refuse("there is no choice".to_owned());
        };
        if let Some(a) = answer.filter(|a| *a >= p.len()) {
            return refuse(format!("choice {a} is not among {}", p.len()));
        }
        contradicts.push(answer.map(|a| a != suggested));
    }
    let given: Vec<bool> = contradicts.iter().flatten().copied().collect();
    let n = given.iter().filter(|c| **c).count() as f64;
    Ok(Contradictions {
        rate: (!given.is_empty()).then(|| n / given.len() as f64),
        contradicts,
    })
}

fn first_argmax(values: &[f64]) -> Option<usize> {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values.iter().position(|v| *v == top)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weights() -> impl Strategy<Value = [f64; 3]> {
        [0.0..3.0f64, 0.0..3.0, 0.0..3.0]
    }

    fn of([w_format, w_acc, w_listener]: [f64; 3]) -> ListenerReward {
        ListenerReward::new(w_format, w_acc, w_listener).expect("valid")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn rewards_lie_between_0_and_the_sum_of_the_weights(
            w in weights(), format in any::<bool>(), correct in any::<bool>(), p in 0.0..=1.0f64,
        ) {
            let r = of(w).score(format, correct, Some(p))?;
            prop_assert!((0.0..=w.iter().sum::<f64>() + 1e-12).contains(&r));
            let right = if correct { w[1] } else { 0.0 };
            let expected = if format { w[0] + right + w[2] * p } else { 0.0 };
            prop_assert!((r - expected).abs() < 1e-12);
        }

        #[test]
        fn rewards_rise_with_the_probability_at_a_fixed_answer(
            w in weights(), correct in any::<bool>(), p in 0.0..1.0f64, q in 0.0..1.0f64,
        ) {
            prop_assume!(p + 1e-6 < q && w[2] > 1e-6);
            prop_assert!(of(w).score(true, correct, Some(p))? < of(w).score(true, correct, Some(q))?);
        }

        #[test]
        fn a_right_answer_outranks_a_wrong_one_if_accuracy_weighs_more(
            w in weights(), more in 1e-6..1.0f64, p in 0.0..=1.0f64, q in 0.0..=1.0f64,
        ) {
            let reward = of([w[0], w[2] + more, w[2]]);
            prop_assert!(reward.score(true, true, Some(p))? > reward.score(true, false, Some(q))?);
        }

        #[test]
        fn a_constant_on_all_logits_changes_nothing(
            logits in prop::collection::vec(-30.0..30.0f64, 1..6), shift in -1e3..1e3f64,
        ) {
            let shifted: Vec<f64> = logits.iter().map(|z| z + shift).collect();
            let (p, q) = (listener_probabilities(&logits)?, listener_probabilities(&shifted)?);
            prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for (i, (a, b)) in p.iter().zip(&q).enumerate() {
                prop_assert!((a - b).abs() < 1e-9);
                // The definition, without a shift.
                let total: f64 = logits.iter().map(|z| z.exp()).sum();
                prop_assert!((a - logits[i].exp() / total).abs() < 1e-12);
            }
        }

        #[test]
        fn no_occurrence_of_the_answer_is_left(trace in "[abc]{0,12}", answer in "[ab]{1,3}") {
            let masked = mask_answer(&trace, &answer);
            prop_assert!(!masked.contains(&answer) && masked.len() <= trace.len());
            prop_assert!(masked == trace || trace.contains(&answer));
        }
    }

    #[test]
    fn equal_weights_tie_a_right_unconvincing_with_a_wrong_convincing_answer() {
        let reward = of([1.0, 0.5, 0.5]);
        assert_eq!(
            reward.score(true, true, Some(0.0)),
            reward.score(true, false, Some(1.0))
        );
    }

    #[test]
    fn logits_of_any_size_give_probabilities() {
        assert_eq!(listener_probabilities(&[1e308, -1e308]), Ok(vec![1.0, 0.0]));
        assert_eq!(listener_probabilities(&[-2000.0, -2000.0]), Ok(vec![0.5, 0.5]));
    }

    #[test]
    fn ties_go_to_the_first_choice_and_missing_answers_are_left_out() {
        let p = [[0.4, 0.4, 0.2], [0.2, 0.4, 0.4]];
        let found = contradictions(&p, &[Some(0), Some(2)]).unwrap();
        assert_eq!(
            (found.contradicts, found.rate),
            (vec![Some(false), Some(true)], Some(0.5))
        );
        let found = contradictions(&p, &[None, None]).unwrap();
        assert_eq!((found.contradicts, found.rate), (vec![None, None], None));
    }

    #[test]
    fn removing_the_answer_is_thorough_and_an_empty_one_removes_nothing() {
        assert_eq!(mask_answer("aabb", "ab"), "");
        assert_eq!(mask_answer("xyx", ""), "xyx");
        assert_eq!(mask_answer("xyx", "z"), "xyx");
    }

    #[test]
    fn bad_weights_are_refused() {
        let refused = |w: [f64; 3]| ListenerReward::new(w[0], w[1], w[2]).unwrap_err().to_string();
        assert_eq!(
            refused([-1.0, 0.5, 0.5]),
            "`w_format` = -1: must be a finite number >= 0"
        );
        assert_eq!(
            refused([1.0, -0.5, 0.5]),
            "`w_acc` = -0.5: must be a finite number >= 0"
        );
        assert_eq!(
            refused([1.0, 0.5, f64::NAN]),
            "`w_listener` = NaN: must be a finite number >= 0"
        );
        assert_eq!(
            refused([1.0, f64::INFINITY, 0.5]),
            "`w_acc` = inf: must be a finite number >= 0"
        );
        assert!(ListenerReward::new(0.0, 0.0, 0.0).is_ok());
    }

    #[test]
    fn bad_data_are_refused() {
        let reward = of([1.0, 0.5, 0.5]);
        let score = |format, p| reward.score(format, true, p).unwrap_err().to_string();
        for format in [true, false] {
            assert_eq!(
                score(format, Some(1.2)),
                "probability of the listener: 1.2 is not in [0, 1]"
            );
            assert_eq!(
                score(format, Some(-0.1)),
                "probability of the listener: -0.1 is not in [0, 1]"
            );
            assert_eq!(
                score(format, Some(f64::NAN)),
                "probability of the listener: NaN is not in [0, 1]"
            );
        }
        assert_eq!(
            score(true, None),
            "probability of the listener: is missing for a well-formed answer"
        );
        let group =
            |c: &[bool], p: &[Option<f64>]| reward.score_group(&[true, true], c, p).unwrap_err().to_string();
        let right = [true, false];
        assert_eq!(
            group(&right[..1], &[Some(1.0); 2]),
            "`correct` has 1 entries, expected 2"
        );
        assert_eq!(
            group(&right, &[Some(1.0)]),
            "`probabilities` has 1 entries, expected 2"
        );
        assert_eq!(
            group(&right, &[Some(1.0), Some(2.0)]),
            "trajectory 1: probability of the listener: 2 is not in [0, 1]"
        );
        assert_eq!(
            reward.score_group(&[true, true], &right, &[Some(1.0), Some(0.5)]),
            Ok(vec![2.0, 1.25])
        );
    }

    #[test]
    fn bad_logits_and_answers_are_refused() {
        let logits = |z: &[f64]| listener_probabilities(z).unwrap_err().to_string();
        assert_eq!(logits(&[]), "logits of the listener: there is no choice");
        assert_eq!(
            logits(&[0.0, f64::INFINITY]),
            "index 1: `logits of the listener` is inf"
        );
        let compare = |p: &[Vec<f64>], a: &[Option<usize>]| contradictions(p, a).unwrap_err().to_string();
        let p = vec![0.5, 0.5];
        assert_eq!(
            compare(std::slice::from_ref(&p), &[]),
            "`answers` has 0 entries, expected 1"
        );
        assert_eq!(
            compare(std::slice::from_ref(&p), &[Some(2)]),
            "answer 0: choice 2 is not among 2"
        );
        assert_eq!(
            compare(&[p, vec![]], &[Some(1), None]),
            "answer 1: there is no choice"
        );
        assert_eq!(
            compare(&[vec![1.5, 0.0]], &[Some(0)]),
            "answer 0: probability 1.5 is not in [0, 1]"
        );
    }
}
