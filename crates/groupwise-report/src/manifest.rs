//! The small JSON files of a run folder.  Unknown fields are ignored: a folder may know more than a report shows.

use serde::{Deserialize, Serialize};

/// `ablation.json`: which arms, which seeds, and where each cell ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the ablation.
    pub name: String,
    /// What it asks.
    #[serde(default)]
    pub description: String,
    /// The arm that others are compared with.
    pub baseline: String,
    /// All arms, in the order of the report.
    pub arms: Vec<String>,
    /// Run seeds shared by all arms.
    pub seeds: Vec<u64>,
    /// Primary metric, a key of evaluation events.
    pub metric: String,
    /// Where each cell ran.
    pub cells: Vec<CellRef>,
    /// What the ablation is meant to show, as written: see [`crate::Claim`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<serde_json::Value>,
}

/// One cell of an ablation: an arm under a seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellRef {
    /// The arm.
    pub arm: String,
    /// The run seed.
    pub seed: u64,
    /// Name of the run folder: hash of resolved recipe and seed.
    pub run: String,
}

/// `run.json`: what a run folder is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Name of the experiment.
    pub name: String,
    /// The arm it was first made as; an equal recipe under another name shares the run.
    pub arm: String,
    /// The run seed.
    pub seed: u64,
    /// Name of the run folder.
    pub run: String,
    /// Training steps planned.
    pub steps: u64,
    /// Tasks in the pool.
    pub n_tasks: usize,
}
