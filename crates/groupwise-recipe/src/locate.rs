//! Where in the file a key stands.

use std::path::Path;

use serde_path_to_error::Segment;
use toml_edit::{Document, Item, TableLike, Value};

use crate::RecipeError;
use crate::error::{Located, Unknown};

/// The source text with the places of its keys.
pub(crate) struct Source<'a> {
    pub(crate) file: &'a Path,
    text: &'a str,
    document: Option<Document<&'a str>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(file: &'a Path, text: &'a str) -> Self {
        Self {
            file,
            text,
            document: Document::parse(text).ok(),
        }
    }

    /// Names of the arms in the order of the file.
    pub(crate) fn arm_names(&self) -> Vec<String> {
        let arms = self
            .document
            .as_ref()
            .and_then(|d| d.as_table().get("arms"))
            .and_then(Item::as_table_like);
        arms.map(|t| t.iter().map(|(name, _)| name.to_owned()).collect())
            .unwrap_or_default()
    }

    /// Line and column of the deepest part of the path that stands in the file, and whether that is below the arm.
    fn place(&self, arm: Option<&str>, path: &[String]) -> Option<(bool, (usize, usize))> {
        let root = self.document.as_ref()?.as_table();
        let below_arm = arm.and_then(|arm| root.get("arms")?.as_table_like()?.get(arm)?.as_table_like());
        let (in_arm, in_base) = (below_arm.and_then(|t| deepest(t, path)), deepest(root, path));
        let depth = |found: &Option<(usize, usize)>| found.map_or(0, |(depth, _)| depth);
        let of_arm = in_arm.is_some() && depth(&in_arm) >= depth(&in_base);
        let (_, offset) = if of_arm { in_arm } else { in_base }?;
        let before = &self.text[..offset.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        Some((of_arm, (line, column)))
    }

    /// An error about a key, with place and, for unknown names, a suggestion.
    pub(crate) fn error(&self, arm: Option<&str>, path: &[String], what: &str) -> RecipeError {
        let mut path = path.to_vec();
        let mut suggestion = None;
        let mut what = what.to_owned();
        if let Some(unknown) = Unknown::parse(&what) {
            if path.last() != Some(&unknown.name) {
                path.push(unknown.name.clone());
            }
            suggestion = unknown.suggestion();
            what = unknown.what();
        }
        let place = self.place(arm, &path);
        let mut key = path.join(".");
        // What stands in the base is every arm's.
        if let (Some(arm), None | Some((true, _))) = (arm, place) {
            key = format!("{key} (arm `{arm}`)");
        }
        RecipeError::Invalid(Box::new(Located {
            file: self.file.to_owned(),
            place: place.map(|(_, place)| place),
            key,
            what,
            suggestion,
        }))
    }

    /// A syntax error of the TOML reader.
    pub(crate) fn syntax(&self, error: &toml::de::Error) -> RecipeError {
        let place = error.span().map(|span| {
            let before = &self.text[..span.start.min(self.text.len())];
            let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
            (before.matches('\n').count() + 1, column)
        });
        RecipeError::Invalid(Box::new(Located {
            file: self.file.to_owned(),
            place,
            key: String::new(),
            what: error.message().to_owned(),
            suggestion: None,
        }))
    }
}

/// Depth reached along the path, and the byte offset of the last key found.
///
/// A number after the key of a list chooses one of its tables; after the key of a single table it chooses that one.
fn deepest(table: &dyn TableLike, path: &[String]) -> Option<(usize, usize)> {
    let (first, rest) = path.split_first()?;
    let (key, item) = table.get_key_value(first)?;
    let here = key.span().or_else(|| item.span()).map(|span| (1, span.start));
    let index = rest.first().and_then(|r| r.parse::<usize>().ok());
    let (inner, rest): (Option<&dyn TableLike>, _) = match (index, item) {
        (Some(i), Item::ArrayOfTables(list)) => (list.get(i).map(|t| t as _), &rest[1..]),
        (Some(i), Item::Value(Value::Array(list))) => (
            list.get(i).and_then(Value::as_inline_table).map(|t| t as _),
            &rest[1..],
        ),
        (Some(_), _) => (item.as_table_like(), &rest[1..]),
        (None, _) => (item.as_table_like(), rest),
    };
    let below = inner
        .and_then(|t| deepest(t, rest))
        .map(|(d, offset)| (d + 1, offset));
    below.or(here)
}

/// Path of keys from serde's track; enum variants are keys of a recipe too.
pub(crate) fn keys(path: &serde_path_to_error::Path) -> Vec<String> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { variant } => Some(variant.clone()),
            Segment::Seq { .. } | Segment::Unknown => None,
        })
        .collect()
}
