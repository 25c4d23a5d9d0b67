//! Finds environment variables whose names are almost those of settings.
//!
//! Such a variable would be ignored in silence: Rocket reads every `ROCKET_…`, and takes
//! `ROCKET_BATCH_CHUNK_SIZE` for a setting `batch_chunk_size` of the host. Names that resemble no
//! setting are left alone, because they may belong to the host.

use serde::Serialize;
use serde_json::Value;

use super::error::ConfigError;

/// The prefix of the environment variables of this crate.
pub(super) const BATCH_PREFIX: &str = "ROCKET_BATCH__";

/// The prefix of the environment variables of the database.
pub(super) const DATABASE_PREFIX: &str = "ROCKET_DATABASES__BATCH__";

/// The environment variables whose value is used as it is, each with its key. Figment would read
/// `007` as the number 7, and show the value in its errors.
pub(super) const TEXT_VARIABLES: [(&str, &str); 15] = [
    ("REDIS_HOST", "redis.host"),
    ("REDIS_PASSWORD", "redis.password"),
    ("ROCKET_BATCH__REDIS__HOST", "redis.host"),
    ("ROCKET_BATCH__REDIS__USERNAME", "redis.username"),
    ("ROCKET_BATCH__REDIS__PASSWORD", "redis.password"),
    ("ROCKET_BATCH__REDIS__PREFIX", "redis.prefix"),
    ("ROCKET_BATCH__REDIS__CA", "redis.ca"),
    ("ROCKET_BATCH__REDIS__CERT", "redis.cert"),
    ("ROCKET_BATCH__REDIS__KEY", "redis.key"),
    ("ROCKET_BATCH__REDIS__MASTER", "redis.master"),
    ("ROCKET_BATCH__REDIS__SENTINEL_USERNAME", "redis.sentinel_username"),
    ("ROCKET_BATCH__REDIS__SENTINEL_PASSWORD", "redis.sentinel_password"),
    ("ROCKET_BATCH__CODE_KEY", "code_key"),
    ("ROCKET_BATCH__DASHBOARD__TITLE", "dashboard.title"),
    ("ROCKET_BATCH__DASHBOARD__BACK", "dashboard.back"),
];

/// The keys of the database, in both kinds of it.
const DATABASE_KEYS: [&str; 6] =
    ["URL", "SCHEMA", "MAX_CONNECTIONS", "REQUEST_CONNECTIONS", "CONNECT_TIMEOUT", "STATEMENT_TIMEOUT"];

/// Further names that mean the URL of the database, without their separators.
const URL_ALIASES: [&str; 4] =
    ["ROCKETBATCHURL", "ROCKETBATCHDATABASEURL", "ROCKETBATCHDATABASESBATCHURL", "ROCKETDATABASESBATCH"];

/// Refuses a variable of `names` that is read by nothing although its name is close to the name of
/// one of `settings`.
pub(super) fn check_spelling(
    names: impl Iterator<Item = String>,
    settings: &impl Serialize,
) -> Result<(), ConfigError> {
    let known = known_variables(settings);
    let mut names: Vec<_> = names.map(|name| (name.to_ascii_uppercase(), name)).collect();
    // The order of the environment is random, and the message must not be.
    names.sort();
    names.iter().try_for_each(|(upper, name)| check_name(&known, upper, name))
}

fn check_name(known: &[String], upper: &str, name: &str) -> Result<(), ConfigError> {
    if upper == "ROCKET_BATCH__TESTING" {
        let reason = "can't be set in the environment; in tests, merge `rocket_batch::config::testing()` over the \
                      settings of your Rocket";
        return Err(ConfigError::of_variable(name, reason));
    }
    if known.iter().any(|variable| variable == upper) {
        return Ok(());
    }
    if let Some(right) = similar(known, upper) {
        return Err(ConfigError::of_variable(name, format!("is not read; did you mean `{right}`?")));
    }
    if upper.starts_with(DATABASE_PREFIX) {
        let keys = DATABASE_KEYS.map(str::to_ascii_lowercase).join("`, `");
        return Err(ConfigError::of_variable(name, format!("is not a setting of the database; these are `{keys}`")));
    }
    Ok(())
}

/// The known variable that differs from `upper` in its separators only.
fn similar<'a>(known: &'a [String], upper: &str) -> Option<&'a str> {
    let mut bare = without_separators(upper).replacen("ROCKETDATABASEBATCH", "ROCKETDATABASESBATCH", 1);
    if URL_ALIASES.contains(&bare.as_str()) {
        bare = "ROCKETDATABASESBATCHURL".into();
    }
    known.iter().find(|variable| without_separators(variable) == bare).map(String::as_str)
}

fn without_separators(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// The upper-case names of all variables that are read, without `REDIS_*`: a host may use names
/// like these for its own Redis.
fn known_variables(settings: &impl Serialize) -> Vec<String> {
    let mut known: Vec<_> = DATABASE_KEYS.iter().map(|key| format!("{DATABASE_PREFIX}{key}")).collect();
    // Secrets are not serialized, but each has a variable.
    let secrets = TEXT_VARIABLES.iter().map(|(name, _)| *name).filter(|name| name.starts_with(BATCH_PREFIX));
    known.extend(secrets.map(str::to_owned));
    if let Ok(settings) = serde_json::to_value(settings) {
        add_keys(&mut known, BATCH_PREFIX, &settings);
    }
    known
}

/// Adds a name for each key of a table, and for those of the tables in it.
fn add_keys(known: &mut Vec<String>, prefix: &str, table: &Value) {
    for (key, value) in table.as_object().into_iter().flatten() {
        let name = format!("{prefix}{}", key.to_ascii_uppercase());
        add_keys(known, &format!("{name}__"), value);
        known.push(name);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Config;

    fn check(name: &str) -> Result<(), String> {
        check_spelling([name.to_owned()].into_iter(), &Config::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_that_is_almost_a_setting_is_refused_with_the_right_one() {
        let table = [
            ("ROCKET_BATCH_CHUNK_SIZE", "ROCKET_BATCH__CHUNK_SIZE"),
            ("rocket_batch_chunk_size", "ROCKET_BATCH__CHUNK_SIZE"),
            ("ROCKET_BATCH__CHUNKSIZE", "ROCKET_BATCH__CHUNK_SIZE"),
            ("ROCKET_BATCH__CHUNK__SIZE", "ROCKET_BATCH__CHUNK_SIZE"),
            ("ROCKET__BATCH__CHUNK_SIZE", "ROCKET_BATCH__CHUNK_SIZE"),
            ("ROCKET_BATCH__REDIS_HOST", "ROCKET_BATCH__REDIS__HOST"),
            ("ROCKET_BATCH_REDIS_PASSWORD", "ROCKET_BATCH__REDIS__PASSWORD"),
            ("ROCKET_BATCH__GENERATE_RATE_LIMIT", "ROCKET_BATCH__GENERATE__RATE_LIMIT"),
            ("ROCKET_BATCH_ROLE", "ROCKET_BATCH__ROLE"),
            ("ROCKET_BATCH_CODE_KEY", "ROCKET_BATCH__CODE_KEY"),
            ("ROCKET_DATABASE__BATCH__URL", "ROCKET_DATABASES__BATCH__URL"),
            ("ROCKET_DATABASES_BATCH_URL", "ROCKET_DATABASES__BATCH__URL"),
            ("ROCKET_DATABASES__BATCH", "ROCKET_DATABASES__BATCH__URL"),
            ("ROCKET_BATCH__URL", "ROCKET_DATABASES__BATCH__URL"),
            ("ROCKET_BATCH__DATABASE_URL", "ROCKET_DATABASES__BATCH__URL"),
        ];

        for (name, right) in table {
            let message = check(name).unwrap_err();
            assert_eq!(message, format!("`{name}` in the environment is not read; did you mean `{right}`?"));
        }
    }

    #[test]
    fn names_that_are_read_and_names_of_others_are_left_alone() {
        for name in [
            "ROCKET_BATCH",
            "ROCKET_BATCH__CHUNK_SIZE",
            "rocket_batch__chunk_size",
            "ROCKET_BATCH__REDIS",
            "ROCKET_BATCH__REDIS__SENTINEL_PASSWORD",
            "ROCKET_BATCH__CODE_KEY",
            "ROCKET_BATCH_TEST_REDIS",
            "ROCKET_BATCHES",
            "ROCKET_DATABASES",
            "ROCKET_DATABASES__BATCH__URL",
            "ROCKET_DATABASES__BATCH__MAX_CONNECTIONS",
            "ROCKET_DATABASES__SHOP__URL",
            "ROCKET_PORT",
            "REDIS_URL",
            "REDISHOST",
            "DATABASE_URL",
            "CHUNK_SIZE",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn an_unknown_key_of_the_database_is_refused_with_the_known_ones() {
        let message = check("ROCKET_DATABASES__BATCH__POOL_SIZE").unwrap_err();

        assert!(message.contains("`ROCKET_DATABASES__BATCH__POOL_SIZE`"), "{message}");
        assert!(message.contains("`url`, `schema`, `max_connections`"), "{message}");
    }

    #[test]
    fn testing_is_not_set_in_the_environment() {
        let message = check("ROCKET_BATCH__TESTING").unwrap_err();

        assert!(message.contains("merge `rocket_batch::config::testing()`"), "{message}");
    }

    #[test]
    fn no_two_settings_have_names_that_differ_in_separators_only() {
        let mut names = BTreeMap::new();
        for name in known_variables(&Config::default()) {
            let other = names.insert(without_separators(&name), name.clone());
            assert!(other.is_none_or(|other| other == name), "{name}");
        }
    }
}
