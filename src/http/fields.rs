//! Reads the fields of a JSON object one by one, so that the response names every wrong field.
//!
//! ```text
//!   {"quantity": 0, "batchId": 7, "colour": 1} ──▶ Fields ──▶ FieldReader
//!                                                                │ required, optional
//!                                                                ▼
//!                                   the right fields, and WrongFields ──and──▶ Problem
//! ```
//!
//! Serde alone stops at the first wrong field.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::Value;

use super::{field_error::FieldError, problem::Problem};
use crate::{domain::Invalid, service::BatchError};

/// The members of a JSON object that is a `T`, if its fields are right. Its schema is that of `T`.
pub(super) struct Fields<T> {
    members: Vec<(String, Value)>,
    schema: PhantomData<T>,
}

/// No members.
impl<T> Default for Fields<T> {
    fn default() -> Self {
        Self { members: Vec::new(), schema: PhantomData }
    }
}

impl<T> Fields<T> {
    pub(super) fn reader(self) -> FieldReader {
        FieldReader { members: self.members, known: Vec::new(), wrong: Vec::new() }
    }
}

/// Keeps repeated members, which a map would not.
impl<'de, T: JsonSchema> Deserialize<'de> for Fields<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

struct MembersVisitor<T>(PhantomData<T>);

impl<'de, T: JsonSchema> Visitor<'de> for MembersVisitor<T> {
    type Value = Fields<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "struct {}", T::schema_name())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<T>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Fields { members, schema: PhantomData })
    }
}

impl<T: JsonSchema> JsonSchema for Fields<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// Takes the known fields out of an object, and collects the wrong ones.
pub(super) struct FieldReader {
    members: Vec<(String, Value)>,
    known: Vec<&'static str>,
    wrong: Vec<FieldError>,
}

impl FieldReader {
    /// The maximum number of unknown fields that are reported.
    const MAX_UNKNOWN: usize = 15;

    /// Reads a field that must be present. Returns `None` if it is wrong.
    pub(super) fn required<J: DeserializeOwned, V>(
        &mut self,
        name: &'static str,
        check: impl FnOnce(&'static str, J) -> Result<V, Invalid>,
    ) -> Option<V> {
        let values = self.take(name);
        if values.is_empty() {
            self.wrong.push(FieldError::missing(name));
            return None;
        }
        self.read(name, values, check)
    }

    /// Reads a field that may be absent or null. Returns `None` also if it is wrong.
    pub(super) fn optional<J: DeserializeOwned, V>(
        &mut self,
        name: &'static str,
        check: impl FnOnce(&'static str, J) -> Result<V, Invalid>,
    ) -> Option<V> {
        let values = self.take(name);
        if values.is_empty() || values == [Value::Null] {
            return None;
        }
        self.read(name, values, check)
    }

    /// Returns what is wrong. All members that no call has read are unknown fields.
    pub(super) fn finish(self) -> WrongFields {
        let Self { members, known, mut wrong } = self;
        let mut unknown: Vec<&str> = Vec::new();
        for (name, _) in &members {
            if unknown.len() < Self::MAX_UNKNOWN && !unknown.contains(&name.as_str()) {
                unknown.push(name);
            }
        }
        wrong.extend(unknown.into_iter().map(|name| FieldError::unknown(name, &known)));
        WrongFields(wrong)
    }

    fn take(&mut self, name: &'static str) -> Vec<Value> {
        self.known.push(name);
        self.members.extract_if(.., |(other, _)| other == name).map(|(_, value)| value).collect()
    }

    fn read<J: DeserializeOwned, V>(
        &mut self,
        name: &'static str,
        values: Vec<Value>,
        check: impl FnOnce(&'static str, J) -> Result<V, Invalid>,
    ) -> Option<V> {
        let read = match <[Value; 1]>::try_from(values) {
            Ok([value]) => serde_json::from_value(value)
                .map_err(|error| FieldError::wrong_type(name, &error))
                .and_then(|value| check(name, value).map_err(|invalid| FieldError::of(&invalid))),
            Err(_) => Err(FieldError::duplicate(name)),
        };
        read.map_err(|error| self.wrong.push(error)).ok()
    }
}

/// The wrong fields of a body, possibly none.
#[must_use = "a body with wrong fields must be refused"]
pub(super) struct WrongFields(Vec<FieldError>);

impl WrongFields {
    /// Returns `checked`, which is the result for the other fields, if no field is wrong.
    ///
    /// # Errors
    ///
    /// A problem with all wrong fields: these, and those in `checked`. They take precedence over
    /// any other error in `checked`, because the request is refused in any case.
    pub(super) fn and<V>(mut self, checked: Result<V, BatchError>) -> Result<V, Problem> {
        match checked {
            Err(BatchError::Invalid(invalid)) => self.0.extend(invalid.iter().map(FieldError::of)),
            Ok(value) if self.0.is_empty() => return Ok(value),
            Err(error) if self.0.is_empty() => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
        Err(Problem::wrong_fields(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only described")]
    struct Order {
        pieces: u8,
        to: Option<String>,
    }

    type Read = (Option<u8>, Option<String>, Vec<FieldError>);

    fn read(body: &str) -> Read {
        let mut fields = serde_json::from_str::<Fields<Order>>(body).unwrap().reader();
        let some = |field, pieces| Invalid::check_range(field, pieces, 1, 9).map(|()| pieces);
        let pieces = fields.required("pieces", some);
        let to = fields.optional("to", |_, to| Ok(to));
        (pieces, to, fields.finish().0)
    }

    #[test]
    fn right_fields_are_read() {
        assert_eq!(read(r#"{"to":"me","pieces":2}"#), (Some(2), Some("me".into()), vec![]));
        assert_eq!(read(r#"{"to":null,"pieces":2}"#), (Some(2), None, vec![]));
        assert_eq!(read(r#"{"pieces":2}"#), (Some(2), None, vec![]));
        let error = serde_json::from_str::<Fields<Order>>("[]").err().unwrap();
        assert!(error.to_string().contains("expected struct Order"), "{error}");
    }

    #[test]
    fn every_wrong_field_is_reported_once() {
        let table: [(&str, &[(&str, &str)]); 7] = [
            ("{}", &[("pieces", "missing field `pieces`")]),
            (r#"{"pieces":null}"#, &[("pieces", "`pieces`: invalid type: null, expected u8")]),
            (r#"{"pieces":0}"#, &[("pieces", "`pieces` must be 1 to 9, but is 0")]),
            (r#"{"pieces":1,"pieces":2}"#, &[("pieces", "duplicate field `pieces`")]),
            (r#"{"pieces":1,"to":null,"to":"me"}"#, &[("to", "duplicate field `to`")]),
            (
                r#"{"colour":1,"pieces":1,"colour":2}"#,
                &[("colour", "`colour`: unknown field `colour`, expected one of `pieces`, `to`")],
            ),
            (
                r#"{"x":{},"to":7}"#,
                &[
                    ("pieces", "missing field `pieces`"),
                    ("to", "`to`: invalid type: integer `7`, expected a string"),
                    ("x", "`x`: unknown field `x`, expected one of `pieces`, `to`"),
                ],
            ),
        ];

        for (body, expected) in table {
            let (_, _, wrong) = read(body);
            let wrong: Vec<_> = wrong.iter().map(|error| (&*error.field, &*error.detail)).collect();
            assert_eq!(wrong, expected, "{body}");
        }
    }

    #[test]
    fn the_number_of_unknown_fields_is_bounded() {
        let many: serde_json::Map<_, _> = (0..100).map(|n| (format!("f{n}"), json!(n))).collect();

        let (_, _, wrong) = read(&json!(many).to_string());

        assert_eq!(wrong.len(), 1 + FieldReader::MAX_UNKNOWN, "and the missing one");
    }
}
