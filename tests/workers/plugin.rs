//! The plugin in a host, and a second connection to its database.

use std::{error::Error, path::PathBuf, time::Duration};

use rocket::{figment::providers::Serialized, local::asynchronous::Client};
use rocket_batch::{Batch, BatchFairing, BatchService, Config, Item, PageQuery, Progress};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The folder of a database.
pub struct DatabaseDir(TempDir);

impl DatabaseDir {
    fn database(&self) -> PathBuf {
        self.0.path().join("batch.db")
    }

    pub fn number(&self, sql: &str) -> Result<i64> {
        Ok(Connection::open(self.database())?.query_row(sql, [], |row| row.get(0))?)
    }
}

pub struct Plugin {
    client: Client,
    home: DatabaseDir,
}

impl Plugin {
    pub async fn start(configure: impl Fn(&mut Config) + Send + Sync + 'static) -> Result<Self> {
        Self::start_in(DatabaseDir(TempDir::new()?), configure).await
    }

    pub async fn start_in(home: DatabaseDir, configure: impl Fn(&mut Config) + Send + Sync + 'static) -> Result<Self> {
        Self::attach_in(home, Batch::fairing().public().configure(configure)).await
    }

    pub async fn attach(fairing: BatchFairing) -> Result<Self> {
        Self::attach_in(DatabaseDir(TempDir::new()?), fairing).await
    }

    async fn attach_in(home: DatabaseDir, fairing: BatchFairing) -> Result<Self> {
        let url = format!("sqlite://{}", home.database().display());
        let figment = rocket::Config::figment()
            .merge(("log_level", "off"))
            .merge(Serialized::default("databases.batch.url", url))
            .merge(Serialized::default("databases.batch.connect_timeout", 1));
        let client = Client::untracked(rocket::custom(figment).attach(fairing)).await?;
        Ok(Self { client, home })
    }

    pub fn service(&self) -> &BatchService {
        BatchService::fetch(self.client.rocket()).expect("the fairing is attached")
    }

    pub fn connection(&self) -> Result<Connection> {
        let connection = Connection::open(self.home.database())?;
        connection.busy_timeout(Duration::from_secs(10))?;
        Ok(connection)
    }

    pub fn sql(&self, sql: &str) -> Result<()> {
        Ok(self.connection()?.execute_batch(sql)?)
    }

    pub fn number(&self, sql: &str) -> Result<i64> {
        self.home.number(sql)
    }

    pub fn text(&self, sql: &str) -> Result<String> {
        Ok(self.connection()?.query_row(sql, [], |row| row.get(0))?)
    }

    pub async fn until_finished(&self, batch: i64) -> Result<Progress> {
        self.wait_until(batch, |progress| progress.status.is_finished()).await
    }

    pub async fn wait_until(&self, batch: i64, condition: impl Fn(&Progress) -> bool) -> Result<Progress> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let progress = self.service().get_batch_job_progress(batch).await?;
            assert_eq!(progress.total, progress.jobs.total());
            if condition(&progress) {
                return Ok(progress);
            }
            if Instant::now() > deadline {
                return Err(format!("still {progress:?}").into());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn wait_until_no_hook_is_open(&self) -> Result<()> {
        self.wait_until_number("SELECT count(*) FROM rocket_batch_hooks WHERE state = 'open'", 0).await
    }

    /// Waits until `sql` returns `expected`.
    pub async fn wait_until_number(&self, sql: &str, expected: i64) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let number = self.number(sql)?;
            if number == expected {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("still {number}: {sql}").into());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn items(&self, batch: i64) -> Result<Vec<Item>> {
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

    pub async fn stop(self) -> std::result::Result<(), Box<dyn Error>> {
        self.stop_and_keep().await.map(drop)
    }

    pub async fn stop_and_keep(self) -> Result<DatabaseDir> {
        let Self { client, home } = self;
        drop(client.terminate().await);
        Ok(home)
    }
}
