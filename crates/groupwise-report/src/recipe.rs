//! In which keys the resolved recipes of the arms differ: what an arm *is*, by its file, not by its name.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::manifest::Manifest;
use crate::read::Cell;

/// A key whose value is not the same in all arms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipeDifference {
    /// Dotted key.
    pub key: String,
    /// Value per arm, in the order of arms; `None` where the key is absent.
    pub values: Vec<Option<String>>,
}

/// Keys that name a run and change nothing in it.
const NAMES: [&str; 4] = ["arm", "name", "run", "seed"];

/// Compares the first recipe of each arm, leaving out names and the seed.
pub(crate) fn differences(manifest: &Manifest, cells: &[Cell]) -> Vec<RecipeDifference> {
    let flat: Vec<BTreeMap<String, String>> = manifest
        .arms
        .iter()
        .map(|arm| {
            let of_arm = cells.iter().filter(|c| c.at.arm == *arm);
            let recipe = of_arm
                .filter_map(|c| c.record.as_ref())
                .find_map(|r| r.recipe.as_ref());
            let mut out = BTreeMap::new();
            if let Some(table) = recipe {
                flatten("", table, &mut out);
            }
            out
        })
        .collect();
    let keys: BTreeSet<&String> = flat.iter().flat_map(|f| f.keys()).collect();
    keys.into_iter()
        .filter(|k| !NAMES.contains(&k.as_str()))
        .filter_map(|key| {
            let values: Vec<Option<String>> = flat.iter().map(|f| f.get(key).cloned()).collect();
            let differ = values.windows(2).any(|w| w[0] != w[1]);
            differ.then(|| RecipeDifference {
                key: key.clone(),
                values,
            })
        })
        .collect()
}

fn flatten(prefix: &str, table: &toml::Table, out: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            toml::Value::Table(inner) if !inner.is_empty() => flatten(&path, inner, out),
            other => {
                out.insert(path, other.to_string());
            }
        }
    }
}
