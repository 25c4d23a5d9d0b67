//! A host's finish hook and its own tables in PostgreSQL.

use rocket::futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use rocket_batch::{
    BatchConnection, BatchFairing, BoxError, HookContext, WaitingFor, postgres::tokio_postgres::Transaction,
};

use super::*;

fn quick_settings(schema: &str) -> Figment {
    settings(schema).merge(Serialized::global("batch.status.backoff", "20ms"))
}

/// Fails once, then inserts a row for the batch and creates the next batch, up to batch 3.
fn continue_with_the_next<'a>(
    transaction: &'a Transaction<'_>,
    end: &'a BatchFinished,
    context: &'a HookContext,
) -> BoxFuture<'a, Result<(), BoxError>> {
    async move {
        let id = end.batch_id.get();
        let schema = context.state::<Schema>()?;
        transaction.execute(&format!("INSERT INTO {}.ends VALUES ($1)", schema.0), &[&id]).await?;
        if id < 3 {
            let options = context.service().default_options();
            context.service().create_product_items_in(transaction, id + 1, 100, options).await?;
        }
        let mut failed = schema.1.lock().unwrap();
        if failed.insert(id) { Err("not at the first call".into()) } else { Ok(()) }
    }
    .boxed()
}

/// The host's schema, and the batches whose first call failed.
#[derive(Clone)]
struct Schema(String, Arc<Mutex<HashSet<i64>>>);

#[rocket::async_test]
async fn a_finish_hook_creates_the_next_batch_in_its_transaction() -> TestResult {
    let (ledger, own) = (postgres::a_schema(), postgres::a_schema());
    let host = postgres::client(postgres::shared()).await;
    let tables = format!("CREATE SCHEMA {own}; CREATE TABLE {own}.ends (batch bigint PRIMARY KEY)");
    let create = move |db: BatchConnection| {
        let tables = tables.clone();
        async move {
            let BatchConnection::Postgres(db) = db else { return Err(BoxError::from("not PostgreSQL")) };
            Ok(db.batch_execute(&tables).await?)
        }
    };
    let fairing = Batch::fairing().public().on_ledger_ready(create).with_state::<Schema>();
    let fairing = fairing.postgres_finish_hook(continue_with_the_next);
    let rocket = rocket::custom(quick_settings(&ledger)).manage(Schema(own.clone(), Arc::default())).attach(fairing);
    let client = Client::untracked(rocket).await?;
    let batches = plugin::service(&client);

    batches.create_product_items_async(1, 100, batches.default_options()).await?;
    for id in 1..=3 {
        let exists = |batch: &Result<_, _>| !matches!(batch, Err(BatchError::NoSuchBatch(_)));
        until("the batch exists", WAIT_TIMEOUT, || batches.batch(id), exists).await??;
        batches.wake_feeder();
        batches.until_finished(id, WAIT_TIMEOUT).await?;
    }

    let ends: i64 = host.query_one(&format!("SELECT count(*) FROM {own}.ends"), &[]).await?.get(0);
    assert_eq!(ends, 3);
    client.terminate().await;
    Ok(())
}

/// Whether batches may finish.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<bool>>);

fn wait_at_the_gate<'a>(
    _: &'a Transaction<'_>,
    _: &'a BatchFinished,
    context: &'a HookContext,
) -> BoxFuture<'a, Result<(), BoxError>> {
    let is_open = context.state::<Gate>().map(|gate| *gate.0.lock().unwrap());
    async move { if is_open? { Ok(()) } else { Err("the gate is closed".into()) } }.boxed()
}

/// One process works, the other is on standby. The first one ends while a batch waits.
#[rocket::async_test]
async fn every_process_sees_that_a_batch_waits_and_another_one_finishes_it() -> TestResult {
    let (schema, gate) = (postgres::a_schema(), Gate::default());
    let launch = || {
        let fairing = Batch::fairing().public().with_state::<Gate>().postgres_finish_hook(wait_at_the_gate);
        let settings = quick_settings(&schema).merge(Serialized::global("batch.feed_interval", "200ms"));
        Client::untracked(rocket::custom(settings).manage(gate.clone()).attach(fairing))
    };
    let (first, second) = (launch().await?, launch().await?);
    let [one, two] = [&first, &second].map(|client| plugin::service(client).clone());

    two.create_product_items_async(1, 100, two.default_options()).await?;
    for service in [&one, &two] {
        let progress = || service.get_batch_job_progress(1);
        let waits = |progress: &Progress| progress.waiting_for == Some(WaitingFor::Hook);
        try_until("the batch waits for its hook", WAIT_TIMEOUT, progress, waits).await?;
    }
    let refused = two.cancel(1).await;
    assert!(matches!(&refused, Err(BatchError::HookFailed(why)) if why == "the gate is closed"), "{refused:?}");
    first.terminate().await;
    *gate.0.lock().unwrap() = true;

    let progress = two.until_finished(1, WAIT_TIMEOUT).await?;
    assert_eq!((progress.status, progress.waiting_for), (BatchStatus::Completed, None));
    second.terminate().await;
    Ok(())
}

/// Not repeatable, and slow, so that two at the same time would fail.
fn creates_a_table_once(own: &str) -> BatchFairing {
    let own = own.to_owned();
    Batch::fairing().public().on_ledger_ready(move |db: BatchConnection| {
        let own = own.clone();
        async move {
            let BatchConnection::Postgres(db) = db else { return Err(BoxError::from("not PostgreSQL")) };
            let exists = "SELECT count(*) FROM pg_tables WHERE schemaname = $1";
            let there: i64 = db.query_one(exists, &[&own]).await?.get(0);
            tokio::time::sleep(Duration::from_millis(50)).await;
            if there == 0 {
                db.batch_execute(&format!("CREATE SCHEMA {own}; CREATE TABLE {own}.orders (id bigint)")).await?;
            }
            Ok(())
        }
    })
}

#[rocket::async_test]
async fn processes_that_start_at_once_prepare_the_hosts_tables_one_after_another() -> TestResult {
    let (ledger, own) = (postgres::a_schema(), postgres::a_schema());

    let starting =
        (0..4).map(|_| Client::untracked(rocket::custom(quick_settings(&ledger)).attach(creates_a_table_once(&own))));
    let started = join_all(starting).await;

    for client in started {
        client?.terminate().await;
    }
    Ok(())
}
