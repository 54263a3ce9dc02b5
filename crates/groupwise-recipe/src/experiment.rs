//! A recipe file: base, arms, seeds, claims.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use crate::RecipeError;
use crate::error::out_of_range;
use crate::locate::{Source, keys};
use crate::merge::{merge, parse_override};
use crate::recipe::Recipe;

/// How the arms are compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AblationConfig {
    /// Seeds every arm is run with; arms share them, so differences are paired.
    pub seeds: Vec<u64>,
    /// Arm the others are compared with; absent: the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Primary metric of the report.
    pub metric: String,
}

impl Default for AblationConfig {
    fn default() -> Self {
        Self {
            seeds: vec![0, 1, 2],
            baseline: None,
            metric: "eval/success".into(),
        }
    }
}

/// Which way an effect must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The arm must score higher than the control, by `least_effect` or more.
    Higher,
    /// The arm must score lower, by `least_effect` or more.
    Lower,
    /// The arm must not score lower by `least_effect` or more.
    NotLower,
    /// The arm must score neither higher nor lower by `least_effect` or more.
    Equal,
}

/// A claim an experiment is made to test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The claim in words.
    pub text: String,
    /// Metric it is about, with its summary: `area:eval/success`, `final:eval/success`, `mean:effective_gradient_ratio`.
    pub metric: String,
    /// The arm that must differ.
    pub arm: String,
    /// The arm it is compared with.
    pub control: String,
    /// Which way.
    pub direction: Direction,
    /// Least effect that counts, at least 0; above 0 where a claim is that there is none.
    pub least_effect: f64,
}

impl Claim {
    /// Checks what needs no arm to be known.
    fn validate(&self) -> Result<(), (&'static str, String)> {
        let effect = self.least_effect;
        if !(effect >= 0.0 && effect.is_finite()) {
            return Err((
                "least_effect",
                format!("{effect} is out of range, must be a finite number >= 0"),
            ));
        }
        let needs_margin = matches!(self.direction, Direction::NotLower | Direction::Equal);
        if needs_margin && effect == 0.0 {
            let what = "0 is out of range, must be > 0 where the claim is that an effect is absent";
            return Err(("least_effect", what.into()));
        }
        Ok(())
    }
}

/// One arm with its resolved recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Name.
    pub name: String,
    /// Recipe.
    pub recipe: Recipe,
}

/// A recipe file, read and checked: every part of every arm can be built.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// Name.
    pub name: String,
    /// What it asks, for the report.
    pub description: String,
    /// Seeds, baseline, metric.
    pub ablation: AblationConfig,
    /// Claims under test, in the order of the file.
    pub claims: Vec<Claim>,
    /// Arms in the order of the file; a file without arms has one, `base`.
    pub arms: Vec<Arm>,
}

/// Keys of a file that are not the recipe's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    ablation: AblationConfig,
}

const HEADER: &[&str] = &["name", "description", "ablation"];

impl Experiment {
    /// Reads a file, applies overrides (`run.steps=20`) to every arm, and checks everything.
    ///
    /// # Errors
    /// Unreadable file; syntax; unknown key or part, wrong type, value out of range, each with line, column and,
    /// for unknown names, a suggestion.
    pub fn from_file(path: &Path, overrides: &[String]) -> Result<Self, RecipeError> {
        let text = std::fs::read_to_string(path).map_err(|source| RecipeError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_text(path, &text, overrides)
    }

    /// [`Experiment::from_file`] on text; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`Experiment::from_file`].
    pub fn from_text(path: &Path, text: &str, overrides: &[String]) -> Result<Self, RecipeError> {
        let source = Source::new(path, text);
        let mut base: Table = text.parse().map_err(|e| source.syntax(&e))?;
        let mut header = Table::new();
        for key in HEADER {
            if let Some(value) = base.remove(*key) {
                header.insert((*key).to_owned(), value);
            }
        }
        let mut header: Header = decode(&source, None, &[], Value::Table(header))?;
        let claims = read_claims(&source, base.remove("claim"))?;
        let arms = match base.remove("arms") {
            None => Table::new(),
            Some(Value::Table(arms)) => arms,
            Some(_) => return Err(source.error(None, &["arms".into()], "must be a table of tables")),
        };
        let overrides = read_overrides(overrides, &mut header.ablation)?;
        let mut names = source.arm_names();
        if names.is_empty() {
            names.push("base".into());
        }
        let mut resolved = Vec::new();
        for name in names {
            let mut table = base.clone();
            match arms.get(&name) {
                Some(Value::Table(over)) => merge(&mut table, over),
                None => {}
                Some(_) => return Err(source.error(None, &["arms".into(), name], "must be a table")),
            }
            overrides.iter().for_each(|over| merge(&mut table, over));
            let arm = arms.contains_key(&name).then_some(name.as_str());
            let recipe: Recipe = decode(&source, arm, &[], Value::Table(table))?;
            // Building checks the ranges; the data folder only matters once tasks are read.
            recipe
                .build(Some(PathBuf::from("data")))
                .map_err(|(mut path, error)| {
                    path.push(error.key.clone());
                    source.error(arm, &path, &out_of_range(&error))
                })?;
            resolved.push(Arm { name, recipe });
        }
        let experiment = Self {
            name: header.name,
            description: header.description,
            ablation: header.ablation,
            claims,
            arms: resolved,
        };
        experiment.check(&source)?;
        Ok(experiment)
    }

    /// The arm others are compared with.
    pub fn baseline(&self) -> &str {
        self.ablation
            .baseline
            .as_deref()
            .unwrap_or(self.arms[0].name.as_str())
    }

    /// Hash of all that decides what a reproduction finds: resolved arms, seeds, baseline, metric, claims.
    ///
    /// Comments, the description and the order of keys do not enter; a changed default of a part does.  A seam that holds
    /// what an absent one means enters as absent, so that a seam this project gains later changes no hash.
    ///
    /// # Errors
    /// If a value cannot be written down.
    pub fn fingerprint(&self) -> Result<String, RecipeError> {
        let fail = |e: serde_json::Error| RecipeError::Resolved(e.to_string());
        let mut arms = Vec::new();
        for Arm { name, recipe } in &self.arms {
            let resolved = serde_json::to_value(recipe).map_err(fail)?;
            let mut seams = resolved.as_object().cloned().unwrap_or_default();
            let mut needed = seams.clone();
            needed.retain(|key, _| ["run", "env", "policy"].contains(&key.as_str()));
            let bare: Recipe = serde_json::from_value(needed.clone().into()).map_err(fail)?;
            let bare = serde_json::to_value(bare).map_err(fail)?;
            seams.retain(|key, value| needed.contains_key(key) || bare.get(key) != Some(value));
            arms.push((name.as_str(), seams));
        }
        let text = serde_json::to_vec(&(&self.ablation, &self.claims, arms)).map_err(fail)?;
        let digest = Sha256::digest(text);
        Ok(digest.iter().take(8).map(|b| format!("{b:02x}")).collect())
    }

    /// The arm of that name.
    pub fn arm(&self, name: &str) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.name == name)
    }

    fn check(&self, source: &Source<'_>) -> Result<(), RecipeError> {
        let known = self
            .arms
            .iter()
            .map(|a| a.name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        let is_arm = |path: &[&str], name: &str| {
            let path: Vec<String> = path.iter().map(|p| (*p).to_owned()).collect();
            let what = format!("no arm is called `{name}`, known: {known}");
            if self.arm(name).is_some() {
                Ok(())
            } else {
                Err(source.error(None, &path, &what))
            }
        };
        let place = |keys: [&str; 2]| keys.map(str::to_owned);
        if let Some(baseline) = &self.ablation.baseline {
            is_arm(&["ablation", "baseline"], baseline)?;
        }
        for (i, claim) in self.claims.iter().enumerate() {
            let i = i.to_string();
            is_arm(&["claim", &i, "arm"], &claim.arm)?;
            is_arm(&["claim", &i, "control"], &claim.control)?;
            claim.validate().map_err(|(key, what)| {
                source.error(None, &["claim".into(), i.clone(), key.to_owned()], &what)
            })?;
        }
        if self.ablation.seeds.is_empty() {
            return Err(source.error(None, &place(["ablation", "seeds"]), "must name at least one seed"));
        }
        let mut seeds = self.ablation.seeds.clone();
        seeds.sort_unstable();
        if let Some(pair) = seeds.windows(2).find(|w| w[0] == w[1]) {
            let what = format!("seed {} is named twice", pair[0]);
            return Err(source.error(None, &place(["ablation", "seeds"]), &what));
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        for name in self.arms.iter().map(|a| &a.name).chain([&self.name]) {
            if name.is_empty() || !name.chars().all(is_plain) || name.starts_with('.') {
                let what = format!("`{name}` must consist of letters, digits and any of - _ . +");
                return Err(RecipeError::at(source.file, "name", what));
            }
        }
        Ok(())
    }
}

/// Overrides of the recipe as tables; those of `ablation` are applied at once.
fn read_overrides(texts: &[String], ablation: &mut AblationConfig) -> Result<Vec<Table>, RecipeError> {
    let mut tables = Vec::new();
    for text in texts {
        let fail = |what: String| RecipeError::Override {
            text: text.clone(),
            what,
        };
        let mut table = parse_override(text).map_err(fail)?;
        if let Some(over) = table.remove("ablation") {
            let mut merged = Table::try_from(&*ablation).map_err(|e| fail(e.to_string()))?;
            if let Value::Table(over) = over {
                merge(&mut merged, &over);
            }
            *ablation = merged
                .try_into()
                .map_err(|e: toml::de::Error| fail(e.message().to_owned()))?;
        }
        if !table.is_empty() {
            tables.push(table);
        }
    }
    Ok(tables)
}

/// The claims of `[claim]` or of every `[[claim]]`.
fn read_claims(source: &Source<'_>, value: Option<Value>) -> Result<Vec<Claim>, RecipeError> {
    let values = match value {
        None => Vec::new(),
        Some(Value::Array(values)) => values,
        Some(one) => vec![one],
    };
    let numbered = values.into_iter().enumerate();
    numbered
        .map(|(i, value)| decode(source, None, &["claim".into(), i.to_string()], value))
        .collect()
}

/// Decodes a value, locating what does not fit; `place` is where the value stands.
fn decode<T: serde::de::DeserializeOwned>(
    source: &Source<'_>,
    arm: Option<&str>,
    place: &[String],
    value: Value,
) -> Result<T, RecipeError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = [place, keys(error.path()).as_slice()].concat();
        source.error(arm, &path, error.inner().message())
    })
}

/// The file an experiment of that name would live in, for messages.
impl Experiment {
    /// Folder name of the experiment's report below a runs folder.
    pub fn folder(&self, runs: &Path) -> PathBuf {
        runs.join("ablations").join(&self.name)
    }
}
