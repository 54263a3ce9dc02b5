//! Prefix hints of a rate that is constant or falls with the training steps.

use groupwise_core::seams::Rendered;
use groupwise_core::{DataError, ParamError, Part, PromptMemory, Scaffold, Task};
use serde::{Deserialize, Serialize};

use crate::hint_length::hint_length;
use crate::hint_prefix::{HintUnit, first_units, unit_ends};

/// The first part of the reference as the beginning of the answer, the same share for every task.
///
/// # Formula
/// `l = min(round(p n), n - 1)` of the n units of `reference`; `p = rate max(0, 1 - t / zero_at)` after t training
/// steps, or `p = rate` without `zero_at`.
///
/// # Shapes
/// One round; t counts steps whose results the memory of the pool has seen.
///
/// # Edge cases
/// No reference, one unit, or a rate that rounds to no unit: no hint, and the rollouts are billed as plain ones.
///
/// # Errors
/// Building refuses a `rate` outside [0, 1] and `zero_at` = 0.
///
/// # Source
/// Controls of SEELE (arXiv 2509.06923): a fixed rate, and one that decays as in UFT (arXiv 2505.16984), linearly here.
///
/// # Example
/// ```
/// use groupwise_core::{PromptMemory, Task};
/// use groupwise_sampler::ScaffoldSpec;
/// let spec: ScaffoldSpec = serde_json::from_str(r#"{"prefix-hint": {"unit": "word", "rate": 0.5}}"#).unwrap();
/// let rendered = spec.build(&()).unwrap().render(&Task::new("t", "q", "a b c d"), &PromptMemory::new(1, 8)).unwrap();
/// assert_eq!((rendered.forced_answer.as_str(), rendered.hinted), ("a b ", true));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrefixHintConfig {
    /// What the solution is counted in.
    pub unit: HintUnit,
    /// Share of the solution shown at the start, in [0, 1].
    pub rate: f64,
    /// Step at which the share has fallen to 0, >= 1; absent: it never falls.
    pub zero_at: Option<u64>,
}

impl Default for PrefixHintConfig {
    fn default() -> Self {
        Self {
            unit: HintUnit::Character,
            rate: 0.5,
            zero_at: None,
        }
    }
}

impl Part<dyn Scaffold> for PrefixHintConfig {
    const SOURCE: &'static str =
        "controls of SEELE (arXiv 2509.06923): fixed rate, and decay as in UFT (arXiv 2505.16984)";

    fn formula(&self) -> String {
        let rate = match self.zero_at {
            Some(steps) => format!("{} max(0, 1 - t / {steps}), t steps done", self.rate),
            None => self.rate.to_string(),
        };
        format!(
            "hint = first round(p n) of the n {} of the reference, at most n - 1; p = {rate}",
            self.unit.plural()
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Scaffold>, ParamError> {
        ParamError::check((0.0..=1.0).contains(&self.rate), "rate", self.rate, "in [0, 1]")?;
        if let Some(steps) = self.zero_at {
            ParamError::check(steps >= 1, "zero_at", steps, ">= 1")?;
        }
        Ok(Box::new(PrefixHint(self.clone())))
    }
}

/// The validated scaffold.
#[derive(Debug)]
struct PrefixHint(PrefixHintConfig);

impl PrefixHint {
    fn rate(&self, steps: u64) -> f64 {
        let left = match self.0.zero_at {
            Some(end) => (1.0 - steps as f64 / end as f64).max(0.0),
            None => 1.0,
        };
        self.0.rate * left
    }
}

impl Scaffold for PrefixHint {
    fn render(&self, task: &Task, memory: &PromptMemory) -> Result<Rendered, DataError> {
        let ends = unit_ends(&task.reference, self.0.unit);
        if ends.is_empty() {
            return Ok(Rendered::plain());
        }
        let length = hint_length(self.rate(memory.last_step()), ends.len())?;
        Ok(Rendered {
            prefix: String::new(),
            forced_answer: first_units(&task.reference, &ends, length).to_owned(),
            hinted: length > 0,
            shared: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::GroupOutcome;
    use proptest::prelude::*;

    use super::*;
    use crate::scaffolds::ScaffoldSpec;

    fn build(rate: f64, zero_at: Option<u64>) -> Result<Box<dyn Scaffold>, ParamError> {
        let unit = HintUnit::Word;
        ScaffoldSpec::PrefixHint(PrefixHintConfig { unit, rate, zero_at }).build(&())
    }

    fn hint(scaffold: &dyn Scaffold, reference: &str, steps: u64) -> Rendered {
        let mut memory = PromptMemory::new(3, 4);
        for step in 1..=steps {
            let outcome = GroupOutcome {
                task: (step % 3) as usize,
                rewards: vec![Some(1.0)],
                lengths: vec![1],
            };
            memory.observe(step, &[outcome]).unwrap();
        }
        scaffold.render(&Task::new("t", "q", reference), &memory).unwrap()
    }

    #[test]
    fn a_rate_falls_with_the_steps_of_the_run_and_stays_at_zero() {
        let decaying = build(1.0, Some(8)).unwrap();
        let words = |steps| hint(decaying.as_ref(), "a b c d", steps).forced_answer;
        assert_eq!(words(0), "a b c ", "never the whole solution");
        assert_eq!(words(2), "a b c ");
        assert_eq!(words(4), "a b ");
        assert_eq!(words(6), "a ");
        assert_eq!(words(8), "");
        assert_eq!(words(20), "");
        assert_eq!(hint(decaying.as_ref(), "a b c d", 8), Rendered::plain());
        let fixed = build(0.5, None).unwrap();
        assert_eq!(hint(fixed.as_ref(), "a b c d", 20).forced_answer, "a b ");
    }

    #[test]
    fn no_hint_where_there_is_nothing_to_give_away() {
        let all = build(1.0, None).unwrap();
        for reference in ["", " ", "a"] {
            assert_eq!(
                hint(all.as_ref(), reference, 0),
                Rendered::plain(),
                "{reference:?}"
            );
        }
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        let refused = |rate, zero_at| build(rate, zero_at).map(|_| ()).unwrap_err().to_string();
        assert_eq!(refused(1.5, None), "`rate` = 1.5: must be in [0, 1]");
        assert_eq!(refused(f64::NAN, None), "`rate` = NaN: must be in [0, 1]");
        assert_eq!(refused(0.5, Some(0)), "`zero_at` = 0: must be >= 1");
    }

    proptest! {
        #[test]
        fn hints_are_beginnings_and_never_grow(
            n in 0..9usize, rate in 0.0..=1.0f64, zero_at in proptest::option::of(1..30u64), steps in 0..30u64,
        ) {
            let reference = (0..n).map(|i| format!("w{i}")).collect::<Vec<_>>().join(" ");
            let scaffold = build(rate, zero_at).unwrap();
            let (now, later) = (hint(scaffold.as_ref(), &reference, steps), hint(scaffold.as_ref(), &reference, steps + 1));
            prop_assert!(reference.starts_with(&now.forced_answer));
            prop_assert!(now.forced_answer.len() < reference.len().max(1));
            prop_assert!(now.forced_answer.starts_with(&later.forced_answer));
            prop_assert_eq!(now.hinted, !now.forced_answer.is_empty());
        }
    }
}
