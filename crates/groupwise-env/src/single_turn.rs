//! The environment of every world that asks one question and leaves the judging to a verifier.

use groupwise_core::StopReason;
use groupwise_core::seams::{EnvError, Environment, Observation, StepOutcome};

/// One question, answered once; reward 0, because a verifier scores the answer.
#[derive(Debug)]
pub(crate) struct SingleTurn {
    prompt: String,
    well_formed: fn(&str) -> bool,
    over: bool,
}

impl SingleTurn {
    /// An episode that shows `prompt`; an answer is valid if `well_formed` holds for it.
    pub(crate) fn new(prompt: String, well_formed: fn(&str) -> bool) -> Self {
        Self {
            prompt,
            well_formed,
            over: false,
        }
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
        Ok(StepOutcome {
            reward: 0.0,
            stop: Some(StopReason::Terminal),
            valid: (self.well_formed)(action),
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
