//! All integration tests in one binary: they link once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod bad_input;
mod common;
mod kill;
mod score;
