//! Arms over base, overrides over both.

use toml::{Table, Value};

/// Tables whose one key names a part: another name replaces the part, the same name refines it.
pub(crate) const SEAMS: &[&str] = &[
    "env",
    "policy",
    "sampler",
    "allocator",
    "filter",
    "scaffold",
    "repair",
    "verifier",
    "advantage",
    "objective",
];

/// Merges `over` into `base`, table by table.
pub(crate) fn merge(base: &mut Table, over: &Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => {
                let names_another = SEAMS.contains(&key.as_str()) && new.keys().any(|k| !old.contains_key(k));
                if names_another {
                    old.clear();
                }
                merge_plain(old, new);
            }
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Below a seam's name there are no further part names.
fn merge_plain(base: &mut Table, over: &Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge_plain(old, new),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Parses `a.b.c=value`: the value as TOML, or as a string where it is no TOML value.
pub(crate) fn parse_override(text: &str) -> Result<Table, String> {
    let (path, value) = text
        .split_once('=')
        .ok_or("expected key=value, for example run.steps=20")?;
    let keys: Vec<&str> = path.trim().split('.').collect();
    if keys.iter().any(|k| k.is_empty()) {
        return Err(format!("`{}` is no dotted key", path.trim()));
    }
    let value = value.trim();
    let parsed = format!("value = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut t| t.remove("value"));
    let mut nested = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
    for key in keys.iter().rev() {
        nested = Value::Table(Table::from_iter([((*key).to_owned(), nested)]));
    }
    match nested {
        Value::Table(table) => Ok(table),
        _ => Err("expected a dotted key".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn an_arm_refines_the_same_part_and_replaces_another() {
        let base = table("[advantage.grpo]\neps = 1\nstd = 2\n[run]\nsteps = 3\n");
        let mut same = base.clone();
        merge(&mut same, &table("[advantage.grpo]\neps = 9\n"));
        assert_eq!(
            same,
            table("[advantage.grpo]\neps = 9\nstd = 2\n[run]\nsteps = 3\n")
        );
        let mut other = base;
        merge(&mut other, &table("[advantage.rloo]\n[run]\nsteps = 4\n"));
        assert_eq!(other, table("[advantage.rloo]\n[run]\nsteps = 4\n"));
    }

    #[test]
    fn overrides_are_toml_values_or_strings() {
        assert_eq!(
            parse_override("run.steps = 5").unwrap(),
            table("[run]\nsteps = 5")
        );
        assert_eq!(parse_override("a=[1, 2]").unwrap(), table("a = [1, 2]"));
        assert_eq!(parse_override("a.b=flex").unwrap(), table("a.b = 'flex'"));
        assert_eq!(
            parse_override("steps").unwrap_err(),
            "expected key=value, for example run.steps=20"
        );
        assert_eq!(parse_override("a..b=1").unwrap_err(), "`a..b` is no dotted key");
    }
}
