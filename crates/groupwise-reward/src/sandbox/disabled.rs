//! The sandbox of a build without programs.

use groupwise_core::ParamError;

use super::{Isolation, ProgramReport, SandboxConfig, SandboxError, StdinTest};

/// Runs nothing: this crate was built without the feature `sandbox`.
#[derive(Debug)]
pub struct Sandbox(());

impl Sandbox {
    /// Checks the configuration.
    ///
    /// # Errors
    /// Those of [`SandboxConfig`].
    pub fn new(config: SandboxConfig) -> Result<Self, ParamError> {
        config.check().map(|()| Self(()))
    }

    /// Nothing is kept from anything, as nothing runs.
    ///
    /// # Errors
    /// [`SandboxError::Disabled`].
    pub fn isolation(&self) -> Result<Isolation, SandboxError> {
        Err(SandboxError::Disabled)
    }

    /// Runs nothing.
    ///
    /// # Errors
    /// [`SandboxError::Disabled`].
    pub fn stdin_tests(&self, _program: &str, _tests: &[StdinTest]) -> Result<ProgramReport, SandboxError> {
        Err(SandboxError::Disabled)
    }

    /// Runs nothing.
    ///
    /// # Errors
    /// [`SandboxError::Disabled`].
    pub fn assertions(&self, _program: &str, _tests: &[String]) -> Result<ProgramReport, SandboxError> {
        Err(SandboxError::Disabled)
    }
}
