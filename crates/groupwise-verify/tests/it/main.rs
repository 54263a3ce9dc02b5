//! Integration tests in one binary: they link once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;
mod docs;
mod folder;
mod hostile;
mod rows;
mod stream;
