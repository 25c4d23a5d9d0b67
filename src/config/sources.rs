//! Reads the settings from the host's figment and from the environment.

use figment::{
    Figment,
    providers::{Env, Serialized},
};

use super::{
    Config, ConfigError,
    variables::{self, BATCH_PREFIX, DATABASE_PREFIX},
};

/// The environment variables whose value is used as it is, each with its key. Figment would read
/// `007` as the number 7, and show the value in its errors.
pub(super) const TEXT_VARIABLES: [(&str, &str); 13] = [
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
];

/// The same for the settings of the database.
const DATABASE_TEXT_VARIABLES: [(&str, &str); 2] =
    [("ROCKET_DATABASES__BATCH__URL", "url"), ("ROCKET_DATABASES__BATCH__SCHEMA", "schema")];

impl Config {
    /// Reads the settings from `host`, the figment of a Rocket, and from the environment. With
    /// [`testing`](Self::testing) in `host`, the environment is not read. Does not check the
    /// values; see [`check`](Self::check).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for an unknown key, a value of the wrong type, or an environment variable
    /// whose name is almost that of a setting. It names the key, the value and their source.
    pub fn from(host: &Figment) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default())).merge(host.focus("batch"));
        if !is_testing(host) {
            variables::check_spelling(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))?;
            figment = figment
                .merge(Env::prefixed("REDIS_").only(&["port", "db"]).map(|key| format!("redis.{key}").into()).global());
            figment = merge_variables(figment, BATCH_PREFIX, &TEXT_VARIABLES);
        }
        Ok(figment.select(host.profile().clone()).extract()?)
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
