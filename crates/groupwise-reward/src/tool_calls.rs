//! Calls of tools: their text form, and whether they are among the accepted ones.

mod values;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::values::{Kind, ParameterType, check_value};
use crate::response::{Fuel, OutOfFuel, UNCLOSED_THINKING, after_thinking};
use crate::strict_json;

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// A call: which function, with what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    /// Name of the function.
    pub name: String,
    /// Arguments by name.
    pub arguments: Map<String, Value>,
}

impl Call {
    /// A call written as `{name: {argument: value, ..}}`.
    ///
    /// # Errors
    /// Anything but one name with an object.
    pub fn of_pair(value: &Value) -> Result<Self, String> {
        let pair = value.as_object().filter(|object| object.len() == 1);
        let (name, arguments) = pair
            .and_then(|object| object.iter().next())
            .ok_or("a call is no object of one name")?;
        let arguments = arguments
            .as_object()
            .ok_or_else(|| format!("the arguments of `{name}` are no object"))?;
        Ok(Self {
            name: name.clone(),
            arguments: arguments.clone(),
        })
    }

    /// A call written as `{"name": .., "arguments": {..}}`.
    fn of_text(text: &str) -> Result<Self, String> {
        let value = strict_json::parse(text).map_err(|e| e.to_string())?;
        let Value::Object(mut fields) = value else {
            return Err("not an object".to_owned());
        };
        match (fields.remove("name"), fields.remove("arguments"), fields.len()) {
            (Some(Value::String(name)), Some(Value::Object(arguments)), 0) => Ok(Self { name, arguments }),
            (Some(Value::String(_)), Some(Value::Object(_)), _) => {
                Err("more than name and arguments".to_owned())
            }
            (Some(Value::String(_)), Some(_), _) => Err("`arguments` is no object".to_owned()),
            (Some(Value::String(_)), None, _) => Err("`arguments` is missing".to_owned()),
            _ => Err("`name` is no text".to_owned()),
        }
    }
}

/// Reads the calls of a response, in order.
///
/// # Formula
/// Each call is `<tool_call>{"name": text, "arguments": {..}}</tool_call>`, strict JSON ([`strict_json::parse`]), with
/// white space around it at most.
///
/// # Edge cases
/// - Text around the calls is free; calls inside the thinking are none.
/// - One bad call spoils all.  A tag without its partner is a bad call.
/// - No tags: no calls, which may be right.
///
/// # Errors
/// What is wrong with the first bad call.
///
/// # Example
/// ```
/// use groupwise_reward::tool_calls::parse_calls;
/// let text = r#"Let me see. <tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>"#;
/// let calls = parse_calls(text)?;
/// assert_eq!((calls.len(), calls[0].name.as_str()), (1, "weather"));
/// assert!(parse_calls("<tool_call>{'name': 'weather'}</tool_call>").is_err());
/// assert!(parse_calls("It rains.")?.is_empty());
/// # Ok::<(), String>(())
/// ```
pub fn parse_calls(response: &str) -> Result<Vec<Call>, String> {
    let mut rest = after_thinking(response).ok_or(UNCLOSED_THINKING)?;
    let mut calls = Vec::new();
    while let Some((before, inside)) = rest.split_once(OPEN) {
        if before.contains(CLOSE) {
            break;
        }
        let n = calls.len() + 1;
        let (text, after) = inside
            .split_once(CLOSE)
            .ok_or_else(|| format!("call {n} is never closed"))?;
        calls.push(Call::of_text(text).map_err(|e| format!("call {n}: {e}"))?);
        rest = after;
    }
    match rest.contains(CLOSE) {
        true => Err("a closing tag without an opening one".to_owned()),
        false => Ok(calls),
    }
}

/// Why a call, or a set of calls, is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// More or fewer calls than expected.
    WrongCount,
    /// Another function.
    WrongName,
    /// A required argument is missing.
    MissingRequired,
    /// An argument that is not described, or that no accepted call has.
    UnexpectedArgument,
    /// A value of another type than described.
    WrongType,
    /// A list with an element of another type than described.
    WrongItemType,
    /// A value that is not among the accepted ones.
    WrongValue,
    /// An argument is left out that is not required and yet must be there.
    MissingOptional,
    /// The calls cannot be paired with the accepted ones.
    NoPairing,
}

/// A fault, and the argument it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// Argument, or function, or number of calls.
    pub about: String,
}

impl Fault {
    fn new(kind: FaultKind, about: impl Into<String>) -> Self {
        Self {
            kind,
            about: about.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = &self.about;
        match self.kind {
            FaultKind::WrongCount => write!(f, "wrong count: {about}"),
            FaultKind::WrongName => write!(f, "wrong function `{about}`"),
            FaultKind::MissingRequired => write!(f, "required argument `{about}` is missing"),
            FaultKind::UnexpectedArgument => write!(f, "unexpected argument `{about}`"),
            FaultKind::WrongType => write!(f, "argument `{about}` has the wrong type"),
            FaultKind::WrongItemType => write!(f, "an element of argument `{about}` has the wrong type"),
            FaultKind::WrongValue => write!(f, "the value of argument `{about}` is not accepted"),
            FaultKind::MissingOptional => write!(f, "argument `{about}` may not be left out here"),
            FaultKind::NoPairing => write!(f, "no pairing with the accepted calls: {about}"),
        }
    }
}

/// What became of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallVerdict {
    /// Accepted.
    Right,
    /// Not accepted.
    Wrong(Fault),
    /// The check took too many steps.
    Limit,
}

/// How names of functions are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FunctionNames {
    /// As they are.
    #[default]
    Exact,
    /// With dots of the described name as underscores, for models that may not write dots.
    Underscored,
}

/// What calls are expected: functions as described to the model, and the accepted arguments of each call.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedCalls {
    calls: Vec<Expected>,
}

/// One expected call.
#[derive(Clone, Debug, PartialEq)]
struct Expected {
    name: String,
    types: Vec<(String, ParameterType)>,
    required: Vec<String>,
    accepted: Vec<(String, Vec<Value>)>,
}

impl ExpectedCalls {
    /// From JSON in the form of the Berkeley Function-Calling Leaderboard.
    ///
    /// # Shapes
    /// `functions`: `{"name", "parameters": {"properties": {argument: {"type", "items": {"type"}}}, "required": [..]}}`;
    /// `accepted`: one `{name: {argument: [value, ..]}}` per call.
    ///
    /// # Errors
    /// An accepted call of a function that is not described; a type that is not known; anything of another form.
    pub fn new(functions: &[Value], accepted: &[Value]) -> Result<Self, String> {
        let calls = accepted
            .iter()
            .map(|call| Expected::new(functions, call))
            .collect::<Result<_, _>>()?;
        Ok(Self { calls })
    }

    /// Checks calls against the expected ones.
    ///
    /// # Formula
    /// Right if calls and expected calls can be paired off so that each pair fits: same function; every required argument;
    /// no argument that is not described or not among the accepted; every value of the type described and equal to an
    /// accepted one; no argument left out unless "" is among its accepted values.
    ///
    /// # Edge cases
    /// - A whole number is fine where a float is asked for, not the other way round; `true` is no number.
    /// - Texts compare without letter case, blanks and `,./-_*^`, single quotes as double ones; texts inside lists and
    ///   objects, too.
    /// - A value of the accepted values' own type is fine where that differs from the described one.
    /// - Nothing expected: right without calls.
    ///
    /// # Source
    /// `ast_checker.py` of ShishirPatil/gorilla @6ea57973c7a6 (Berkeley Function-Calling Leaderboard).  It pairs greedily
    /// and refuses right sets whose accepted values overlap; it accepts an empty list wherever "" is accepted.
    pub fn check(&self, calls: &[Call], names: FunctionNames) -> CallVerdict {
        let n = self.calls.len();
        if calls.len() != n {
            let about = format!("{} instead of {n}", calls.len());
            return CallVerdict::Wrong(Fault::new(FaultKind::WrongCount, about));
        }
        let mut fuel = Fuel::default();
        match self.pair_off(calls, names, &mut fuel) {
            Ok(None) => CallVerdict::Right,
            Ok(Some(fault)) => CallVerdict::Wrong(fault),
            Err(OutOfFuel) => CallVerdict::Limit,
        }
    }

    /// Pairs calls with expected ones by augmenting paths, each found breadth first; the fault if that is impossible.
    fn pair_off(
        &self,
        calls: &[Call],
        names: FunctionNames,
        fuel: &mut Fuel,
    ) -> Result<Option<Fault>, OutOfFuel> {
        let n = calls.len();
        let mut fits: Vec<Vec<bool>> = Vec::with_capacity(n);
        let mut faults: Vec<Option<Fault>> = Vec::with_capacity(n);
        for expected in &self.calls {
            let mut first = None;
            let mut row = Vec::with_capacity(n);
            for call in calls {
                fuel.spend(8 + 8 * call.arguments.len() as u64)?;
                let fault = expected.fault(call, names, fuel)?;
                row.push(fault.is_none());
                first = first.or(fault);
            }
            fits.push(row);
            faults.push(first);
        }
        let mut partner: Vec<Option<usize>> = vec![None; n];
        for start in 0..n {
            if !augment(&fits, &mut partner, start, fuel)? {
                let fault = faults.into_iter().nth(start).flatten();
                return Ok(Some(match fault {
                    Some(fault) if n == 1 => fault,
                    Some(fault) => Fault::new(
                        FaultKind::NoPairing,
                        format!("expected call {}: {fault}", start + 1),
                    ),
                    None => Fault::new(FaultKind::NoPairing, format!("expected call {}", start + 1)),
                }));
            }
        }
        Ok(None)
    }
}

/// Gives the row `start` a column, moving others if need be; false if there is no way.  `partner`: row of each column.
fn augment(
    fits: &[Vec<bool>],
    partner: &mut [Option<usize>],
    start: usize,
    fuel: &mut Fuel,
) -> Result<bool, OutOfFuel> {
    let mut reached_from: Vec<Option<usize>> = vec![None; partner.len()];
    let mut rows = std::collections::VecDeque::from([start]);
    while let Some(row) = rows.pop_front() {
        fuel.spend(partner.len() as u64)?;
        for column in 0..partner.len() {
            let fits = fits
                .get(row)
                .and_then(|f| f.get(column))
                .copied()
                .unwrap_or(false);
            if !fits || reached_from[column].is_some() {
                continue;
            }
            reached_from[column] = Some(row);
            match partner[column] {
                Some(other) => rows.push_back(other),
                None => {
                    // Back along the path: each row takes the column it reached.
                    let mut free = Some(column);
                    while let Some(column) = free {
                        let Some(row) = reached_from[column] else { break };
                        free = partner.iter().position(|p| *p == Some(row));
                        partner[column] = Some(row);
                        if row == start {
                            break;
                        }
                    }
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

impl Expected {
    fn new(functions: &[Value], accepted: &Value) -> Result<Self, String> {
        let call = Call::of_pair(accepted).map_err(|e| format!("accepted: {e}"))?;
        let name = call.name;
        let function = functions
            .iter()
            .find(|f| f.get("name").and_then(Value::as_str) == Some(&name))
            .ok_or_else(|| format!("accepted: `{name}` is not described"))?;
        let parameters = function.get("parameters").unwrap_or(&Value::Null);
        let types = match parameters.get("properties") {
            Some(Value::Object(properties)) => properties
                .iter()
                .map(|(argument, description)| {
                    let found = ParameterType::of(description);
                    let known = found.ok_or_else(|| format!("`{name}`: `{argument}` has no known type"))?;
                    Ok((argument.clone(), known))
                })
                .collect::<Result<_, String>>()?,
            _ => Vec::new(),
        };
        let required = match parameters.get("required") {
            Some(Value::Array(required)) => required
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        };
        let accepted = call.arguments.into_iter().map(|(argument, values)| match values {
            Value::Array(values) => Ok((argument, values)),
            _ => Err(format!("accepted: `{name}`: `{argument}` is no list of values")),
        });
        Ok(Self {
            types,
            required,
            accepted: accepted.collect::<Result<_, _>>()?,
            name,
        })
    }

    /// What keeps a call from being this one.
    fn fault(&self, call: &Call, names: FunctionNames, fuel: &mut Fuel) -> Result<Option<Fault>, OutOfFuel> {
        let same_name = match names {
            FunctionNames::Exact => call.name == self.name,
            FunctionNames::Underscored => call.name == self.name.replace('.', "_"),
        };
        if !same_name {
            return Ok(Some(Fault::new(FaultKind::WrongName, &call.name)));
        }
        if let Some(missing) = self.required.iter().find(|r| !call.arguments.contains_key(*r)) {
            return Ok(Some(Fault::new(FaultKind::MissingRequired, missing)));
        }
        for (argument, value) in &call.arguments {
            let described = self.types.iter().find(|(name, _)| name == argument);
            let accepted = self.accepted.iter().find(|(name, _)| name == argument);
            let (Some((_, described)), Some((_, accepted))) = (described, accepted) else {
                return Ok(Some(Fault::new(FaultKind::UnexpectedArgument, argument)));
            };
            if let Err(kind) = check_value(value, *described, accepted, fuel)? {
                return Ok(Some(Fault::new(kind, argument)));
            }
        }
        let left_out = self.accepted.iter().find(|(argument, values)| {
            !call.arguments.contains_key(argument) && !values.iter().any(|v| v.as_str() == Some(""))
        });
        Ok(left_out.map(|(argument, _)| Fault::new(FaultKind::MissingOptional, argument)))
    }
}

impl ParameterType {
    /// The type a description names.
    fn of(description: &Value) -> Option<Self> {
        let kind = |description: &Value| description.get("type")?.as_str().and_then(Kind::named);
        let items = description
            .get("items")
            .filter(|items| items.get("type").is_some());
        Some(Self {
            outer: kind(description)?,
            inner: match items {
                Some(items) => Some(kind(items)?),
                None => None,
            },
        })
    }
}

#[cfg(test)]
#[path = "tool_calls_tests.rs"]
mod tests;
