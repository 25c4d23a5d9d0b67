//! What requests say, as they say it, and what it means.
//!
//! A text that Rocket could not read as a number would silently be no number, or another route's;
//! so texts are read as texts and checked here, where it can be said what is allowed.

use std::fmt;

use rocket::{
    FromForm, Request,
    outcome::Outcome,
    request::{self, FromParam, FromRequest},
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    config::Config,
    domain::{BatchId, BatchStatus, Invalid, ItemOptions, Limits},
    http::{
        openapi::{Input, Operation},
        problem::Problem,
        rights::Rights,
    },
    service::{BatchError, BatchService, PageQuery},
};

/// What the service needs from a request is nothing.
impl Input for BatchService {
    fn describe(_: &str, _: &mut Operation<'_>) {}
}

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

impl Input for PathId {
    fn describe(name: &str, operation: &mut Operation<'_>) {
        operation.path::<BatchId>(name, "The id of a batch.");
        operation.problem("There is no such batch, also for what can't be an id.", &BatchError::NoSuchBatch(42).into());
    }
}

/// The code of an item in a path.
pub(super) struct PathCode<'r>(pub &'r str);

impl<'r> FromParam<'r> for PathCode<'r> {
    type Error = std::convert::Infallible;

    fn from_param(text: &'r str) -> Result<Self, Self::Error> {
        Ok(Self(text))
    }
}

impl Input for PathCode<'_> {
    fn describe(name: &str, operation: &mut Operation<'_>) {
        operation.path::<String>(name, "The code of an item.");
        operation.problem("No item has this code.", &BatchError::NoSuchItem.into());
    }
}

/// The body of a new batch. Written again, it says the same in one spelling, and leaves out what
/// was left out: a later version with more fields writes an old body as this one does.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(description = "What is wanted of a new batch.")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CreateBatch {
    /// How many items to make.
    #[schemars(with = "u64", range(min = 1))]
    quantity: Whole,

    /// The id that the batch shall have. Default: the next free one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BatchId>")]
    batch_id: Option<Whole>,

    /// Items a job; a large batch may get larger jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>", range(min = 1))]
    batch_size: Option<Whole>,

    /// Put before the code of every item, with a `-` between. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = ItemOptions::PREFIX_PATTERN))]
    qr_code_prefix: Option<String>,

    /// Most jobs the batch may be cut into; when there would be more, jobs grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>", range(min = 1))]
    max_jobs_per_batch: Option<Whole>,
}

/// A new batch whose numbers are in range; how they go together, the service knows.
pub(super) struct CheckedBatch {
    pub batch_id: Option<i64>,
    pub quantity: u64,
    pub options: ItemOptions,
}

impl CreateBatch {
    pub(super) fn checked(self, usual: ItemOptions, limits: &Limits) -> Result<CheckedBatch, Invalid> {
        let batch_size = self.batch_size.map(|size| size.within("batchSize", limits.max_items_per_job)).transpose()?;
        let max_jobs = self
            .max_jobs_per_batch
            .map(|jobs| jobs.within("maxJobsPerBatch", limits.max_jobs_per_batch))
            .transpose()?;
        let batch_id = self.batch_id.map(|id| id.within("batchId", BatchId::MAX)).transpose()?;
        Ok(CheckedBatch {
            batch_id,
            quantity: self.quantity.within("quantity", limits.max_quantity)?,
            options: ItemOptions {
                batch_size: batch_size.unwrap_or(usual.batch_size),
                qr_code_prefix: self.qr_code_prefix,
                max_jobs_per_batch: max_jobs,
            },
        })
    }
}

/// What the settings of the host say about the fields of a request: schema, field, keyword, value.
pub(in crate::http) const fn settings_in_schemas(
    config: &Config,
) -> [(&'static str, &'static str, &'static str, u64); 5] {
    [
        ("CreateBatch", "quantity", "maximum", config.max_quantity),
        ("CreateBatch", "batchSize", "maximum", config.max_items_per_job),
        ("CreateBatch", "batchSize", "default", config.batch_size),
        ("CreateBatch", "maxJobsPerBatch", "maximum", config.max_jobs_per_batch),
        ("CreateBatch", "maxJobsPerBatch", "default", config.max_jobs_per_batch),
    ]
}

/// A whole number of any sign and size that JSON can say, so that the answer to a bad one can name
/// the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Whole(i128);

impl Whole {
    /// The number, if it is 1 to `max`.
    fn within<N>(self, field: &'static str, max: N) -> Result<N, Invalid>
    where
        N: Copy + Into<i128> + TryFrom<i128>,
    {
        Invalid::unless_within(field, self.0, 1, max.into())?;
        // It is in range, so it fits.
        Ok(N::try_from(self.0).unwrap_or(max))
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

    /// In JSON, 5.0 is a whole number too, as long as a float counts by ones.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Whole, E> {
        if number.fract() == 0.0 && number.abs() <= BatchId::MAX as f64 {
            return Ok(Whole(number as i128));
        }
        Err(E::invalid_type(de::Unexpected::Float(number), &self))
    }
}

/// What may stand in a query once: Rocket would take of several none, as if nothing was said.
type AtMostOne = Vec<String>;

fn the_one(field: &'static str, mut said: AtMostOne) -> Result<Option<String>, Invalid> {
    match said.len() {
        0 | 1 => Ok(said.pop()),
        times => Err(Invalid::new(field, format!("must be given once, but is given {times} times"))),
    }
}

/// Which page of a list.
#[derive(Debug, FromForm, JsonSchema)]
pub(super) struct PageParams {
    /// The `nextCursor` of the page before; none for the first page.
    #[schemars(with = "Option<String>", regex(pattern = PageQuery::CURSOR_PATTERN))]
    cursor: AtMostOne,
    /// Entries a page.
    #[schemars(with = "Option<u64>", range(min = 1, max = PageQuery::MAX), extend("default" = PageQuery::DEFAULT))]
    limit: AtMostOne,
}

impl Input for PageParams {
    fn describe(_: &str, operation: &mut Operation<'_>) {
        operation.query::<Self>();
        a_page_may_be_wrong(operation);
    }
}

fn a_page_may_be_wrong(operation: &mut Operation<'_>) {
    operation.problem("The cursor is not one that this list gave.", &BatchError::BadCursor.into());
    operation.problem("A parameter is not one of its values.", &wrong_limit("0").into());
}

impl PageParams {
    pub(super) fn checked(self) -> Result<PageQuery, Invalid> {
        page(self.cursor, self.limit)
    }
}

/// Which batches to list, and which page of them.
#[derive(Debug, FromForm, JsonSchema)]
pub(super) struct BatchesQuery {
    /// Only batches of this status.
    #[schemars(with = "Option<BatchStatus>")]
    status: AtMostOne,
    /// The `nextCursor` of the page before; none for the first page.
    #[schemars(with = "Option<String>", regex(pattern = PageQuery::CURSOR_PATTERN))]
    cursor: AtMostOne,
    /// Entries a page.
    #[schemars(with = "Option<u64>", range(min = 1, max = PageQuery::MAX), extend("default" = PageQuery::DEFAULT))]
    limit: AtMostOne,
}

impl Input for BatchesQuery {
    fn describe(_: &str, operation: &mut Operation<'_>) {
        operation.query::<Self>();
        a_page_may_be_wrong(operation);
    }
}

impl BatchesQuery {
    pub(super) fn checked(self) -> Result<(Option<BatchStatus>, PageQuery), Invalid> {
        let status = the_one("status", self.status)?.as_deref().map(status).transpose()?;
        Ok((status, page(self.cursor, self.limit)?))
    }
}

fn page(cursor: AtMostOne, limit: AtMostOne) -> Result<PageQuery, Invalid> {
    let limit = the_one("limit", limit)?;
    let limit = limit.map(|text| text.parse().map_err(|_| wrong_limit(&text))).transpose()?;
    Ok(PageQuery { cursor: the_one("cursor", cursor)?, limit })
}

fn wrong_limit(text: &str) -> Invalid {
    Invalid::new("limit", format!("must be 1 to {}, but is {text:?}", PageQuery::MAX))
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

/// Who asks changes what is told, not whether.
impl Input for MayRead {
    fn describe(_: &str, _: &mut Operation<'_>) {}
}
