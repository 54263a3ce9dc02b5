//! Digit completion: right leading characters of the answer to `a,b:max,n`.

use groupwise_core::{
    DataError, JudgedStep, ParamError, Part, Score, StopReason, Task, Trajectory, Verifier,
};
use serde::{Deserialize, Serialize};

use super::refuse_aborted;

/// Longest progression that is judged: a bound on time and memory, far above any published row.
const MAX_NUMBERS: u64 = 10_000;

/// Largest number that is judged; sums stay exact.
const MAX_VALUE: u64 = 1 << 40;

/// What the end token after the answer earns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndMark {
    /// Nothing: the bare reward function.  A whole answer of L characters earns L / (L + 1).
    #[default]
    Unpaid,
    /// What the last character of the answer earned once more, if the policy did end: the published trainer
    /// repeats that reward over the rest of the response.  A whole answer earns 1.
    RepeatsLast,
}

/// Reward of a progression answered character by character.
///
/// # Formula
/// The target is the next n numbers of the progression a, b modulo max, joined by commas:
/// `x_k = (b + k (b - a)) mod max`, k = 1..n.  Each leading character of the answer that is right earns
/// `1 / (len(target) + 1)`; the first wrong one ends it.
///
/// # Edge cases
/// - n = 0: the target is empty and nothing can be earned.
/// - Characters beyond a whole answer cost nothing.
/// - A prompt that is not `a,b:max,n`, or max = 0: unscorable.  Numbers above 2^40 or more than 10,000 of them:
///   unscorable, so that time and memory are bounded.
///
/// # Source
/// The digit completion task of verl's end-to-end test (Apache-2.0); rules and examples checked against its
/// published rows.
///
/// # Example
/// ```
/// use groupwise_reward::{digit_completion_rewards, digit_completion_target};
/// assert_eq!(digit_completion_target("6,2:9,3")?, "7,3,8");
/// let r = digit_completion_rewards("6,2:9,3", "7,4")?;
/// assert_eq!(r, [1.0 / 6.0, 1.0 / 6.0, 0.0]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DigitCompletionConfig {
    /// What the end token earns.
    pub end_mark: EndMark,
}

/// The right answer to a prompt `a,b:max,n`.
///
/// # Errors
/// A prompt of another form or out of bounds; see [`DigitCompletionConfig`].
pub fn digit_completion_target(prompt: &str) -> Result<String, DataError> {
    let wrong = |what: &str| DataError::value(format!("prompt `{prompt}`"), what);
    let form = || wrong("is not of the form a,b:max,n");
    let (pair, limits) = prompt.trim().split_once(':').ok_or_else(form)?;
    let (a, b) = pair.split_once(',').ok_or_else(form)?;
    let (max, n) = limits.split_once(',').ok_or_else(form)?;
    let number = |text: &str| -> Result<u64, DataError> {
        let value: u64 = text.trim().parse().map_err(|_| form())?;
        (value <= MAX_VALUE)
            .then_some(value)
            .ok_or_else(|| wrong("holds a number above 2^40"))
    };
    let (a, b, max, n) = (number(a)?, number(b)?, number(max)?, number(n)?);
    if max == 0 {
        return Err(wrong("counts modulo 0"));
    }
    if n > MAX_NUMBERS {
        return Err(wrong("asks for more than 10000 numbers"));
    }
    // (b - a) mod max without leaving the unsigned range.
    let difference = (b % max + max - a % max) % max;
    let mut last = b % max;
    let numbers: Vec<String> = (0..n)
        .map(|_| {
            last = (last + difference) % max;
            last.to_string()
        })
        .collect();
    Ok(numbers.join(","))
}

/// Reward of each character of the answer.
///
/// # Errors
/// As [`digit_completion_target`].
pub fn digit_completion_rewards(prompt: &str, response: &str) -> Result<Vec<f64>, DataError> {
    let target = digit_completion_target(prompt)?;
    let right = leading_matches(&target, response);
    let each = 1.0 / (target.len() as f64 + 1.0);
    Ok((0..response.chars().count())
        .map(|t| if t < right { each } else { 0.0 })
        .collect())
}

fn leading_matches(target: &str, response: &str) -> usize {
    target
        .chars()
        .zip(response.chars())
        .take_while(|(a, b)| a == b)
        .count()
}

impl Part<dyn Verifier> for DigitCompletionConfig {
    const SOURCE: &'static str = "Digit completion of verl's end-to-end test";

    fn formula(&self) -> String {
        let end = match self.end_mark {
            EndMark::Unpaid => "the end mark earns nothing",
            EndMark::RepeatsLast => "the end mark earns what the last character did",
        };
        format!("r = right leading characters / (len(target) + 1); {end}")
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        Ok(Box::new(DigitCompletion(self.end_mark)))
    }
}

#[derive(Debug)]
struct DigitCompletion(EndMark);

impl Verifier for DigitCompletion {
    fn name(&self) -> &str {
        "digit-completion"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_aborted(trajectory) {
            return score;
        }
        let target = match digit_completion_target(&task.prompt) {
            Ok(target) => target,
            Err(error) => return Score::Unscorable(error.to_string()),
        };
        let answer = trajectory.answer();
        let mut right = leading_matches(&target, answer);
        let last_was_right = right > 0 && right == answer.chars().count();
        if self.0 == EndMark::RepeatsLast && trajectory.stop == StopReason::EndToken && last_was_right {
            right += 1;
        }
        Score::Value(right as f64 / (target.len() as f64 + 1.0))
    }

    fn judges_steps(&self) -> bool {
        true
    }

    /// Every character is a step, up to and including the first wrong one.  An end token before the answer is whole
    /// is a wrong step; after it, it is a step only where it is paid.  `None` if tokens are not characters.
    fn steps(&self, task: &Task, trajectory: &Trajectory) -> Option<Vec<JudgedStep>> {
        let target = digit_completion_target(&task.prompt).ok()?;
        let turn = trajectory.turns.last()?;
        let n_chars = turn.action.chars().count();
        let ended = trajectory.stop == StopReason::EndToken;
        if turn.tokens.len() != n_chars + usize::from(ended) {
            return None;
        }
        let right = leading_matches(&target, &turn.action);
        let each = 1.0 / (target.len() as f64 + 1.0);
        let step = |t: usize, reward: f64| JudgedStep {
            end: turn.tokens.start + t,
            reward,
        };
        let mut steps: Vec<JudgedStep> = (0..right).map(|t| step(t, each)).collect();
        // The token after the right ones, if there is one, is what went wrong, or the end.
        if right < turn.tokens.len() {
            let whole = right == target.len();
            let ends_here = ended && right == n_chars;
            match (whole, self.0) {
                (false, _) => {
                    // With `repeats-last`, ending after right characters repeats the last reward even if early.
                    let paid = self.0 == EndMark::RepeatsLast && ends_here && right > 0;
                    steps.push(step(right, if paid { each } else { 0.0 }));
                }
                (true, EndMark::Unpaid) => {}
                (true, EndMark::RepeatsLast) => {
                    let paid = ends_here && right > 0;
                    steps.push(step(right, if paid { each } else { 0.0 }));
                }
            }
        }
        Some(steps)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::trajectory;
    use super::*;

    proptest! {
        #[test]
        fn the_target_follows_the_progression(a in 0u64..50, b in 0u64..50, max in 1u64..50, n in 0u64..9) {
            let target = digit_completion_target(&format!("{a},{b}:{max},{n}")).unwrap();
            let numbers: Vec<i64> = target.split(',').filter(|s| !s.is_empty()).map(|s| s.parse().unwrap()).collect();
            prop_assert_eq!(numbers.len() as u64, n);
            for (k, x) in numbers.iter().enumerate() {
                let direct = (b as i64 + (k as i64 + 1) * (b as i64 - a as i64)).rem_euclid(max as i64);
                prop_assert_eq!(*x, direct);
            }
        }

        #[test]
        fn the_reward_grows_with_the_right_prefix_only(
            a in 0u64..10, b in 0u64..10, n in 1u64..6, cut in 0usize..12, tail in "[0-9,]{0,4}",
        ) {
            let prompt = format!("{a},{b}:9,{n}");
            let target = digit_completion_target(&prompt).unwrap();
            let cut = cut.min(target.len());
            let total = |r: &str| digit_completion_rewards(&prompt, r).unwrap().iter().sum::<f64>();
            let expected = cut as f64 / (target.len() as f64 + 1.0);
            prop_assert!((total(&target[..cut]) - expected).abs() < 1e-12);
            let (wrong, long) = (target[..cut].to_owned() + "x" + &tail, target.clone() + &tail);
            prop_assert!((total(&wrong) - expected).abs() < 1e-12);
            prop_assert!((total(&long) - total(&target)).abs() < 1e-12);
        }

        #[test]
        fn rewards_of_the_steps_add_up_to_the_score(
            a in 0u64..10, b in 0u64..10, n in 0u64..5, cut in 0usize..12, tail in "[0-9,]{0,4}", ended in any::<bool>(),
        ) {
            let prompt = format!("{a},{b}:9,{n}");
            let target = digit_completion_target(&prompt).unwrap();
            let answer = target[..cut.min(target.len())].to_owned() + &tail;
            let stop = if ended { StopReason::EndToken } else { StopReason::Length };
            let mut judged = trajectory(&[(answer.as_str(), 0.0)], stop);
            let n_tokens = answer.chars().count() + usize::from(ended);
            judged.turns[0].tokens = 0..n_tokens;
            for end_mark in [EndMark::Unpaid, EndMark::RepeatsLast] {
                let verifier = DigitCompletionConfig { end_mark }.build(&()).unwrap();
                let task = Task::new("t", prompt.as_str(), target.as_str());
                let steps = verifier.steps(&task, &judged).unwrap();
                let total: f64 = steps.iter().map(|s| s.reward).sum();
                prop_assert!((total - verifier.score(&task, &judged).value().unwrap()).abs() < 1e-12);
                prop_assert!(steps.windows(2).all(|w| w[0].end < w[1].end));
                prop_assert!(steps.iter().all(|s| s.end < n_tokens.max(1)));
                prop_assert!(steps.iter().rev().skip(1).all(|s| s.reward > 0.0), "only the last may be wrong");
            }
        }

        #[test]
        fn any_text_is_judged_without_panic(prompt in any::<String>(), response in any::<String>()) {
            if let Ok(r) = digit_completion_rewards(&prompt, &response) {
                prop_assert_eq!(r.len(), response.chars().count());
            }
        }
    }

    #[test]
    fn targets_worked_by_hand() {
        for (prompt, target) in [
            ("6,2:9,3", "7,3,8"),
            ("1,4:30,3", "7,10,13"),
            ("4,1:5,2", "3,0"),
            ("9,9:9,1", "0"),
            ("2,2:9,0", ""),
        ] {
            assert_eq!(digit_completion_target(prompt).unwrap(), target, "{prompt}");
        }
    }

    #[test]
    fn characters_earn_until_the_first_wrong_one() {
        let rewards = |response: &str| digit_completion_rewards("1,4:30,3", response).unwrap();
        let e = 1.0 / 8.0;
        assert_eq!(rewards("7,10,13"), [e; 7]);
        assert_eq!(rewards("7,20,13"), [e, e, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(rewards("7,10,13,16")[7..], [0.0; 3]);
        assert_eq!(rewards(""), [0.0; 0]);
        assert_eq!(rewards("é"), [0.0], "one character, not one byte");
        assert_eq!(digit_completion_rewards("2,2:9,0", "E2").unwrap(), [0.0; 2]);
    }

    #[test]
    fn the_end_mark_is_paid_only_when_asked_for_and_reached() {
        let task = Task::new("t", "6,2:9,3", "");
        let score = |end_mark, answer, stop| {
            let verifier = DigitCompletionConfig { end_mark }.build(&()).unwrap();
            verifier
                .score(&task, &trajectory(&[(answer, 0.0)], stop))
                .value()
                .unwrap()
        };
        use EndMark::{RepeatsLast, Unpaid};
        assert_eq!(score(Unpaid, "7,3,8", StopReason::EndToken), 5.0 / 6.0);
        assert_eq!(score(RepeatsLast, "7,3,8", StopReason::EndToken), 1.0);
        assert_eq!(score(RepeatsLast, "7,3,8", StopReason::Length), 5.0 / 6.0);
        assert_eq!(score(RepeatsLast, "7,3", StopReason::EndToken), 4.0 / 6.0);
        assert_eq!(score(RepeatsLast, "7,4", StopReason::EndToken), 2.0 / 6.0);
        assert_eq!(score(RepeatsLast, "", StopReason::EndToken), 0.0);
    }

    #[test]
    fn bad_prompts_are_unscorable_with_a_reason() {
        let reason = |prompt: &str| {
            let verifier = DigitCompletionConfig::default().build(&()).unwrap();
            match verifier.score(
                &Task::new("t", prompt, "1"),
                &trajectory(&[("1", 0.0)], StopReason::EndToken),
            ) {
                Score::Unscorable(reason) => reason,
                Score::Value(v) => panic!("scored {v}"),
            }
        };
        for prompt in ["", "1,2", "1,2:9", "1;2:9,3", "1,-2:9,3", "1,2:9,3,4", "a,b:c,d"] {
            assert_eq!(
                reason(prompt),
                format!("prompt `{prompt}`: is not of the form a,b:max,n")
            );
        }
        assert_eq!(reason("1,2:0,3"), "prompt `1,2:0,3`: counts modulo 0");
        assert_eq!(
            reason("1,2:9,10001"),
            "prompt `1,2:9,10001`: asks for more than 10000 numbers"
        );
        assert_eq!(
            reason("1,2:9999999999999,3"),
            "prompt `1,2:9999999999999,3`: holds a number above 2^40"
        );
    }

    #[test]
    fn the_formula_names_the_end_mark() {
        assert_eq!(
            DigitCompletionConfig::default().formula(),
            "r = right leading characters / (len(target) + 1); the end mark earns nothing"
        );
    }
}
