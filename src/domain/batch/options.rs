//! What a request may choose about a batch, and the limits of the process.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::invalid::Invalid;

/// How the items of a batch are generated.
///
/// ```
/// use rocket_batch::ItemOptions;
///
/// let options = ItemOptions { batch_size: 500, qr_code_prefix: Some("QR".into()), ..Default::default() };
/// assert_eq!(options.max_jobs_per_batch, None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "How the items of a batch are generated.")]
pub struct ItemOptions {
    /// Items per job. Raised when the batch would otherwise have too many jobs. Default: 100.
    #[schemars(range(min = 1))]
    pub batch_size: u64,

    /// Prefix of every code, separated by a `-`: 1 to 16 characters of A-Z, a-z, 0-9, `_` and `-`.
    /// Default: none.
    #[schemars(regex(pattern = Self::PREFIX_PATTERN))]
    pub qr_code_prefix: Option<String>,

    /// Maximum number of jobs of the batch. When there would be more, each job gets more items.
    /// The setting of the same name is the default and the upper limit.
    #[schemars(range(min = 1, max = Limits::MAX_JOBS))]
    pub max_jobs_per_batch: Option<u64>,
}

impl Default for ItemOptions {
    fn default() -> Self {
        Self { batch_size: 100, qr_code_prefix: None, max_jobs_per_batch: None }
    }
}

impl ItemOptions {
    /// The longest prefix, in characters.
    pub const MAX_PREFIX: usize = 16;

    /// The pattern of a prefix, for the OpenAPI schema.
    pub(crate) const PREFIX_PATTERN: &str = "^[A-Za-z0-9_-]{1,16}$";

    pub(super) fn check_prefix(&self) -> Result<(), Invalid> {
        let Some(prefix) = &self.qr_code_prefix else { return Ok(()) };
        let fits = (1..=Self::MAX_PREFIX).contains(&prefix.len());
        let plain = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if fits && plain {
            return Ok(());
        }
        let rule = format!("must be 1 to {} characters of A-Z, a-z, 0-9, `_` and `-`", Self::MAX_PREFIX);
        Err(Invalid::new("qrCodePrefix", rule))
    }
}

/// The bounds within which a batch is planned. The names are those of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// Not `expect`: with the flags of .cargo/config.toml it is public, and then clippy finds nothing.
#[allow(clippy::struct_field_names, reason = "the settings are called so")]
pub struct Limits {
    /// Maximum number of items of one batch.
    pub max_quantity: u64,
    /// Maximum number of jobs of one batch. A request may ask for fewer, never for more.
    pub max_jobs_per_batch: u64,
    /// Maximum number of items of one job.
    pub max_items_per_job: u64,
}

impl Limits {
    /// The defaults of the settings.
    pub const DEFAULT: Self = Self { max_quantity: 10_000_000, max_jobs_per_batch: 1_000, max_items_per_job: 10_000 };

    /// Upper limit of the setting `max_jobs_per_batch`.
    pub const MAX_JOBS: u64 = 100_000;
}
