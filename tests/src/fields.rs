//! Typed access to the objects of a case.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::fault::Fault;

/// Typed access to `params` or `input`; remembers which keys were asked for.
///
/// A value of the wrong type or out of the range of its type is a refusal, as it would be in a recipe; a key
/// that is needed and absent, or present and never asked for, is a fault of the adapter.
#[derive(Debug)]
pub struct Fields<'a> {
    kind: &'static str,
    map: &'a Map<String, Value>,
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Fields<'a> {
    /// Wraps an object; `kind` names it in messages.
    pub fn new(kind: &'static str, map: &'a Map<String, Value>) -> Self {
        Self {
            kind,
            map,
            asked: RefCell::default(),
        }
    }

    /// The raw value, if the key is there.
    pub fn raw(&self, key: &str) -> Option<&'a Value> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.map.get(key)
    }

    /// The raw value.
    ///
    /// # Errors
    /// [`Fault::Adapter`] if the key is absent.
    pub fn need_raw(&self, key: &str) -> Result<&'a Value, Fault> {
        self.raw(key)
            .ok_or_else(|| Fault::adapter(format!("the case has no {} `{key}`", self.kind)))
    }

    /// The value, if the key is there.
    ///
    /// # Errors
    /// [`Fault::Refused`] if it does not have this type.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Fault> {
        self.raw(key).map(|value| self.read(key, value)).transpose()
    }

    /// The value.
    ///
    /// # Errors
    /// [`Fault::Adapter`] if the key is absent, [`Fault::Refused`] if the value does not have this type.
    pub fn need<T: DeserializeOwned>(&self, key: &str) -> Result<T, Fault> {
        self.read(key, self.need_raw(key)?)
    }

    /// The value, or a default if the key is absent.
    ///
    /// # Errors
    /// [`Fault::Refused`] if the value does not have this type.
    pub fn or<T: DeserializeOwned>(&self, key: &str, default: T) -> Result<T, Fault> {
        Ok(self.get(key)?.unwrap_or(default))
    }

    /// Checks that every key was asked for.
    ///
    /// # Errors
    /// [`Fault::Adapter`] naming the first key that nobody asked for.
    pub fn finish(&self) -> Result<(), Fault> {
        let asked = self.asked.borrow();
        match self.map.keys().find(|key| !asked.contains(*key)) {
            None => Ok(()),
            Some(key) => Err(Fault::adapter(format!(
                "adapter does not know {} `{key}`",
                self.kind
            ))),
        }
    }

    fn read<T: DeserializeOwned>(&self, key: &str, value: &Value) -> Result<T, Fault> {
        T::deserialize(value).map_err(|e| Fault::refused(format!("{} `{key}`: {e}", self.kind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn absent_mistyped_and_unknown_keys_are_told_apart() {
        let value = json!({"eps": 1e-6, "group": -1, "cap": null, "other": 3});
        let fields = Fields::new("param", value.as_object().unwrap());
        assert_eq!(fields.or("eps", 0.0).unwrap(), 1e-6);
        assert_eq!(fields.or("std", "sample".to_owned()).unwrap(), "sample");
        assert_eq!(fields.or("cap", Some(1.0)).unwrap(), None);
        assert!(matches!(fields.get::<u32>("group"), Err(Fault::Refused(_))));
        assert_eq!(
            fields.need::<f64>("beta").unwrap_err(),
            Fault::adapter("the case has no param `beta`")
        );
        assert_eq!(
            fields.finish().unwrap_err(),
            Fault::adapter("adapter does not know param `other`")
        );
        fields.raw("other");
        fields.finish().unwrap();
    }
}
