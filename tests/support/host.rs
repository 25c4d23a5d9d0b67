//! Starts the example host, sends it requests, reads its output, kills it.

use std::{
    error::Error,
    fmt::Display,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

use super::{
    TestResult, postgres, process,
    wait::{WAIT_TIMEOUT, try_until, until},
};

const TOKEN: &str = "let-me-in";

/// The database of the ledger of all hosts of a home.
#[derive(Debug, Clone, Copy)]
pub enum Store {
    Sqlite,
    Postgres,
}

/// A folder and a database for several hosts, one after another or at the same time.
pub struct Home {
    folder: TempDir,
    /// The URL of a server and a schema; `None` for a file in the folder.
    postgres: Option<(String, String)>,
    config: Option<PathBuf>,
    /// Further environment variables of the hosts.
    environment: Vec<(String, String)>,
    /// Everything that the hosts of this home printed.
    printed: Lines,
}

/// The printed lines, and a notification for each new line.
#[derive(Clone)]
struct Lines(Arc<Mutex<Vec<String>>>, watch::Sender<()>);

impl Lines {
    fn new() -> Self {
        Self(Arc::default(), watch::Sender::new(()))
    }

    fn push(&self, line: String) {
        self.0.lock().unwrap().push(line);
        self.1.send_replace(());
    }

    fn any(&self, words: &str) -> bool {
        self.0.lock().unwrap().iter().any(|line| line.contains(words))
    }

    /// Waits until the example has printed its address. Returns its port.
    async fn until_open(&self) -> TestResult<u16> {
        const URL: &str = "http://";
        self.until(URL).await?;
        let lines = self.0.lock().unwrap();
        let (_, url) = lines.iter().find_map(|line| line.split_once(URL)).ok_or("no address")?;
        let (_, after) = url.split_once(':').ok_or("no port")?;
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        Ok(after[..end].parse()?)
    }

    async fn until(&self, words: &str) -> TestResult {
        let mut wakeup = self.1.subscribe();
        let printed = async {
            while !self.any(words) {
                wakeup.changed().await.expect("the sender lives as long as the home");
            }
        };
        let late = timeout(WAIT_TIMEOUT, printed).await;
        late.map_err(|_| format!("`{words}` was not printed:\n{}", self.0.lock().unwrap().join("\n")).into())
    }
}

impl Home {
    pub fn new() -> TestResult<Self> {
        Self::on(Store::Sqlite)
    }

    pub fn on(store: Store) -> TestResult<Self> {
        match store {
            Store::Sqlite => Self::at(None),
            // The shop's table is in `public`, so each home has a database.
            Store::Postgres => Self::at(Some((postgres::a_database(), "rocket_batch".to_owned()))),
        }
    }

    fn at(postgres: Option<(String, String)>) -> TestResult<Self> {
        let folder = TempDir::new()?;
        Ok(Self { folder, postgres, config: None, environment: Vec::new(), printed: Lines::new() })
    }

    /// Makes a home with an empty settings file instead of the file of the example.
    pub fn with_the_specified_defaults() -> TestResult<Self> {
        let home = Self::new()?;
        let empty = home.folder.path().join("Empty.toml");
        std::fs::write(&empty, "")?;
        Ok(Self { config: Some(empty), ..home })
    }

    /// Makes a home whose hosts share the queues of a Redis server.
    pub fn on_redis(store: Store, port: u16) -> TestResult<Self> {
        Ok(Self::on(store)?.and_redis(port))
    }

    /// Makes a home on a PostgreSQL server of its own.
    pub fn on_server(url: &str) -> TestResult<Self> {
        Self::at(Some((url.to_owned(), "rocket_batch".to_owned())))
    }

    /// Makes a home on a PostgreSQL server of its own and a Redis server.
    pub fn on_servers(url: &str, port: u16) -> TestResult<Self> {
        Ok(Self::on_server(url)?.and_redis(port))
    }

    /// Returns the PostgreSQL server and the schema of the ledger.
    pub fn postgres(&self) -> Option<(&str, &str)> {
        self.postgres.as_ref().map(|(url, schema)| (url.as_str(), schema.as_str()))
    }

    /// Makes a home whose hosts find Redis through Sentinels.
    pub fn on_sentinels(master: &str, addresses: &[String]) -> TestResult<Self> {
        let addresses = format!("{addresses:?}");
        let home = Self::new()?.with("ROCKET_BATCH__REDIS__MASTER", master);
        Ok(home.with("ROCKET_BATCH__REDIS__SENTINELS", &addresses))
    }

    /// Makes a home whose hosts use a Redis cluster.
    pub fn on_nodes(prefix: &str, addresses: &[String]) -> TestResult<Self> {
        let home = Self::on(Store::Sqlite)?.quick().with("ROCKET_BATCH__REDIS__PREFIX", prefix);
        Ok(home.with("ROCKET_BATCH__REDIS__NODES", &format!("{addresses:?}")))
    }

    fn and_redis(self, port: u16) -> Self {
        self.with("REDIS_HOST", "127.0.0.1").with("REDIS_PORT", &port.to_string())
    }

    /// Shortens the intervals, so that hosts detect a dead process or lost jobs within seconds.
    pub fn quick(self) -> Self {
        self.with("ROCKET_BATCH__FEED_INTERVAL", "2s")
            .with("ROCKET_BATCH__GENERATE__LOCK", "2s")
            .with("ROCKET_BATCH__GENERATE__STALL_CHECK", "1s")
            .with("ROCKET_BATCH__STATUS__LOCK", "2s")
            .with("ROCKET_BATCH__STATUS__STALL_CHECK", "1s")
    }

    /// Adds a setting.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.into(), value.into()));
        self
    }

    /// The path of the plugin's routes.
    fn base(&self) -> String {
        let base = self.environment.iter().find(|(key, _)| key == "ROCKET_BATCH__BASE");
        base.map_or_else(|| "/batches".to_owned(), |(_, base)| base.clone())
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("batch.db")
    }

    /// Everything that the hosts of this home printed to standard output so far.
    pub fn printed(&self) -> Vec<String> {
        self.printed.0.lock().unwrap().clone()
    }

    pub async fn start(&self) -> TestResult<Host> {
        self.start_at(None).await
    }

    /// Starts a host that only serves, or only works.
    pub async fn start_as(&self, role: &str) -> TestResult<Host> {
        self.start_with(&[("ROCKET_BATCH__ROLE", role)]).await
    }

    /// Starts a host that stops at a named point.
    pub async fn start_at(&self, point: Option<&str>) -> TestResult<Host> {
        match point {
            Some(point) => self.start_with(&[("ROCKET_BATCH_FAILPOINT", point)]).await,
            None => self.start_with(&[]).await,
        }
    }

    /// Starts a host with more settings, which override the others.
    pub async fn start_with(&self, environment: &[(&str, &str)]) -> TestResult<Host> {
        self.start_example("host", environment).await
    }

    pub async fn start_example(&self, name: &str, environment: &[(&str, &str)]) -> TestResult<Host> {
        self.start_on_port(0, name, environment).await
    }

    /// Starts an example on a port; on a port that the system chooses for 0.
    ///
    /// Two hosts that choose a free port themselves could choose the same one, and then a test
    /// would ask the host of another test.
    pub async fn start_on_port(&self, port: u16, name: &str, environment: &[(&str, &str)]) -> TestResult<Host> {
        let mut child = self.command(name, port, environment)?.spawn()?;
        let printed = Lines::new();
        collect(child.stderr.take().ok_or("no standard error")?, vec![printed.clone()]);
        // The home also collects standard output, where the shop prints.
        let both = vec![printed.clone(), self.printed.clone()];
        collect(child.stdout.take().ok_or("no standard output")?, both);
        let port = printed.until_open().await?;
        let (base, printed_in_home) = (self.base(), self.printed.clone());
        let host = Host { child, port, base, printed, printed_in_home, client: reqwest::Client::new() };
        host.until_ready().await?;
        Ok(host)
    }

    /// Starts a host whose launch fails, and returns what it printed.
    pub async fn fails_to_start(&self) -> TestResult<String> {
        let output = timeout(Duration::from_secs(30), self.command("host", 0, &[])?.output()).await??;
        if output.status.success() {
            return Err("the launch must fail".into());
        }
        Ok([output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat())
    }

    fn command(&self, name: &str, port: u16, environment: &[(&str, &str)]) -> TestResult<Command> {
        let mut command = Command::new(example(name)?);
        command
            .current_dir(self.folder.path())
            .env("ROCKET_PORT", port.to_string())
            .env("ROCKET_DATABASES", format!("{{batch={{{}}}}}", self.settings()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(config) = &self.config {
            command.env("ROCKET_CONFIG", config);
        }
        command.envs(self.environment.iter().map(|(key, value)| (key, value))).envs(environment.iter().copied());
        Ok(command)
    }

    fn settings(&self) -> String {
        match &self.postgres {
            None => format!("url=\"sqlite://{}\"", self.database().display()),
            Some((url, schema)) => format!("url=\"{url}\",schema=\"{schema}\""),
        }
    }

    /// Returns the count of a statement, which uses the table names of SQLite.
    pub async fn count(&self, sql: &str) -> TestResult<i64> {
        let Some((url, schema)) = &self.postgres else {
            return Ok(rusqlite::Connection::open(self.database())?.query_row(sql, [], |row| row.get(0))?);
        };
        let client = postgres::client(url).await;
        client.batch_execute(&format!("SET search_path = public, {schema}")).await?;
        let row = client.query_one(&format!("SELECT ({})::bigint", sql.replace("rocket_batch_", "")), &[]).await?;
        Ok(row.try_get(0)?)
    }

    /// Runs a statement in the ledger in PostgreSQL.
    pub async fn execute(&self, sql: &str) -> TestResult {
        let (url, _) = self.postgres.as_ref().ok_or("the ledger is not in PostgreSQL")?;
        Ok(postgres::client(url).await.batch_execute(sql).await?)
    }

    /// Runs a statement in the ledger, which uses the table names of SQLite.
    pub async fn change(&self, sql: &str) -> TestResult {
        if self.postgres.is_none() {
            let connection = rusqlite::Connection::open(self.database())?;
            connection.busy_timeout(Duration::from_secs(10))?;
            return Ok(connection.execute_batch(sql)?);
        }
        self.execute(&format!("SET search_path = {}; {}", self.schema(), sql.replace("rocket_batch_", ""))).await
    }

    fn schema(&self) -> &str {
        self.postgres.as_ref().map_or("", |(_, schema)| schema)
    }

    /// Returns how many printed lines contain `words`.
    pub fn lines_with(&self, words: &str) -> usize {
        self.printed.0.lock().unwrap().iter().filter(|line| line.contains(words)).count()
    }

    /// Waits until the count meets the condition.
    pub async fn until(&self, sql: &str, condition: impl Fn(i64) -> bool) -> TestResult<i64> {
        try_until(sql, WAIT_TIMEOUT, || self.count(sql), |count| condition(*count)).await
    }

    /// Returns when the jobs of a batch started, in milliseconds, in ascending order.
    pub fn starts(&self, batch: i64) -> TestResult<Vec<i64>> {
        let connection = rusqlite::Connection::open(self.database())?;
        let mut statement =
            connection.prepare("SELECT claimed_at FROM rocket_batch_jobs WHERE batch = ?1 ORDER BY claimed_at")?;
        Ok(statement.query_map([batch], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// Checks that the table of the shop has exactly the items of the ledger, each once and with
    /// the same code.
    pub async fn the_shop_has_every_item(&self) -> TestResult {
        let both =
            "SELECT count(*) FROM products p JOIN rocket_batch_items i USING (batch, ordinal) WHERE p.label = i.code";
        let [products, items] = ["products", "rocket_batch_items"].map(|table| format!("SELECT count(*) FROM {table}"));
        let counts = [self.count(both).await?, self.count(&products).await?, self.count(&items).await?];
        if counts.iter().all(|count| *count == counts[0]) {
            return Ok(());
        }
        Err(format!("in both, products, items: {counts:?}").into())
    }

    /// Checks the integrity of a SQLite file.
    pub fn check_integrity(&self) -> TestResult {
        if self.postgres.is_some() {
            return Ok(());
        }
        let connection = rusqlite::Connection::open(self.database())?;
        let answer: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if answer == "ok" { Ok(()) } else { Err(answer.into()) }
    }
}

/// Adds each line of `from` to all of `collections`.
fn collect(from: impl AsyncRead + Unpin + Send + 'static, collections: Vec<Lines>) {
    let mut from = BufReader::new(from).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = from.next_line().await {
            collections.iter().for_each(|lines| lines.push(line.clone()));
        }
    });
}

/// A running example host.
pub struct Host {
    child: Child,
    pub port: u16,
    /// The path of the plugin's routes.
    base: String,
    printed: Lines,
    printed_in_home: Lines,
    client: reqwest::Client,
}

impl Host {
    async fn until_ready(&self) -> TestResult {
        let ready = async || self.get(&self.route("/health/ready")).await;
        let is_ready = |answer: &TestResult<Value>| answer.as_ref().is_ok_and(|answer| answer["ready"] == true);
        let late = until("the host is ready", Duration::from_secs(30), ready, is_ready).await.map(drop);
        late.map_err(|late| self.with_printed(late))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The path of one of the plugin's routes.
    pub fn route(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub async fn get(&self, path: &str) -> TestResult<Value> {
        let response = self.client.get(self.url(path)).bearer_auth(TOKEN).send().await?;
        Ok(response.error_for_status()?.json().await?)
    }

    /// Returns the body of the response to a GET request, whatever its status.
    pub async fn body(&self, path: &str) -> TestResult<Value> {
        Ok(self.client.get(self.url(path)).bearer_auth(TOKEN).send().await?.json().await?)
    }

    /// Returns the status of the response to a GET request.
    pub async fn status(&self, path: &str) -> TestResult<reqwest::StatusCode> {
        Ok(self.client.get(self.url(path)).bearer_auth(TOKEN).send().await?.status())
    }

    pub async fn post_batch(&self, body: &Value) -> TestResult<Value> {
        let response = self.client.post(self.url(&self.base)).bearer_auth(TOKEN).json(body).send().await?;
        Ok(response.error_for_status()?.json().await?)
    }

    /// Posts a batch. Returns its id.
    pub async fn post(&self, body: &Value) -> TestResult<i64> {
        let accepted = self.post_batch(body).await?;
        accepted["batchId"].as_i64().ok_or_else(|| format!("no id in {accepted}").into())
    }

    /// Begins a request of the shop's administrator.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.url(path)).bearer_auth(TOKEN)
    }

    /// Sends a request without a body. Returns the body of the response.
    pub async fn send(&self, method: Method, path: &str) -> TestResult<String> {
        let response = self.client.request(method, self.url(path)).bearer_auth(TOKEN).send().await?;
        Ok(response.error_for_status()?.text().await?)
    }

    /// Sends JSON to a route that answers without a body.
    pub async fn post_json(&self, path: &str, body: &Value) -> TestResult {
        let response = self.client.post(self.url(path)).bearer_auth(TOKEN).json(body).send().await?;
        response.error_for_status()?;
        Ok(())
    }

    /// The shop's own route.
    pub async fn fill(&self, id: i64) -> TestResult<Value> {
        let url = self.url(&format!("/product-batches/{id}/items"));
        let response = self.client.post(url).bearer_auth(TOKEN).send().await?;
        Ok(response.error_for_status()?.json().await?)
    }

    pub async fn progress(&self, batch: i64) -> TestResult<Value> {
        self.get(&self.route(&format!("/{batch}/progress"))).await
    }

    pub async fn until(&self, batch: i64, condition: impl Fn(&Value) -> bool) -> TestResult<Value> {
        self.until_within(batch, WAIT_TIMEOUT, condition).await
    }

    pub async fn until_finished(&self, batch: i64, limit: Duration) -> TestResult<Value> {
        let is_finished =
            |progress: &Value| ["completed", "failed", "cancelled"].iter().any(|s| progress["status"] == *s);
        self.until_within(batch, limit, is_finished).await
    }

    async fn until_within(&self, batch: i64, limit: Duration, condition: impl Fn(&Value) -> bool) -> TestResult<Value> {
        let what = format!("the progress of batch {batch} is as expected");
        let reached = try_until(what, limit, || self.progress(batch), condition).await;
        reached.map_err(|error| self.with_printed(error))
    }

    /// Adds what the host printed to an error.
    fn with_printed(&self, error: impl Display) -> Box<dyn Error> {
        format!("{error}\n{}", self.printed.0.lock().unwrap().join("\n")).into()
    }

    /// All items of a batch, page by page.
    pub async fn items(&self, batch: i64) -> TestResult<Vec<Value>> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let mut page = self.get(&self.route(&format!("/{batch}/items?limit=1000{cursor}"))).await?;
            items.append(page["items"].as_array_mut().ok_or("no items")?);
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(items),
            }
        }
    }

    pub fn said_any(&self, words: &str) -> bool {
        self.printed.any(words)
    }

    pub async fn is_ready(&self) -> TestResult<bool> {
        let response = self.client.get(self.url(&self.route("/health/ready"))).send().await?;
        Ok(response.status().is_success())
    }

    pub async fn until_printed(&self, words: &str) -> TestResult {
        self.printed.until(words).await
    }

    /// Waits until this host, or another host of the same home, called the hook for the batch.
    pub async fn until_the_hook_was_called(&self, batch: i64) -> TestResult {
        self.printed_in_home.until(&format!("Batch {batch} finished: ")).await
    }

    pub async fn kill(&mut self) -> TestResult {
        Ok(self.child.kill().await?)
    }

    /// Sends a signal, such as `STOP`.
    pub fn signal(&self, name: &str) -> TestResult {
        process::signal(self.child.id().ok_or("the process has exited")?, name);
        Ok(())
    }

    /// Sends SIGTERM, and waits until the process exits.
    pub async fn terminate(mut self) -> TestResult<ExitStatus> {
        self.signal("TERM")?;
        Ok(timeout(Duration::from_secs(40), self.child.wait()).await??)
    }

    /// Returns the largest resident memory so far, in bytes.
    pub fn peak_memory(&self) -> TestResult<u64> {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id().ok_or("the process has exited")?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }
}

/// Cargo builds examples beside the tests.
fn example(name: &str) -> TestResult<PathBuf> {
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(2).ok_or("the test is not in a target folder")?;
    let example = target.join("examples").join(name);
    if !example.exists() {
        let how = format!("cargo build --example {name}");
        return Err(format!("the example is not built; `{how}` with the features of this test").into());
    }
    Ok(example)
}
