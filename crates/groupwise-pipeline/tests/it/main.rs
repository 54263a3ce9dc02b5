//! All integration tests in one binary: they link once.

mod common;
mod resume;
mod training;
