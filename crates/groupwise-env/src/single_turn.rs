//! The environment of every world that asks one question.

use std::fmt;

use groupwise_core::StopReason;
use groupwise_core::seams::{EnvError, Environment, Observation, StepOutcome};

/// What an answer earns, and whether it is valid.
type Answered = Box<dyn Fn(&str) -> (f64, bool) + Send>;

/// One question, answered once.
pub(crate) struct SingleTurn {
    prompt: String,
    answered: Answered,
    over: bool,
}

impl SingleTurn {
    /// An episode that shows `prompt`; an answer is valid if `well_formed` holds for it.  Reward 0, because a verifier
    /// scores the answer.
    pub(crate) fn new(prompt: String, well_formed: fn(&str) -> bool) -> Self {
        Self::rewarding(prompt, move |answer| (0.0, well_formed(answer)))
    }

    /// An episode that shows `prompt` and rewards the answer itself.
    pub(crate) fn rewarding(prompt: String, answered: impl Fn(&str) -> (f64, bool) + Send + 'static) -> Self {
        Self {
            prompt,
            answered: Box::new(answered),
            over: false,
        }
    }
}

impl fmt::Debug for SingleTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleTurn")
            .field("prompt", &self.prompt)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

impl Environment for SingleTurn {
    fn observe(&self) -> Observation {
        Observation {
            text: self.prompt.clone(),
            anchor: Some(self.prompt.clone()),
        }
    }

    fn step(&mut self, action: &str) -> Result<StepOutcome, EnvError> {
        if self.over {
            return Err(EnvError("the episode is over".into()));
        }
        self.over = true;
        let (reward, valid) = (self.answered)(action);
        Ok(StepOutcome {
            reward,
            stop: Some(StopReason::Terminal),
            valid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_ends_the_episode_without_reward() {
        let mut episode = SingleTurn::new("q".into(), |answer| answer == "a");
        assert_eq!(episode.observe().anchor.as_deref(), Some("q"));
        let outcome = episode.step("b").unwrap();
        assert_eq!(
            outcome,
            StepOutcome {
                reward: 0.0,
                stop: Some(StopReason::Terminal),
                valid: false
            }
        );
        assert_eq!(
            episode.step("a").unwrap_err().to_string(),
            "environment failed: the episode is over"
        );
        assert!(
            SingleTurn::new("q".into(), |answer| answer == "a")
                .step("a")
                .unwrap()
                .valid
        );
    }
}
