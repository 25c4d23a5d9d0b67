//! The settings of the live page, `[default.batch.dashboard]`.

use std::fmt;

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::error::ConfigError;

/// The maximum number of characters of `dashboard.title`.
const MAX_TITLE: usize = 100;

/// The maximum number of characters of `dashboard.back`.
const MAX_BACK: usize = 2_000;

/// The settings of the live page at `dashboard` below the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DashboardSettings {
    /// Whether to serve the page. It contains no data and needs no credentials; the routes that it
    /// calls do. `dashboard = false` is the same as `dashboard.enabled = false`. Default: true.
    pub enabled: bool,

    /// The heading of the page, such as the name of your app. 1 to 100 characters. Default:
    /// `"Batches"`.
    pub title: String,

    /// A link at the top of the page, back to your app: a path such as `/admin`, or a URL that
    /// begins with `http://` or `https://`; no spaces. At most 2,000 characters. Default: none.
    pub back: Option<String>,
}

impl Default for DashboardSettings {
    fn default() -> Self {
        Self { enabled: true, title: "Batches".into(), back: None }
    }
}

impl DashboardSettings {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_title()?;
        self.back.as_deref().map_or(Ok(()), check_back)
    }

    fn check_title(&self) -> Result<(), ConfigError> {
        let characters = self.title.chars().count();
        if !(1..=MAX_TITLE).contains(&characters) {
            let reason = format!("must have 1 to {MAX_TITLE} characters, but has {characters}");
            return Err(ConfigError::new("dashboard.title", reason));
        }
        if self.title.chars().any(char::is_control) {
            return Err(ConfigError::new("dashboard.title", "must have no control characters, such as a line break"));
        }
        Ok(())
    }
}

/// Refuses what is not a plain link. A browser would run a link that begins with `javascript:`.
fn check_back(back: &str) -> Result<(), ConfigError> {
    let characters = back.chars().count();
    if characters > MAX_BACK {
        let reason = format!("must have at most {MAX_BACK} characters, but has {characters}");
        return Err(ConfigError::new("dashboard.back", reason));
    }
    let lower = back.to_ascii_lowercase();
    let is_url = ["http://", "https://"].iter().any(|start| lower.starts_with(start) && lower.len() > start.len());
    // A browser reads `//` and `/\` as the start of another host.
    let is_path = back.strip_prefix('/').is_some_and(|rest| !rest.starts_with(['/', '\\']));
    if (is_url || is_path) && !back.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Ok(());
    }
    let rule = "must be a path such as \"/admin\", or a URL that begins with `http://` or `https://`, without spaces";
    Err(ConfigError::new("dashboard.back", format!("{rule}, but is {back:?}")))
}

/// Reads the table `dashboard`, or `true` or `false` in its place.
pub(super) fn switch_or_table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DashboardSettings, D::Error> {
    deserializer.deserialize_any(SwitchOrTable)
}

struct SwitchOrTable;

impl<'de> Visitor<'de> for SwitchOrTable {
    type Value = DashboardSettings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, or a table with `title` and `back`")
    }

    fn visit_bool<E>(self, enabled: bool) -> Result<DashboardSettings, E> {
        Ok(DashboardSettings { enabled, ..DashboardSettings::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<DashboardSettings, A::Error> {
        DashboardSettings::deserialize(MapAccessDeserializer::new(table))
    }
}

#[cfg(test)]
mod tests {
    use figment::{
        Figment, Jail,
        providers::{Format as _, Toml},
    };

    use super::*;
    use crate::config::Config;

    fn read(toml: &str) -> Result<DashboardSettings, String> {
        let host = Figment::from(rocket::Config::default()).merge(Toml::string(toml).nested());
        let config = Config::from(&host).and_then(|config| config.check().map(|()| config));
        config.map(|config| config.dashboard).map_err(|error| error.to_string())
    }

    #[test]
    fn a_switch_stands_for_a_table() {
        let table = [
            ("", DashboardSettings::default()),
            ("[default.batch]\ndashboard = true", DashboardSettings::default()),
            ("[default.batch]\ndashboard = false", DashboardSettings { enabled: false, ..Default::default() }),
            (
                "[default.batch.dashboard]\ntitle = \"Labels\"\nback = \"/admin\"",
                DashboardSettings { enabled: true, title: "Labels".into(), back: Some("/admin".into()) },
            ),
        ];

        for (toml, expected) in table {
            assert_eq!(read(toml), Ok(expected), "{toml}");
        }
    }

    #[test]
    #[expect(clippy::result_large_err, reason = "figment's own type, which its Jail asks for")]
    fn variables_set_the_switch_and_the_texts_as_they_are() {
        Jail::expect_with(|jail| {
            jail.set_env("ROCKET_BATCH__DASHBOARD__TITLE", "007");
            jail.set_env("ROCKET_BATCH__DASHBOARD__BACK", "/admin");
            let texts = DashboardSettings { enabled: true, title: "007".into(), back: Some("/admin".into()) };
            assert_eq!(read(""), Ok(texts));
            Ok(())
        });
        Jail::expect_with(|jail| {
            jail.set_env("ROCKET_BATCH__DASHBOARD", "false");
            assert!(!read("[default.batch.dashboard]\ntitle = \"Labels\"")?.enabled);
            Ok(())
        });
    }

    #[test]
    fn a_link_that_is_not_a_plain_one_is_refused() {
        let good = ["/", "/admin?x=1#top", "http://shop.example", "HTTPS://shop.example/admin"];
        let bad =
            ["", "admin", "javascript:alert(1)", " /admin", "java\nscript:x", "//evil.example", "/\\evil", "https://"];

        for back in good {
            assert_eq!(check_back(back), Ok(()), "{back}");
        }
        for back in bad {
            let message = check_back(back).unwrap_err().to_string();
            assert!(message.starts_with("`batch.dashboard.back` must be a path"), "{message}");
            assert!(message.ends_with(&format!("but is {back:?}")), "{message}");
        }
        let long = check_back(&format!("/{}", "x".repeat(MAX_BACK))).unwrap_err();
        assert_eq!(long.to_string(), "`batch.dashboard.back` must have at most 2000 characters, but has 2001");
    }

    #[test]
    fn errors_name_the_setting_and_the_limit() {
        let long = format!("[default.batch.dashboard]\ntitle = {:?}", "é".repeat(101));
        let table = [
            (long.as_str(), "`batch.dashboard.title` must have 1 to 100 characters, but has 101"),
            ("[default.batch.dashboard]\ntitle = \"\"", "`batch.dashboard.title` must have 1 to 100 characters"),
            ("[default.batch.dashboard]\ntitle = \"a\\nb\"", "`batch.dashboard.title` must have no control"),
            ("[default.batch.dashboard]\ntitel = \"Labels\"", "did you mean `title`?"),
            ("[default.batch]\ndashboard = \"off\"", "true, false, or a table with `title` and `back`"),
        ];

        for (toml, words) in table {
            let message = read(toml).unwrap_err();
            assert!(message.contains(words) && message.contains("dashboard"), "{message}");
        }
        assert_eq!(read(&format!("[default.batch.dashboard]\ntitle = {:?}", "é".repeat(100))).unwrap().back, None);
    }
}
