//! Estimator and objective alone: from short texts of a command line, or out of a recipe.

use std::path::Path;

use groupwise_advantage::AdvantageSpec;
use groupwise_core::ParamError;
use groupwise_objective::ObjectiveSpec;
use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

use crate::RecipeError;
use crate::error::out_of_range;
use crate::locate::{Source, keys};
use crate::merge::{merge, parse_override};
use crate::recipe::Recipe;

/// The two parts that turn rewards into a gradient; either may be absent.
///
/// # Example
/// ```
/// use groupwise_recipe::Parts;
/// let set = ["objective.grpo.epsilon=0.1".to_owned()];
/// let parts = Parts::read(None, Some(r#"grpo = { dialect = "trl" }"#), Some("grpo"), &set)?;
/// assert!(parts.advantage.is_some_and(|part| part.formula().contains("1e-4")));
/// assert!(parts.objective.is_some_and(|part| part.formula().contains("1 + 0.1")));
/// # Ok::<(), groupwise_recipe::RecipeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// Rewards to advantages.
    pub advantage: Option<AdvantageSpec>,
    /// Log-probabilities to a loss.
    pub objective: Option<ObjectiveSpec>,
}

/// Where the settings of a seam come from.
struct Origin<'a> {
    seam: &'static str,
    text: Option<&'a str>,
    overrides: &'a [Table],
}

impl Parts {
    /// Takes both parts from `base`, replaces those that a text names, and applies overrides such as
    /// `advantage.grpo.eps=1e-4`.
    ///
    /// A text is a part's name (`rloo`), or a name with settings as TOML (`grpo.eps = 1e-4`) or JSON
    /// (`{"grpo": {"eps": 1e-4}}`).  `none` stands for no part, whatever `base` has.
    ///
    /// # Errors
    /// An unknown part or key, with what is known and what was probably meant; a wrong type; a value out of range;
    /// an override of anything but the two seams.
    pub fn read(
        base: Option<&Recipe>,
        advantage: Option<&str>,
        objective: Option<&str>,
        overrides: &[String],
    ) -> Result<Self, RecipeError> {
        let overrides = overrides
            .iter()
            .map(|text| read_override(text))
            .collect::<Result<Vec<_>, _>>()?;
        let origin = |seam, text| Origin {
            seam,
            text,
            overrides: &overrides,
        };
        let advantage = origin("advantage", advantage).read(
            base.map(|recipe| &recipe.advantage),
            AdvantageSpec::name,
            |part| part.build(&()).map(|_| ()),
        )?;
        let objective = origin("objective", objective).read(
            base.map(|recipe| &recipe.objective),
            ObjectiveSpec::name,
            |part| part.build(&()).and_then(|_| part.kl_penalty()).map(|_| ()),
        )?;
        Ok(Self { advantage, objective })
    }
}

impl Origin<'_> {
    fn read<T: DeserializeOwned + Serialize>(
        &self,
        base: Option<&T>,
        name: impl Fn(&T) -> &'static str,
        check: impl Fn(&T) -> Result<(), ParamError>,
    ) -> Result<Option<T>, RecipeError> {
        if self.text.map(str::trim) == Some("none") {
            return Ok(None);
        }
        let label = match self.text {
            Some(_) => format!("--{}", self.seam),
            None => self.seam.to_owned(),
        };
        let source = Source::new(Path::new(&label), self.text.unwrap_or_default());
        let table = match (self.text, base) {
            (Some(text), _) => Some(read_text(&source, text)?),
            (None, Some(part)) => {
                Some(Table::try_from(part).map_err(|e| RecipeError::Resolved(e.to_string()))?)
            }
            (None, None) => None,
        };
        let mut root = Table::new();
        if let Some(table) = table {
            root.insert(self.seam.to_owned(), Value::Table(table));
        }
        for over in self.overrides.iter().filter(|over| over.contains_key(self.seam)) {
            merge(&mut root, over);
        }
        let Some(settings) = root.remove(self.seam) else {
            return Ok(None);
        };
        let part: T = serde_path_to_error::deserialize(settings)
            .map_err(|error| source.error(None, &keys(error.path()), error.inner().message()))?;
        check(&part).map_err(|error| {
            let path = [name(&part).to_owned(), error.key.clone()];
            source.error(None, &path, &out_of_range(&error))
        })?;
        Ok(Some(part))
    }
}

/// A part's table `{name: settings}`.
fn read_text(source: &Source<'_>, text: &str) -> Result<Table, RecipeError> {
    let text = text.trim();
    let table: Table = if text.starts_with('{') {
        serde_json::from_str(text).map_err(|e| source.error(None, &[], &format!("as JSON: {e}")))?
    } else if text.contains(['=', '[']) {
        text.parse().map_err(|e| source.syntax(&e))?
    } else {
        Table::from_iter([(text.to_owned(), Value::Table(Table::new()))])
    };
    if table.len() == 1 {
        return Ok(table);
    }
    let names: Vec<&str> = table.keys().map(String::as_str).collect();
    let what = match names.as_slice() {
        [] => "names no part".to_owned(),
        several => format!("names several parts: {}", several.join(", ")),
    };
    Err(source.error(None, &[], &what))
}

fn read_override(text: &str) -> Result<Table, RecipeError> {
    let fail = |what: &str| RecipeError::Override {
        text: text.to_owned(),
        what: what.to_owned(),
    };
    let table = parse_override(text).map_err(|what| fail(&what))?;
    if table.keys().any(|key| key != "advantage" && key != "objective") {
        return Err(fail("only `advantage.*` and `objective.*` can be set here"));
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(advantage: Option<&str>, objective: Option<&str>, set: &[&str]) -> Result<Parts, String> {
        let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        Parts::read(None, advantage, objective, &set).map_err(|e| e.to_string())
    }

    #[test]
    fn a_name_toml_and_json_say_the_same() {
        let toml = read(Some("grpo = { eps = 1e-4 }"), None, &[]).unwrap();
        assert_eq!(read(Some("grpo.eps = 1e-4"), None, &[]).unwrap(), toml);
        assert_eq!(read(Some("[grpo]\neps = 1e-4"), None, &[]).unwrap(), toml);
        assert_eq!(read(Some(r#"{"grpo": {"eps": 1e-4}}"#), None, &[]).unwrap(), toml);
        assert_eq!(
            read(Some("grpo"), None, &["advantage.grpo.eps=1e-4"]).unwrap(),
            toml
        );
        assert_eq!(read(None, None, &["advantage.grpo.eps=1e-4"]).unwrap(), toml);
        assert_eq!(read(None, None, &[]).unwrap(), Parts::default());
        let name = read(Some(" rloo "), Some("dapo"), &[]).unwrap();
        assert_eq!(name.advantage, AdvantageSpec::named("rloo"));
        assert_eq!(name.objective, ObjectiveSpec::named("dapo"));
    }

    #[test]
    fn a_text_replaces_the_recipe_s_part_and_an_override_refines_it() {
        let recipe: Recipe = toml::from_str(
            "[run]\n[env.skill-chain]\n[policy.tabular]\n[advantage.grpo]\neps = 0.5\n[objective.dapo]\n",
        )
        .unwrap();
        let with = |advantage, set: &str| {
            let set = (!set.is_empty()).then(|| set.to_owned());
            Parts::read(Some(&recipe), advantage, None, set.as_slice()).unwrap()
        };
        assert_eq!(with(None, "").advantage, Some(recipe.advantage.clone()));
        assert_eq!(with(None, "").objective, Some(recipe.objective.clone()));
        assert_eq!(
            with(None, "advantage.grpo.dialect=trl").advantage,
            read(Some(r#"grpo = { eps = 0.5, dialect = "trl" }"#), None, &[])
                .unwrap()
                .advantage
        );
        assert_eq!(with(Some("raw"), "").advantage, AdvantageSpec::named("raw"));
        let none = with(Some("none"), "");
        assert_eq!(
            (none.advantage, none.objective),
            (None, Some(recipe.objective.clone()))
        );
        // Another part by override: the settings of the first go with it.
        assert_eq!(
            with(None, "advantage.rloo={}").advantage,
            AdvantageSpec::named("rloo")
        );
    }

    #[test]
    fn what_is_refused_says_where_and_what_was_meant() {
        let refused = |advantage, objective, set: &[&str]| read(advantage, objective, set).unwrap_err();
        let typo = refused(Some("gpro"), None, &[]);
        assert!(
            typo.starts_with("--advantage: gpro: unknown name `gpro`, known: grpo, "),
            "{typo}"
        );
        assert!(typo.ends_with("; did you mean `grpo`?"), "{typo}");
        let key = refused(None, Some("grpo = { clip_ratio_high = 0.3 }"), &[]);
        assert!(
            key.starts_with("--objective:1:10: grpo.clip_ratio_high: unknown key `clip_ratio_high`, known: "),
            "{key}"
        );
        assert!(key.ends_with("; did you mean `epsilon_high`?"), "{key}");
        assert_eq!(
            refused(Some("grpo.eps = -1"), None, &[]),
            "--advantage:1:6: grpo.eps: -1 is out of range, must be a finite number >= 0"
        );
        assert_eq!(
            refused(None, None, &["objective.grpo.beta=-1"]),
            "objective: grpo.beta: -1 is out of range, must be a finite number >= 0"
        );
        assert_eq!(
            refused(Some("grpo = {}\nrloo = {}"), None, &[]),
            "--advantage: names several parts: grpo, rloo"
        );
        assert_eq!(refused(Some("{}"), None, &[]), "--advantage: names no part");
        assert!(refused(Some("{\"grpo\": "), None, &[]).starts_with("--advantage: as JSON: EOF"));
        assert!(refused(Some("grpo = {"), None, &[]).starts_with("--advantage:1:"));
        assert_eq!(
            refused(None, None, &["run.steps=3"]),
            "--set run.steps=3: only `advantage.*` and `objective.*` can be set here"
        );
        assert_eq!(
            refused(None, None, &["advantage"]),
            "--set advantage: expected key=value, for example run.steps=20"
        );
    }
}
