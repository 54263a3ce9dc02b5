//! Rows of programs and of instructions that a program can check.

use groupwise_reward::sandbox::{ProgramReport, Sandbox, SandboxConfig, SandboxError, TestStatus};
use groupwise_reward::verifiers::CodeTests;
use groupwise_reward::verifiers::ifeval::{Instruction, Strictness};
use serde_json::{Value, json};

use super::answers::expects;
use super::fields::{Fields, Mismatch};

/// `kind`, `program`, `tests` with `expected` (a status per test, or for assertions one for all) and `fraction`.
pub(super) fn tests(row: &Fields<'_>) -> Result<Vec<Mismatch>, String> {
    let kind = row.text("kind")?;
    let reference = json!({"kind": kind, "tests": row.value("tests")?});
    let tests = CodeTests::parse(&reference.to_string())?;
    let program = row.text("program")?;
    let run = || -> Result<ProgramReport, SandboxError> {
        let sandbox = Sandbox::new(SandboxConfig::default()).map_err(|_| SandboxError::Disabled)?;
        match &tests {
            CodeTests::StdinStdout(tests) => sandbox.stdin_tests(program, tests),
            CodeTests::Asserts(tests) => sandbox.assertions(program, tests),
        }
    };
    let mut out = Vec::new();
    let status = |status: TestStatus| serde_json::to_value(status).unwrap_or_default();
    let (found, fraction) = match run() {
        Err(error) => (Value::from(format!("unscorable: {error}")), Value::Null),
        Ok(report) => match tests {
            CodeTests::Asserts(_) => (status(report.overall()), report.fraction().into()),
            CodeTests::StdinStdout(_) => {
                let each: Vec<Value> = report.tests.iter().map(|test| status(test.status)).collect();
                (each.into(), report.fraction().into())
            }
        },
    };
    let mut any = row.compare("expected", found, &mut out);
    any |= row.compare("fraction", fraction, &mut out);
    expects(any, out)
}

/// `instruction`, `args`, `response` with `strict`, `loose`.
pub(super) fn instruction(row: &Fields<'_>) -> Result<Vec<Mismatch>, String> {
    let args = row.value("args")?.as_object().ok_or("`args` is no object")?;
    let response = row.text("response")?;
    let instruction = Instruction::new(row.text("instruction")?, args);
    let mut out = Vec::new();
    let mut any = false;
    for (key, strictness) in [("strict", Strictness::Strict), ("loose", Strictness::Loose)] {
        let found = match &instruction {
            Ok(instruction) => instruction.follows(response, strictness).into(),
            Err(error) => Value::from(format!("unscorable: {error}")),
        };
        any |= row.compare(key, found, &mut out);
    }
    expects(any, out)
}
