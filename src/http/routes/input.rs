//! Paths, queries and bodies of requests: their syntax, their schemas and their checks.
//!
//! If Rocket can't parse a text as a number, it treats the parameter as missing or tries another
//! route. So parameters are read as text and checked here, with an error that names what is
//! allowed.

use std::fmt;

use rocket::{
    FromForm, Request,
    outcome::Outcome,
    request::{self, FromParam, FromRequest},
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{
    config::Config,
    domain::{BatchId, BatchStatus, Invalid, ItemOptions, JobState, Limits, RetryOptions},
    http::{
        fields::{Fields, WrongFields},
        openapi::{Input, Operation},
        problem::Problem,
        rights::Rights,
    },
    service::{BatchError, BatchService, PageQuery},
};

/// Reads nothing from the request.
impl Input for BatchService {
    fn describe(_: &str, _: &mut Operation<'_>) {}
}

/// The batch id in a path. Any other text is answered like the id of a batch that does not exist.
pub(super) struct PathId(Result<i64, Problem>);

impl PathId {
    pub(super) fn id(self) -> Result<i64, Problem> {
        self.0
    }
}

impl<'r> FromParam<'r> for PathId {
    type Error = std::convert::Infallible;

    fn from_param(text: &'r str) -> Result<Self, Self::Error> {
        let id = text.parse::<i64>().ok().filter(|id| id.to_string() == text);
        Ok(Self(id.ok_or_else(|| Problem::no_such_batch(text))))
    }
}

impl Input for PathId {
    fn describe(name: &str, operation: &mut Operation<'_>) {
        operation.path::<BatchId>(name, "The id of a batch.");
        let not_found = Problem::from(BatchError::NoSuchBatch(42));
        operation.problem("There is no batch with this id, or the text is not an id.", &not_found);
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
        operation.problem("No item has this code.", &Problem::from(BatchError::NoSuchItem));
    }
}

/// The body of a request for a new batch.
///
/// Its numbers are each in range. The service checks the rest, and how they fit together.
///
/// Equal bodies serialize to equal texts; idempotency compares these texts. Absent fields stay
/// absent, so a later version with more fields serializes an old body to the same text.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(description = "A batch to create.")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CreateBatch {
    /// The number of items to create.
    #[schemars(range(min = 1))]
    pub quantity: u64,

    /// The id of the batch. Default: the next free one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BatchId>")]
    pub batch_id: Option<i64>,

    /// The number of items per job. A large batch may get larger jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    batch_size: Option<u64>,

    /// A prefix for the code of every item, followed by a `-`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = ItemOptions::PREFIX_PATTERN))]
    qr_code_prefix: Option<String>,

    /// The maximum number of jobs of the batch. If it would need more, its jobs get larger.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    max_jobs_per_batch: Option<u64>,
}

impl CreateBatch {
    /// Reads a body. Returns the right fields and the wrong ones. Each wrong field is absent in the
    /// body, or 1 for the quantity, so a check of the body finds only what else is wrong.
    pub(super) fn read(fields: Fields<Self>, limits: &Limits) -> (Self, WrongFields) {
        let mut fields = fields.reader();
        let quantity = fields.required("quantity", in_range(limits.max_quantity));
        let body = Self {
            quantity: quantity.unwrap_or(1),
            batch_id: fields.optional("batchId", in_range(BatchId::MAX)),
            batch_size: fields.optional("batchSize", in_range(limits.max_items_per_job)),
            qr_code_prefix: fields.optional("qrCodePrefix", |_, prefix| Ok(prefix)),
            max_jobs_per_batch: fields.optional("maxJobsPerBatch", in_range(limits.max_jobs_per_batch)),
        };
        (body, fields.finish())
    }

    /// The options of the batch, with `defaults` for absent fields.
    pub(super) fn options(&self, defaults: ItemOptions) -> ItemOptions {
        ItemOptions {
            batch_size: self.batch_size.unwrap_or(defaults.batch_size),
            qr_code_prefix: self.qr_code_prefix.clone(),
            max_jobs_per_batch: self.max_jobs_per_batch,
        }
    }
}

/// The limits and defaults that the settings define for fields of a request: schema, field,
/// keyword, value.
pub(in crate::http) const fn limits_in_schemas(
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

/// A whole number of any sign and size. The error for one that is out of range can then name the
/// limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole(i128);

/// The check of a field that is 1 to `max`.
pub(super) fn in_range<N>(max: N) -> impl FnOnce(&'static str, Whole) -> Result<N, Invalid>
where
    N: Copy + Into<i128> + TryFrom<i128>,
{
    move |field, number| number.between(field, 1, max)
}

impl Whole {
    /// The number, if it is `min` to `max`.
    pub(super) fn between<N>(self, field: &'static str, min: i128, max: N) -> Result<N, Invalid>
    where
        N: Copy + Into<i128> + TryFrom<i128>,
    {
        Invalid::check_range(field, self.0, min, max.into())?;
        // The conversion can't fail, because the number is in range.
        Ok(N::try_from(self.0).unwrap_or(max))
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor)
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

    /// In JSON, 5.0 is a whole number too, up to the size at which floats skip whole numbers.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Whole, E> {
        if number.fract() == 0.0 && number.abs() <= BatchId::MAX as f64 {
            return Ok(Whole(number as i128));
        }
        Err(E::invalid_type(de::Unexpected::Float(number), &self))
    }
}

/// All values of a query parameter. [`at_most_one`] rejects more than one. With an `Option`, Rocket
/// would silently ignore a parameter that occurs several times.
pub(super) type RepeatedParam = Vec<String>;

pub(super) fn at_most_one(field: &'static str, mut values: RepeatedParam) -> Result<Option<String>, Invalid> {
    match values.len() {
        0 | 1 => Ok(values.pop()),
        count => Err(Invalid::new(field, format!("must occur once, but occurs {count} times"))),
    }
}

/// The page of a list.
#[derive(Debug, FromForm, JsonSchema)]
pub(super) struct PageParams {
    /// The `nextCursor` of the previous page; absent for the first page.
    #[schemars(with = "Option<String>", regex(pattern = PageQuery::CURSOR_PATTERN))]
    cursor: RepeatedParam,
    /// The maximum number of entries on the page.
    #[schemars(with = "Option<u64>", range(min = 1, max = PageQuery::MAX), extend("default" = PageQuery::DEFAULT))]
    limit: RepeatedParam,
}

impl Input for PageParams {
    fn describe(_: &str, operation: &mut Operation<'_>) {
        operation.query::<Self>();
        describe_page_problems(operation);
    }
}

fn describe_page_problems(operation: &mut Operation<'_>) {
    operation.problem("The cursor is not a `nextCursor` of this list.", &Problem::from(BatchError::BadCursor));
    operation.problem("A parameter is not valid.", &Problem::from(wrong_limit("0")));
}

impl PageParams {
    pub(super) fn validate(self) -> Result<PageQuery, Invalid> {
        page(self.cursor, self.limit)
    }
}

/// The status of the batches to list, and the page of the list.
#[derive(Debug, FromForm, JsonSchema)]
pub(super) struct BatchesQuery {
    /// List only batches with this status.
    #[schemars(with = "Option<BatchStatus>")]
    status: RepeatedParam,
    /// The `nextCursor` of the previous page; absent for the first page.
    #[schemars(with = "Option<String>", regex(pattern = PageQuery::CURSOR_PATTERN))]
    cursor: RepeatedParam,
    /// The maximum number of entries on the page.
    #[schemars(with = "Option<u64>", range(min = 1, max = PageQuery::MAX), extend("default" = PageQuery::DEFAULT))]
    limit: RepeatedParam,
}

impl Input for BatchesQuery {
    fn describe(_: &str, operation: &mut Operation<'_>) {
        operation.query::<Self>();
        describe_page_problems(operation);
    }
}

impl BatchesQuery {
    pub(super) fn validate(self) -> Result<(Option<BatchStatus>, PageQuery), Invalid> {
        let status = at_most_one("status", self.status)?.as_deref().map(str::parse).transpose()?;
        Ok((status, page(self.cursor, self.limit)?))
    }
}

/// The state of the jobs to list, and the page of the list.
#[derive(Debug, FromForm, JsonSchema)]
pub(super) struct JobsQuery {
    /// List only jobs in this state.
    #[schemars(with = "Option<JobState>")]
    state: RepeatedParam,
    /// The `nextCursor` of the previous page; absent for the first page.
    #[schemars(with = "Option<String>", regex(pattern = PageQuery::CURSOR_PATTERN))]
    cursor: RepeatedParam,
    /// The maximum number of entries on the page.
    #[schemars(with = "Option<u64>", range(min = 1, max = PageQuery::MAX), extend("default" = PageQuery::DEFAULT))]
    limit: RepeatedParam,
}

impl Input for JobsQuery {
    fn describe(_: &str, operation: &mut Operation<'_>) {
        operation.query::<Self>();
        describe_page_problems(operation);
    }
}

impl JobsQuery {
    pub(super) fn validate(self) -> Result<(Option<JobState>, PageQuery), Invalid> {
        let state = at_most_one("state", self.state)?.as_deref().map(state).transpose()?;
        Ok((state, page(self.cursor, self.limit)?))
    }
}

/// The group of the failed jobs to list, and the page of the list.
#[derive(Debug, FromForm, JsonSchema)]
pub(super) struct FailedJobsQuery {
    /// List only jobs whose error is in this group, from `failure-groups`.
    #[schemars(with = "Option<String>", regex(pattern = RetryOptions::GROUP_PATTERN))]
    group: RepeatedParam,
    /// The `nextCursor` of the previous page; absent for the first page.
    #[schemars(with = "Option<String>", regex(pattern = PageQuery::CURSOR_PATTERN))]
    cursor: RepeatedParam,
    /// The maximum number of entries on the page.
    #[schemars(with = "Option<u64>", range(min = 1, max = PageQuery::MAX), extend("default" = PageQuery::DEFAULT))]
    limit: RepeatedParam,
}

impl Input for FailedJobsQuery {
    fn describe(_: &str, operation: &mut Operation<'_>) {
        operation.query::<Self>();
        describe_page_problems(operation);
    }
}

impl FailedJobsQuery {
    pub(super) fn validate(self) -> Result<(Option<String>, PageQuery), Invalid> {
        Ok((at_most_one("group", self.group)?, page(self.cursor, self.limit)?))
    }
}

fn page(cursor: RepeatedParam, limit: RepeatedParam) -> Result<PageQuery, Invalid> {
    let limit = at_most_one("limit", limit)?;
    let limit = limit.map(|text| text.parse().map_err(|_| wrong_limit(&text))).transpose()?;
    Ok(PageQuery { cursor: at_most_one("cursor", cursor)?, limit })
}

fn wrong_limit(text: &str) -> Invalid {
    Invalid::new("limit", format!("must be 1 to {}, but is {text:?}", PageQuery::MAX))
}

fn state(word: &str) -> Result<JobState, Invalid> {
    let all = JobState::ALL.map(JobState::as_str).join(", ");
    let wrong = || Invalid::new("state", format!("must be one of {all}, but is {word:?}"));
    JobState::parse(word).ok_or_else(wrong)
}

/// Whether the caller has the right to read. As a guard it never fails.
pub(super) struct MayRead(pub bool);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for MayRead {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let may_read = match request.rocket().state::<Rights>() {
            Some(rights) => rights.may_read(request).await,
            None => false,
        };
        Outcome::Success(Self(may_read))
    }
}

/// Describes nothing: the right changes the content of the response, not its status.
impl Input for MayRead {
    fn describe(_: &str, _: &mut Operation<'_>) {}
}
