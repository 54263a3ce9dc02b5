//! Programs of a model, run against tests where they can do little harm.
//!
//! [`Sandbox`] runs Python programs as child processes, with the feature `sandbox` (off by default) on Unix; without it every
//! run is the error [`SandboxError::Disabled`].  What a program is kept from depends on [`Isolation`]; limits are those of
//! [`SandboxConfig`].
//!
//! # Guarantees
//! Always: a process group of its own that is killed as a whole, an empty working folder that is removed afterwards, an
//! environment without the caller's variables, a fixed hash seed, limits on wall time, memory and output, and expected values
//! that the program's process never holds.  With namespaces also what stands at [`Isolation::Namespaces`].  The file
//! system can be read in any case: keep answers where the user cannot read them.  Results are reproducible as far as the program is;
//! the limit of wall time is the one exception.

mod config;
mod report;

#[cfg(all(feature = "sandbox", unix))]
mod asserts;
#[cfg(not(all(feature = "sandbox", unix)))]
mod disabled;
#[cfg(all(feature = "sandbox", unix))]
mod enabled;
#[cfg(all(feature = "sandbox", unix))]
mod process;

pub use config::{Isolation, SandboxConfig};
pub use report::{ProgramReport, SandboxError, StdinTest, TestReport, TestStatus, same_output};

#[cfg(not(all(feature = "sandbox", unix)))]
pub use disabled::Sandbox;
#[cfg(all(feature = "sandbox", unix))]
pub use enabled::Sandbox;
