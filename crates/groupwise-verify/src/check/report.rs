//! Where verifiers and rows agree.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::Value;

use super::fields::Mismatch;

/// A row that disagrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// Id of the row.
    pub id: String,
    /// Its kind, `-` if it has none.
    pub kind: String,
    /// Its tier.
    pub tier: String,
    /// What differs, in words.
    pub what: String,
}

/// Rows of one kind and tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Rows that agree.
    pub agree: usize,
    /// All rows.
    pub rows: usize,
}

/// Agreement of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FamilyReport {
    /// Family.
    pub family: String,
    /// Rows that agree.
    pub agree: usize,
    /// All rows.
    pub rows: usize,
    /// By tier and kind.
    pub cells: BTreeMap<(String, String), Cell>,
    /// Rows that disagree, in the order of the file.
    pub disagreements: Vec<Disagreement>,
}

impl FamilyReport {
    pub(super) fn new(family: &str) -> Self {
        Self {
            family: family.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn count(&mut self, id: &str, kind: &str, tier: &str, mismatches: Vec<Mismatch>) {
        let agree = usize::from(mismatches.is_empty());
        let cell = self.cells.entry((tier.to_owned(), kind.to_owned())).or_default();
        cell.rows += 1;
        cell.agree += agree;
        self.rows += 1;
        self.agree += agree;
        if agree == 0 {
            let told = |m: &Mismatch| {
                format!(
                    "{} {} instead of {}",
                    m.field,
                    short(&m.found),
                    short(&m.expected)
                )
            };
            self.disagreements.push(Disagreement {
                id: id.to_owned(),
                kind: kind.to_owned(),
                tier: tier.to_owned(),
                what: mismatches.iter().map(told).collect::<Vec<_>>().join(", "),
            });
        }
    }

    /// Rows of tier `core`.
    pub fn core(&self) -> Cell {
        let core = self.cells.iter().filter(|((tier, _), _)| tier == "core");
        core.fold(Cell::default(), |sum, (_, cell)| Cell {
            agree: sum.agree + cell.agree,
            rows: sum.rows + cell.rows,
        })
    }

    fn write(&self, writer: &mut impl Write) -> io::Result<()> {
        writeln!(
            writer,
            "{}: {} of {} rows agree",
            self.family, self.agree, self.rows
        )?;
        for ((tier, kind), cell) in &self.cells {
            write!(
                writer,
                "  {tier:<10}  {kind:<28}  {} of {}",
                cell.agree, cell.rows
            )?;
            let ids = self
                .disagreements
                .iter()
                .filter(|d| d.tier == *tier && d.kind == *kind);
            for (i, disagreement) in ids.enumerate() {
                let mark = if i == 0 { "  disagree: " } else { ", " };
                write!(writer, "{mark}{}", disagreement.id)?;
            }
            writeln!(writer)?;
        }
        for d in &self.disagreements {
            writeln!(writer, "  {} ({}): {}", d.id, d.tier, d.what)?;
        }
        Ok(())
    }
}

/// A value, cut where it is long.
fn short(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}..", &text[..at]),
        None => text,
    }
}

/// Agreement of all files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// One report per file.
    pub families: Vec<FamilyReport>,
    /// Families, by the names of their files, whose rows cannot be checked.
    pub unknown: Vec<String>,
}

impl Agreement {
    /// True if every row of tier `core` agrees and every family is known.
    pub fn is_good(&self) -> bool {
        let core = self.core();
        core.agree == core.rows && self.unknown.is_empty()
    }

    /// Rows of tier `core`.
    pub fn core(&self) -> Cell {
        let cells = self.families.iter().map(FamilyReport::core);
        cells.fold(Cell::default(), |sum, cell| Cell {
            agree: sum.agree + cell.agree,
            rows: sum.rows + cell.rows,
        })
    }

    pub(super) fn write(&self, writer: &mut impl Write) -> io::Result<()> {
        for report in &self.families {
            report.write(writer)?;
        }
        for family in &self.unknown {
            writeln!(writer, "unknown family `{family}`: its rows cannot be checked")?;
        }
        let (agree, rows) = self
            .families
            .iter()
            .fold((0, 0), |(a, r), f| (a + f.agree, r + f.rows));
        let core = self.core();
        let verdict = if self.is_good() { "passed" } else { "FAILED" };
        writeln!(
            writer,
            "{verdict}: {agree} of {rows} rows agree, {} of {} core",
            core.agree, core.rows
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mismatch() -> Mismatch {
        Mismatch {
            field: "em".into(),
            expected: json!(1),
            found: json!("x".repeat(99)),
        }
    }

    #[test]
    fn a_report_counts_by_tier_and_kind_and_names_rows() {
        let mut report = FamilyReport::new("qa");
        report.count("a", "x", "core", vec![]);
        report.count("b", "x", "core", vec![]);
        report.count("c", "y", "convention", vec![mismatch()]);
        report.count("d", "y", "convention", vec![mismatch()]);
        let mut agreement = Agreement {
            families: vec![report],
            unknown: vec![],
        };
        assert!(agreement.is_good());
        let mut out = Vec::new();
        agreement.write(&mut out).unwrap();
        let told = format!("em \"{}.. instead of 1", "x".repeat(59));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(
                "qa: 2 of 4 rows agree\n  convention  y                             0 of 2  disagree: c, d\n  core        x                             2 of 2\n  \
                 c (convention): {told}\n  d (convention): {told}\npassed: 2 of 4 rows agree, 2 of 2 core\n"
            )
        );
        agreement.unknown.push("poetry".into());
        assert!(!agreement.is_good());
        agreement.unknown.clear();
        agreement.families[0].count("e", "x", "core", vec![mismatch()]);
        assert!(!agreement.is_good());
        assert_eq!(agreement.core(), Cell { agree: 2, rows: 3 });
    }
}
