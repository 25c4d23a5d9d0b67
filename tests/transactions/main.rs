//! Batches in transactions of the host: the whole plugin, and a host with its own connections and
//! tables.

mod hooks;
#[cfg(feature = "sqlite")]
mod sqlite;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use rocket::{
    figment::{Figment, providers::Serialized},
    local::asynchronous::Client,
};
use rocket_batch::{
    AuditQuery, Batch, BatchError, BatchFinished, BatchService, BatchStatus, ItemOptions, PageQuery, Progress,
    postgres::tokio_postgres::{self, error::SqlState},
};

use support::{
    TestResult, plugin, postgres,
    wait::{WAIT_TIMEOUT, try_until, until},
};

/// A plugin that looks for work only when it is woken, and a host with tables in a separate schema.
struct Shop {
    plugin: Client,
    /// The ledger's schema.
    ledger: String,
    /// A connection of the host, without the ledger's settings.
    host: tokio_postgres::Client,
    /// The hooks that were called.
    ends: Arc<Mutex<Vec<BatchFinished>>>,
}

impl Shop {
    async fn open() -> TestResult<Self> {
        Self::with("batch.feed_interval", "1h").await
    }

    /// A shop with this setting.
    async fn with(key: &str, value: impl serde::Serialize) -> TestResult<Self> {
        let (ledger, own) = (postgres::a_schema(), postgres::a_schema());
        let settings = settings(&ledger).merge(Serialized::global(key, value));
        let ends = Arc::<Mutex<Vec<BatchFinished>>>::default();
        let received = ends.clone();
        let fairing = Batch::fairing().public().on_batch_finished(move |end, _| {
            received.lock().unwrap().push(end);
            async { Ok::<_, std::io::Error>(()) }
        });
        let plugin = plugin::launch(settings, fairing).await?;
        let host = postgres::client(postgres::shared()).await;
        let tables = format!(
            "CREATE SCHEMA {own}; SET search_path = {own}; CREATE TABLE orders (id bigint PRIMARY KEY);
             CREATE TABLE batches (not_the_ledgers int); CREATE TABLE jobs (not_the_ledgers int)"
        );
        host.batch_execute(&tables).await?;
        Ok(Self { plugin, ledger, host, ends })
    }

    fn service(&self) -> &BatchService {
        plugin::service(&self.plugin)
    }

    /// Calls the function `create_product_items` with these arguments.
    fn call(&self, arguments: &str) -> String {
        format!("SELECT {}.create_product_items({arguments})", self.ledger)
    }

    /// Lets the function accept what the settings of this process forbid, as a process with other
    /// settings does that started later.
    async fn accept_more(&self) -> TestResult {
        let raise = format!("UPDATE {}.settings SET value = '100000000' WHERE name LIKE 'max\\_%'", self.ledger);
        assert_eq!(self.host.execute(&raise, &[]).await?, 3);
        Ok(())
    }

    /// The numbers of rows: batches, jobs, orders.
    async fn rows(&self) -> TestResult<[i64; 3]> {
        let ledger = &self.ledger;
        let sql = format!(
            "SELECT (SELECT count(*) FROM {ledger}.batches), (SELECT count(*) FROM {ledger}.jobs),
                    (SELECT count(*) FROM orders)"
        );
        let row = self.host.query_one(&sql, &[]).await?;
        Ok([0, 1, 2].map(|at| row.get(at)))
    }

    async fn until_finished(&self, batch: i64) -> TestResult<Progress> {
        Ok(self.service().until_finished(batch, WAIT_TIMEOUT).await?)
    }

    /// Waits until the hook of a batch was called, and returns all its calls.
    async fn end_of(&self, batch: i64) -> TestResult<Vec<BatchFinished>> {
        let ends = async || -> Vec<_> {
            self.ends.lock().unwrap().iter().filter(|end| end.batch_id.get() == batch).cloned().collect()
        };
        Ok(until("the hook was called", WAIT_TIMEOUT, ends, |ends| !ends.is_empty()).await?)
    }
}

/// The settings of a host with its ledger in this schema.
fn settings(schema: &str) -> Figment {
    plugin::settings(postgres::shared()).merge(Serialized::global("databases.batch.schema", schema))
}

fn jobs_of(batch_size: u64) -> ItemOptions {
    ItemOptions { batch_size, ..ItemOptions::default() }
}

/// The error code of the server, and its message.
fn refusal(error: &tokio_postgres::Error) -> (SqlState, String) {
    let error = error.as_db_error().expect("the server refused the statement");
    (error.code().clone(), error.message().to_owned())
}

#[rocket::async_test]
async fn a_batch_exists_once_the_hosts_transaction_is_committed() -> TestResult {
    let mut shop = Shop::open().await?;
    let batches = shop.service().clone();
    let path = "SELECT current_setting('search_path')";
    let before: String = shop.host.query_one(path, &[]).await?.get(0);

    let transaction = shop.host.transaction().await?;
    transaction.execute("INSERT INTO orders VALUES (7)", &[]).await?;
    let accepted = batches.create_product_items_in(&transaction, 7, 250, jobs_of(100)).await?;
    let within: String = transaction.query_one(path, &[]).await?.get(0);
    let early = batches.batch(7).await;
    transaction.commit().await?;
    let committed = batches.batch(7).await?;
    batches.wake_feeder();

    assert_eq!((accepted.batch_id.get(), accepted.total_quantity, accepted.jobs_created), (7, 250, 3));
    assert_eq!(accepted.job_ids, ["b7-j0-g0", "b7-j1-g0", "b7-j2-g0"]);
    assert_eq!(within, before, "the session is the host's");
    assert!(matches!(early, Err(BatchError::NoSuchBatch(7))), "{early:?}");
    assert_eq!((committed.status, committed.jobs.waiting), (BatchStatus::Pending, 3));
    let progress = shop.until_finished(7).await?;
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, 250));
    assert_eq!(shop.rows().await?, [1, 3, 1]);
    shop.plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn a_rollback_of_the_hosts_transaction_leaves_no_batch() -> TestResult {
    let mut shop = Shop::open().await?;
    let batches = shop.service().clone();

    for id in [Some(7), None] {
        let transaction = shop.host.transaction().await?;
        transaction.execute("INSERT INTO orders VALUES (7)", &[]).await?;
        batches.create_product_items_in(&transaction, id, 250, jobs_of(100)).await?;
        transaction.rollback().await?;
        let transaction = shop.host.transaction().await?;
        transaction.query_one(&format!("SELECT {}.create_product_items(250)", shop.ledger), &[]).await?;
        transaction.rollback().await?;
    }
    batches.wake_feeder();

    assert_eq!(shop.rows().await?, [0, 0, 0]);
    assert_eq!(batches.audit_log(AuditQuery::default()).await?.items, [], "neither is there an entry in the audit");
    // Ids taken from the sequence are not returned to it.
    let next = batches.create_product_items_async(None, 10, jobs_of(10)).await?;
    assert_eq!(next.batch_id.get(), 4);
    assert_eq!(shop.until_finished(4).await?.status, BatchStatus::Completed);
    let transaction = shop.host.transaction().await?;
    batches.acting_as("import").create_product_items_in(&transaction, 7, 10, jobs_of(10)).await?;
    transaction.commit().await?;
    let entries = batches.audit(7, PageQuery::default()).await?.items;
    assert_eq!(entries.iter().map(|entry| entry.actor.as_str()).collect::<Vec<_>>(), ["import"]);
    shop.plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn a_rejected_batch_does_not_break_the_hosts_transaction() -> TestResult {
    let mut shop = Shop::open().await?;
    let batches = shop.service().clone();
    batches.create_product_items_async(7, 10, jobs_of(10)).await?;

    let transaction = shop.host.transaction().await?;
    transaction.execute("INSERT INTO orders VALUES (1)", &[]).await?;
    let taken = batches.create_product_items_in(&transaction, 7, 10, jobs_of(10)).await;
    let nothing = batches.create_product_items_in(&transaction, 8, 0, jobs_of(10)).await;
    let no_id = batches.create_product_items_in(&transaction, 0, 10, jobs_of(10)).await;
    let too_large = batches.create_product_items_in(&transaction, 8, 10, jobs_of(10_001)).await;
    // Skips the id in use, and 8, which this transaction uses.
    batches.create_product_items_in(&transaction, 1, 10, jobs_of(10)).await?;
    let second = batches.create_product_items_in(&transaction, None, 10, jobs_of(10)).await?;
    transaction.commit().await?;
    batches.wake_feeder();

    assert!(matches!(taken, Err(BatchError::IdInUse(id)) if id.get() == 7), "{taken:?}");
    for (refused, words) in [
        (nothing, "`quantity` must be 1 to 10000000, but is 0"),
        (no_id, "`batchId` must be 1 to 9007199254740991, but is 0"),
        (too_large, "`batchSize` must be 1 to 10000, but is 10001"),
    ] {
        assert!(matches!(&refused, Err(BatchError::Invalid(why)) if why.to_string() == words), "{refused:?}");
    }
    assert_eq!(second.batch_id.get(), 2);
    for batch in [1, 2, 7] {
        assert_eq!(shop.until_finished(batch).await?.status, BatchStatus::Completed);
    }
    assert_eq!(shop.rows().await?, [3, 3, 1]);
    shop.plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn a_preview_names_every_wrong_field_and_the_id_in_use_and_creates_nothing() -> TestResult {
    let shop = Shop::open().await?;
    let batches = shop.service();
    batches.create_product_items_async(7, 10, jobs_of(10)).await?;
    let before = shop.rows().await?;

    let preview = batches.preview(8, 95, jobs_of(10)).await?;
    let in_use = batches.preview(7, 0, jobs_of(10_001)).await;
    let no_id = batches.preview(0, 10, jobs_of(0)).await;
    let created = batches.create_product_items_async(-1, 0, jobs_of(0)).await;

    assert_eq!((preview.quantity, preview.jobs, preview.items_per_job, preview.chunks), (95, 10, 10, 10));
    for (refused, words) in [
        (
            in_use,
            ["`batchId` is in use: batch 7 already exists", "`quantity` must be", "`batchSize` must be"].as_slice(),
        ),
        (no_id, &["`batchId` must be 1 to 9007199254740991, but is 0", "`batchSize` must be"]),
    ] {
        let Err(BatchError::Invalid(wrong)) = refused else { panic!("{refused:?}") };
        let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        assert!(
            wrong.len() == words.len() && wrong.iter().zip(words).all(|(is, word)| is.starts_with(word)),
            "{wrong:?}"
        );
    }
    let all = "`batchId` must be 1 to 9007199254740991, but is -1; `quantity` must be 1 to 10000000, but is 0; \
        `batchSize` must be 1 to 10000, but is 0";
    assert!(matches!(&created, Err(BatchError::Invalid(wrong)) if wrong.to_string() == all), "{created:?}");
    assert_eq!(shop.rows().await?, before);
    shop.plugin.terminate().await;
    Ok(())
}

#[cfg(feature = "sqlite")]
#[rocket::async_test]
async fn a_ledger_in_sqlite_rejects_postgres_transactions() -> TestResult {
    let plugin = plugin::launch(plugin::settings("sqlite://:memory:"), Batch::fairing().public()).await?;
    let batches = plugin::service(&plugin);
    let mut host = postgres::client(postgres::shared()).await;

    let transaction = host.transaction().await?;
    let elsewhere = batches.create_product_items_in(&transaction, 7, 10, jobs_of(10)).await;
    transaction.query_one("SELECT 1", &[]).await?;

    let Err(error @ BatchError::WrongDatabaseKind(_)) = elsewhere else { panic!("{elsewhere:?}") };
    assert_eq!(error.to_string(), "the ledger is not in PostgreSQL; see `databases.batch.url`");
    drop(transaction);
    plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn a_batch_requested_with_the_function_is_planned_and_completed() -> TestResult {
    let mut shop = Shop::with("batch.feed_interval", "200ms").await?;
    let call = shop.call("quantity => 250, batch_id => $1, batch_size => 50, qr_code_prefix => 'QR'");
    let batches = shop.service().clone();

    let transaction = shop.host.transaction().await?;
    transaction.execute("INSERT INTO orders VALUES (7)", &[]).await?;
    let made: i64 = transaction.query_one(&call, &[&7_i64]).await?.get(0);
    // The plugin does not see it yet.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let early = batches.batch(7).await;
    transaction.commit().await?;

    assert_eq!(made, 7);
    assert!(matches!(early, Err(BatchError::NoSuchBatch(7))), "{early:?}");
    let batch = || batches.batch(7);
    let batch = try_until("the batch is finished", WAIT_TIMEOUT, batch, |batch| batch.status.is_finished()).await?;
    assert_eq!((batch.status, batch.items_created, batch.jobs.completed), (BatchStatus::Completed, 250, 5));
    let items = batches.items(7, PageQuery { limit: Some(1_000), ..PageQuery::default() }).await?.items;
    assert_eq!(items.iter().map(|item| item.ordinal).collect::<Vec<_>>(), (0..250).collect::<Vec<_>>());
    assert_eq!(items.iter().map(|item| &item.code).collect::<HashSet<_>>().len(), 250);
    assert!(items[9].code.starts_with("QR-"), "{}", items[9].code);
    assert_eq!(batches.item_by_code(&items[9].code).await?, items[9]);
    let ends = shop.end_of(7).await?;
    assert_eq!(
        ends.iter().map(|end| (end.status, end.items_created)).collect::<Vec<_>>(),
        [(BatchStatus::Completed, 250)]
    );
    assert_eq!(shop.rows().await?, [1, 5, 1]);
    shop.plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn omitted_arguments_use_the_settings() -> TestResult {
    let shop = Shop::with("batch.batch_size", 40).await?;

    let made: i64 = shop.host.query_one(&shop.call("100"), &[]).await?.get(0);
    shop.service().wake_feeder();

    assert_eq!(shop.until_finished(made).await?.total, 3);
    let batch = shop.service().batch(made).await?;
    assert_eq!(batch.options, jobs_of(40));
    shop.plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn a_request_beyond_settings_that_were_lowered_becomes_a_failed_batch() -> TestResult {
    let shop = Shop::open().await?;
    shop.accept_more().await?;
    shop.host.query_one(&shop.call("20000000, 7"), &[]).await?;
    shop.host.query_one(&shop.call("10, 8"), &[]).await?;
    shop.service().wake_feeder();

    let progress = shop.until_finished(7).await?;
    let retried = shop.service().retry_failed_jobs(7).await;

    assert_eq!((progress.status, progress.total, progress.percent), (BatchStatus::Failed, 0, 0));
    let batch = shop.service().batch(7).await?;
    assert_eq!(batch.error.as_deref(), Some("`quantity` must be 1 to 10000000, but is 20000000"));
    assert!(matches!(retried, Err(BatchError::NothingToRetry(_))), "{retried:?}");
    let ends = shop.end_of(7).await?;
    assert_eq!((ends.len(), ends[0].status, ends[0].quantity), (1, BatchStatus::Failed, 20_000_000));
    assert_eq!(shop.until_finished(8).await?.status, BatchStatus::Completed);
    shop.plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn a_request_with_too_many_jobs_becomes_a_failed_batch() -> TestResult {
    let shop = Shop::with("batch.max_jobs_per_batch", 10).await?;
    shop.accept_more().await?;
    shop.host.query_one(&shop.call("250, 7, max_jobs_per_batch => 11"), &[]).await?;
    shop.host.query_one(&shop.call("250, 8, max_jobs_per_batch => 10"), &[]).await?;
    shop.service().wake_feeder();

    let refused = shop.until_finished(7).await?;
    let other = shop.until_finished(8).await?;

    assert_eq!((refused.status, refused.total), (BatchStatus::Failed, 0));
    let batch = shop.service().batch(7).await?;
    assert_eq!(batch.error.as_deref(), Some("`maxJobsPerBatch` must be 1 to 10, but is 11"));
    assert_eq!((other.status, other.items_created), (BatchStatus::Completed, 250));
    shop.plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn the_function_rejects_invalid_arguments() -> TestResult {
    let mut shop = Shop::open().await?;
    let call = |arguments: &str| shop.call(arguments);
    let invalid = SqlState::INVALID_PARAMETER_VALUE;
    let table = [
        (call("0"), &invalid, "`quantity` must be 1 to 10000000 (setting `max_quantity`), but is 0"),
        (call("NULL"), &invalid, "`quantity` must be 1 to 10000000 (setting `max_quantity`), but is null"),
        (call("10, 0"), &invalid, "`batch_id` must be 1 to 9007199254740991, but is 0"),
        (call("10, 9007199254740992"), &invalid, "`batch_id` must be 1 to 9007199254740991, but is 9007199254740992"),
        (
            call("10, batch_size => -1"),
            &invalid,
            "`batch_size` must be 1 to 10000 (setting `max_items_per_job`), but is -1",
        ),
        (
            call("10, max_jobs_per_batch => 1001"),
            &invalid,
            "`max_jobs_per_batch` must be 1 to 1000 (setting `max_jobs_per_batch`), but is 1001",
        ),
        (
            call("20001, max_jobs_per_batch => 2"),
            &invalid,
            "`quantity` must be at most 20000 for 2 jobs of up to 10000 items (setting `max_items_per_job`), but is 20001",
        ),
        (
            call("10, qr_code_prefix => ''"),
            &invalid,
            "`qr_code_prefix` must be 1 to 16 characters of A-Z, a-z, 0-9, `_` and `-`",
        ),
        (call("10, 7"), &SqlState::UNIQUE_VIOLATION, "batch 7 already exists"),
    ];
    shop.host.query_one(&call("10, 7"), &[]).await?;

    let mut transaction = shop.host.transaction().await?;
    transaction.execute("INSERT INTO orders VALUES (1)", &[]).await?;
    for (call, code, words) in table {
        // An error ends a transaction, unless it is rolled back to a savepoint.
        let savepoint = transaction.transaction().await?;
        let Err(error) = savepoint.query_one(&call, &[]).await else { panic!("{call}") };
        assert_eq!(refusal(&error), (code.clone(), words.to_owned()), "{call}");
        savepoint.rollback().await?;
    }
    transaction.commit().await?;

    assert_eq!(shop.rows().await?[0], 1);
    assert_eq!(shop.rows().await?[2], 1);
    shop.plugin.terminate().await;
    Ok(())
}

/// The grants that the guide lists, and no more.
#[rocket::async_test]
async fn a_separate_role_needs_the_grants_of_the_guide() -> TestResult {
    let mut shop = Shop::open().await?;
    let batches = shop.service().clone();
    let (role, ledger) = (postgres::a_schema(), shop.ledger.clone());
    let as_role = format!("SET ROLE {role}");
    let call = shop.call("10, 7");
    shop.host.batch_execute(&format!("CREATE ROLE {role}; GRANT USAGE ON SCHEMA {ledger} TO {role}")).await?;
    let denied = async |host: &tokio_postgres::Client, sql: &str| {
        host.batch_execute(&as_role).await?;
        let answer = host.batch_execute(sql).await;
        host.batch_execute("RESET ROLE").await?;
        let Err(error) = answer else { panic!("{sql} is allowed") };
        assert_eq!(refusal(&error).0, SqlState::INSUFFICIENT_PRIVILEGE, "{sql}");
        Ok::<_, tokio_postgres::Error>(())
    };

    denied(&shop.host, &call).await?;
    shop.host.batch_execute(&format!("GRANT EXECUTE ON FUNCTION {ledger}.create_product_items TO {role}")).await?;
    shop.host.batch_execute(&as_role).await?;
    shop.host.batch_execute(&call).await?;
    shop.host.batch_execute("RESET ROLE").await?;
    // It can't even read the code key.
    denied(&shop.host, &format!("SELECT * FROM {ledger}.settings")).await?;
    denied(&shop.host, &format!("DELETE FROM {ledger}.batches")).await?;

    let grants = format!(
        "GRANT SELECT, INSERT ON {ledger}.batches TO {role}; GRANT INSERT ON {ledger}.jobs, {ledger}.audit TO {role};
         GRANT USAGE ON SEQUENCE {ledger}.batch_ids TO {role}"
    );
    shop.host.batch_execute(&grants).await?;
    shop.host.batch_execute(&as_role).await?;
    let transaction = shop.host.transaction().await?;
    batches.create_product_items_in(&transaction, None, 10, jobs_of(10)).await?;
    transaction.commit().await?;
    batches.wake_feeder();
    for batch in [1, 7] {
        assert_eq!(shop.until_finished(batch).await?.status, BatchStatus::Completed);
    }
    let clean = format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}");
    shop.host.batch_execute(&clean).await?;
    shop.plugin.terminate().await;
    Ok(())
}

/// Objects of the caller that shadow the ledger's do not affect a function that runs with the
/// owner's rights.
#[rocket::async_test]
async fn the_function_works_with_any_search_path() -> TestResult {
    let shop = Shop::open().await?;
    let traps = "CREATE TEMP TABLE batches (trap int); CREATE TEMP TABLE settings (name text, value text);
                 CREATE TEMP SEQUENCE batch_ids START 1000";
    shop.host.batch_execute(traps).await?;

    let mut made = Vec::new();
    for path in ["pg_temp, public", "nowhere", ""] {
        shop.host.query_one("SELECT set_config('search_path', $1, false)", &[&path]).await?;
        made.push(shop.host.query_one(&shop.call("10"), &[]).await?.get::<_, i64>(0));
        let after: String = shop.host.query_one("SELECT current_setting('search_path')", &[]).await?.get(0);
        assert_eq!(after, path);
    }

    assert_eq!(made, [1, 2, 3]);
    shop.plugin.terminate().await;
    Ok(())
}
