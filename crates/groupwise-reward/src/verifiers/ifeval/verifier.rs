//! The verifier of recipes: all instructions of a task at once.

use groupwise_core::{ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Instruction, InstructionError, Strictness};
use crate::verifiers::refuse_unjudgeable;
use crate::{Verdict, after_thinking};

/// What several instructions, or several tests, earn together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credit {
    /// 1 if every instruction is followed (every test passes), else 0: the accuracy "on the level of prompts".
    #[default]
    All,
    /// The share of instructions that are followed (of tests that pass): "on the level of instructions".
    Share,
}

/// What becomes of a thinking part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thinking {
    /// Everything up to the last `</think>` is cut; a part that is opened and never closed leaves an empty response.
    #[default]
    Cut,
    /// It is part of the response.
    Keep,
}

impl Thinking {
    /// What is left of the response.
    pub(in crate::verifiers) fn of(self, response: &str) -> &str {
        match self {
            Self::Keep => response,
            Self::Cut => after_thinking(response).unwrap_or(""),
        }
    }
}

/// 1 for a response that follows every instruction of its task.
///
/// # Formula
/// `r = [every instruction is followed]`, or the share that is; followed strictly or loosely.
///
/// # Shapes
/// In [0, 1].  The reference of a task is JSON in one of three forms: `{"instruction_id_list": [id, ..], "kwargs": [{..}, ..]}`
/// as in the published data set, `[{"instruction": id, "args": {..}}, ..]`, or one such object.
///
/// # Edge cases
/// - A reference that is none of these, names no instruction, or holds one that cannot be checked (unknown, bad arguments):
///   unscorable, with the reason; also if the others are followed.
/// - An empty response follows nothing.  More: [`Instruction`].
///
/// # Source
/// IFEval, arXiv 2311.07911; cutting the thinking part is ours: the harness checks what it is given.
///
/// # Example
/// ```
/// use groupwise_core::{Score, Task, Trajectory};
/// use groupwise_reward::VerifierSpec;
/// let spec: VerifierSpec = serde_json::from_str(r#"{"ifeval": {"credit": "share"}}"#)?;
/// let reference = r#"[{"instruction": "punctuation:no_comma"}, {"instruction": "startend:quotation"}]"#;
/// let score = spec.build(&())?.score(&Task::new("t", "", reference), &Trajectory::of_reply("no commas", 2));
/// assert_eq!(score, Score::Value(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IfevalConfig {
    /// As it stands, or any of eight versions.
    pub strictness: Strictness,
    /// What several instructions earn together.
    pub credit: Credit,
    /// What becomes of a thinking part.
    pub thinking: Thinking,
}

impl Part<dyn Verifier> for IfevalConfig {
    const SOURCE: &'static str = "IFEval, arXiv 2311.07911, rules of lm-evaluation-harness; sentences and words in capitals are not counted";

    fn formula(&self) -> String {
        let credit = match self.credit {
            Credit::All => "[every instruction is followed]",
            Credit::Share => "share of instructions that are followed",
        };
        let strictness = match self.strictness {
            Strictness::Strict => "as the response stands",
            Strictness::Loose => "by any of its eight versions",
        };
        let thinking = match self.thinking {
            Thinking::Cut => "after the thinking part",
            Thinking::Keep => "thinking part included",
        };
        format!("r = {credit}, {strictness}, {thinking}")
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        Ok(Box::new(Ifeval(*self)))
    }
}

#[derive(Debug)]
struct Ifeval(IfevalConfig);

impl Verifier for Ifeval {
    fn name(&self) -> &str {
        "ifeval"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_unjudgeable(task, trajectory) {
            return score;
        }
        match Score::from(&check_instructions(&task.reference, trajectory.answer(), &self.0)) {
            Score::Unscorable(reason) => Score::Unscorable(format!("task `{}`: {reason}", task.id)),
            score => score,
        }
    }
}

/// Verdict on all instructions of a reference; the reason counts them and names the first that is not followed.
///
/// # Edge cases
/// Those of [`IfevalConfig`], which also describes the reference.
///
/// # Source
/// That of [`IfevalConfig`].
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::ifeval::{IfevalConfig, check_instructions};
/// let reference = r#"{"instruction_id_list": ["punctuation:no_comma", "keywords:existence"],
///                     "kwargs": [{}, {"keywords": ["rain"], "relation": null}]}"#;
/// let check = |response| check_instructions(reference, response, &IfevalConfig::default());
/// assert!(check("<think>sun, rain?</think>Rain.").is_correct());
/// let verdict = check("Sun.");
/// assert_eq!((verdict.score, verdict.reason.as_ref()), (Some(0.0), "1 of 2 followed, not `keywords:existence`"));
/// assert_eq!(check_instructions("rain", "Rain.", &IfevalConfig::default()).score, None);
/// ```
pub fn check_instructions(reference: &str, response: &str, config: &IfevalConfig) -> Verdict {
    let instructions = match instructions(reference) {
        Ok(instructions) => instructions,
        Err(reason) => return Verdict::unscorable(reason),
    };
    let answer = config.thinking.of(response);
    let missed = |(_, instruction): &&(String, Instruction)| !instruction.follows(answer, config.strictness);
    let missed: Vec<&str> = instructions
        .iter()
        .filter(missed)
        .map(|(id, _)| id.as_str())
        .collect();
    let (total, followed) = (instructions.len(), instructions.len() - missed.len());
    let score = match config.credit {
        Credit::All => f64::from(u8::from(missed.is_empty())),
        Credit::Share => followed as f64 / total as f64,
    };
    let reason = match missed.first() {
        None => format!("{followed} of {total} followed"),
        Some(first) => format!("{followed} of {total} followed, not `{first}`"),
    };
    Verdict::scored(score, reason).extracted(answer)
}

/// The instructions of a reference, at least one.
fn instructions(reference: &str) -> Result<Vec<(String, Instruction)>, String> {
    let value: Value =
        serde_json::from_str(reference).map_err(|e| format!("the reference is not JSON: {e}"))?;
    let named = match &value {
        Value::Array(checks) => checks.iter().map(named_check).collect::<Option<_>>(),
        Value::Object(row) if row.contains_key("instruction_id_list") => data_set_row(row),
        check => named_check(check).map(|check| vec![check]),
    };
    let named: Vec<(&str, Option<&Map<String, Value>>)> = named.ok_or(
        "the reference is neither `instruction_id_list` with as many `kwargs`, nor `instruction` with `args`, nor a list of the latter",
    )?;
    if named.is_empty() {
        return Err("the reference names no instruction".to_owned());
    }
    let none = Map::new();
    let built = named.into_iter().map(|(id, args)| {
        let instruction = Instruction::new(id, args.unwrap_or(&none))?;
        Ok((id.to_owned(), instruction))
    });
    built
        .collect::<Result<_, InstructionError>>()
        .map_err(|e| e.to_string())
}

type Named<'a> = (&'a str, Option<&'a Map<String, Value>>);

fn named_check(check: &Value) -> Option<Named<'_>> {
    let check = check.as_object()?;
    let known = |key: &String| key == "instruction" || key == "args";
    let id = check.get("instruction")?.as_str()?;
    check.keys().all(known).then_some(())?;
    Some((id, arguments(check.get("args"))?))
}

/// Arguments, which may be absent or `null` where an instruction takes none; `None` if there is something else.
fn arguments(value: Option<&Value>) -> Option<Option<&Map<String, Value>>> {
    match value {
        None | Some(Value::Null) => Some(None),
        Some(args) => args.as_object().map(Some),
    }
}

fn data_set_row(row: &Map<String, Value>) -> Option<Vec<Named<'_>>> {
    let ids = row.get("instruction_id_list")?.as_array()?;
    let args = row.get("kwargs")?.as_array()?;
    (ids.len() == args.len()).then_some(())?;
    let pairs = ids.iter().zip(args);
    pairs
        .map(|(id, args)| Some((id.as_str()?, arguments(Some(args))?)))
        .collect()
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
