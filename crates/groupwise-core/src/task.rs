//! Tasks: what a policy is asked.

use serde::{Deserialize, Serialize};

use crate::key::hash_str;

/// One prompt with what is needed to start its environment and to judge an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Stable identity; draws are keyed by it, so that the order of a pool changes nothing.
    pub id: String,
    /// The text put to the policy.
    pub prompt: String,
    /// Reference answer (gold), empty where the environment itself rewards.
    #[serde(default)]
    pub reference: String,
    /// Ground-truth difficulty of generated tasks, in units of the generator (carries, skills); for reports.
    #[serde(default)]
    pub difficulty: f64,
    /// Further columns of the row, handed to environment and verifier as they are.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub columns: serde_json::Map<String, serde_json::Value>,
}

impl Task {
    /// A task without further columns.
    pub fn new(id: impl Into<String>, prompt: impl Into<String>, reference: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            prompt: prompt.into(),
            reference: reference.into(),
            difficulty: 0.0,
            columns: serde_json::Map::new(),
        }
    }

    /// The number this task contributes to a [`crate::Key`].
    pub fn key(&self) -> u64 {
        hash_str(&self.id)
    }
}
