//! One line of input: one group, as serde sees it.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use groupwise_recipe::Unknown;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};

use crate::error::ScoreError;
use crate::ragged::{Flag, Given, Ragged};

/// A group of rollouts of one prompt, as it stands on a line.  Which fields are needed depends on the parts.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Line<'a> {
    /// Comes back with the result; the line number if absent.
    #[serde(borrow)]
    pub id: Option<Id<'a>>,
    /// Reward of each trajectory; null: could not be scored.
    pub rewards: Option<Vec<Option<f64>>>,
    /// Reward of one greedy rollout of the prompt.
    pub greedy_reward: Option<f64>,
    /// 1 for each trajectory that the policy did not sample: a reference solution in its group.
    pub off_policy: Option<Vec<Flag>>,
    /// Environment steps.
    #[serde(deserialize_with = "object")]
    pub steps: Option<Steps>,
    /// Steps that a process verifier judged.
    #[serde(deserialize_with = "object")]
    pub judged_steps: Option<JudgedSteps>,
    /// Numbers per token.
    #[serde(deserialize_with = "object")]
    pub tokens: Option<Tokens>,
    /// Advantages, where none are to be computed.
    pub advantages: Option<Given>,
}

/// Environment steps of each trajectory: trajectory -> step.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Steps {
    /// Reward of each step.
    pub rewards: Option<Ragged<f64>>,
    /// State each step was taken in, by which steps are compared.
    #[serde(alias = "states")]
    pub anchors: Option<Ragged<String>>,
    /// Tokens of each step; they add up to the trajectory's.  Absent, without tokens either: one each.
    pub n_tokens: Option<Ragged<usize>>,
}

/// Judged steps of each trajectory: trajectory -> step.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedSteps {
    /// Last token of each step, counted from 0 in its trajectory; ascending.
    pub ends: Ragged<usize>,
    /// Reward of each step.
    pub rewards: Ragged<f64>,
}

/// Numbers per token: trajectory -> token.  TRL's names are understood too.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// Log-probability under the current policy, nats.
    #[serde(alias = "per_token_logps")]
    pub logp: Option<Ragged<f64>>,
    /// Log-probability at the start of the update; absent: the current one.
    #[serde(alias = "old_per_token_logps")]
    pub logp_old: Option<Ragged<f64>>,
    /// Log-probability under the reference policy.
    #[serde(alias = "ref_per_token_logps")]
    pub logp_ref: Option<Ragged<f64>>,
    /// Entropy of the current distribution, nats.
    #[serde(alias = "entropies")]
    pub entropy: Option<Ragged<f64>>,
    /// Value estimates.
    pub values: Option<Ragged<f64>>,
    /// 1 where a token counts; absent: everywhere.
    #[serde(alias = "completion_mask")]
    pub mask: Option<Ragged<Flag>>,
}

/// A name or a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id<'a> {
    /// A name.
    Text(Cow<'a, str>),
    /// A number.
    Number(i64),
}

impl Id<'_> {
    /// The same, without a hold on the line.
    pub fn into_owned(self) -> Id<'static> {
        match self {
            Self::Text(text) => Id::Text(Cow::Owned(text.into_owned())),
            Self::Number(n) => Id::Number(n),
        }
    }
}

impl Serialize for Id<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(n) => serializer.serialize_i64(*n),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyId)
    }
}

struct AnyId;

impl<'de> Visitor<'de> for AnyId {
    type Value = Id<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a whole number")
    }

    fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
        Ok(Id::Text(Cow::Borrowed(v)))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
        Ok(Id::Text(Cow::Owned(v.to_owned())))
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Self::Value, E> {
        Ok(Id::Number(v))
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Self::Value, E> {
        let known = i64::try_from(v).map(Id::Number);
        known.map_err(|_| E::invalid_value(de::Unexpected::Unsigned(v), &self))
    }
}

/// An object or null: serde would also take a list for the fields in their order, and mistake a list of
/// trajectories for one.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    struct Named<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Named<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of lists by name")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }

    deserializer.deserialize_any(Named(PhantomData))
}

impl<'a> Line<'a> {
    /// Reads a line; `number` is what errors call it.
    ///
    /// # Errors
    /// No JSON object, an unknown key (with what was probably meant), a wrong type, NaN or infinity; with line,
    /// column and path.
    pub fn parse(text: &'a [u8], number: u64) -> Result<Self, ScoreError> {
        let is_object = text.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
        if !is_object {
            return Err(ScoreError::line(number, "is no JSON object"));
        }
        serde_json::from_slice(text).map_err(|_| explain(text, number))
    }
}

/// Reads once more, slowly, keeping track of where.
fn explain(text: &[u8], line: u64) -> ScoreError {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let found = serde_path_to_error::deserialize::<_, Line<'_>>(&mut reader);
    let (path, error) = match found {
        Err(e) => (e.path().to_string(), e.into_inner()),
        Ok(_) => match reader.end() {
            Err(e) => (String::new(), e),
            Ok(()) => return ScoreError::line(line, "cannot be read"),
        },
    };
    let column = Some(error.column()).filter(|c| *c > 0);
    let message = error.to_string();
    let message = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(what, _)| what);
    let what = if let Some(word) = column.and_then(|c| non_finite(text, c)) {
        format!(
            "{word} is not JSON; give null for a reward that could not be scored, and no number where none is"
        )
    } else if let Some(unknown) = Unknown::parse(message) {
        let meant = foreign(&unknown).or_else(|| unknown.suggestion());
        let meant = meant.map_or_else(String::new, |s| format!("; did you mean `{s}`?"));
        format!("{}{meant}", unknown.what())
    } else {
        message.to_owned()
    };
    // Above the first key there is no path.
    let path = if matches!(path.as_str(), "" | "." | "?") {
        String::new()
    } else {
        format!("{path}: ")
    };
    ScoreError::Line {
        line,
        column,
        what: format!("{path}{what}"),
    }
}

/// The word at fault, if it is one that Python writes for a number JSON does not have.
fn non_finite(text: &[u8], column: usize) -> Option<&'static str> {
    let from = column.saturating_sub(2);
    let near = text.get(from..text.len().min(column + 9))?;
    // The reader stops at the first byte it cannot take, which may be the one behind a minus sign.
    ["-Infinity", "Infinity", "NaN"]
        .into_iter()
        .find(|word| (0..2).any(|skip| near.get(skip..).is_some_and(|n| n.starts_with(word.as_bytes()))))
}

/// Names that verl and others use for ours.
const FOREIGN: &[(&str, &str)] = &[
    ("attention_mask", "mask"),
    ("baseline", "greedy_reward"),
    ("entropys", "entropy"),
    ("group_id", "id"),
    ("log_prob", "logp"),
    ("log_probs", "logp"),
    ("logprobs", "logp"),
    ("loss_mask", "mask"),
    ("obs", "anchors"),
    ("old_log_prob", "logp_old"),
    ("old_log_probs", "logp_old"),
    ("prompt_id", "id"),
    ("ref_log_prob", "logp_ref"),
    ("ref_log_probs", "logp_ref"),
    ("response_mask", "mask"),
    ("reward_baselines", "greedy_reward"),
    ("score", "rewards"),
    ("scores", "rewards"),
    ("step_rewards", "steps"),
    ("token_level_rewards", "rewards"),
    ("token_level_scores", "rewards"),
    ("uid", "id"),
    ("value", "values"),
];

/// Keys that stand one level down.
const INNER: &[&str] = &["logp", "logp_old", "logp_ref", "entropy", "values", "mask"];

fn foreign(unknown: &Unknown) -> Option<String> {
    let name = unknown.name.as_str();
    let ours = FOREIGN
        .iter()
        .find(|(theirs, _)| *theirs == name)
        .map_or(name, |(_, ours)| *ours);
    if unknown.known.iter().any(|k| k == ours) {
        return (ours != name).then(|| ours.to_owned());
    }
    let is_top = unknown.known.iter().any(|k| k == "tokens");
    (is_top && INNER.contains(&ours)).then(|| format!("tokens.{ours}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Line::parse(text.as_bytes(), 7).unwrap_err().to_string()
    }

    #[test]
    fn every_field_is_read() {
        let text = r#" {"id": "p", "rewards": [1, null], "greedy_reward": 0.5,
            "steps": {"rewards": [[0, 1], [0]], "anchors": [["a", "b"], ["a"]], "n_tokens": [[1, 1], [1]]},
            "judged_steps": {"ends": [[0], []], "rewards": [[1], []]},
            "tokens": {"logp": [[-1, -2], [-3]], "logp_old": [[-1, -2], [-3]], "logp_ref": [[-1, -2], [-3]],
                       "entropy": [[1, 2], [3]], "values": [[1, 2], [3]], "mask": [[1, 0], [true]]},
            "advantages": [1, -1]}"#;
        let line = Line::parse(text.as_bytes(), 1).unwrap();
        assert_eq!(line.id, Some(Id::Text("p".into())));
        assert_eq!(line.rewards, Some(vec![Some(1.0), None]));
        assert_eq!(line.greedy_reward, Some(0.5));
        let steps = line.steps.unwrap();
        assert_eq!(steps.rewards.unwrap().values, [0.0, 1.0, 0.0]);
        assert_eq!(steps.anchors.unwrap().values, ["a", "b", "a"]);
        assert_eq!(steps.n_tokens.unwrap().lengths, [2, 1]);
        let judged = line.judged_steps.unwrap();
        assert_eq!((judged.ends.values, judged.rewards.values), (vec![0], vec![1.0]));
        let tokens = line.tokens.unwrap();
        for column in [tokens.logp, tokens.logp_old, tokens.logp_ref] {
            assert_eq!(column.unwrap().values, [-1.0, -2.0, -3.0]);
        }
        for column in [tokens.entropy, tokens.values] {
            assert_eq!(column.unwrap().values, [1.0, 2.0, 3.0]);
        }
        assert_eq!(tokens.mask.unwrap().values, [Flag(true), Flag(false), Flag(true)]);
        assert_eq!(line.advantages, Some(Given::Trajectory(vec![1.0, -1.0])));
    }

    #[test]
    fn names_of_trl_are_understood_and_null_is_absence() {
        let text = r#"{"id": -3, "steps": null, "tokens": {"per_token_logps": [[-1]], "old_per_token_logps": [[-1]],
            "ref_per_token_logps": [[-1]], "completion_mask": [[1]], "entropies": [[0]], "values": null}}"#;
        let line = Line::parse(text.as_bytes(), 1).unwrap();
        assert_eq!(line.id, Some(Id::Number(-3)));
        assert!(line.steps.is_none());
        let t = line.tokens.unwrap();
        assert!(t.logp.is_some() && t.logp_old.is_some() && t.logp_ref.is_some());
        assert!(t.mask.is_some() && t.entropy.is_some() && t.values.is_none());
        let twice = r#"{"tokens": {"logp": [[-1]], "per_token_logps": [[-1]]}}"#;
        assert!(
            refused(twice).contains("duplicate field `logp`"),
            "{}",
            refused(twice)
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert_eq!(refused("[1, 2]"), "line 7: is no JSON object");
        assert_eq!(refused("NaN"), "line 7: is no JSON object");
        assert_eq!(refused("{} {}"), "line 7, column 4: trailing characters");
        assert_eq!(
            refused(r#"{"rewards": [1"#),
            "line 7, column 14: rewards: EOF while parsing a list"
        );
        // A list would be taken for the fields in their order.
        assert_eq!(
            refused(r#"{"tokens": [[[-1.0]]]}"#),
            "line 7, column 12: tokens: invalid type: sequence, expected an object of lists by name"
        );
        assert_eq!(
            refused(r#"{"id": 1.5}"#),
            "line 7, column 10: id: invalid type: floating point `1.5`, expected a string or a whole number"
        );
        assert!(refused(r#"{"id": 18446744073709551615}"#).contains("expected a string or a whole number"));
    }

    #[test]
    fn numbers_json_does_not_have_are_named() {
        let words = [
            ("NaN", "NaN"),
            ("Infinity", "Infinity"),
            ("-Infinity", "-Infinity"),
        ];
        for (word, said) in words {
            let text = refused(&format!(r#"{{"rewards": [1, {word}]}}"#));
            assert!(
                text.contains(&format!(": {said} is not JSON; give null")),
                "{text}"
            );
            assert!(text.starts_with("line 7, column 1"), "{text}");
        }
        let huge = refused(r#"{"rewards": [1e999]}"#);
        assert!(huge.contains("number out of range"), "{huge}");
        let wrong = refused(r#"{"tokens": {"logp": [[-1, "x"]]}}"#);
        assert!(
            wrong.contains("tokens.logp[0][1]: invalid type: string \"x\", expected f64"),
            "{wrong}"
        );
    }

    #[test]
    fn unknown_keys_come_with_what_was_meant() {
        let text = refused(r#"{"reward": [1]}"#);
        assert!(
            text.starts_with("line 7, column 9: reward: unknown key `reward`, known: id, rewards, "),
            "{text}"
        );
        assert!(text.ends_with("; did you mean `rewards`?"), "{text}");
        let verl = refused(r#"{"tokens": {"old_log_probs": [[1]]}}"#);
        assert!(verl.contains("tokens.old_log_probs: unknown key"), "{verl}");
        assert!(verl.ends_with("; did you mean `logp_old`?"), "{verl}");
        let outside = refused(r#"{"response_mask": [[1]]}"#);
        assert!(outside.ends_with("; did you mean `tokens.mask`?"), "{outside}");
        let uid = refused(r#"{"uid": "a"}"#);
        assert!(uid.ends_with("; did you mean `id`?"), "{uid}");
        let strange = refused(r#"{"qqqqqqqq": 1}"#);
        assert!(!strange.contains("did you mean"), "{strange}");
    }
}
