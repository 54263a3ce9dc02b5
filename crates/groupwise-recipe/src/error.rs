//! Errors that say where, what, and what was probably meant.

use std::fmt;
use std::path::{Path, PathBuf};

use groupwise_core::ParamError;

/// A recipe that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what a recipe looks like.
    #[error("{0}")]
    Invalid(Box<Located>),
    /// An override on the command line that cannot be used.
    #[error("--set {text}: {what}")]
    Override {
        /// As given.
        text: String,
        /// What is wrong.
        what: String,
    },
    /// A recipe that was written by the program cannot be read or written back.
    #[error("resolved recipe: {0}")]
    Resolved(String),
}

/// A problem with its place.
#[derive(Debug)]
pub struct Located {
    /// The file.
    pub file: PathBuf,
    /// Line and column, both from 1, if known.
    pub place: Option<(usize, usize)>,
    /// Path of the key, dotted.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.what)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean `{suggestion}`?")?;
        }
        Ok(())
    }
}

impl RecipeError {
    pub(crate) fn at(file: &Path, key: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Invalid(Box::new(Located {
            file: file.to_owned(),
            place: None,
            key: key.into(),
            what: what.into(),
            suggestion: None,
        }))
    }
}

/// What a parameter error reads like inside a recipe error.
pub(crate) fn out_of_range(error: &ParamError) -> String {
    format!("{} is out of range, must be {}", error.value, error.range)
}

/// Names of other systems for what we call otherwise: verl's and the common short ones.
const ALIASES: &[(&str, &str)] = &[
    ("clip_ratio_c", "dual_clip"),
    ("clip_ratio_high", "epsilon_high"),
    ("clip_ratio_low", "epsilon"),
    ("clip_ratio", "epsilon"),
    ("group_size", "num_generations"),
    ("kl_coef", "beta"),
    ("kl_loss_coef", "beta"),
    ("loss_agg_mode", "aggregation"),
    ("loss_type", "aggregation"),
    ("lr", "learning_rate"),
    ("max_response_length", "max_completion_length"),
    ("max_steps", "steps"),
    ("n", "num_generations"),
    ("norm_adv_by_std_in_grpo", "scale_rewards"),
    ("ppo_epochs", "num_iterations"),
    ("train_batch_size", "prompts_per_step"),
];

/// The known name closest to an unknown one: a known alias, else the nearest by edit distance.
pub fn suggest(unknown: &str, known: &[String]) -> Option<String> {
    let alias = ALIASES
        .iter()
        .find(|(theirs, _)| *theirs == unknown)
        .map(|(_, ours)| (*ours).to_owned());
    if let Some(ours) = alias.filter(|ours| known.contains(ours)) {
        return Some(ours);
    }
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(unknown.len()) / 3)
        .min()
        .map(|(_, name)| name.clone())
}

/// What serde says about an unknown key or an unknown name, taken apart.
///
/// # Example
/// ```
/// use groupwise_recipe::Unknown;
/// let unknown = Unknown::parse("unknown field `epz`, expected `eps` or `beta`").ok_or("not about a name")?;
/// assert_eq!(unknown.what(), "unknown key `epz`, known: eps, beta");
/// assert_eq!(unknown.suggestion().as_deref(), Some("eps"));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The key or name that nobody knows.
    pub name: String,
    /// Those that are known in its place.
    pub known: Vec<String>,
    /// True if it is the key of a setting, false if it names a part or a choice.
    is_key: bool,
}

impl Unknown {
    /// `None` if the message is about something else.
    pub fn parse(message: &str) -> Option<Self> {
        let (is_key, (_, rest)) = match message.split_once("unknown field `") {
            Some(parts) => (true, parts),
            None => (false, message.split_once("unknown variant `")?),
        };
        let (name, rest) = rest.split_once('`')?;
        let known = rest
            .split_once("expected")
            .map_or("", |(_, tail)| tail)
            .split('`')
            .skip(1)
            .step_by(2);
        Some(Self {
            name: name.to_owned(),
            known: known.map(str::to_owned).collect(),
            is_key,
        })
    }

    /// The problem in words.
    pub fn what(&self) -> String {
        let kind = if self.is_key { "key" } else { "name" };
        let known = match self.known.as_slice() {
            [] => "none".to_owned(),
            known => known.join(", "),
        };
        format!("unknown {kind} `{}`, known: {known}", self.name)
    }

    /// What was probably meant.
    pub fn suggestion(&self) -> Option<String> {
        suggest(&self.name, &self.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_and_a_foreign_name_are_understood() {
        let known: Vec<String> = ["epsilon", "epsilon_high", "beta", "num_generations"]
            .map(str::to_owned)
            .into();
        assert_eq!(suggest("epsilom", &known).as_deref(), Some("epsilon"));
        assert_eq!(
            suggest("clip_ratio_high", &known).as_deref(),
            Some("epsilon_high")
        );
        assert_eq!(suggest("zzz", &known), None);
        let found = Unknown::parse("unknown field `x`, expected one of `a`, `b`").unwrap();
        assert_eq!(
            (found.name.as_str(), found.known.as_slice()),
            ("x", &["a".to_owned(), "b".to_owned()][..])
        );
        assert_eq!(found.what(), "unknown key `x`, known: a, b");
        let variant = Unknown::parse("unknown variant `y`, there are no variants").unwrap();
        assert_eq!(variant.what(), "unknown name `y`, known: none");
        assert_eq!(Unknown::parse("invalid type: null"), None);
    }
}
