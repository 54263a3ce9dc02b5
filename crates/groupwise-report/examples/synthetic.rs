//! Writes a synthetic ablation and its report into a folder: `cargo run -p groupwise-report --example synthetic -- DIR`.

#[path = "../tests/report/synthetic.rs"]
mod synthetic;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::args().nth(1).ok_or("give a folder to write to")?);
    let dir = synthetic::write_ablation(&root, "knapsack-and-vade", &synthetic::ARMS, &[0, 1, 2, 3], 60);
    let paths = groupwise_report::write_report(&dir)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n{}", paths.text, paths.html.display())?;
    Ok(())
}
