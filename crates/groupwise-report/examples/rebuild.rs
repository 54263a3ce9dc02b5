//! Rebuilds the report of a run or ablation folder: `cargo run -p groupwise-report --example rebuild -- DIR`.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = PathBuf::from(std::env::args().nth(1).ok_or("give a run or ablation folder")?);
    let paths = groupwise_report::write_report(&dir)?;
    writeln!(
        std::io::stdout().lock(),
        "{}\n{}",
        paths.text,
        paths.html.display()
    )?;
    Ok(())
}
