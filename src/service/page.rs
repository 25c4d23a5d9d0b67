//! Pages of lists, and their cursors.

use schemars::JsonSchema;
use serde::Serialize;

use super::error::{BatchError, Result};
use crate::{
    domain::{BatchId, Invalid},
    ledger::{PageRequest, Portion},
};

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PageOf{T}")]
#[non_exhaustive]
pub struct Page<T> {
    /// The entries of the page.
    pub items: Vec<T>,
    /// The cursor of the next page; null on the last page.
    pub next_cursor: Option<String>,
}

/// Selects a page of a list: at most `limit` entries after `cursor`.
///
/// ```
/// use rocket_batch::PageQuery;
///
/// let first = PageQuery { limit: Some(1_000), ..Default::default() };
/// assert_eq!(first.cursor, None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// The `next_cursor` of the previous page; `None` for the first page.
    pub cursor: Option<String>,
    /// The maximum number of entries, 1 to 1,000. Default: 100. A page may have fewer although more
    /// follow; continue while `next_cursor` is set.
    pub limit: Option<u64>,
}

impl PageQuery {
    /// The largest `limit`.
    pub const MAX: u64 = 1_000;
    pub(crate) const DEFAULT: u64 = 100;
    /// The pattern of a cursor, for the OpenAPI schema.
    pub(crate) const CURSOR_PATTERN: &str = "^[A-Za-z0-9_-]+$";

    /// Returns the request for the page and one more entry, which shows whether another page
    /// follows.
    pub(super) fn request(&self, list: &str) -> Result<PageRequest> {
        let limit = self.limit.unwrap_or(Self::DEFAULT);
        Invalid::check_range("limit", limit, 1, Self::MAX)?;
        let after = self.cursor.as_deref().map(|cursor| read_cursor(list, cursor)).transpose()?;
        Ok(PageRequest { after, limit: limit + 1 })
    }
}

impl<T> Page<T> {
    /// The only page of a list.
    pub(super) const fn complete(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }

    /// Makes the page of a list whose key is the number of entries up to the end of a page.
    pub(super) fn by_position(portion: Portion<T>, list: &str, request: PageRequest) -> Self {
        let entries = (portion.rows.len() as u64).min(request.limit - 1);
        let end = request.after.unwrap_or(0) + entries;
        Self::of(portion, list, request, |_| end)
    }

    /// Makes the page from the rows of a [`PageQuery::request`].
    pub(super) fn of(portion: Portion<T>, list: &str, request: PageRequest, key: impl Fn(&T) -> u64) -> Self {
        let Portion { rows: mut entries, truncated, looked_to } = portion;
        let more = truncated || entries.len() as u64 >= request.limit;
        entries.truncate(request.limit as usize - 1);
        let last = entries.last().filter(|_| more);
        let next = last.map(key).or(looked_to);
        let next_cursor = next.map(|after| write_cursor(list, after));
        Self { items: entries, next_cursor }
    }
}

/// Writes a cursor. It contains the name of its list, so that a cursor of another list is rejected.
fn write_cursor(list: &str, after: u64) -> String {
    data_encoding::BASE64URL_NOPAD.encode(format!("{list}:{after}").as_bytes())
}

/// Reads a cursor of this list.
fn read_cursor(list: &str, cursor: &str) -> Result<u64> {
    let text = data_encoding::BASE64URL_NOPAD.decode(cursor.as_bytes()).map_err(|_| BatchError::BadCursor)?;
    let text = String::from_utf8(text).map_err(|_| BatchError::BadCursor)?;
    let after = text.strip_prefix(list).and_then(|text| text.strip_prefix(':'));
    let after = after.and_then(|after| after.parse::<u64>().ok()).filter(|after| *after <= BatchId::MAX.unsigned_abs());
    after.ok_or(BatchError::BadCursor)
}
