//! All integration tests in one binary: they link once.

mod common;
mod repairs;
mod resume;
mod training;
