//! One adapter per method: a case in, the method's own numbers out.
//!
//! To add one: a file in this folder with `pub(super) fn run(case: &Case) -> Result<Answer, Fault>`, and two
//! lines here.  Read every parameter the specification names with its default there, then `finish` the
//! parameters, so that a case which sets an unknown one fails instead of passing by luck.

mod baselines;
mod knapsack_rl;
mod vade;

mod aepo;
mod grao;
mod llds;
mod p3o;

use crate::{Answer, Case, Fault};

/// Runs one case of a method.
pub type Adapter = fn(&Case) -> Result<Answer, Fault>;

/// Every adapter, by the slug of its golden file.
const ADAPTERS: &[(&str, Adapter)] = &[
    ("baselines", baselines::run),
    ("knapsack-rl", knapsack_rl::run),
    ("vade", vade::run),
    ("llds", llds::run),
    ("p3o", p3o::run),
    ("aepo", aepo::run),
    ("grao", grao::run),
];

/// The adapter of a slug.
pub fn find(slug: &str) -> Option<Adapter> {
    ADAPTERS
        .iter()
        .find(|(name, _)| *name == slug)
        .map(|(_, run)| *run)
}
