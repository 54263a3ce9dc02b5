//! Programs judged by running them against tests.

use groupwise_core::{ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ifeval::{Credit, Thinking};
use super::refuse_unjudgeable;
use crate::Verdict;
use crate::sandbox::{Sandbox, SandboxConfig, SandboxError, StdinTest, TestStatus};

/// Where in a response the program stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramPart {
    /// In the last closed block of three backticks marked `python`; a response without one holds no program.
    #[default]
    LastBlock,
    /// It is the whole response.
    Whole,
}

impl ProgramPart {
    /// The program; `None` if there is none.
    ///
    /// # Example
    /// ```
    /// use groupwise_reward::verifiers::ProgramPart;
    /// let response = "First:\n```python\nprint(1)\n```\nBetter:\n```python\nprint(2)\n```\nDone.";
    /// assert_eq!(ProgramPart::LastBlock.of(response), Some("print(2)\n"));
    /// assert_eq!(ProgramPart::LastBlock.of("```python\nprint(1)"), None);
    /// assert_eq!(ProgramPart::Whole.of("print(1)"), Some("print(1)"));
    /// ```
    pub fn of(self, response: &str) -> Option<&str> {
        if self == Self::Whole {
            return Some(response);
        }
        let mut found = None;
        let mut rest = response;
        while let Some((_, after)) = rest.split_once("```python\n") {
            let Some((program, tail)) = after.split_once("```") else {
                break;
            };
            found = Some(program);
            rest = tail;
        }
        found
    }
}

/// Tests of a task: the reference of `code-tests`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeTests {
    /// The program is run once for each, and its whole output compared.
    StdinStdout(Vec<StdinTest>),
    /// Statements that are run with what the program defines.
    Asserts(Vec<String>),
}

impl CodeTests {
    /// Reads `{"kind": "stdin_stdout", "tests": [{"stdin": .., "stdout": ..}, ..]}` or `{"kind": "asserts", "tests": [".."]}`.
    ///
    /// # Errors
    /// A text that says what is wrong: no JSON, another kind, no test.
    pub fn parse(reference: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(reference).map_err(|e| format!("the reference is not JSON: {e}"))?;
        let tests = value.get("tests").cloned().unwrap_or_default();
        let wrong = |e: serde_json::Error| format!("`tests` of the reference: {e}");
        let parsed = match value.get("kind").and_then(Value::as_str) {
            Some("stdin_stdout") => Self::StdinStdout(serde_json::from_value(tests).map_err(wrong)?),
            Some("asserts") => Self::Asserts(serde_json::from_value(tests).map_err(wrong)?),
            _ => return Err("`kind` of the reference: must be `stdin_stdout` or `asserts`".to_owned()),
        };
        match &parsed {
            Self::StdinStdout(tests) if tests.is_empty() => Err("the reference has no tests".to_owned()),
            Self::Asserts(tests) if tests.is_empty() => Err("the reference has no tests".to_owned()),
            _ => Ok(parsed),
        }
    }
}

/// Verdict on a program: runs it against the tests.
///
/// # Formula
/// [`Credit::All`]: 1 if every test passes, else 0.  [`Credit::Share`]: the share of tests that pass.
///
/// # Edge cases
/// The reason names the first test that does not pass.  No interpreter, or no isolation where it was asked for: unscorable.
///
/// # Source
/// That of [`CodeTestsConfig`].
pub fn code_tests(sandbox: &Sandbox, tests: &CodeTests, program: &str, credit: Credit) -> Verdict {
    let report = match tests {
        CodeTests::StdinStdout(tests) => sandbox.stdin_tests(program, tests),
        CodeTests::Asserts(tests) => sandbox.assertions(program, tests),
    };
    let report = match report {
        Ok(report) => report,
        Err(error) => return Verdict::unscorable(error.to_string()),
    };
    let share = report.fraction().unwrap_or_default();
    let score = match credit {
        Credit::All => f64::from(u8::from(share >= 1.0)),
        Credit::Share => share,
    };
    let n_tests = report.tests.len();
    let missed = report
        .tests
        .iter()
        .enumerate()
        .find(|(_, test)| test.status != TestStatus::Pass);
    let reason = match missed {
        None => format!("all {n_tests} tests passed"),
        Some((at, test)) => format!("test {} of {n_tests}: {}", at + 1, told(test.status, &test.why)),
    };
    Verdict::scored(score, reason).extracted(program)
}

fn told(status: TestStatus, why: &str) -> String {
    let status = match status {
        TestStatus::Pass => "pass",
        TestStatus::Fail => "fail",
        TestStatus::Timeout => "timeout",
        TestStatus::Error => "error",
    };
    if why.is_empty() {
        status.to_owned()
    } else {
        format!("{status}, {why}")
    }
}

/// 1 for a Python program that passes the tests of its task.
///
/// # Formula
/// `r = [all tests pass]`, or the share that passes.
///
/// # Shapes
/// In [0, 1].  The reference of a task is JSON, see [`CodeTests::parse`].
///
/// # Edge cases
/// - No program in the response, or none outside its thinking part: 0.
/// - A reference that cannot be read, or a machine that cannot run programs: unscorable, with the reason, never 0.
/// - A verdict is a function of task and response as far as the program is one, except for the limit of wall time: give it
///   room, or a loaded machine decides.
///
/// # Errors
/// Those of [`SandboxConfig`]; and always, without the feature `sandbox` of this crate (on in the command line).
///
/// # Source
/// Ours: the published graders run `exec` in a process that the program can end or change.  More: [`Sandbox`].
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::CodeTestsConfig;
/// let config: CodeTestsConfig = serde_json::from_str(r#"{"credit": "share", "sandbox": {"time_s": 2.0}}"#)?;
/// assert_eq!(config.sandbox.time_s, 2.0);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodeTestsConfig {
    /// What several tests earn together.
    pub credit: Credit,
    /// Where in a response the program stands.
    pub program: ProgramPart,
    /// What becomes of a thinking part.
    pub thinking: Thinking,
    /// Interpreter and limits.
    pub sandbox: SandboxConfig,
}

impl Part<dyn Verifier> for CodeTestsConfig {
    const SOURCE: &'static str =
        "Tests of programs in a sandbox, ours; reproducible but for the limit of wall time";

    fn formula(&self) -> String {
        let credit = match self.credit {
            Credit::All => "[all tests pass]",
            Credit::Share => "share of tests that pass",
        };
        let program = match self.program {
            ProgramPart::LastBlock => "last python block",
            ProgramPart::Whole => "whole response",
        };
        format!(
            "r = {credit}, program = {program}, each run within {} s and {} MB",
            self.sandbox.time_s, self.sandbox.memory_mb
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        let sandbox = Sandbox::new(self.sandbox.clone())?;
        if !cfg!(all(feature = "sandbox", unix)) {
            let range = format!("another verifier: {}", SandboxError::Disabled);
            return Err(ParamError::new("verifier", "code-tests", range));
        }
        let config = self.clone();
        Ok(Box::new(CodeTestsVerifier { config, sandbox }))
    }
}

#[derive(Debug)]
struct CodeTestsVerifier {
    config: CodeTestsConfig,
    sandbox: Sandbox,
}

impl Verifier for CodeTestsVerifier {
    fn name(&self) -> &str {
        "code-tests"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_unjudgeable(task, trajectory) {
            return score;
        }
        let tests = match CodeTests::parse(&task.reference) {
            Ok(tests) => tests,
            Err(reason) => return Score::Unscorable(format!("task `{}`: {reason}", task.id)),
        };
        let answer = self.config.thinking.of(trajectory.answer());
        let Some(program) = self.config.program.of(answer) else {
            return Score::Value(0.0);
        };
        match Score::from(&code_tests(&self.sandbox, &tests, program, self.config.credit)) {
            Score::Unscorable(reason) => Score::Unscorable(format!("task `{}`: {reason}", task.id)),
            score => score,
        }
    }
}

#[cfg(test)]
#[path = "tested_code_tests.rs"]
mod tests;
