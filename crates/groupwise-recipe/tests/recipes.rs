//! Every recipe of the repository parses, plans, prints and survives its own resolved form.

use std::fs;
use std::path::{Path, PathBuf};

use groupwise_recipe::{Experiment, Recipe, explain};

fn recipes() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benchmarks");
    let mut files = Vec::new();
    for folder in ["ablations", "papers"] {
        let Ok(entries) = fs::read_dir(root.join(folder)) else {
            continue;
        };
        files.extend(
            entries
                .flatten()
                .map(|e| e.path())
                .filter(|p| p.extension().is_some_and(|e| e == "toml")),
        );
    }
    files.sort();
    files
}

#[test]
fn every_recipe_parses_plans_and_prints() {
    let files = recipes();
    assert!(files.len() >= 3, "found only {files:?}");
    for file in files {
        let experiment = Experiment::from_file(&file, &[]).unwrap_or_else(|e| panic!("{e}"));
        for arm in &experiment.arms {
            arm.recipe
                .plan(None)
                .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let resolved = arm.recipe.to_toml().unwrap();
            assert_eq!(Recipe::from_toml(&resolved).unwrap(), arm.recipe, "{resolved}");
        }
        let text = explain(&experiment, None).unwrap();
        for arm in &experiment.arms {
            assert!(text.contains(&format!("== arm `{}`", arm.name)));
        }
        assert_eq!(
            experiment.name,
            file.file_stem().unwrap().to_string_lossy(),
            "name and file agree"
        );
    }
}

#[test]
fn explain_gives_formulas_sources_and_numbers() {
    let text = r#"name = "x"
[run]
[env.skill-chain]
[policy.tabular]
[arms.a]
[arms.b.sampler.vade]
"#;
    let experiment = Experiment::from_text(Path::new("x.toml"), text, &[]).unwrap();
    let all = explain(&experiment, None).unwrap();
    assert!(
        all.contains("batch: 16 prompts x 8 generations = 128 rollouts a step"),
        "{all}"
    );
    assert!(
        all.contains("advantage = grpo") && all.contains("objective = grpo"),
        "{all}"
    );
    let b = &all[all.find("== arm `b`").unwrap()..];
    assert!(
        b.contains("sampler = vade") && b.contains("all else as in arm `a`"),
        "{b}"
    );
    assert!(
        !b.contains("objective = "),
        "what does not differ is not repeated: {b}"
    );
    assert!(explain(&experiment, Some("c")).is_none());
}
