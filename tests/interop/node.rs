//! A Node process that has BullMQ's own library, asked for one thing after another, each within a
//! deadline.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, sleep, timeout},
};

use crate::TestResult;

/// How long an answer may take, and what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// It ends with this value.
pub struct Node {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    asked: u64,
    /// For a browser's profile; dropped last.
    _folder: TempDir,
}

impl Node {
    /// Starts it, with a way to the Redis server on `port`.
    pub fn start(port: u16) -> TestResult<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
        let lock = std::fs::read(folder.join("package-lock.json"))?;
        if std::fs::read(folder.join("node_modules/.installed")).ok() != Some(lock) {
            return Err(
                "the packages of tests/interop are not installed, or old; run tests/run, which installs them".into()
            );
        }
        let scratch = TempDir::new()?;
        let mut child = Command::new("node")
            .arg("agent.js")
            .arg(port.to_string())
            .arg(scratch.path())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("Node can't be started ({error}); run tests/run, which installs it"))?;
        let orders = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
        Ok(Self { child, orders, answers, asked: 0, _folder: scratch })
    }

    /// Asks for a verb of `agent.js`.
    pub async fn ask(&mut self, verb: &str, of: Value) -> TestResult<Value> {
        self.asked += 1;
        let mut request = of;
        request["id"] = self.asked.into();
        request["do"] = verb.into();
        self.orders.write_all(format!("{request}\n").as_bytes()).await?;
        loop {
            let line =
                timeout(PATIENCE, self.answers.next_line()).await.map_err(|_| format!("no answer to {verb}"))??;
            let mut answer: Value = serde_json::from_str(&line.ok_or("Node ended")?)?;
            if answer["id"] != self.asked {
                continue;
            }
            if let Some(error) = answer["error"].as_str() {
                return Err(format!("{verb}: {error}").into());
            }
            return Ok(answer["ok"].take());
        }
    }

    /// The same about a queue.
    pub async fn of(&mut self, queue: &str, verb: &str, mut more: Value) -> TestResult<Value> {
        more["queue"] = queue.into();
        self.ask(verb, more).await
    }

    /// Asks again and again until the answer is the one that is waited for.
    pub async fn until(
        &mut self,
        queue: &str,
        verb: &str,
        more: Value,
        so: impl Fn(&Value) -> bool,
    ) -> TestResult<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.of(queue, verb, more.clone()).await;
            match &answer {
                Ok(found) if so(found) => return answer,
                _ if Instant::now() > end => return Err(format!("{verb} {more}: still {answer:?}").into()),
                _ => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Sends one command to Redis.
    pub async fn redis(&mut self, words: &[&str]) -> TestResult<Value> {
        self.ask("raw", json!({ "words": words })).await
    }

    /// Lets it end by itself, and its browser with it.
    pub async fn leave(self) -> TestResult {
        let Self { mut child, orders, _folder, .. } = self;
        drop(orders);
        timeout(PATIENCE, child.wait()).await??;
        Ok(())
    }

    /// As a crash would.
    pub async fn kill(mut self) -> TestResult {
        Ok(self.child.kill().await?)
    }
}
