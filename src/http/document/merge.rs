//! Merges the document of the routes into that of a host.
//!
//! ```text
//!   paths, components   added; the same name with other content is a conflict
//!   tags                added; of the same name, the host's stays
//!   everything else     the host's
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::service::BatchService;

/// Why the OpenAPI document of the routes could not be merged. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The host's document is not an OpenAPI 3.1 document.
    #[error("the document must be OpenAPI 3.1, because its schemas are JSON Schema, but its `openapi` is {0}")]
    Version(Value),

    /// A part of the host's document has the wrong JSON type.
    #[error("`{0}` of the document is not an {1}")]
    Malformed(String, &'static str),

    /// Both documents have this part, with different contents. The text ends with what to change.
    #[error("both documents have {0}")]
    Conflict(String),

    /// The settings of the fairing are not valid.
    #[error("{0}")]
    Settings(#[source] Box<dyn std::error::Error + Send + Sync>),
}

type Result<T, E = MergeError> = std::result::Result<T, E>;

impl BatchService {
    /// Merges the OpenAPI document of the routes, with the settings of this process, into
    /// `document`. See [`BatchFairing::merge_openapi`](crate::BatchFairing::merge_openapi).
    ///
    /// # Errors
    ///
    /// [`MergeError`], except for `Settings`. `document` is unchanged then.
    pub fn merge_openapi(&self, document: &mut Value) -> Result<()> {
        merge(document, self.openapi())
    }
}

/// Merges `ours` into `document`, or leaves it unchanged.
pub(crate) fn merge(document: &mut Value, ours: &Value) -> Result<()> {
    let mut merged = Merge::into(document.clone())?;
    merged.add_paths(&ours["paths"])?;
    merged.add_components(&ours["components"])?;
    merged.add_tags(&ours["tags"])?;
    *document = merged.document.into();
    Ok(())
}

/// The host's document, while parts are added to it.
struct Merge {
    document: Map<String, Value>,
}

impl Merge {
    fn into(document: Value) -> Result<Self> {
        let version = document.get("openapi").cloned().unwrap_or_default();
        let is_supported = version.as_str().is_some_and(|version| version == "3.1" || version.starts_with("3.1."));
        match document {
            Value::Object(document) if is_supported => Ok(Self { document }),
            _ => Err(MergeError::Version(version)),
        }
    }

    fn add_paths(&mut self, ours: &Value) -> Result<()> {
        let has_default_security = self.document.contains_key("security");
        let theirs = object(&mut self.document, "paths", "paths")?;
        let (shapes, operation_ids) = (shapes_of(theirs), operation_ids_of(theirs));
        for (path, ours) in members(ours) {
            let ours = if has_default_security { with_explicit_security(ours) } else { ours.clone() };
            if theirs.get(path).is_none() {
                if let Some(yours) = shapes.get(&shape(path)) {
                    return conflict(format!("the path `{path}`, in yours `{yours}`; {CHANGE_BASE}"));
                }
                let ids = operations(&ours).filter_map(operation_id);
                let twice = ids.into_iter().find(|id| operation_ids.contains(id));
                twice.map_or(Ok(()), |id| conflict(format!("the operationId `{id}`; rename yours")))?;
            }
            if !add(theirs, path, ours) {
                return conflict(format!("the path `{path}`, with different contents; {CHANGE_BASE}"));
            }
        }
        Ok(())
    }

    fn add_components(&mut self, ours: &Value) -> Result<()> {
        let theirs = object(&mut self.document, "components", "components")?;
        for (kind, ours) in members(ours) {
            let theirs = object(theirs, kind, &format!("components.{kind}"))?;
            for (name, component) in members(ours) {
                if !add(theirs, name, component.clone()) {
                    return conflict(format!("`components.{kind}.{name}`, with different contents; rename yours"));
                }
            }
        }
        Ok(())
    }

    fn add_tags(&mut self, ours: &Value) -> Result<()> {
        let theirs = self.document.entry("tags").or_insert_with(|| json!([])).as_array_mut();
        let theirs = theirs.ok_or_else(|| MergeError::Malformed("tags".into(), "array"))?;
        for tag in ours.as_array().into_iter().flatten() {
            if theirs.iter().all(|other| other.get("name") != tag.get("name")) {
                theirs.push(tag.clone());
            }
        }
        Ok(())
    }
}

/// The object at `key`, created if there is none.
fn object<'a>(parent: &'a mut Map<String, Value>, key: &str, name: &str) -> Result<&'a mut Map<String, Value>> {
    let value = parent.entry(key).or_insert_with(|| json!({}));
    value.as_object_mut().ok_or_else(|| MergeError::Malformed(name.to_owned(), "object"))
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

const CHANGE_BASE: &str = "change the setting `base`, or rename yours";

fn conflict(part_and_cure: String) -> Result<()> {
    Err(MergeError::Conflict(part_and_cure))
}

/// Adds `value` under `name`. Returns false if something else is there.
fn add(theirs: &mut Map<String, Value>, name: &str, value: Value) -> bool {
    *theirs.entry(name).or_insert_with(|| value.clone()) == value
}

/// The path without the names of its parameters. Two paths of one shape are the same to OpenAPI.
fn shape(path: &str) -> String {
    let is_parameter = |segment: &str| segment.starts_with('{') && segment.ends_with('}');
    let segments = path.split('/').map(|segment| if is_parameter(segment) { "{}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

fn shapes_of(paths: &Map<String, Value>) -> BTreeMap<String, String> {
    paths.keys().map(|path| (shape(path), path.clone())).collect()
}

fn operations(path: &Value) -> impl Iterator<Item = &Value> {
    members(path).map(|(_, operation)| operation)
}

fn operation_id(operation: &Value) -> Option<String> {
    operation.get("operationId").and_then(Value::as_str).map(str::to_owned)
}

fn operation_ids_of(paths: &Map<String, Value>) -> BTreeSet<String> {
    paths.values().flat_map(operations).filter_map(operation_id).collect()
}

/// The operations of a path, each with its security. Without, the default of the host's document
/// would apply to open routes.
fn with_explicit_security(path: &Value) -> Value {
    let mut path = path.clone();
    for operation in path.as_object_mut().into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        operation.entry("security").or_insert_with(|| json!([]));
    }
    path
}
