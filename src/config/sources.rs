//! Reads the settings from the host's figment and from the environment.

use figment::{
    Figment,
    providers::{Env, Serialized},
};

use serde::Serialize;

use super::{
    error::ConfigError,
    variables::{self, BATCH_PREFIX, DATABASE_PREFIX, TEXT_VARIABLES},
};

/// The variables of the database whose value is used as it is, each with its key.
const DATABASE_TEXT_VARIABLES: [(&str, &str); 2] =
    [("ROCKET_DATABASES__BATCH__URL", "url"), ("ROCKET_DATABASES__BATCH__SCHEMA", "schema")];

/// The tables of a host's figment that are read, each with an example. Figment takes anything else
/// in their place for an empty table.
const TABLES: [(&str, &str); 3] = [
    ("batch", "{chunk_size=100}"),
    ("databases", "{batch={url=\"sqlite://batch.db\"}}"),
    ("databases.batch", "{url=\"sqlite://batch.db\"}"),
];

/// Merges `defaults`, the settings of `host` and, unless it is under test, the environment.
///
/// # Errors
///
/// [`ConfigError`] if the name of a variable is almost that of a setting, or if a text is in place
/// of a table.
pub(super) fn merge(defaults: &impl Serialize, host: &Figment) -> Result<Figment, ConfigError> {
    TABLES.iter().try_for_each(|(path, example)| check_table(host, path, example))?;
    let mut figment = Figment::from(Serialized::defaults(defaults)).merge(host.focus("batch"));
    if !is_testing(host) {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        variables::check_spelling(names, defaults)?;
        figment = figment
            .merge(Env::prefixed("REDIS_").only(&["port", "db"]).map(|key| format!("redis.{key}").into()).global());
        figment = merge_variables(figment, BATCH_PREFIX, &TEXT_VARIABLES);
    }
    Ok(figment.select(host.profile().clone()))
}

/// Refuses a value at `path` that is not a table. Does not show it, since it may contain a
/// password.
fn check_table(host: &Figment, path: &str, example: &str) -> Result<(), ConfigError> {
    match host.find_value(path) {
        Ok(value) if value.as_dict().is_none() => Err(ConfigError::no_table(path, example, host.find_metadata(path))),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Returns the settings of the database `batch` from `host` and, unless `testing`, from the
/// environment.
pub(crate) fn database(host: &Figment, testing: bool) -> Figment {
    let figment = host.focus("databases.batch");
    if testing { figment } else { merge_variables(figment, DATABASE_PREFIX, &DATABASE_TEXT_VARIABLES) }
}

fn is_testing(host: &Figment) -> bool {
    host.focus("batch").extract_inner("testing").unwrap_or(false)
}

/// Merges the variables that begin with `prefix`, and those of `texts` as they are. The case of
/// their names does not matter.
fn merge_variables(figment: Figment, prefix: &str, texts: &'static [(&str, &str)]) -> Figment {
    let start = prefix.to_owned();
    let is_text = move |key: &str| {
        let name = format!("{start}{key}");
        texts.iter().any(|(variable, _)| variable.eq_ignore_ascii_case(&name))
    };
    let parsed = Env::prefixed(prefix).filter(move |key| !is_text(key.as_str())).split("__").global();
    texts.iter().fold(figment.merge(parsed), |figment, (name, key)| match variable(name) {
        Some(value) => figment.merge(Serialized::global(key, value)),
        None => figment,
    })
}

/// Returns the value of the variable `name`, in any case.
fn variable(name: &str) -> Option<String> {
    let of_any_case = || std::env::vars_os().find(|(other, _)| other.eq_ignore_ascii_case(name));
    std::env::var(name).ok().or_else(|| of_any_case()?.1.into_string().ok())
}
