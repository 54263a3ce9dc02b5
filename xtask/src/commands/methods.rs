//! Regenerates the list of every part of every seam.

use std::fmt::Write;

use groupwise_core::part::PartInfo;
use serde_json::Value;

use super::generated;
use crate::Outcome;

const DOCUMENT: &str = "docs/methods.md";
const COMMAND: &str = "methods";
const TITLE: &str = "# Methods";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask methods              rewrite the list in docs/methods.md from the registries
  cargo xtask methods --check      exit 1 if it is out of date

Text outside the two markers of the document is left as it is.")]
pub(crate) struct Args {
    /// Write nothing; fail if the document is out of date.
    #[arg(long)]
    check: bool,
}

/// Rewrites, or checks, the list between the markers.
pub(crate) fn run(args: &Args) -> Outcome {
    let catalogue = groupwise_recipe::catalogue();
    let count: usize = catalogue.iter().map(|(_, parts)| parts.len()).sum();
    generated::write(
        DOCUMENT,
        TITLE,
        COMMAND,
        &list(&catalogue),
        args.check,
        &format!("{count} parts"),
    )
}

fn list(catalogue: &[(&'static str, Vec<PartInfo>)]) -> String {
    let mut out = String::new();
    for (seam, parts) in catalogue {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\n## {seam}\n");
        for part in parts {
            let _ = writeln!(
                out,
                "### `[{seam}.{}]`\n\n```text\n{}\n```\n\nSource: {}  \nDefaults: {}\n",
                part.name,
                part.formula,
                part.source.replace('<', "&lt;"),
                defaults(&part.defaults)
            );
        }
    }
    out
}

fn defaults(defaults: &Value) -> String {
    match defaults {
        Value::Object(map) if !map.is_empty() => {
            let pairs: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("`{key} = {value}`"))
                .collect();
            pairs.join(", ")
        }
        _ => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo;

    #[test]
    fn the_document_is_up_to_date() {
        let text = list(&groupwise_recipe::catalogue());
        let path = repo::root().join(DOCUMENT);
        let (before, after) = generated::splice_file(&path, TITLE, COMMAND, &text).unwrap();
        assert!(before == Some(after), "run `cargo xtask methods`");
    }

    #[test]
    fn a_part_is_shown_with_formula_source_and_defaults() {
        let part = PartInfo {
            name: "grpo",
            formula: "A = r\nsecond".into(),
            source: "a paper",
            defaults: serde_json::json!({"eps": 1e-6}),
        };
        let bare = PartInfo {
            defaults: Value::Null,
            ..part.clone()
        };
        assert_eq!(
            list(&[("advantage", vec![part, bare])]),
            "\n## advantage\n\n### `[advantage.grpo]`\n\n```text\nA = r\nsecond\n```\n\nSource: a paper  \n\
             Defaults: `eps = 1e-6`\n\n### `[advantage.grpo]`\n\n```text\nA = r\nsecond\n```\n\nSource: a paper  \n\
             Defaults: none\n\n"
        );
    }
}
