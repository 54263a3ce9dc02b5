//! What a person sees: bars with ETA on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};

use groupwise_pipeline::Clock;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::clock::Wall;
use crate::protocol::Message;

/// Seconds between lines where there is no terminal.
const LINE_EVERY: f64 = 10.0;

/// Prints a line to standard output.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints an error.
pub(crate) fn say_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "error: {text}");
}

/// Progress of all cells of an ablation.
pub(crate) struct Board {
    bars: Option<MultiProgress>,
    total: ProgressBar,
    cells: Vec<Cell>,
    metric: String,
    clock: Wall,
    last_line: f64,
    /// When the first training step was heard of; warm starts say nothing about the pace.
    paced_since: Option<f64>,
    steps: u64,
    n_cells: u64,
    /// Steps that were done before this command, so that ETA counts work, not history.
    n_ended: u64,
}

struct Cell {
    bar: Option<ProgressBar>,
    label: String,
    step: u64,
    first_step: Option<u64>,
    value: Option<f64>,
    reward: Option<f64>,
    /// Supervised steps done and planned, until the first training step.
    warming: Option<(u64, u64)>,
    ended: bool,
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

impl Board {
    /// A board for cells of `steps` training steps each.
    pub(crate) fn new(n_cells: usize, steps: u64, metric: &str) -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        let total = ProgressBar::new(n_cells as u64 * steps);
        let total = match &bars {
            Some(bars) if n_cells > 1 => bars.add(total),
            _ => ProgressBar::hidden(),
        };
        total.set_style(style(
            "{elapsed_precise} [{bar:30}] {percent}% of all cells, {msg}",
        ));
        Self {
            bars,
            total,
            cells: Vec::new(),
            metric: metric.to_owned(),
            clock: Wall::start(),
            last_line: 0.0,
            paced_since: None,
            steps,
            n_cells: n_cells as u64,
            n_ended: 0,
        }
    }

    /// A cell starts; `index` counts cells that were begun.
    pub(crate) fn begin(&mut self, index: usize, label: &str) {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(self.steps));
            bar.set_style(style("  {prefix:24} [{bar:30}] {pos}/{len} {msg}"));
            bar.set_prefix(label.to_owned());
            bar
        });
        let cell = Cell {
            bar,
            label: label.to_owned(),
            step: 0,
            first_step: None,
            value: None,
            reward: None,
            warming: None,
            ended: false,
        };
        self.cells.insert(index, cell);
    }

    /// A cell says something.
    pub(crate) fn hear(&mut self, index: usize, message: &Message) {
        let metric = self.metric.clone();
        let Some(cell) = self.cells.get_mut(index) else {
            return;
        };
        match message {
            Message::Warm { done, total } => cell.warming = Some((*done, *total)),
            Message::Step { step, reward } => {
                cell.first_step.get_or_insert(*step);
                (cell.step, cell.reward, cell.warming) = (*step, *reward, None);
                self.paced_since.get_or_insert(self.clock.seconds());
            }
            Message::Eval { step, value } => {
                cell.first_step.get_or_insert(*step);
                (cell.step, cell.value, cell.warming) = (*step, *value, None);
            }
            Message::Ended { .. } | Message::Failed { .. } => {}
        }
        if let Some(bar) = &cell.bar {
            bar.set_position(cell.step);
            bar.set_message(figures(cell, &metric));
        }
        self.refresh();
    }

    /// A cell ended, one way or the other.
    pub(crate) fn end(&mut self, index: usize, how: &str) {
        self.n_ended += 1;
        let Some(cell) = self.cells.get_mut(index) else {
            return;
        };
        if let Some(bar) = cell.bar.take() {
            bar.finish_and_clear();
        }
        let found = figures(cell, &self.metric);
        let line = format!(
            "{}: {how}{}{found}",
            cell.label,
            if found.is_empty() { "" } else { ", " }
        );
        cell.step = self.steps;
        cell.ended = true;
        self.print(&line);
        self.refresh();
    }

    /// Prints a line without disturbing the bars.
    pub(crate) fn print(&self, line: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(line);
            }
            None => say(line),
        }
    }

    /// Takes the bars away.
    pub(crate) fn close(&mut self) {
        self.total.finish_and_clear();
        for cell in &mut self.cells {
            if let Some(bar) = cell.bar.take() {
                bar.finish_and_clear();
            }
        }
    }

    fn refresh(&mut self) {
        let elapsed = self.clock.seconds();
        let done: u64 = self.cells.iter().map(|c| c.step).sum();
        let eta = self
            .eta(elapsed, done)
            .map_or("ETA unknown yet".into(), |s| format!("ETA {}", duration(s)));
        self.total.set_position(done);
        self.total.set_message(eta.clone());
        if self.bars.is_none() && elapsed - self.last_line >= LINE_EVERY {
            self.last_line = elapsed;
            let percent = 100 * done / (self.n_cells * self.steps).max(1);
            let running: Vec<String> = self
                .cells
                .iter()
                .filter(|c| !c.ended)
                .map(|c| {
                    format!(
                        "{} {}/{} {}",
                        c.label,
                        c.step,
                        self.steps,
                        figures(c, &self.metric)
                    )
                })
                .collect();
            let ended = format!("{}/{} cells", self.n_ended, self.n_cells);
            say(&format!(
                "{} {percent}% {ended}, {eta}; {}",
                duration(elapsed),
                running.join("; ")
            ));
        }
    }

    /// Seconds left at the pace of this command's own training steps.
    fn eta(&self, elapsed: f64, done: u64) -> Option<f64> {
        let own = |c: &Cell| Some(c.step.saturating_sub(c.first_step?));
        let fresh: u64 = self.cells.iter().filter_map(own).sum();
        let left = (self.n_cells * self.steps).saturating_sub(done);
        let since = self.paced_since.filter(|_| fresh > 0)?;
        Some((elapsed - since) / fresh as f64 * left as f64)
    }
}

/// The current figures of a cell.
fn figures(cell: &Cell, metric: &str) -> String {
    let mut parts = Vec::new();
    if let Some((done, total)) = cell.warming {
        parts.push(format!("warm start {done}/{total}"));
    }
    if let Some(value) = cell.value {
        parts.push(format!("{metric} {value:.3}"));
    }
    if let Some(reward) = cell.reward {
        parts.push(format!("reward {reward:.3}"));
    }
    parts.join(", ")
}

/// Seconds for people.
pub(crate) fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (h, m) {
        (0, 0) => format!("{s} s"),
        (0, _) => format!("{m} min {s:02} s"),
        _ => format!("{h} h {m:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(4.4), "4 s");
        assert_eq!(duration(61.0), "1 min 01 s");
        assert_eq!(duration(3_725.0), "1 h 02 min");
    }
}
