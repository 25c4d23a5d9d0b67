//! Host processes: further processes of this program, without item writer and hooks.
//!
//! ```text
//!   start ──▶ this program, with a variable in its environment ──▶ serve ──▶ /health/ready ──▶ requests
//!   stop ───▶ its standard input closes ──▶ it drains ──▶ it exits
//! ```
//!
//! A host exits when its standard input closes, so it never runs longer than the program that
//! started it. All its settings come from its environment.

#![allow(dead_code, reason = "each program uses a part of it")]

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rocket_batch::Batch;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{HOST_ARGUMENTS, figures::Result, support::process::free_port};

/// Set in the environment of a process that serves as a host.
const AS_HOST: &str = "ROCKET_BATCH_LOAD_HOST";

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Longer than `drain`, so that a host exits by itself before.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);

/// Whether this process was started as a host.
pub fn is_wanted() -> bool {
    std::env::var_os(AS_HOST).is_some()
}

/// Serves and works until standard input closes.
pub async fn serve() -> Result<()> {
    let rocket = rocket::build().attach(Batch::fairing().public()).ignite().await?;
    let shutdown = rocket.shutdown();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        shutdown.notify();
    });
    rocket.launch().await?;
    Ok(())
}

/// A running host process.
pub struct Host {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Host {
    /// Starts a host in `folder`, and waits until it is ready.
    pub async fn start(folder: &Path, environment: &[(String, String)]) -> Result<Self> {
        let port = free_port();
        let log = folder.join(format!("{port}.log"));
        let output = File::create(&log)?;
        let child = Command::new(std::env::current_exe()?)
            .args(HOST_ARGUMENTS)
            .current_dir(folder)
            .env(AS_HOST, "1")
            .env("ROCKET_PORT", port.to_string())
            .env("ROCKET_LOG_LEVEL", "critical")
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()?;
        let mut host = Self { child, port, log };
        host.wait_until_ready().await?;
        Ok(host)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let (http, ready) = (reqwest::Client::new(), self.url("/health/ready"));
        let end = Instant::now() + START_TIMEOUT;
        while !http.get(&ready).send().await.is_ok_and(|response| response.status().is_success()) {
            if Instant::now() > end || self.child.try_wait()?.is_some() {
                return Err(format!("a host is not ready:\n{}", self.log()).into());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Returns the URL of `path`, relative to the base of the routes.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/batches{path}", self.port)
    }

    pub fn pid(&self) -> Result<u32> {
        Ok(self.child.id().ok_or("the host has exited")?)
    }

    /// The logged errors and warnings.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Drains the host, and waits until it has exited.
    pub async fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        if timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            self.child.kill().await?;
            return Err(format!("a host did not drain in time:\n{}", self.log()).into());
        }
        Ok(())
    }
}

/// Stops all hosts at once.
pub async fn stop_all(hosts: Vec<Host>) -> Result<()> {
    let stopping: Vec<_> = hosts.into_iter().map(|host| tokio::spawn(host.stop())).collect();
    for stopped in stopping {
        stopped.await??;
    }
    Ok(())
}
