//! Limits of the sandbox, as they stand in recipes.

use groupwise_core::ParamError;
use serde::{Deserialize, Serialize};

/// What keeps a program from the rest of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Namespaces where this machine grants them to its users, else a process group.
    #[default]
    Auto,
    /// Namespaces of Linux, or an error: no network, no process of others in sight, everything but the working folder
    /// read-only, no capabilities, and nothing outlives the program.
    Namespaces,
    /// A process group of its own, killed as a whole.  The network stays reachable, the user's files stay writable, and a
    /// program that starts a session of its own outlives the run: for programs that are trusted.
    ProcessGroup,
}

/// Interpreter and limits of the programs that are run.
///
/// # Shapes
/// Seconds of wall time; MB are 2^20 bytes, KB are 2^10.
///
/// # Errors
/// [`ParamError`] for a limit that is 0, not finite, or beyond what is written at the field.
///
/// # Source
/// Ours; the figures are those that published graders of programs use, or tighter.
///
/// # Example
/// ```
/// use groupwise_reward::sandbox::{Isolation, SandboxConfig};
/// let config: SandboxConfig = serde_json::from_str(r#"{"time_s": 2.0, "isolation": "namespaces"}"#)?;
/// assert_eq!((config.isolation, config.memory_mb), (Isolation::Namespaces, 512));
/// assert!(config.check().is_ok());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxConfig {
    /// Interpreter: a path, or a name that is looked up in `PATH`. Python 3.9 or later.
    pub python: String,
    /// What keeps a program from the rest of the machine.
    pub isolation: Isolation,
    /// Wall time of one test with input and output, or of all assertions together; at most 600. The one limit whose effect
    /// depends on the machine: a program close to it may pass here and not there.
    pub time_s: f64,
    /// Address space of each process, at least 32.
    pub memory_mb: u64,
    /// Output that is read; what goes beyond fails. Also the size of one value that tests look at.
    pub output_kb: u64,
    /// Size of the working folder (of each file in it, without namespaces).
    pub folder_kb: u64,
    /// Files in the working folder. Without namespaces there is no limit.
    pub files: u64,
    /// Open files of each process, at least 16.
    pub open_files: u64,
    /// Processes and threads. Not kept without namespaces, nor by the kernel for a sandbox that root starts.
    pub processes: u64,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            python: "python3".to_owned(),
            isolation: Isolation::Auto,
            time_s: 5.0,
            memory_mb: 512,
            output_kb: 1024,
            folder_kb: 16 * 1024,
            files: 256,
            open_files: 64,
            processes: 32,
        }
    }
}

impl SandboxConfig {
    /// Checks every limit.
    ///
    /// # Errors
    /// Those of [`SandboxConfig`].
    pub fn check(&self) -> Result<(), ParamError> {
        let within = |key, value: u64, low: u64, range| {
            ParamError::check((low..=1 << 30).contains(&value), key, value, range)
        };
        ParamError::check(
            !self.python.trim().is_empty(),
            "python",
            &self.python,
            "an interpreter",
        )?;
        ParamError::check(
            self.time_s > 0.0 && self.time_s <= 600.0,
            "time_s",
            self.time_s,
            "in (0, 600]",
        )?;
        within("memory_mb", self.memory_mb, 32, "in [32, 2^30]")?;
        within("output_kb", self.output_kb, 1, "in [1, 2^30]")?;
        within("folder_kb", self.folder_kb, 1, "in [1, 2^30]")?;
        within("files", self.files, 1, "in [1, 2^30]")?;
        within("open_files", self.open_files, 16, "in [16, 2^30]")?;
        within("processes", self.processes, 2, "in [2, 2^30]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_out_of_range_are_refused_by_name() {
        let refused = |json: &str| {
            let config: SandboxConfig = serde_json::from_str(json).unwrap();
            config.check().unwrap_err().to_string()
        };
        assert_eq!(refused(r#"{"time_s": 0.0}"#), "`time_s` = 0: must be in (0, 600]");
        assert_eq!(
            refused(r#"{"memory_mb": 16}"#),
            "`memory_mb` = 16: must be in [32, 2^30]"
        );
        assert_eq!(refused(r#"{"files": 0}"#), "`files` = 0: must be in [1, 2^30]");
        assert_eq!(
            refused(r#"{"python": " "}"#),
            "`python` =  : must be an interpreter"
        );
        assert!(
            SandboxConfig {
                time_s: f64::NAN,
                ..SandboxConfig::default()
            }
            .check()
            .is_err()
        );
        assert!(SandboxConfig::default().check().is_ok());
    }
}
