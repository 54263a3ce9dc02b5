//! All integration tests in one binary: they link once.

mod bad_input;
mod common;
mod kill;
