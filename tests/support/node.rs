//! A Node process with BullMQ's own library and a browser. It executes one command at a time, each
//! with a timeout.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
    time::timeout,
};

use super::{TestResult, wait};

/// The timeout for an answer, and for a condition.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The process. It is killed when the value is dropped.
pub struct Node {
    child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// The number of requests so far.
    count: u64,
    /// Holds a browser's profile; dropped last.
    _folder: TempDir,
}

impl Node {
    /// Starts the process, which connects to the Redis server on `port`.
    pub fn on_redis(port: u16) -> TestResult<Self> {
        Self::start(&[port.to_string()])
    }

    /// Starts the process without a Redis server.
    pub fn alone() -> TestResult<Self> {
        Self::start(&[])
    }

    fn start(arguments: &[String]) -> TestResult<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
        let lock = std::fs::read(folder.join("package-lock.json"))?;
        if std::fs::read(folder.join("node_modules/.installed")).ok() != Some(lock) {
            return Err(
                "the packages of tests/node are not installed, or old; run tests/run, which installs them".into()
            );
        }
        let scratch = TempDir::new()?;
        let mut child = Command::new("node")
            .arg("agent.js")
            .arg(scratch.path())
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("Node can't be started ({error}); run tests/run, which installs it"))?;
        let requests = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
        Ok(Self { child, requests, answers, count: 0, _folder: scratch })
    }

    /// Executes a command of `tests/node/agent.js`.
    pub async fn ask(&mut self, verb: &str, arguments: Value) -> TestResult<Value> {
        self.count += 1;
        let mut request = arguments;
        request["id"] = self.count.into();
        request["do"] = verb.into();
        self.requests.write_all(format!("{request}\n").as_bytes()).await?;
        loop {
            let line = timeout(ANSWER_TIMEOUT, self.answers.next_line())
                .await
                .map_err(|_| format!("no answer to {verb}"))??;
            let mut answer: Value = serde_json::from_str(&line.ok_or("Node ended")?)?;
            if answer["id"] != self.count {
                continue;
            }
            if let Some(error) = answer["error"].as_str() {
                return Err(format!("{verb}: {error}").into());
            }
            return Ok(answer["ok"].take());
        }
    }

    /// Executes a command on a queue.
    pub async fn ask_queue(&mut self, queue: &str, verb: &str, mut arguments: Value) -> TestResult<Value> {
        arguments["queue"] = queue.into();
        self.ask(verb, arguments).await
    }

    /// Repeats a command on a queue until its answer meets a condition.
    pub async fn until(
        &mut self,
        queue: &str,
        verb: &str,
        arguments: Value,
        condition: impl Fn(&Value) -> bool,
    ) -> TestResult<Value> {
        let what = format!("{verb} {arguments} is answered as expected");
        let node = Mutex::new(self);
        let ask = async || node.lock().await.ask_queue(queue, verb, arguments.clone()).await;
        wait::until(what, ANSWER_TIMEOUT, ask, |answer| answer.as_ref().is_ok_and(&condition)).await?
    }

    /// Sends one command to Redis.
    pub async fn redis(&mut self, words: &[&str]) -> TestResult<Value> {
        self.ask("raw", json!({ "words": words })).await
    }

    /// Waits until the process and its browser have ended.
    pub async fn stop(self) -> TestResult {
        let Self { mut child, requests, _folder, .. } = self;
        drop(requests);
        timeout(ANSWER_TIMEOUT, child.wait()).await??;
        Ok(())
    }

    /// Kills the process, like a crash.
    pub async fn kill(mut self) -> TestResult {
        Ok(self.child.kill().await?)
    }
}
