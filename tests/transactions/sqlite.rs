//! Batches in transactions of SQLite, and the errors of a host's closures.

use rocket::{figment::Figment, figment::providers::Serialized, local::asynchronous::Client};
use rocket_batch::{
    AuditQuery, Batch, BatchConnection, BatchDb, BatchError, BatchService, BatchStatus, BoxError, ItemOptions,
    LedgerError,
    sqlite::rusqlite::{self, Connection},
};
use rocket_db_pools::{Database, Pool};
use tempfile::TempDir;

use crate::{
    Shop, jobs_of,
    support::{TestResult, plugin, wait::WAIT_TIMEOUT},
};

/// A plugin with its ledger in a file, and a table of the host in it.
struct FileShop {
    plugin: Client,
    folder: TempDir,
}

impl FileShop {
    async fn open() -> TestResult<Self> {
        Self::with("batch.feed_interval", "1h").await
    }

    /// A shop with this setting.
    async fn with(key: &str, value: impl serde::Serialize) -> TestResult<Self> {
        let folder = tempfile::tempdir()?;
        let settings = plugin::settings(&plugin::sqlite_url(folder.path()));
        let plugin = launch(settings.merge(Serialized::global(key, value))).await?;
        let shop = Self { plugin, folder };
        let tables = "CREATE TABLE orders (id INTEGER PRIMARY KEY)";
        shop.db().await?.sqlite()?.interact_mut(move |transaction| transaction.execute_batch(tables)).await?;
        Ok(shop)
    }

    fn service(&self) -> BatchService {
        plugin::service(&self.plugin).clone()
    }

    async fn db(&self) -> TestResult<BatchConnection> {
        db(&self.plugin).await
    }

    /// A connection of the host, as another process would open it.
    fn outsider(&self) -> TestResult<Connection> {
        let conn = Connection::open(self.folder.path().join("batch.db"))?;
        conn.busy_timeout(WAIT_TIMEOUT)?;
        Ok(conn)
    }

    /// The numbers of rows: batches, jobs, orders.
    fn rows(&self) -> TestResult<[i64; 3]> {
        let sql = "SELECT (SELECT count(*) FROM rocket_batch_batches), (SELECT count(*) FROM rocket_batch_jobs),
                          (SELECT count(*) FROM orders)";
        Ok(self.outsider()?.query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?)
    }

    /// Makes SQLite refuse the third job of every batch.
    fn refuse_third_jobs(&self) -> TestResult {
        let trigger = "CREATE TRIGGER trap BEFORE INSERT ON rocket_batch_jobs WHEN new.seq = 2
                       BEGIN SELECT raise(ABORT, 'on purpose'); END";
        Ok(self.outsider()?.execute_batch(trigger)?)
    }

    async fn completes(&self, batch: i64) -> TestResult {
        let progress = self.service().until_finished(batch, WAIT_TIMEOUT).await?;
        assert_eq!(progress.status, BatchStatus::Completed);
        Ok(())
    }
}

async fn launch(settings: Figment) -> TestResult<Client> {
    Ok(plugin::launch(settings, Batch::fairing().public()).await?)
}

async fn db(plugin: &Client) -> TestResult<BatchConnection> {
    Ok(BatchDb::fetch(plugin.rocket()).expect("the fairing is attached").get().await?)
}

/// The error type of a host.
#[derive(Debug, thiserror::Error)]
enum ShopError {
    #[error("the shelf is full")]
    ShelfIsFull,
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

const ORDER: &str = "INSERT INTO orders (id) VALUES (?1)";

#[rocket::async_test]
async fn a_batch_and_a_row_of_the_host_are_one_commit() -> TestResult {
    let shop = FileShop::open().await?;
    let batches = shop.service();

    let (connection, in_closure) = (shop.db().await?, batches.clone());
    let accepted = connection.sqlite()?.interact_mut(move |transaction| {
        transaction.execute(ORDER, [7])?;
        let accepted = in_closure.create_product_items_in(transaction, 7, 250, jobs_of(100))?;
        Ok::<_, ShopError>(accepted)
    });
    let accepted = accepted.await?;

    assert_eq!((accepted.batch_id.get(), accepted.total_quantity, accepted.jobs_created), (7, 250, 3));
    assert_eq!(accepted.job_ids, ["b7-j0-g0", "b7-j1-g0", "b7-j2-g0"]);
    let batch = batches.batch(7).await?;
    // The feeder may have found it already.
    assert!(matches!(batch.status, BatchStatus::Pending | BatchStatus::Running), "{}", batch.status);
    assert_eq!(batch.jobs.total(), 3, "it is planned at once");
    assert_eq!(shop.rows()?, [1, 3, 1]);
    let audit = batches.audit_log(AuditQuery::default()).await?.items;
    assert_eq!(audit.iter().map(|entry| entry.batch_id.get()).collect::<Vec<_>>(), [7], "no entry of a rollback");
    batches.wake_feeder();
    shop.completes(7).await?;
    shop.plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn a_batch_exists_once_a_connection_of_the_host_commits() -> TestResult {
    let shop = FileShop::open().await?;
    let batches = shop.service();
    let mut host = shop.outsider()?;

    let transaction = host.transaction()?;
    transaction.execute(ORDER, [7])?;
    batches.create_product_items_in(&transaction, 7, 250, jobs_of(100))?;
    let early = batches.batch(7).await;
    transaction.commit()?;
    let mut transaction = host.transaction()?;
    transaction.execute(ORDER, [8])?;
    let savepoint = transaction.savepoint()?;
    batches.create_product_items_in(&savepoint, None, 250, jobs_of(100))?;
    savepoint.commit()?;
    transaction.rollback()?;

    assert!(matches!(early, Err(BatchError::NoSuchBatch(7))), "{early:?}");
    assert_eq!(shop.rows()?, [1, 3, 1]);
    batches.wake_feeder();
    shop.completes(7).await?;
    shop.plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn an_error_of_the_host_comes_back_as_it_is_and_leaves_nothing() -> TestResult {
    let shop = FileShop::open().await?;
    let (connection, batches) = (shop.db().await?, shop.service());
    let db = connection.sqlite()?;

    let place = batches.clone();
    let full = db.interact_mut(move |transaction| {
        transaction.execute(ORDER, [7])?;
        place.create_product_items_in(&*transaction, 7, 250, jobs_of(100))?;
        Err::<(), _>(ShopError::ShelfIsFull)
    });
    let full = full.await;
    let place = batches.clone();
    let refused = db.interact_mut(move |transaction| {
        transaction.execute(ORDER, [7])?;
        place.create_product_items_in(transaction, 7, 0, jobs_of(100))?;
        Ok::<_, ShopError>(())
    });
    let refused = refused.await;
    let sql = db.interact_mut(|transaction| Ok::<_, ShopError>(transaction.execute("INSERT INTO nowhere", [])?)).await;
    let read = db.interact(|_| Err::<(), _>(ShopError::ShelfIsFull)).await;

    assert!(matches!(full, Err(ShopError::ShelfIsFull)), "{full:?}");
    assert!(matches!(refused, Err(ShopError::Batch(BatchError::Invalid(_)))), "{refused:?}");
    assert!(matches!(sql, Err(ShopError::Sqlite(_))), "{sql:?}");
    assert!(matches!(read, Err(ShopError::ShelfIsFull)), "{read:?}");
    assert_eq!(shop.rows()?, [0, 0, 0]);
    shop.plugin.terminate().await;
    // An error of the ledger is converted into the host's.
    let closed = db.interact_mut(|_| Ok::<_, ShopError>(())).await;
    assert!(matches!(closed, Err(ShopError::Ledger(LedgerError::Unavailable { .. }))), "{closed:?}");
    Ok(())
}

/// What the guide promises to need no annotation, or only that of `Ok`.
#[rocket::async_test]
async fn a_closure_returns_errors_of_rusqlite_of_the_service_or_boxed_ones() -> TestResult {
    let shop = FileShop::open().await?;
    let (connection, batches) = (shop.db().await?, shop.service());
    let db = connection.sqlite()?;

    let plain: Result<usize, LedgerError> = db
        .interact_mut(|transaction| {
            transaction.execute(ORDER, [1])?;
            transaction.execute(ORDER, [1])
        })
        .await;
    let place = batches.clone();
    let of_the_service: Result<_, BatchError> = db
        .interact_mut(move |transaction| {
            transaction.execute(ORDER, [2])?;
            place.create_product_items_in(transaction, 2, 10, jobs_of(10))
        })
        .await;
    let boxed: Result<(), BoxError> = db.interact_mut(|_| Err::<(), BoxError>("the shelf is full".into())).await;

    assert!(matches!(plain, Err(LedgerError::Rejected { .. })), "{plain:?}");
    assert_eq!(of_the_service?.batch_id.get(), 2);
    assert_eq!(boxed.map_err(|error| error.to_string()), Err("the shelf is full".into()));
    shop.plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn a_rejected_batch_does_not_break_the_transaction() -> TestResult {
    let shop = FileShop::open().await?;
    let batches = shop.service();
    batches.create_product_items_async(7, 10, jobs_of(10)).await?;
    let mut host = shop.outsider()?;

    let transaction = host.transaction()?;
    transaction.execute(ORDER, [1])?;
    let taken = batches.create_product_items_in(&transaction, 7, 10, jobs_of(10));
    let nothing = batches.create_product_items_in(&transaction, 8, 0, jobs_of(10));
    let no_id = batches.create_product_items_in(&transaction, 0, 10, jobs_of(10));
    let too_large = batches.create_product_items_in(&transaction, 8, 10, jobs_of(10_001));
    // Skips the id in use, and 1, which this transaction uses.
    batches.create_product_items_in(&transaction, 1, 10, jobs_of(10))?;
    let second = batches.create_product_items_in(&transaction, None, 10, jobs_of(10))?;
    transaction.commit()?;
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
        shop.completes(batch).await?;
    }
    assert_eq!(shop.rows()?, [3, 3, 1]);
    shop.plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn a_batch_is_inserted_completely_or_not_at_all() -> TestResult {
    let shop = FileShop::open().await?;
    let batches = shop.service();
    shop.refuse_third_jobs()?;
    let mut host = shop.outsider()?;

    let alone = batches.create_product_items_in(&host, 7, 250, jobs_of(100));
    let no_transaction = host.is_autocommit();
    let transaction = host.transaction()?;
    transaction.execute(ORDER, [7])?;
    let within = batches.create_product_items_in(&transaction, 7, 250, jobs_of(100));
    transaction.commit()?;

    assert!(alone.is_err() && within.is_err(), "{alone:?} {within:?}");
    assert!(no_transaction);
    assert_eq!(shop.rows()?, [0, 0, 1]);
    batches.create_product_items_in(&host, 7, 200, jobs_of(100))?;
    assert_eq!(shop.rows()?, [1, 2, 1], "without a transaction of the host, it is committed at once");
    shop.plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn a_transaction_in_another_database_is_rejected() -> TestResult {
    let (shop, other) = (FileShop::open().await?, FileShop::open().await?);
    let in_memory = launch(plugin::settings("sqlite://:memory:")).await?;
    let in_postgres = Shop::open().await?;
    let (elsewhere, nowhere) = (other.outsider()?, Connection::open_in_memory()?);
    let attached = Connection::open_in_memory()?;
    attached.execute("ATTACH ?1 AS shop", [shop.folder.path().join("batch.db").to_str()])?;

    for (batches, conn, words) in [
        (shop.service(), &elsewhere, "the transaction is not in the SQLite file of the ledger"),
        (shop.service(), &nowhere, "the transaction is not in the SQLite file of the ledger"),
        (shop.service(), &attached, "the transaction is not in the SQLite file of the ledger"),
        (plugin::service(&in_memory).clone(), &elsewhere, "the transaction is not in the SQLite file of the ledger"),
        (plugin::service(&in_memory).clone(), &nowhere, "the transaction is not in the SQLite file of the ledger"),
        (in_postgres.service().clone(), &elsewhere, "the ledger is not in SQLite"),
    ] {
        let refused = batches.create_product_items_in(conn, 7, 10, jobs_of(10));

        let Err(error @ BatchError::WrongDatabaseKind(_)) = refused else { panic!("{refused:?}") };
        assert_eq!(error.to_string(), format!("{words}; see `databases.batch.url`"));
    }
    assert_eq!((shop.rows()?, other.rows()?), ([0; 3], [0; 3]));
    for plugin in [shop.plugin, other.plugin, in_memory, in_postgres.plugin] {
        plugin.terminate().await;
    }
    Ok(())
}

#[rocket::async_test]
async fn a_ledger_in_memory_takes_batches_in_its_own_transactions() -> TestResult {
    let plugin = launch(plugin::settings("sqlite://:memory:")).await?;
    let batches = plugin::service(&plugin).clone();

    let place = batches.clone();
    let connection = db(&plugin).await?;
    connection
        .sqlite()?
        .interact_mut(move |transaction| place.create_product_items_in(transaction, 7, 250, jobs_of(100)))
        .await?;
    batches.wake_feeder();

    assert_eq!(batches.until_finished(7, WAIT_TIMEOUT).await?.status, BatchStatus::Completed);
    plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn a_reading_connection_creates_no_batch() -> TestResult {
    let shop = FileShop::open().await?;
    let (connection, batches) = (shop.db().await?, shop.service());

    let read = connection.sqlite()?.interact(move |conn| batches.create_product_items_in(conn, 7, 10, jobs_of(10)));

    let Err(BatchError::Internal(cause)) = read.await else { panic!("it is created") };
    assert!(std::error::Error::source(&*cause).is_some_and(|cause| cause.to_string().contains("`interact_mut`")));
    assert_eq!(shop.rows()?, [0; 3]);
    shop.plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn the_estimate_of_a_batch_includes_the_batches_before_it() -> TestResult {
    let folder = tempfile::tempdir()?;
    let settings = plugin::settings(&plugin::sqlite_url(folder.path()))
        .merge(Serialized::global("batch.role", "web"))
        .merge(Serialized::global("batch.generate.rate_limit", "1 per 1s"));
    let plugin = launch(settings).await?;
    let (mut host, batches) = (Connection::open(folder.path().join("batch.db"))?, plugin::service(&plugin));

    let transaction = host.transaction()?;
    let first = batches.create_product_items_in(&transaction, 1, 1_000, jobs_of(100))?;
    transaction.commit()?;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let second = batches.create_product_items_in(&host, 2, 1_000, jobs_of(100))?;

    assert_eq!((first.estimated_seconds, second.estimated_seconds), (9, 19));
    plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn check_answers_what_creation_refuses() -> TestResult {
    let shop = FileShop::with("batch.max_quantity", 1_000).await?;
    let batches = shop.service();
    let prefix = |prefix: &str| ItemOptions { qr_code_prefix: Some(prefix.into()), ..jobs_of(100) };

    for (quantity, options) in [
        (0, jobs_of(100)),
        (1_001, jobs_of(100)),
        (1, jobs_of(0)),
        (1, jobs_of(10_001)),
        (1, prefix("two words")),
        (1_000, jobs_of(100)),
        (1, prefix("QR")),
    ] {
        let answer = batches.check(quantity, &options).map_err(|error| error.to_string());
        let created = batches.create_product_items_async(None, quantity, options).await;

        assert_eq!(answer, created.map(drop).map_err(|error| error.to_string()));
    }
    assert_eq!(shop.rows()?[0], 2, "only creation creates");
    shop.plugin.terminate().await;
    Ok(())
}

#[rocket::async_test]
async fn either_runs_the_closure_of_the_ledgers_database() -> TestResult {
    async fn version(db: &mut BatchConnection) -> Result<String, BoxError> {
        db.either(
            async |db| {
                let version = "SELECT 'SQLite ' || sqlite_version()";
                Ok(db.interact(move |conn| conn.query_row(version, [], |row| row.get(0))).await?)
            },
            async |db| Ok(db.query_one("SELECT version()", &[]).await?.try_get(0)?),
        )
        .await
    }
    let (shop, in_postgres) = (FileShop::open().await?, Shop::open().await?);

    let mut of_postgres = db(&in_postgres.plugin).await?;
    let one = version(&mut shop.db().await?).await.map_err(|error| error.to_string())?;
    let other = version(&mut of_postgres).await.map_err(|error| error.to_string())?;

    assert!(one.starts_with("SQLite 3.") && other.starts_with("PostgreSQL "), "{one} {other}");
    drop(of_postgres);
    shop.plugin.terminate().await;
    in_postgres.plugin.terminate().await;
    Ok(())
}
