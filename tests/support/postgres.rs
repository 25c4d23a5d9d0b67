//! PostgreSQL servers for tests, started by `tests/postgres-server`.
//!
//! Most tests share one: that of `tests/run`, whose URL is in `ROCKET_BATCH_TEST_POSTGRES`, or one
//! of this process. Each ledger has a separate schema. A test that breaks things starts its own
//! [`Server`].

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::OnceLock,
};

use tokio_postgres::{Client, NoTls};

/// A server that ends when this is dropped, or with the process.
pub struct Server {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    url: String,
}

impl Server {
    pub fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres-server");
        let mut child = Command::new(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it is there");
        let orders = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        answers.read_line(&mut line).expect("it speaks UTF-8");
        let url = line.trim().strip_prefix("ready ").expect("the server starts").to_owned();
        Self { child, orders, answers, url }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a command to `tests/postgres-server`, and returns when it is done.
    pub fn order(&mut self, order: &str) {
        let orders = self.orders.as_mut().expect("it runs");
        writeln!(orders, "{order}").and_then(|()| orders.flush()).expect("it reads orders");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it speaks UTF-8");
        assert_eq!(line, "done\n", "{order}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// The URL of the server that most tests share.
pub fn shared() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        std::env::var("ROCKET_BATCH_TEST_POSTGRES").unwrap_or_else(|_| {
            let server = Server::start();
            let url = server.url().to_owned();
            // Ends with the process, when its standard input closes.
            std::mem::forget(server);
            url
        })
    })
}

/// The name of an unused schema.
pub fn a_schema() -> String {
    format!("t{:016x}", fastrand::u64(..))
}

/// The URL of a new database in the server that most tests share, for tests with tables in
/// `public`.
pub fn a_database() -> String {
    let name = a_schema();
    let (server, _) = shared().rsplit_once('/').expect("the URL has a database");
    let url = format!("{server}/{name}");
    let create = async move || client(shared()).await.batch_execute(&format!("CREATE DATABASE {name}")).await;
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    // On its own thread, since this one may belong to a runtime.
    std::thread::spawn(move || runtime().block_on(create()).expect("it is created")).join().expect("it does not panic");
    url
}

/// A separate client of the server.
pub async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the server is there");
    tokio::spawn(connection);
    client
}
