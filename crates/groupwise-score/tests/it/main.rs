//! Integration tests in one binary: they link once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod agreement;
mod common;
mod docs;
mod messages;
mod numbers;
mod schema;
mod stream;
