//! The builder that a host configures the plugin with.

use std::sync::Arc;

use rocket::{Request, futures::future::BoxFuture, http::Status, request::FromRequest};

use super::{
    hooks::{HostHooks, host_hook},
    host_rows::HostRows,
    setup::{LedgerReady, StateCopy},
};
use crate::{
    config::Config,
    domain::{BatchFinished, JobFinished},
    http::{self, MergeError, Right},
    ledger::BoxError,
    service::HookContext,
    trace::TracePropagator,
};

/// The plugin. Attach [`Batch::fairing`] to your Rocket.
#[derive(Debug, Clone, Copy)]
pub struct Batch;

impl Batch {
    /// Creates the fairing. Every route is denied until you choose a guard with
    /// [`guard`](BatchFairing::guard), [`read_guard`](BatchFairing::read_guard) and
    /// [`write_guard`](BatchFairing::write_guard), [`authorize`](BatchFairing::authorize) or
    /// [`public`](BatchFairing::public). If a right has no guard, the launch fails.
    ///
    /// ```
    /// use rocket_batch::Batch;
    ///
    /// let rocket = rocket::build().attach(Batch::fairing().public());
    /// ```
    pub fn fairing() -> BatchFairing {
        BatchFairing {
            read: None,
            write: None,
            #[cfg(feature = "prometheus")]
            metrics: None,
            scheme: http::SecurityScheme::default(),
            actor: None,
            propagator: None,
            configure: Vec::new(),
            hooks: HostHooks::default(),
            host_rows: HostRows::default(),
            ledger_ready: Vec::new(),
            states: Vec::new(),
        }
    }

    /// Returns the OpenAPI 3.1 document of the routes with the default settings. To merge it, as
    /// configured, into a document of your own, use
    /// [`merge_openapi`](BatchFairing::merge_openapi). A running process serves the document with
    /// its actual settings and security at `openapi.json` below its base.
    ///
    /// ```
    /// use rocket_batch::Batch;
    ///
    /// let document = Batch::openapi();
    /// assert_eq!(document["paths"]["/batches/{id}"]["get"]["operationId"], "getBatch");
    /// ```
    #[must_use]
    pub fn openapi() -> serde_json::Value {
        http::document(&Config::default(), &http::Security::default())
    }
}

/// A change of the settings by the host.
type Configure = Box<dyn Fn(&mut Config) + Send + Sync>;

/// Mounts the routes, runs jobs in the background and drains them at shutdown. Created by
/// [`Batch::fairing`].
///
/// If a right or a kind of hook is set several times, the last one applies.
#[must_use = "a fairing does nothing until it is attached"]
pub struct BatchFairing {
    pub(super) read: Option<http::Check>,
    pub(super) write: Option<http::Check>,
    #[cfg(feature = "prometheus")]
    pub(super) metrics: Option<http::Check>,
    pub(super) scheme: http::SecurityScheme,
    pub(super) actor: Option<http::Actor>,
    pub(super) propagator: Option<Arc<dyn TracePropagator>>,
    pub(super) configure: Vec<Configure>,
    pub(super) hooks: HostHooks,
    pub(super) host_rows: HostRows,
    pub(super) ledger_ready: Vec<LedgerReady>,
    pub(super) states: Vec<StateCopy>,
}

impl BatchFairing {
    /// Requires the guard `G` for reading and writing. `G` is any of your request guards without a
    /// lifetime. It protects the routes of this crate only; your handlers that use
    /// [`BatchService`](crate::BatchService) need their own guards.
    pub fn guard<G>(self) -> Self
    where
        G: for<'r> FromRequest<'r> + Send + 'static,
    {
        self.read_guard::<G>().write_guard::<G>()
    }

    /// Requires the guard `G` for reading.
    pub fn read_guard<G>(mut self) -> Self
    where
        G: for<'r> FromRequest<'r> + Send + 'static,
    {
        self.read = Some(http::by_guard::<G>());
        self
    }

    /// Requires the guard `G` for creating, retrying, cancelling, pausing and resuming.
    pub fn write_guard<G>(mut self) -> Self
    where
        G: for<'r> FromRequest<'r> + Send + 'static,
    {
        self.write = Some(http::by_guard::<G>());
        self
    }

    /// Requires the guard `G` for the metrics at `<base>/metrics`, for example a token of the
    /// scraper. Without it, they need the right to read.
    #[cfg(feature = "prometheus")]
    pub fn metrics_guard<G>(mut self) -> Self
    where
        G: for<'r> FromRequest<'r> + Send + 'static,
    {
        self.metrics = Some(http::by_guard::<G>());
        self
    }

    /// Requires that `check` accepts the request. Use it for guards that borrow from the request,
    /// and for rules that are not guards.
    ///
    /// ```
    /// use rocket::{Request, http::Status};
    /// use rocket_batch::{Batch, Right};
    ///
    /// let fairing = Batch::fairing().authorize(|request: &Request<'_>, right| {
    ///     let has_credentials = request.headers().get_one("Authorization").is_some();
    ///     Box::pin(async move {
    ///         if has_credentials || right == Right::Read { Ok(()) } else { Err(Status::Unauthorized) }
    ///     })
    /// });
    /// ```
    pub fn authorize<F>(mut self, check: F) -> Self
    where
        F: for<'a> Fn(&'a Request<'_>, Right) -> BoxFuture<'a, Result<(), Status>> + Send + Sync + 'static,
    {
        let check = Arc::new(check);
        self.read = Some(http::by_closure(check.clone(), Right::Read));
        self.write = Some(http::by_closure(check, Right::Write));
        self
    }

    /// Allows every request to read and write. Only for hosts that no untrusted caller can reach.
    pub fn public(mut self) -> Self {
        self.read = Some(http::Check::Open);
        self.write = Some(http::Check::Open);
        self
    }

    /// Sets the name and the definition of the security scheme in the OpenAPI document. It
    /// documents how callers authenticate and does not affect the guards. Default: `bearer`, a
    /// bearer token in the header `Authorization`.
    ///
    /// ```
    /// use rocket_batch::Batch;
    /// use serde_json::json;
    ///
    /// let by_key = json!({ "type": "apiKey", "in": "header", "name": "X-Api-Key" });
    /// let fairing = Batch::fairing().security_scheme("key", by_key);
    /// ```
    pub fn security_scheme(mut self, name: impl Into<String>, scheme: serde_json::Value) -> Self {
        self.scheme = http::SecurityScheme { name: name.into(), scheme };
        self
    }

    /// Identifies the caller of a request, for example by the id of a user, a tenant or an access
    /// key. Each caller has separate `Idempotency-Key`s, and the [audit](crate::guide::audit)
    /// records who changed a batch. Without this, and when `name` returns `None`, all callers share
    /// their keys, and the audit says `unknown`.
    ///
    /// The audit stores the result of `name` as it is: return no secret, such as a token. `name` is
    /// called for each request that gets a [`BatchService`](crate::BatchService): by the routes
    /// after the right was granted, by the open probes too, and in your handlers when the guard
    /// runs, so put your own guards before it.
    ///
    /// ```
    /// use rocket::Request;
    /// use rocket_batch::Batch;
    ///
    /// let fairing = Batch::fairing().public().actor(|request: &Request<'_>| -> Option<String> {
    ///     request.headers().get_one("X-Tenant").map(str::to_owned)
    /// });
    /// ```
    pub fn actor(mut self, name: impl Fn(&Request<'_>) -> Option<String> + Send + Sync + 'static) -> Self {
        self.actor = Some(Arc::new(name));
        self
    }

    /// Makes spans for requests, creations, attempts, chunks and hooks, and connects them with the
    /// traces of your exporter: everything that is done for a batch, on any process, refers to the
    /// request that created it. See [the guide](crate::guide::traces).
    ///
    /// ```
    /// use rocket_batch::Batch;
    ///
    /// // Spans with the position of their batch, connected by no exporter.
    /// let fairing = Batch::fairing().public().traces(());
    /// ```
    pub fn traces(mut self, propagator: impl TracePropagator) -> Self {
        self.propagator = Some(Arc::new(propagator));
        self
    }

    /// Merges the OpenAPI document of the routes into `document`, the OpenAPI 3.1 document of your
    /// own routes, made by a crate such as `utoipa` or by hand.
    ///
    /// The base, the limits and the role are those of [`rocket::Config::figment`], the environment
    /// and [`configure`](Self::configure), and the security scheme is that of this fairing. For a
    /// Rocket with another figment, use
    /// [`BatchService::merge_openapi`](crate::BatchService::merge_openapi) after its ignition.
    ///
    /// Adds paths, components and tags. A tag that you have too stays yours. If your document has
    /// a default `security`, open routes get `"security": []`.
    ///
    /// ```
    /// use rocket_batch::Batch;
    /// use serde_json::json;
    ///
    /// let mut document = json!({
    ///     "openapi": "3.1.0",
    ///     "info": { "title": "Shop", "version": "1.0.0" },
    ///     "paths": { "/orders": { "get": { "operationId": "listOrders", "responses": {} } } },
    /// });
    /// Batch::fairing().public().merge_openapi(&mut document)?;
    ///
    /// assert!(document["paths"]["/orders"].is_object() && document["paths"]["/batches/{id}"].is_object());
    /// # Ok::<_, rocket_batch::MergeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MergeError`] if a path, a component or an operation id exists in both documents with
    /// different contents, if the document is not OpenAPI 3.1, or if the settings are not valid.
    /// `document` is unchanged then.
    pub fn merge_openapi(&self, document: &mut serde_json::Value) -> Result<(), MergeError> {
        let config = self.settings(&rocket::Config::figment()).map_err(MergeError::Settings)?;
        // A right without a guard stops the launch; until then it is described as guarded.
        let is_open = |check: &Option<http::Check>| check.as_ref().is_some_and(|check| !check.is_guarded());
        let security = http::Security::new(!is_open(&self.read), !is_open(&self.write), self.scheme.clone());
        #[cfg(feature = "prometheus")]
        let security =
            security.with_metrics(Some(!is_open(if self.metrics.is_some() { &self.metrics } else { &self.read })));
        http::merge(document, &http::document(&config, &security))
    }

    /// Calls `writer` in the transaction that inserts new items, so that it can write rows of your
    /// own. Either both are written or neither, exactly once.
    ///
    /// For a ledger in SQLite. [`sqlite::ItemWriter`](crate::sqlite::ItemWriter) describes what a
    /// writer may do, and the effect of its errors and panics.
    ///
    /// ```
    /// use rocket_batch::{
    ///     Batch, BoxError, ItemContext, NewItemRow,
    ///     sqlite::rusqlite::Connection,
    /// };
    ///
    /// fn stock(transaction: &Connection, items: &[NewItemRow<'_>], _: &ItemContext<'_>) -> Result<(), BoxError> {
    ///     let sql = "INSERT INTO products (batch, ordinal, code) VALUES (?1, ?2, ?3)";
    ///     let mut insert = transaction.prepare_cached(sql)?;
    ///     for item in items {
    ///         insert.execute((item.batch_id.get(), item.ordinal as i64, item.code))?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// let fairing = Batch::fairing().public().sqlite_item_writer(stock);
    /// ```
    #[cfg(feature = "sqlite")]
    pub fn sqlite_item_writer(mut self, writer: impl crate::sqlite::ItemWriter) -> Self {
        self.host_rows.sqlite.item_writer = Some(Arc::new(writer));
        self
    }

    /// Calls `writer` in the transaction that inserts new items, so that it can write rows of your
    /// own. Either both are written or neither, exactly once.
    ///
    /// For a ledger in PostgreSQL. [`postgres::ItemWriter`](crate::postgres::ItemWriter) describes
    /// what a writer may do, and the effect of its errors and panics. With a writer, each chunk
    /// takes a few round trips to the database instead of one.
    ///
    /// ```
    /// use rocket::futures::{FutureExt, future::BoxFuture};
    /// use rocket_batch::{Batch, BoxError, ItemContext, NewItemRow, postgres::tokio_postgres::Transaction};
    ///
    /// fn stock<'a>(
    ///     transaction: &'a Transaction<'_>,
    ///     items: &'a [NewItemRow<'a>],
    ///     _: &'a ItemContext<'a>,
    /// ) -> BoxFuture<'a, Result<(), BoxError>> {
    ///     async move {
    ///         let codes: Vec<_> = items.iter().map(|item| item.code).collect();
    ///         transaction.execute("INSERT INTO shop.products (code) SELECT unnest($1::text[])", &[&codes]).await?;
    ///         Ok(())
    ///     }
    ///     .boxed()
    /// }
    ///
    /// let fairing = Batch::fairing().public().postgres_item_writer(stock);
    /// ```
    #[cfg(feature = "postgres")]
    pub fn postgres_item_writer(mut self, writer: impl crate::postgres::ItemWriter) -> Self {
        self.host_rows.postgres.item_writer = Some(Arc::new(writer));
        self
    }

    /// Changes the settings after they are read from the file and the environment, and before they
    /// are checked. Several closures run in the order of the calls.
    pub fn configure(mut self, change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        self.configure.push(Box::new(change));
        self
    }

    /// Called at least once for each finished batch, including cancelled ones. A call that returns
    /// an error, panics or takes longer than `hook_timeout` is repeated, up to `status.attempts`
    /// calls in total.
    ///
    /// The hook is called after the batch is finished. To write rows of your own in the same
    /// transaction, exactly once, use a [finish hook](crate::guide::hooks) instead.
    pub fn on_batch_finished<F, Fut, E>(mut self, hook: F) -> Self
    where
        F: Fn(BatchFinished, HookContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.hooks.batch_finished = Some(host_hook(hook));
        self
    }

    /// Called at least once for each job that failed permanently. Calls are repeated as those of
    /// [`on_batch_finished`](Self::on_batch_finished).
    pub fn on_job_failed<F, Fut, E>(mut self, hook: F) -> Self
    where
        F: Fn(JobFinished, HookContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.hooks.job_failed = Some(host_hook(hook));
        self
    }

    /// Called at least once for each completed job. Calls are repeated as those of
    /// [`on_batch_finished`](Self::on_batch_finished). This costs one more row in the ledger and
    /// one more job in the queue `update-batch-status` per job.
    pub fn on_job_completed<F, Fut, E>(mut self, hook: F) -> Self
    where
        F: Fn(JobFinished, HookContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.hooks.job_completed = Some(host_hook(hook));
        self
    }
}
