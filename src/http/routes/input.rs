//! What requests say, as they say it, and what it means.
//!
//! A text that Rocket could not read as a number would silently be no number, or another route's; so texts are read as texts and
//! checked here, where it can be said what is allowed.

use std::fmt;

use rocket::{
    FromForm, Request,
    outcome::Outcome,
    request::{self, FromParam, FromRequest},
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    domain::{BatchId, BatchStatus, Invalid, ItemOptions, Limits},
    http::{problem::Problem, rights::Rights},
    service::PageQuery,
};

/// The id in a path. Whatever stands there, at worst there is no such batch.
pub(super) struct PathId(Result<i64, Problem>);

impl PathId {
    pub(super) fn number(self) -> Result<i64, Problem> {
        self.0
    }
}

impl<'r> FromParam<'r> for PathId {
    type Error = std::convert::Infallible;

    fn from_param(text: &'r str) -> Result<Self, Self::Error> {
        let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
        Ok(Self(number.ok_or_else(|| Problem::no_such_batch(text))))
    }
}

/// The body of a new batch. Written again, it says the same in one spelling, and leaves out what was left out: a later version with more
/// fields writes an old body as this one does.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewBatch {
    /// How many items to make.
    #[schemars(with = "u64", range(min = 1))]
    quantity: Whole,

    /// The id that the batch shall have. Default: the next free one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BatchId>")]
    batch_id: Option<Whole>,

    /// Items a job; a large batch may get larger jobs. Default: the setting of the same name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>", range(min = 1))]
    batch_size: Option<Whole>,

    /// Put before the code of every item, with a `-` between. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[A-Za-z0-9_-]{1,16}$"))]
    qr_code_prefix: Option<String>,

    /// Most jobs the batch may be cut into. Default: the setting of the same name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>", range(min = 1, max = 100_000))]
    max_jobs_per_batch: Option<Whole>,
}

/// A new batch whose numbers are in range; how they go together, the service knows.
pub(super) struct Wish {
    pub batch_id: Option<i64>,
    pub quantity: u64,
    pub options: ItemOptions,
}

impl NewBatch {
    pub(super) fn checked(self, usual: ItemOptions, limits: &Limits) -> Result<Wish, Invalid> {
        let batch_size = self.batch_size.map(|size| size.within("batchSize", limits.max_items_per_job)).transpose()?;
        let most_jobs =
            self.max_jobs_per_batch.map(|jobs| jobs.within("maxJobsPerBatch", Limits::MOST_JOBS)).transpose()?;
        let batch_id = self.batch_id.map(|id| id.within("batchId", BatchId::MAX)).transpose()?;
        Ok(Wish {
            batch_id,
            quantity: self.quantity.within("quantity", limits.max_quantity)?,
            options: ItemOptions {
                batch_size: batch_size.unwrap_or(usual.batch_size),
                qr_code_prefix: self.qr_code_prefix,
                max_jobs_per_batch: most_jobs,
            },
        })
    }
}

/// A whole number of any sign and size that JSON can say, so that the answer to a bad one can name the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Whole(i128);

impl Whole {
    /// The number, if it is 1 to `most`.
    fn within<N>(self, field: &'static str, most: N) -> Result<N, Invalid>
    where
        N: Copy + Into<i128> + TryFrom<i128>,
    {
        Invalid::unless_within(field, self.0, 1, most.into())?;
        // It is in range, so it fits.
        Ok(N::try_from(self.0).unwrap_or(most))
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor)
    }
}

impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i128(self.0)
    }
}

struct WholeVisitor;

impl de::Visitor<'_> for WholeVisitor {
    type Value = Whole;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E>(self, number: i64) -> Result<Whole, E> {
        Ok(Whole(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Whole, E> {
        Ok(Whole(number.into()))
    }
}

/// Which page of a list.
#[derive(Debug, FromForm, JsonSchema)]
pub(super) struct PageParams {
    /// The `nextCursor` of the page before; none for the first page.
    cursor: Option<String>,
    /// Entries a page. Default: 100.
    #[schemars(with = "Option<u64>", range(min = 1, max = 1_000))]
    limit: Option<String>,
}

impl PageParams {
    pub(super) fn checked(self) -> Result<PageQuery, Invalid> {
        page(self.cursor, self.limit.as_deref())
    }
}

/// Which batches to list, and which page of them.
#[derive(Debug, FromForm, JsonSchema)]
pub(super) struct BatchesQuery {
    /// Only batches of this status.
    #[schemars(with = "Option<BatchStatus>")]
    status: Option<String>,
    /// The `nextCursor` of the page before; none for the first page.
    cursor: Option<String>,
    /// Entries a page. Default: 100.
    #[schemars(with = "Option<u64>", range(min = 1, max = 1_000))]
    limit: Option<String>,
}

impl BatchesQuery {
    pub(super) fn checked(self) -> Result<(Option<BatchStatus>, PageQuery), Invalid> {
        let status = self.status.as_deref().map(status).transpose()?;
        Ok((status, page(self.cursor, self.limit.as_deref())?))
    }
}

fn page(cursor: Option<String>, limit: Option<&str>) -> Result<PageQuery, Invalid> {
    let limit = limit.map(|text| text.parse().map_err(|_| wrong_limit(text))).transpose()?;
    Ok(PageQuery { cursor, limit })
}

fn wrong_limit(text: &str) -> Invalid {
    Invalid::new("limit", format!("must be 1 to {}, but is {text:?}", PageQuery::MOST))
}

fn status(word: &str) -> Result<BatchStatus, Invalid> {
    let all = BatchStatus::ALL.map(BatchStatus::as_str).join(", ");
    let wrong = || Invalid::new("status", format!("must be one of {all}, but is {word:?}"));
    BatchStatus::parse(word).ok_or_else(wrong)
}

/// Whether the caller passes the check for reading. Never refuses.
pub(super) struct MayRead(pub bool);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for MayRead {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let may = match request.rocket().state::<Rights>() {
            Some(rights) => rights.may_read(request).await,
            None => false,
        };
        Outcome::Success(Self(may))
    }
}
