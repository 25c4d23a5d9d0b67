//! The plugin in a host, and a second connection to its database.

use std::{path::PathBuf, time::Duration};

use rocket::{figment::providers::Serialized, local::asynchronous::Client};
use rocket_batch::{Batch, BatchError, BatchFairing, BatchService, Config, Item, PageQuery, Progress};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{
    TestResult, plugin,
    wait::{WAIT_TIMEOUT, try_until},
};

/// The folder of a database.
pub struct DatabaseDir(TempDir);

impl DatabaseDir {
    fn database(&self) -> PathBuf {
        self.0.path().join("batch.db")
    }

    pub fn number(&self, sql: &str) -> TestResult<i64> {
        Ok(Connection::open(self.database())?.query_row(sql, [], |row| row.get(0))?)
    }
}

pub struct Plugin {
    client: Client,
    home: DatabaseDir,
}

impl Plugin {
    pub async fn start(configure: impl Fn(&mut Config) + Send + Sync + 'static) -> TestResult<Self> {
        Self::start_in(DatabaseDir(TempDir::new()?), configure).await
    }

    pub async fn start_in(
        home: DatabaseDir,
        configure: impl Fn(&mut Config) + Send + Sync + 'static,
    ) -> TestResult<Self> {
        Self::attach_in(home, Batch::fairing().public().configure(configure)).await
    }

    pub async fn attach(fairing: BatchFairing) -> TestResult<Self> {
        Self::attach_in(DatabaseDir(TempDir::new()?), fairing).await
    }

    pub async fn attach_in(home: DatabaseDir, fairing: BatchFairing) -> TestResult<Self> {
        let settings = plugin::settings(&plugin::sqlite_url(home.0.path()));
        let settings = settings.merge(Serialized::global("databases.batch.connect_timeout", 1));
        Ok(Self { client: plugin::launch(settings, fairing).await?, home })
    }

    pub fn service(&self) -> &BatchService {
        plugin::service(&self.client)
    }

    pub fn connection(&self) -> TestResult<Connection> {
        let connection = Connection::open(self.home.database())?;
        connection.busy_timeout(Duration::from_secs(10))?;
        Ok(connection)
    }

    pub fn sql(&self, sql: &str) -> TestResult {
        Ok(self.connection()?.execute_batch(sql)?)
    }

    pub fn number(&self, sql: &str) -> TestResult<i64> {
        self.home.number(sql)
    }

    pub fn text(&self, sql: &str) -> TestResult<String> {
        Ok(self.connection()?.query_row(sql, [], |row| row.get(0))?)
    }

    pub async fn until_finished(&self, batch: i64) -> TestResult<Progress> {
        self.wait_until(batch, |progress| progress.status.is_finished()).await
    }

    pub async fn wait_until(&self, batch: i64, condition: impl Fn(&Progress) -> bool) -> TestResult<Progress> {
        let progress = async || {
            let progress = self.service().get_batch_job_progress(batch).await?;
            assert_eq!(progress.total, progress.jobs.total());
            Ok::<_, BatchError>(progress)
        };
        try_until("the progress is as expected", WAIT_TIMEOUT, progress, condition).await
    }

    pub async fn wait_until_no_hook_is_open(&self) -> TestResult {
        self.wait_until_number("SELECT count(*) FROM rocket_batch_hooks WHERE state = 'open'", 0).await
    }

    /// Waits until `sql` returns `expected`.
    pub async fn wait_until_number(&self, sql: &str, expected: i64) -> TestResult {
        let what = format!("{sql} returns {expected}");
        try_until(what, WAIT_TIMEOUT, async || self.number(sql), |number| *number == expected).await.map(drop)
    }

    pub async fn items(&self, batch: i64) -> TestResult<Vec<Item>> {
        let mut query = PageQuery { limit: Some(1_000), ..PageQuery::default() };
        let mut items = Vec::new();
        loop {
            let page = self.service().items(batch, query.clone()).await?;
            items.extend(page.items);
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                return Ok(items);
            }
        }
    }

    pub async fn stop(self) -> TestResult {
        self.stop_and_keep().await.map(drop)
    }

    pub async fn stop_and_keep(self) -> TestResult<DatabaseDir> {
        let Self { client, home } = self;
        drop(client.terminate().await);
        Ok(home)
    }
}
