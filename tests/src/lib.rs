//! Conformance harness: golden cases in, a verdict per case out.
//!
//! A golden file holds numbers computed independently of this workspace (authors' code, or float64 NumPy from
//! the paper's formula).  This crate reads such files, hands each case to the adapter of its method, and
//! compares what comes back with what is expected, entry by entry.  `tests/tests/golden.rs` turns every case
//! into a named test; `cargo xtask conform` runs the same harness in one process and prints a line per method.
//!
//! | module | holds |
//! |---|---|
//! | [`case`](mod@case) | the file schema, parsed strictly |
//! | [`fields`] | typed access to `params` and `input`; a parameter nobody asked for is a fault |
//! | [`nested`] | group > trajectory > token nesting, flattened and rebuilt |
//! | [`compare`](mod@compare) | expected against found, with the path of the first difference |
//! | [`disputed`] | cases whose numbers contradict themselves |
//! | [`adapters`] | one file per method: case to calls of the public functions |
//! | [`generic`] | methods that follow the naming convention need no adapter |
//! | [`harness`] | runs files and folders |
//!
//! # How a number is compared
//! `|found - expected| <= tolerance + 1e-12 * |expected|`: the tolerance of the case is absolute, and the small
//! relative part is what two float64 sums of different order may differ by.  Two integers must be equal;
//! `null`, booleans and strings must be identical; a number that is NaN or infinite equals nothing.  Keys that
//! a method returns beyond the expected ones are not looked at.

pub mod adapters;
pub mod case;
pub mod compare;
pub mod disputed;
pub mod fault;
pub mod fields;
pub mod generic;
pub mod harness;
pub mod nested;

pub use case::{Case, GoldenFile};
pub use compare::{Difference, compare};
pub use fault::Fault;
pub use fields::Fields;
pub use harness::{FileReport, Outcome, run_dir, run_file};

/// What an adapter returns: the entries named in `expect`, and any others.
pub type Answer = serde_json::Map<String, serde_json::Value>;

/// An answer of these entries.
pub fn answer<const N: usize>(entries: [(&str, serde_json::Value); N]) -> Answer {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
