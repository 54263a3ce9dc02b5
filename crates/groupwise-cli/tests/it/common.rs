//! Starts the built binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A command of the binary under test.
pub(crate) fn groupwise() -> Command {
    Command::new(env!("CARGO_BIN_EXE_groupwise"))
}

/// Runs it and gives exit code, standard output and standard error.
pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// Writes a recipe into a folder.
pub(crate) fn write(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("recipe.toml");
    std::fs::write(&path, text).expect("the folder can be written");
    path
}

/// A tabular ablation of two arms that takes a fraction of a second a cell.
pub(crate) const TABULAR: &str = r#"
name = "tabular"
[ablation]
seeds = [0, 1]
[run]
steps = 40
prompts_per_step = 24
num_generations = 8
max_completion_length = 1
learning_rate = 4.0
eval_steps = 10
save_steps = 3
[env.skill-chain]
[policy.tabular]
[objective.reinforce]
[arms.uniform]
[arms.vade.sampler.vade]
"#;

/// A transformer small enough for a test, with everything that has state.
pub(crate) const TRANSFORMER: &str = r#"
name = "transformer"
[ablation]
seeds = [0]
[run]
steps = 8
prompts_per_step = 6
num_generations = 4
max_completion_length = 20
learning_rate = 1e-3
eval_steps = 4
num_eval_tasks = 16
save_steps = 2
[env.digit-chain]
n_tasks = 80
n_eval = 16
max_carries = 2
[policy.transformer.model]
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 2
num_attention_heads = 2
num_key_value_heads = 1
[warm_start]
steps = 10
batch_size = 16
[verifier.exact-match]
[arms.both]
sampler = { vade = {} }
allocator = { knapsack = {} }
"#;
