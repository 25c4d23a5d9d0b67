//! Hooks and item writers of the host: what they reach, and how a finish hook keeps a batch from
//! finishing.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use rocket::{error::ErrorKind, local::asynchronous::Client};
use rocket_batch::{
    Batch, BatchConnection, BatchFairing, BatchFinished, BatchInfo, BoxError, HookContext, ItemContext, NewItemRow,
    sqlite::rusqlite::Connection,
};
use serde_json::{Value, json};
use tracing::instrument::WithSubscriber;

use crate::{
    shop::{Plan, Shop, guarded_by},
    support::{
        log::Log,
        wait::{WAIT_TIMEOUT, until},
    },
};

/// The batches that the host does not let finish.
#[derive(Debug, Clone, Default)]
struct Held(Arc<Mutex<BTreeSet<i64>>>);

impl Held {
    fn batches(ids: impl IntoIterator<Item = i64>) -> Self {
        Self(Arc::new(Mutex::new(ids.into_iter().collect())))
    }

    fn release(&self, id: i64) {
        self.0.lock().unwrap().remove(&id);
    }
}

const ENDS: &str = "CREATE TABLE ends (batch INTEGER, round INTEGER, status TEXT, PRIMARY KEY (batch, round))";

async fn create_table(db: BatchConnection) -> Result<(), BoxError> {
    Ok(db.sqlite()?.interact_mut(|transaction| transaction.execute_batch(ENDS)).await?)
}

fn hold(transaction: &Connection, end: &BatchFinished, context: &HookContext) -> Result<(), BoxError> {
    let row = (end.batch_id.get(), end.round, end.status.as_str());
    transaction.execute("INSERT INTO ends VALUES (?1, ?2, ?3)", row)?;
    if context.state::<Held>()?.0.lock().unwrap().contains(&end.batch_id.get()) {
        return Err(format!("order {} is not paid", end.batch_id).into());
    }
    Ok(())
}

fn a_shop_that_holds(fairing: BatchFairing) -> Plan {
    let fairing = fairing.public().on_ledger_ready(create_table).with_state::<Held>().sqlite_finish_hook(hold);
    guarded_by(fairing).with("batch.status.backoff", "20ms").with("batch.status.max_backoff", "200ms")
}

/// The rows of the host: batch, round and status.
fn ends(shop: &Shop) -> Vec<(i64, i64, String)> {
    let connection = Connection::open(shop.database()).unwrap();
    let mut query = connection.prepare("SELECT * FROM ends ORDER BY batch, round").unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// With one place for status tasks: a batch that waits takes none.
#[rocket::async_test]
async fn a_batch_waits_for_its_finish_hook_and_keeps_no_other_waiting() {
    let held = Held::batches([1]);
    let plan = a_shop_that_holds(Batch::fairing()).with("batch.status.concurrency", 1);
    let shop = plan.open_with(|rocket| rocket.manage(held.clone())).await;
    shop.batch(1, 30).await;

    let progress = shop.until(1, "waiting for its hook", |progress| progress["waitingFor"] == "hook").await;
    assert_eq!(
        (&progress["status"], &progress["percent"], &progress["completed"]),
        (&json!("running"), &99.into(), &3.into())
    );
    for other in 2..=5 {
        shop.batch(other, 30).await;
        shop.until_it_is(other, "completed").await;
    }
    let batch = shop.get("/batches/1").await.expect(200);
    assert_eq!((&batch["hookError"], &batch["finishedAt"]), (&json!("order 1 is not paid"), &Value::Null));
    assert_eq!(shop.get("/batches/1/progress").await.expect(200)["waitingFor"], "hook", "it is called again and again");

    held.release(1);
    let progress = shop.until_it_is(1, "completed").await;
    assert_eq!(progress["waitingFor"], Value::Null);
    assert_eq!(shop.get("/batches/1").await.expect(200)["hookError"], Value::Null);
    let completed = |id| (id, 1, "completed".to_owned());
    assert_eq!(ends(&shop), (1..=5).map(completed).collect::<Vec<_>>());
}

#[rocket::async_test]
async fn a_cancel_is_answered_with_the_error_of_the_finish_hook() {
    let held = Held::batches([1]);
    let plan = a_shop_that_holds(Batch::fairing()).without_workers();
    let shop = plan.open_with(|rocket| rocket.manage(held.clone())).await;
    shop.batch(1, 30).await;
    let before = shop.get("/batches/1").await.expect(200);

    let problem = shop.post_empty("/batches/1/cancel").await.problem(409, &["order 1 is not paid"]);

    assert_eq!(
        (&problem["type"], &problem["title"]),
        (&json!("urn:rocket-batch:hook-failed"), &json!("Refused by a hook"))
    );
    assert_eq!((shop.get("/batches/1").await.expect(200), ends(&shop)), (before, vec![]));
    held.release(1);
    assert_eq!(shop.post_empty("/batches/1/cancel").await.expect(200)["status"], "cancelled");
    assert_eq!(ends(&shop), [(1, 1, "cancelled".to_owned())]);
}

#[rocket::async_test]
async fn a_batch_that_can_not_be_planned_waits_for_its_finish_hook() {
    let held = Held::batches([7]);
    let shop = a_shop_that_holds(Batch::fairing()).with("batch.feed_interval", "100ms");
    let shop = shop.open_with(|rocket| rocket.manage(held.clone())).await;
    let outsider = Connection::open(shop.database()).unwrap();
    outsider.busy_timeout(Duration::from_secs(10)).unwrap();
    // The view knows a higher limit than this process, as if the setting had been lowered since.
    let raise = "UPDATE rocket_batch_settings SET value = 100000000 WHERE name LIKE 'max_%'";
    assert_eq!(outsider.execute(raise, []).unwrap(), 3);
    outsider.execute("INSERT INTO batch_requests (batch_id, quantity) VALUES (7, 20000000)", []).unwrap();

    let progress = shop.until(7, "waiting for its hook", |progress| progress["waitingFor"] == "hook").await;
    assert_eq!((&progress["status"], &progress["total"]), (&json!("pending"), &0.into()));
    assert_eq!(shop.get("/batches/7").await.expect(200)["hookError"], "order 7 is not paid");
    held.release(7);
    shop.until_it_is(7, "failed").await;

    assert_eq!(ends(&shop), [(7, 1, "failed".to_owned())]);
}

/// The id, the quantity and the number of items of a batch, and the message of a missing state.
type Report = (i64, u64, i64, String);

#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<Report>>>);

async fn report(end: BatchFinished, context: HookContext) -> Result<(), BoxError> {
    let id = end.batch_id.get();
    let quantity = context.service().batch(id).await?.quantity;
    let count = "SELECT count(*) FROM rocket_batch_items WHERE batch = ?1";
    let connection = context.connection().await?;
    let items = connection.sqlite()?.interact(move |conn| conn.query_row(count, [id], |row| row.get(0))).await?;
    let missing = context.state::<Held>().expect_err("the fairing does not ask for it").to_string();
    context.state::<Reports>()?.0.lock().unwrap().push((id, quantity, items, missing));
    Ok(())
}

#[rocket::async_test]
async fn a_hook_reaches_the_service_the_state_and_the_database() {
    let reports = Reports::default();
    let fairing = Batch::fairing().public().on_batch_finished(report).with_state::<Reports>();
    let shop = guarded_by(fairing).open_with(|rocket| rocket.manage(reports.clone()).manage(Held::default())).await;

    shop.batch(7, 30).await;
    shop.until_it_is(7, "completed").await;
    let reports = async || reports.0.lock().unwrap().clone();

    let seen = until("a hook was called", WAIT_TIMEOUT, reports, |reports| !reports.is_empty()).await.unwrap();
    let [(7, 30, 30, missing)] = &seen[..] else { panic!("{seen:?}") };
    assert!(missing.contains("hooks::Held") && missing.contains("add `.with_state::<"), "{missing}");
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<BatchInfo>>>);

#[rocket::async_test]
async fn an_item_writer_sees_the_options_of_its_batch() {
    let write = |_: &Connection, _: &[NewItemRow<'_>], context: &ItemContext<'_>| {
        assert_eq!(context.service().default_options().batch_size, 100);
        context.state::<Seen>()?.0.lock().unwrap().push(context.batch().clone());
        Ok(())
    };
    let seen = Seen::default();
    let fairing = Batch::fairing().public().sqlite_item_writer(write).with_state::<Seen>();
    let shop = guarded_by(fairing).with("batch.chunk_size", 5);
    let shop = shop.open_with(|rocket| rocket.manage(seen.clone())).await;

    let body = json!({ "batchId": 7, "quantity": 30, "batchSize": 10, "qrCodePrefix": "QR", "maxJobsPerBatch": 9 });
    shop.post("/batches", body).await.expect(202);
    shop.batch(8, 10).await;
    shop.until_it_is(7, "completed").await;
    shop.until_it_is(8, "completed").await;

    let seen = seen.0.lock().unwrap();
    let of = |id| seen.iter().filter(move |info| info.batch_id.get() == id);
    assert_eq!((of(7).count(), of(8).count()), (6, 2), "once for each chunk");
    for info in of(7) {
        let options =
            (info.options.batch_size, info.options.qr_code_prefix.as_deref(), info.options.max_jobs_per_batch);
        assert_eq!((info.quantity, options), (30, (10, Some("QR"), Some(9))));
    }
    assert!(of(8).all(|info| info.quantity == 10 && info.options.qr_code_prefix.is_none()));
}

/// Without it, each hook that asks for the state would fail.
#[rocket::async_test]
async fn a_missing_state_shuts_rocket_down_and_says_what_to_add() {
    let log = Log::default();
    let fairing = Batch::fairing().public().with_state::<Held>();
    let (rocket, _folder) = guarded_by(fairing).with("port", 0).with("shutdown.ctrlc", false).rocket();

    let launched = tokio::time::timeout(Duration::from_secs(30), rocket.launch().with_subscriber(log.subscriber()));
    launched.await.expect("Rocket shuts down").expect("without an error of its own");

    let text = log.text();
    for part in ["ERROR", "http::hooks::Held", "add `.manage(..)`", "`.with_state::<http::hooks::Held>()`"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[rocket::async_test]
async fn the_host_prepares_its_tables_in_order_before_anything_works() {
    let more = |db: BatchConnection| async move {
        let sql = "ALTER TABLE ends ADD COLUMN paid INTEGER; INSERT INTO ends VALUES (0, 0, 'none', 1)";
        Ok::<_, BoxError>(db.sqlite()?.interact_mut(move |transaction| transaction.execute_batch(sql)).await?)
    };
    let fairing = Batch::fairing().public().on_ledger_ready(create_table).on_ledger_ready(more);
    let shop = guarded_by(fairing).open().await;

    let connection = Connection::open(shop.database()).unwrap();
    let paid: i64 = connection.query_row("SELECT paid FROM ends", [], |row| row.get(0)).unwrap();
    assert_eq!(paid, 1);
}

#[rocket::async_test]
async fn an_error_of_the_hosts_tables_stops_the_launch_with_its_cause() {
    type Prepare = fn() -> Result<(), BoxError>;
    let ways: [(Prepare, &str); 2] =
        [(|| Err("no room for orders".into()), "no room for orders"), (|| panic!("no idea"), "panicked: no idea")];

    for (way, cause) in ways {
        let log = Log::default();
        let prepare = move |_: BatchConnection| async move { way() };
        let (rocket, _folder) = guarded_by(Batch::fairing().public().on_ledger_ready(prepare)).rocket();

        let launched = Client::untracked(rocket).with_subscriber(log.subscriber()).await;

        assert!(matches!(launched.unwrap_err().kind(), ErrorKind::FailedFairings(_)));
        let text = log.text();
        assert!(text.contains("`.on_ledger_ready(..)` failed") && text.contains(cause), "{text}");
    }
}

/// Its rows would silently be missing.
#[cfg(feature = "postgres")]
#[rocket::async_test]
async fn a_finish_hook_for_the_other_database_stops_the_launch() {
    use rocket::futures::{FutureExt, future::BoxFuture};
    use rocket_batch::postgres::tokio_postgres::Transaction;

    fn nothing<'a>(
        _: &'a Transaction<'_>,
        _: &'a BatchFinished,
        _: &'a HookContext,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        async { Ok(()) }.boxed()
    }
    let log = Log::default();
    let (rocket, _folder) = guarded_by(Batch::fairing().public().postgres_finish_hook(nothing)).rocket();

    let launched = Client::untracked(rocket).with_subscriber(log.subscriber()).await;

    assert!(matches!(launched.unwrap_err().kind(), ErrorKind::FailedFairings(_)));
    let text = log.text();
    assert!(text.contains("the finish hook is for PostgreSQL; add `.sqlite_finish_hook(..)`"), "{text}");
}
