//! Databases that respond but refuse writes: a full disk and a read-only server. Work waits, the
//! process says why it is not ready, and no attempt is spent.

use std::{path::Path, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    TestResult,
    host::{Home, Host},
    postgres::{self, Server},
    wait::try_until,
};

const QUANTITY: i64 = 200_000;
const LIMIT: Duration = Duration::from_secs(60);

/// Waits until readiness has exactly this problem; until it has none for `None`.
async fn until_problem(host: &Host, problem: Option<&str>) -> TestResult {
    let expected: Vec<_> = problem.into_iter().collect();
    let body = json!({ "ready": problem.is_none(), "problems": expected });
    let look = || host.body("/batches/health/ready");
    try_until(format!("readiness is {body}"), LIMIT, look, |seen| *seen == body).await.map(drop)
}

/// The batch waits for the database until `mend`, and completes then without a failed attempt.
async fn waits_until_it_is_mended(
    host: Host,
    batch: i64,
    problem: &str,
    mend: impl AsyncFnOnce() -> TestResult,
) -> TestResult {
    until_problem(&host, Some(problem)).await?;
    let progress = host.until(batch, |progress| progress["waitingFor"] == "database").await?;
    assert!(progress["itemsCreated"].as_i64() < Some(QUANTITY), "{progress}");
    host.until_printed("the database refuses writes; work waits for it").await?;

    mend().await?;

    let progress = host.until_finished(batch, Duration::from_secs(120)).await?;
    assert_eq!((&progress["status"], &progress["itemsCreated"]), (&json!("completed"), &json!(QUANTITY)));
    until_problem(&host, None).await?;
    assert_eq!(host.progress(batch).await?["waitingFor"], Value::Null);
    host.until_printed("the database accepts writes again").await?;
    let jobs = host.get(&format!("/batches/{batch}/jobs?limit=1000")).await?;
    let jobs = jobs["items"].as_array().ok_or("no jobs")?;
    assert!(jobs.len() > 10);
    for job in jobs {
        assert_eq!((&job["attempts"], &job["crashes"]), (&json!(0), &json!(0)), "{job}");
    }
    assert_eq!(host.terminate().await?.code(), Some(0));
    Ok(())
}

/// A file system in memory, which is unmounted when this is dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this process may not mount.
    fn of(megabytes: u32) -> TestResult<Option<Self>> {
        let folder = tempfile::TempDir::new()?;
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"], folder.path())?;
        Ok(mounted.then(|| Self(folder)))
    }

    fn grow(&self, megabytes: u32) -> TestResult {
        let grown = mount(&["-o", &format!("remount,size={megabytes}m")], self.0.path())?;
        if grown { Ok(()) } else { Err("the disk does not grow".into()) }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn mount(arguments: &[&str], folder: &Path) -> TestResult<bool> {
    Ok(Command::new("mount").args(arguments).arg(folder).status()?.success())
}

#[tokio::test]
async fn waits_while_the_disk_of_a_sqlite_file_is_full() -> TestResult {
    let Some(disk) = SmallDisk::of(4)? else {
        println!("skipped: this process may not mount a file system");
        return Ok(());
    };
    let databases = format!("{{batch={{url=\"sqlite://{}/batch.db\"}}}}", disk.0.path().display());
    let home = Home::new()?.with("ROCKET_DATABASES", &databases);
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": QUANTITY, "batchSize": 2_000 })).await?;

    let mend = async || disk.grow(200);
    waits_until_it_is_mended(host, batch, "the database refuses writes: disk full", mend).await
}

#[tokio::test]
async fn waits_while_a_postgres_server_is_read_only() -> TestResult {
    let server = Server::start();
    let admin = postgres::client(server.url()).await;
    let home = Home::on_server(server.url())?;
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": QUANTITY, "batchSize": 2_000 })).await?;
    host.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(0)).await?;
    let set = async |value: &str| -> TestResult {
        admin.batch_execute(&format!("ALTER SYSTEM SET default_transaction_read_only = {value}")).await?;
        Ok(admin.batch_execute("SELECT pg_reload_conf()").await?)
    };

    set("on").await?;

    let mend = async || set("off").await;
    waits_until_it_is_mended(host, batch, "the database refuses writes: read-only", mend).await
}
