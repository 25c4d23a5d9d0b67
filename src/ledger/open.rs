//! What both databases need to be opened: the options of the tables, and the error.

use serde::Deserialize;

use crate::domain::{ItemOptions, Limits};

/// The crate's own settings that affect the tables. A pool reads them beside the settings of its
/// database.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default)]
pub(super) struct SchemaOptions {
    /// Whether to keep an index on the codes.
    pub index_codes: bool,
    /// Items per job, for a batch requested in the database itself without a batch size.
    pub batch_size: u64,
    /// Maximum number of items of a batch requested in the database itself.
    pub max_quantity: u64,
    /// Maximum number of jobs of such a batch.
    pub max_jobs_per_batch: u64,
    /// Maximum number of items of each of its jobs.
    pub max_items_per_job: u64,
}

impl SchemaOptions {
    /// The settings that are stored for the database's own checks, by name.
    pub(super) const fn stored(&self) -> [(&'static str, u64); 4] {
        [
            ("batch_size", self.batch_size),
            ("max_quantity", self.max_quantity),
            ("max_jobs_per_batch", self.max_jobs_per_batch),
            ("max_items_per_job", self.max_items_per_job),
        ]
    }
}

impl Default for SchemaOptions {
    fn default() -> Self {
        let Limits { max_quantity, max_jobs_per_batch, max_items_per_job } = Limits::DEFAULT;
        let batch_size = ItemOptions::default().batch_size;
        Self { index_codes: false, batch_size, max_quantity, max_jobs_per_batch, max_items_per_job }
    }
}

/// The scheme of a URL, `postgres` in `postgres://host/db`; `None` for a path. A single letter is a
/// drive of Windows.
pub(super) fn url_scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once(':')?;
    let plain = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b));
    (scheme.len() > 1 && plain).then_some(scheme)
}

/// A database could not be opened. The message says which key is wrong and how to fix it.
#[derive(Debug, thiserror::Error)]
#[error("`databases.batch.{key}` {why}")]
pub struct OpenError {
    key: &'static str,
    why: String,
}

impl OpenError {
    /// An error of the setting `key`.
    pub(super) fn of(key: &'static str, why: impl Into<String>) -> Self {
        Self { key, why: why.into() }
    }

    /// An error of the setting `url`.
    pub(super) fn url(why: impl Into<String>) -> Self {
        Self::of("url", why)
    }

    /// An error of the database at `address`. The cause is part of the message, because Rocket
    /// prints the message only.
    pub(super) fn at(address: &impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        Self::url(format!("names {address}, which can't be used: {why}"))
    }
}

/// The tables were created by a later version of this crate.
#[derive(Debug, thiserror::Error)]
#[error("its tables have version {version}, but this version of rocket_batch supports up to {known}")]
pub(super) struct TooNew {
    version: i64,
    known: usize,
}

/// The `migrations` that tables of `version` lack; 0 means that there are no tables.
pub(super) fn pending(migrations: &'static [&'static str], version: i64) -> Result<&'static [&'static str], TooNew> {
    let pending = usize::try_from(version).ok().and_then(|version| migrations.get(version..));
    pending.ok_or(TooNew { version, known: migrations.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_migrations_are_applied_and_later_tables_refused() {
        const MIGRATIONS: [&str; 3] = ["one", "two", "three"];

        assert_eq!(pending(&MIGRATIONS, 0).unwrap(), MIGRATIONS);
        assert_eq!(pending(&MIGRATIONS, 2).unwrap(), ["three"]);
        assert!(pending(&MIGRATIONS, 3).unwrap().is_empty());
        let refused = pending(&MIGRATIONS, 4).unwrap_err().to_string();
        assert_eq!(refused, "its tables have version 4, but this version of rocket_batch supports up to 3");
        assert!(pending(&MIGRATIONS, -1).is_err());
    }
}
