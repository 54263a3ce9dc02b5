//! Rows of task data: one JSON object per line.

use std::path::{Path, PathBuf};

use groupwise_core::DataError;
use serde::de::DeserializeOwned;

/// Where a data set lies below the folder a user gave: directly, or in its subfolder `data`.
///
/// `None` if neither holds the file.
pub(crate) fn find(data: &Path, file: &str) -> Option<PathBuf> {
    [data.join(file), data.join("data").join(file)]
        .into_iter()
        .find(|path| path.is_file())
}

/// Reads every line of a file as one row and hands it to `accept` with its place, `file, line n`.
///
/// Blank lines are skipped.
///
/// # Errors
/// [`DataError::Value`] naming the file if it cannot be read, file and line if a line is not such a row, and
/// whatever `accept` refuses.
pub(crate) fn read<R: DeserializeOwned, T>(
    path: &Path,
    mut accept: impl FnMut(R, &str) -> Result<T, DataError>,
) -> Result<Vec<T>, DataError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| DataError::value(path.display().to_string(), format!("cannot be read: {error}")))?;
    let mut rows = Vec::new();
    for (i, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let place = format!("{}, line {}", path.display(), i + 1);
        let row = serde_json::from_str(line)
            .map_err(|error| DataError::value(&place, format!("is not a row: {error}")))?;
        rows.push(accept(row, &place)?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.jsonl");
        let error = read(&path, |row: u32, _| Ok(row)).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{}: cannot be read: ", path.display())),
            "{error}"
        );
        assert_eq!(find(folder.path(), "none.jsonl"), None);
    }

    #[test]
    fn a_malformed_line_is_named_and_blank_lines_count() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let path = folder.path().join("data").join("rows.jsonl");
        std::fs::write(&path, "1\n\n2\n").unwrap();
        assert_eq!(find(folder.path(), "rows.jsonl"), Some(path.clone()));
        assert_eq!(read(&path, |row: u32, _| Ok(row)).unwrap(), [1, 2]);
        std::fs::write(&path, "1\n\nx\n").unwrap();
        let error = read(&path, |row: u32, _| Ok(row)).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{}, line 3: is not a row: ", path.display())),
            "{error}"
        );
    }
}
