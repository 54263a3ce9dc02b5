//! One line of the input: a response, and the task it answers.

use groupwise_core::Task;
use serde_json::{Map, Value};

/// Where the response may stand, the first that is there.
const RESPONSES: [&str; 2] = ["completion", "response"];
/// Where the reference may stand, the first that is there.
const REFERENCES: [&str; 4] = ["solution", "answer", "reference", "gold"];

/// A response, and the task it answers.
///
/// # Example
/// ```
/// use groupwise_verify::Row;
/// let line = r#"{"prompt": "2+3?", "completion": [{"role": "assistant", "content": "5"}], "solution": 5}"#;
/// let row = Row::parse(line.as_bytes(), 7)?;
/// assert_eq!((row.response.as_str(), row.task.reference.as_str()), ("5", "5"));
/// assert_eq!(row.id, 7);
/// # Ok::<(), groupwise_verify::VerifyError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// As given, else the number of the line.
    pub id: Value,
    /// The task; further fields are its columns.
    pub task: Task,
    /// The response as text.
    pub response: String,
}

impl Row {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong, with the number of the line.
    pub fn parse(text: &[u8], line: u64) -> Result<Self, crate::VerifyError> {
        let bad = |what: String| crate::VerifyError::line(line, what);
        let object: Map<String, Value> =
            serde_json::from_slice(text).map_err(|e| bad(format!("is no JSON object: {e}")))?;
        Self::of(object, line).map_err(bad)
    }

    fn of(mut object: Map<String, Value>, line: u64) -> Result<Self, String> {
        let id = match object.remove("id") {
            None | Some(Value::Null) => Value::from(line),
            Some(id @ (Value::String(_) | Value::Number(_))) => id,
            Some(_) => return Err("`id` is neither text nor number".to_owned()),
        };
        let key = RESPONSES
            .iter()
            .find(|key| object.contains_key(**key))
            .ok_or("has no `completion`")?;
        let response = object.remove(*key).unwrap_or_default();
        let response = text_of(&response, "assistant").map_err(|e| format!("`{key}`: {e}"))?;
        let prompt = match object.remove("prompt") {
            None => String::new(),
            Some(prompt) => text_of(&prompt, "user").map_err(|e| format!("`prompt`: {e}"))?,
        };
        let reference = REFERENCES
            .iter()
            .find_map(|key| object.remove(*key))
            .filter(|value| !value.is_null());
        let name = match &id {
            Value::String(id) => id.clone(),
            other => other.to_string(),
        };
        let mut task = Task::new(name, prompt, reference.map(plain).unwrap_or_default());
        task.columns = object;
        Ok(Self { id, task, response })
    }
}

/// A text as it is, other values as JSON.
fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A text, or the content of the last message of that role, or of the last message where none has it.
fn text_of(value: &Value, role: &str) -> Result<String, String> {
    let messages = match value {
        Value::String(text) => return Ok(text.clone()),
        Value::Null => return Ok(String::new()),
        Value::Array(messages) => messages,
        _ => return Err("is neither text nor a list of messages".to_owned()),
    };
    let is_role = |message: &&Value| message.get("role").and_then(Value::as_str) == Some(role);
    let last = messages.iter().rev().find(is_role).or(messages.last());
    let Some(message) = last else {
        return Ok(String::new());
    };
    match message.get("content") {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Null) => Ok(String::new()),
        // Parts of a message: text beside pictures.
        Some(Value::Array(parts)) => Ok(parts
            .iter()
            .filter_map(|part| part.get("text").and_then(Value::as_str))
            .collect()),
        _ => Err("a message has no `content`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn row(value: &Value) -> Result<Row, String> {
        Row::parse(value.to_string().as_bytes(), 3).map_err(|e| e.to_string())
    }

    #[test]
    fn columns_of_trl_are_understood() {
        let found = row(&json!({
            "id": "a", "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}],
            "completion": [{"role": "assistant", "content": "one"}, {"role": "tool", "content": "x"},
                {"role": "assistant", "content": "two"}],
            "answer": ["x", "y"], "options": ["A"],
        }))
        .unwrap();
        assert_eq!(
            (found.response.as_str(), found.task.prompt.as_str()),
            ("two", "q")
        );
        assert_eq!(
            (found.task.id.as_str(), found.task.reference.as_str()),
            ("a", r#"["x","y"]"#)
        );
        assert_eq!(found.task.columns["options"], json!(["A"]));
        assert_eq!(found.task.columns.len(), 1);
    }

    #[test]
    fn texts_lists_and_parts_are_responses() {
        let response = |value: Value| row(&json!({"completion": value})).map(|row| row.response);
        assert_eq!(response(json!("a")).as_deref(), Ok("a"));
        assert_eq!(response(json!(null)).as_deref(), Ok(""));
        assert_eq!(response(json!([])).as_deref(), Ok(""));
        assert_eq!(response(json!([{"content": "a"}])).as_deref(), Ok("a"));
        assert_eq!(
            response(json!([{"role": "assistant", "content": null}])).as_deref(),
            Ok("")
        );
        let parts = json!([{"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}]);
        assert_eq!(response(parts).as_deref(), Ok("ab"));
        assert_eq!(
            response(json!(5)).unwrap_err(),
            "line 3: `completion`: is neither text nor a list of messages"
        );
        assert_eq!(
            response(json!([{"role": "assistant"}])).unwrap_err(),
            "line 3: `completion`: a message has no `content`"
        );
    }

    #[test]
    fn every_error_names_the_line() {
        assert_eq!(row(&json!({})).unwrap_err(), "line 3: has no `completion`");
        assert_eq!(
            row(&json!({"id": [], "completion": ""})).unwrap_err(),
            "line 3: `id` is neither text nor number"
        );
        let error = Row::parse(b"{\"completion\": \"a\"", 9).unwrap_err().to_string();
        assert!(error.starts_with("line 9: is no JSON object: EOF"), "{error}");
        assert!(Row::parse(b"\xff", 9).is_err());
    }

    #[test]
    fn the_reference_is_the_first_that_is_there() {
        let reference = |value: Value| row(&value).unwrap().task.reference;
        assert_eq!(reference(json!({"response": "", "gold": 5})), "5");
        assert_eq!(
            reference(json!({"response": "", "solution": "a", "answer": "b"})),
            "a"
        );
        assert_eq!(reference(json!({"response": "", "solution": null})), "");
        let kept = row(&json!({"response": "", "solution": "a", "gold": "b"})).unwrap();
        assert_eq!(kept.task.columns["gold"], "b");
    }

    proptest! {
        #[test]
        fn no_line_panics(text in any::<String>(), near in "[\\{\\}\\[\\]:,\"a-e0-9]{0,24}") {
            let _ = Row::parse(text.as_bytes(), 1);
            let _ = Row::parse(format!("{{\"completion\": {near}}}").as_bytes(), 1);
        }
    }
}
