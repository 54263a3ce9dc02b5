//! Verifiers by name.

use std::borrow::Cow;

use groupwise_core::{Part, Score, Task, Trajectory, Verifier};
use groupwise_reward::sandbox::Sandbox;
use groupwise_reward::shapers::{ShapeRule, TextShapeConfig};
use groupwise_reward::verifiers::ifeval::{IfevalConfig, Thinking, check_instructions};
use groupwise_reward::verifiers::math::MathConfig;
use groupwise_reward::verifiers::{
    CodeTests, CodeTestsConfig, CountdownConfig, EntityMatchConfig, Gsm8kConfig, MultipleChoiceConfig,
    OverlapConfig, QaMatchConfig, RankedListConfig, ToolUseConfig, code_tests,
};
use groupwise_reward::{Judge, Verdict, VerifierSpec, after_thinking};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::VerifyError;

/// Families that say why, with the names of their files where these differ.
pub const FAMILIES: [(&str, &str); 16] = [
    ("math", "math"),
    ("gsm8k", "gsm8k_extract"),
    ("qa-match", "qa_em_f1"),
    ("countdown", "countdown"),
    ("multiple-choice", "choice"),
    ("tool-use", "tool_calls"),
    ("overlap", "iou"),
    ("ranked-list", "ranking"),
    ("entity-match", "entity_match"),
    ("ifeval", "ifeval"),
    ("code-tests", "code_tests"),
    ("format", "format"),
    ("think-format", "think_format"),
    ("tag-count", "tag_count"),
    ("reasoning-steps", "reasoning_steps"),
    ("code-format", "code_format"),
];

/// A verifier with its settings.
///
/// Every verifier of recipes is a family under its own name, too; those outside [`FAMILIES`] give the score alone.
///
/// # Example
/// ```
/// use groupwise_core::Task;
/// use groupwise_verify::Family;
/// let settings = serde_json::json!({"format_score": 0.1});
/// let family = Family::new("qa-match", settings.as_object().unwrap())?;
/// let verdict = family.judge(&Task::new("t", "", "Paris"), "<answer>Rome</answer>");
/// assert_eq!((verdict.score, verdict.reason.as_ref()), (Some(0.1), "no normal form is equal"));
/// # Ok::<(), groupwise_verify::VerifyError>(())
/// ```
#[derive(Debug)]
pub struct Family(Box<dyn Judge>);

impl Family {
    /// The family of that name, by its own name or that of its file, `-` and `_` alike.
    ///
    /// # Errors
    /// An unknown name; settings it does not take or that are out of range.
    pub fn new(name: &str, settings: &Map<String, Value>) -> Result<Self, VerifyError> {
        let name = canonical(name);
        let built: Box<dyn Judge> = match name.as_str() {
            "math" => judge::<MathConfig>(&name, settings)?,
            "gsm8k" => judge::<Gsm8kConfig>(&name, settings)?,
            "qa-match" => judge::<QaMatchConfig>(&name, settings)?,
            "countdown" => judge::<CountdownConfig>(&name, settings)?,
            "multiple-choice" => judge::<MultipleChoiceConfig>(&name, settings)?,
            "tool-use" => judge::<ToolUseConfig>(&name, settings)?,
            "overlap" => judge::<OverlapConfig>(&name, settings)?,
            "ranked-list" => judge::<RankedListConfig>(&name, settings)?,
            "entity-match" => judge::<EntityMatchConfig>(&name, settings)?,
            "ifeval" => Box::new(Instructions(checked(&name, settings)?)),
            "code-tests" => programs(&name, settings)?,
            "format" => shape(ShapeRule::Format, settings)?,
            "think-format" => shape(ShapeRule::ThinkFormat, settings)?,
            "tag-count" => shape(ShapeRule::TagCount, settings)?,
            "reasoning-steps" => shape(ShapeRule::ReasoningSteps, settings)?,
            "code-format" => shape(ShapeRule::CodeFormat, settings)?,
            _ => scored(&name, settings)?,
        };
        Ok(Self(built))
    }

    /// Name in recipes.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Judges one response.
    pub fn judge(&self, task: &Task, response: &str) -> Verdict {
        self.0.judge(task, response)
    }
}

/// Settings from `key=value` pairs: a dotted key reaches inside, a value is JSON or else text.
///
/// # Errors
/// A pair without `=`; a key that reaches inside a value that is no object.
///
/// # Example
/// ```
/// let settings = groupwise_verify::settings(&["metric=f1-squad", "format_score=0.1"])?;
/// assert_eq!(settings["metric"], "f1-squad");
/// assert_eq!(settings["format_score"], 0.1);
/// # Ok::<(), groupwise_verify::VerifyError>(())
/// ```
pub fn settings<S: AsRef<str>>(pairs: &[S]) -> Result<Map<String, Value>, VerifyError> {
    let mut out = Map::new();
    for pair in pairs.iter().map(AsRef::as_ref) {
        let bad = |what: &str| VerifyError::Pair {
            pair: pair.to_owned(),
            what: what.to_owned(),
        };
        let (key, text) = pair.split_once('=').ok_or_else(|| bad("is no `key=value`"))?;
        let value = serde_json::from_str(text.trim()).unwrap_or_else(|_| text.trim().into());
        let mut inside = &mut out;
        let mut path = key.trim().split('.').peekable();
        while let Some(step) = path.next() {
            if path.peek().is_none() {
                inside.insert(step.to_owned(), value);
                break;
            }
            let next = inside
                .entry(step.to_owned())
                .or_insert_with(|| Value::Object(Map::new()));
            inside = next
                .as_object_mut()
                .ok_or_else(|| bad("reaches inside a plain value"))?;
        }
    }
    Ok(out)
}

fn canonical(name: &str) -> String {
    let dashed = name.trim().replace('_', "-");
    let by_file = FAMILIES.iter().find(|(_, file)| file.replace('_', "-") == dashed);
    by_file.map_or(dashed, |(own, _)| (*own).to_owned())
}

fn parse<C: DeserializeOwned>(name: &str, settings: &Map<String, Value>) -> Result<C, VerifyError> {
    serde_json::from_value(Value::Object(settings.clone())).map_err(|e| VerifyError::Settings {
        family: name.to_owned(),
        what: e.to_string(),
    })
}

/// Settings within the ranges of the verifier they build.
fn checked<C>(name: &str, settings: &Map<String, Value>) -> Result<C, VerifyError>
where
    C: DeserializeOwned + Part<dyn Verifier>,
{
    let config: C = parse(name, settings)?;
    config.build(&())?;
    Ok(config)
}

/// A family whose configuration judges.
fn judge<C>(name: &str, settings: &Map<String, Value>) -> Result<Box<dyn Judge>, VerifyError>
where
    C: Judge + DeserializeOwned + Part<dyn Verifier> + 'static,
{
    Ok(Box::new(checked::<C>(name, settings)?))
}

/// Shape of the whole response.
#[derive(Debug)]
struct Shape(TextShapeConfig);

impl Judge for Shape {
    fn name(&self) -> &'static str {
        self.0.rule.name()
    }

    fn judge(&self, _: &Task, response: &str) -> Verdict {
        Verdict::scored(self.0.reward(response), "shape of the text")
    }
}

fn shape(rule: ShapeRule, settings: &Map<String, Value>) -> Result<Box<dyn Judge>, VerifyError> {
    let mut settings = settings.clone();
    settings.insert("rule".to_owned(), rule.name().into());
    let config: TextShapeConfig = parse(rule.name(), &settings)?;
    config.build(&())?;
    Ok(Box::new(Shape(config)))
}

/// The reference of a task, or where it has none its columns of these names as one JSON object.
fn reference_or_columns<'a>(task: &'a Task, columns: &[&str]) -> Cow<'a, str> {
    if !task.reference.trim().is_empty() {
        return Cow::Borrowed(&task.reference);
    }
    let found = columns
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), task.columns.get(*key)?.clone())));
    Cow::Owned(Value::Object(found.collect()).to_string())
}

/// Instructions that a program can check; see [`IfevalConfig`].
#[derive(Debug)]
struct Instructions(IfevalConfig);

impl Judge for Instructions {
    fn name(&self) -> &'static str {
        "ifeval"
    }

    fn judge(&self, task: &Task, response: &str) -> Verdict {
        let reference = reference_or_columns(task, &["instruction_id_list", "kwargs", "instruction", "args"]);
        check_instructions(&reference, response, &self.0)
    }
}

/// Programs run against tests; see [`CodeTestsConfig`].
#[derive(Debug)]
struct Programs {
    config: CodeTestsConfig,
    sandbox: Sandbox,
}

impl Judge for Programs {
    fn name(&self) -> &'static str {
        "code-tests"
    }

    fn judge(&self, task: &Task, response: &str) -> Verdict {
        let tests = match CodeTests::parse(&reference_or_columns(task, &["kind", "tests"])) {
            Ok(tests) => tests,
            Err(reason) => return Verdict::unscorable(reason),
        };
        let text = match self.config.thinking {
            Thinking::Keep => Some(response),
            Thinking::Cut => after_thinking(response),
        };
        match text.and_then(|text| self.config.program.of(text)) {
            Some(program) => code_tests(&self.sandbox, &tests, program, self.config.credit),
            None => Verdict::judged(false, "no program outside the thinking part"),
        }
    }
}

fn programs(name: &str, settings: &Map<String, Value>) -> Result<Box<dyn Judge>, VerifyError> {
    // Refused where this was built without the sandbox.
    let config: CodeTestsConfig = checked(name, settings)?;
    let sandbox = Sandbox::new(config.sandbox.clone())?;
    Ok(Box::new(Programs { config, sandbox }))
}

/// A verifier that gives no reasons.
#[derive(Debug)]
struct Scored {
    verifier: Box<dyn Verifier>,
    name: &'static str,
}

impl Judge for Scored {
    fn name(&self) -> &'static str {
        self.name
    }

    fn judge(&self, task: &Task, response: &str) -> Verdict {
        let trajectory = Trajectory::of_reply(response, 1);
        match self.verifier.score(task, &trajectory) {
            Score::Value(score) => Verdict::scored(score, "scored"),
            Score::Unscorable(reason) => Verdict::unscorable(reason),
        }
    }
}

fn scored(name: &str, settings: &Map<String, Value>) -> Result<Box<dyn Judge>, VerifyError> {
    if !VerifierSpec::NAMES.contains(&name) {
        let mut known: Vec<String> = FAMILIES.iter().map(|(name, _)| (*name).to_owned()).collect();
        let others = VerifierSpec::NAMES.iter().map(|name| (*name).to_owned());
        known.extend(others.filter(|name| !FAMILIES.iter().any(|(own, _)| own == name)));
        return Err(VerifyError::UnknownFamily {
            name: name.to_owned(),
            known,
        });
    }
    let spec: VerifierSpec = parse(
        name,
        &Map::from_iter([(name.to_owned(), Value::Object(settings.clone()))]),
    )?;
    Ok(Box::new(Scored {
        verifier: spec.build(&())?,
        name: spec.name(),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn build(name: &str, settings: Value) -> Result<Family, String> {
        let settings = settings.as_object().cloned().unwrap_or_default();
        Family::new(name, &settings).map_err(|e| e.to_string())
    }

    /// Programs are run only where the sandbox was built.
    fn is_built((name, _): &(&str, &str)) -> bool {
        *name != "code-tests" || cfg!(all(feature = "sandbox", unix))
    }

    #[test]
    fn instructions_and_tests_stand_in_columns_too() {
        let mut task = Task::new("t", "", "");
        task.columns = json!({"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]})
            .as_object()
            .cloned()
            .unwrap();
        let ifeval = build("ifeval", json!({})).unwrap();
        assert_eq!(ifeval.judge(&task, "no comma").score, Some(1.0));
        assert_eq!(ifeval.judge(&task, "one, two").score, Some(0.0));
        assert_eq!(ifeval.judge(&Task::new("t", "", ""), "x").score, None);
        if !is_built(&("code-tests", "")) {
            assert!(build("code-tests", json!({})).unwrap_err().contains("sandbox"));
            return;
        }
        let programs = build("code-tests", json!({"program": "whole"})).unwrap();
        task.columns = json!({"kind": "asserts", "tests": ["assert f() == 3"]})
            .as_object()
            .cloned()
            .unwrap();
        assert_eq!(programs.judge(&task, "def f(): return 3").score, Some(1.0));
        assert_eq!(programs.judge(&task, "<think>def f(): return 3").score, Some(0.0));
        assert_eq!(programs.judge(&Task::new("t", "", ""), "x").score, None);
    }

    #[test]
    fn mathematics_is_judged_with_reasons() {
        let math = build("math", json!({"profile": "flexible"})).unwrap();
        let task = Task::new("t", "", "\\frac{1}{2}");
        let right = math.judge(&task, "So it is 0.5");
        assert_eq!(
            (right.score, right.extracted.as_deref()),
            (Some(1.0), Some("0.5"))
        );
        assert_eq!(math.judge(&Task::new("t", "", ""), "1").score, None);
        assert_eq!(
            build("math", json!({}))
                .unwrap()
                .judge(&task, "So it is 0.5")
                .score,
            Some(0.0)
        );
        let marker = build("gsm8k_extract", json!({})).unwrap();
        assert_eq!(
            marker.judge(&Task::new("t", "", "18"), "#### 18.0").score,
            Some(1.0)
        );
    }

    #[test]
    fn every_family_has_its_own_name_that_of_its_file_and_refuses_strange_settings() {
        for (name, file) in FAMILIES.into_iter().filter(is_built) {
            for alias in [name, file, &name.replace('-', "_")] {
                assert_eq!(build(alias, json!({})).unwrap().name(), name);
            }
            let error = build(name, json!({"colour": 1})).unwrap_err();
            assert!(
                error.starts_with(&format!("family `{name}`: unknown field `colour`")),
                "{error}"
            );
        }
        for name in VerifierSpec::NAMES.iter().filter(|name| is_built(&(name, ""))) {
            assert_eq!(build(name, json!({})).unwrap().name(), *name);
        }
    }

    #[test]
    fn settings_are_read_and_their_ranges_kept() {
        assert_eq!(
            build("countdown", json!({"format_score": 2.0})).unwrap_err(),
            "`format_score` = 2: must be in [0, 1)"
        );
        let exact = build("exact-match", json!({"case": "insensitive"})).unwrap();
        let task = Task::new("t", "", "Paris");
        assert_eq!(exact.judge(&task, "paris"), Verdict::scored(1.0, "scored"));
        let without = exact.judge(&Task::new("t", "", ""), "paris");
        assert_eq!(
            (without.score, without.reason.as_ref()),
            (None, "task `t` has no reference")
        );
        let line = build("format", json!({"end": "line"})).unwrap();
        let text = "<think>\na\n</think>\n<answer>\nb\n</answer>\nc";
        assert_eq!(line.judge(&task, text).score, Some(1.0));
        let nested = super::settings(&["a.b = 1", "a.c=x", "d=[2]"]).unwrap();
        assert_eq!(Value::Object(nested), json!({"a": {"b": 1, "c": "x"}, "d": [2]}));
        for (pairs, what) in [
            (vec!["a"], "setting `a`: is no `key=value`"),
            (
                vec!["a=1", "a.b=2"],
                "setting `a.b=2`: reaches inside a plain value",
            ),
        ] {
            assert_eq!(super::settings(&pairs).unwrap_err().to_string(), what);
        }
        let error = build("mathh", json!({})).unwrap_err();
        assert!(
            error.starts_with("unknown family `mathh`; known are math, gsm8k, "),
            "{error}"
        );
    }
}
