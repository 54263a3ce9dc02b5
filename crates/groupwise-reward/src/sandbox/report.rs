//! What running a program against tests found.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How one test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestStatus {
    /// As it should.
    Pass,
    /// With a wrong output, or an assertion that does not hold.
    Fail,
    /// Not within the time.
    Timeout,
    /// With an exception, or an exit status that is not 0.
    Error,
}

/// One test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestReport {
    /// How it ended.
    pub status: TestStatus,
    /// Why; empty if it passed.
    pub why: String,
}

impl TestReport {
    #[cfg(all(feature = "sandbox", unix))]
    pub(super) fn new(status: TestStatus, why: impl Into<String>) -> Self {
        Self {
            status,
            why: why.into(),
        }
    }
}

/// All tests of one program, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramReport {
    /// One for each test.
    pub tests: Vec<TestReport>,
}

impl ProgramReport {
    /// Share of tests that passed; `None` if there are none.
    pub fn fraction(&self) -> Option<f64> {
        let passed = self.tests.iter().filter(|t| t.status == TestStatus::Pass).count();
        (!self.tests.is_empty()).then(|| passed as f64 / self.tests.len() as f64)
    }

    /// All tests as one: `Pass` if there are some and all pass, `Timeout` if one ran out of time, else `Fail`.
    pub fn overall(&self) -> TestStatus {
        let has = |status| self.tests.iter().any(|t| t.status == status);
        let failed = has(TestStatus::Fail) || has(TestStatus::Error) || self.tests.is_empty();
        match (has(TestStatus::Timeout), failed) {
            (true, _) => TestStatus::Timeout,
            (false, true) => TestStatus::Fail,
            (false, false) => TestStatus::Pass,
        }
    }
}

/// Why nothing could be found out about a program; none of it is the program's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SandboxError {
    /// The crate was built without programs.
    Disabled,
    /// The interpreter cannot be run.
    Python {
        /// The interpreter of the configuration.
        python: String,
        /// What happened.
        reason: String,
    },
    /// Namespaces were asked for and are not granted.
    Namespaces {
        /// What happened.
        reason: String,
    },
    /// The operating system refused something.
    System {
        /// What was tried.
        what: &'static str,
        /// What happened.
        reason: String,
    },
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str(
                "programs are not run: this build of groupwise-reward lacks the feature `sandbox`, or the system is no Unix",
            ),
            Self::Python { python, reason } => write!(f, "Python (`python` = `{python}`) cannot be run: {reason}"),
            Self::Namespaces { reason } => write!(
                f,
                "`isolation` = `namespaces`: this machine does not grant them ({reason}); `auto` does without"
            ),
            Self::System { what, reason } => write!(f, "sandbox: {what}: {reason}"),
        }
    }
}

impl std::error::Error for SandboxError {}

/// An input and the output it must lead to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StdinTest {
    /// What the program reads.
    pub stdin: String,
    /// What it must write.
    pub stdout: String,
}

/// True if two outputs are the same line by line: white space at the right of each line and blank lines at the end apart.
///
/// # Example
/// ```
/// use groupwise_reward::sandbox::same_output;
/// assert!(same_output("3 \n4\n\n", "3\r\n4"));
/// assert!(!same_output("3\n", "3\n4\n") && !same_output("3\n4\n", "3\n") && !same_output("3\n\n4", "3\n4"));
/// ```
pub fn same_output(found: &str, expected: &str) -> bool {
    fn lines(text: &str) -> impl Iterator<Item = &str> {
        text.trim_end().split('\n').map(str::trim_end)
    }
    lines(found).eq(lines(expected))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(statuses: &[TestStatus]) -> ProgramReport {
        let test = |&status| TestReport {
            status,
            why: String::new(),
        };
        ProgramReport {
            tests: statuses.iter().map(test).collect(),
        }
    }

    #[test]
    fn all_tests_are_judged_as_one_and_by_share() {
        use TestStatus::{Error, Fail, Pass, Timeout};
        for (statuses, overall, fraction) in [
            (&[Pass, Pass][..], Pass, Some(1.0)),
            (&[Pass, Error], Fail, Some(0.5)),
            (&[Pass, Fail, Timeout, Pass], Timeout, Some(0.5)),
            (&[], Fail, None),
        ] {
            let report = report(statuses);
            assert_eq!((report.overall(), report.fraction()), (overall, fraction));
        }
    }

    proptest! {
        #[test]
        fn white_space_at_the_right_never_matters(lines in prop::collection::vec("[a ]{0,3}", 0..5), tail in "[ \t\r]{0,2}") {
            let plain = lines.join("\n");
            let padded: Vec<String> = lines.iter().map(|line| format!("{line}{tail}")).collect();
            let padded = padded.join("\n") + "\n\n";
            prop_assert!(same_output(&padded, &plain) && same_output(&plain, &padded));
        }

        #[test]
        fn another_number_of_lines_is_another_output(lines in prop::collection::vec("[a-c]{1,3}", 1..5), more in "[a-c]{1,3}") {
            let plain = lines.join("\n");
            let longer = plain.clone() + "\n" + &more;
            prop_assert!(!same_output(&plain, &longer) && !same_output(&longer, &plain));
        }
    }
}
