//! Starts the example host, sends it requests, reads its output, kills it.

use std::{
    error::Error,
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
    time::{Instant, sleep, timeout},
};

use crate::servers;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

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
    fn read(&self, from: impl AsyncRead + Unpin + Send + 'static) {
        let (lines, mut reader) = (self.clone(), BufReader::new(from).lines());
        tokio::spawn(async move {
            while let Ok(Some(line)) = reader.next_line().await {
                lines.0.lock().unwrap().push(line);
                lines.1.send_replace(());
            }
        });
    }

    fn any(&self, words: &str) -> bool {
        self.0.lock().unwrap().iter().any(|line| line.contains(words))
    }

    async fn until(&self, words: &str) -> Result<()> {
        let mut wakeup = self.1.subscribe();
        let printed = async {
            while !self.any(words) {
                wakeup.changed().await.expect("the sender lives as long as the home");
            }
        };
        let late = timeout(Duration::from_secs(60), printed).await;
        late.map_err(|_| format!("`{words}` was not printed:\n{}", self.0.lock().unwrap().join("\n")).into())
    }
}

impl Home {
    pub fn new() -> Result<Self> {
        Self::on(Store::Sqlite)
    }

    pub fn on(store: Store) -> Result<Self> {
        match store {
            Store::Sqlite => Self::at(None),
            // The shop's table is in `public`, so each home has a database.
            Store::Postgres => Self::at(Some((servers::a_database(), "rocket_batch".to_owned()))),
        }
    }

    fn at(postgres: Option<(String, String)>) -> Result<Self> {
        let printed = Lines(Arc::default(), watch::Sender::new(()));
        Ok(Self { folder: TempDir::new()?, postgres, config: None, environment: Vec::new(), printed })
    }

    /// Makes a home with an empty settings file instead of the file of the example.
    pub fn with_the_specified_defaults() -> Result<Self> {
        let home = Self::new()?;
        let empty = home.folder.path().join("Empty.toml");
        std::fs::write(&empty, "")?;
        Ok(Self { config: Some(empty), ..home })
    }

    /// Makes a home whose hosts share the queues of a Redis server.
    pub fn on_redis(store: Store, port: u16) -> Result<Self> {
        Ok(Self::on(store)?.and_redis(port))
    }

    /// Makes a home on a PostgreSQL server of its own and a Redis server.
    pub fn on_servers(url: &str, port: u16) -> Result<Self> {
        Ok(Self::at(Some((url.to_owned(), "rocket_batch".to_owned())))?.and_redis(port))
    }

    /// Returns the PostgreSQL server and the schema of the ledger.
    #[allow(dead_code, reason = "only the tests with Node use it")]
    pub fn postgres(&self) -> Option<(&str, &str)> {
        self.postgres.as_ref().map(|(url, schema)| (url.as_str(), schema.as_str()))
    }

    /// Makes a home whose hosts find Redis through Sentinels.
    pub fn on_sentinels(master: &str, addresses: &[String]) -> Result<Self> {
        let addresses = format!("{addresses:?}");
        let home = Self::new()?.with("ROCKET_BATCH__REDIS__MASTER", master);
        Ok(home.with("ROCKET_BATCH__REDIS__SENTINELS", &addresses))
    }

    /// Makes a home whose hosts use a Redis cluster.
    pub fn on_nodes(prefix: &str, addresses: &[String]) -> Result<Self> {
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

    fn database(&self) -> PathBuf {
        self.folder.path().join("batch.db")
    }

    /// Everything that the hosts of this home printed to standard output so far.
    #[allow(dead_code, reason = "the tests with Node do not use it")]
    pub fn printed(&self) -> Vec<String> {
        self.printed.0.lock().unwrap().clone()
    }

    pub async fn start(&self) -> Result<Host> {
        self.start_at(None).await
    }

    /// Starts a host that only serves, or only works.
    pub async fn start_as(&self, role: &str) -> Result<Host> {
        self.start_with(&[("ROCKET_BATCH__ROLE", role)]).await
    }

    /// Starts a host that stops at a named point.
    pub async fn start_at(&self, point: Option<&str>) -> Result<Host> {
        match point {
            Some(point) => self.start_with(&[("ROCKET_BATCH_FAILPOINT", point)]).await,
            None => self.start_with(&[]).await,
        }
    }

    /// Starts a host with more settings, which override the others.
    pub async fn start_with(&self, environment: &[(&str, &str)]) -> Result<Host> {
        self.start_example("host", environment).await
    }

    pub async fn start_example(&self, name: &str, environment: &[(&str, &str)]) -> Result<Host> {
        let port = free_port()?;
        let mut child = self.command(name, port, environment)?.spawn()?;
        // The home also collects standard output, where the shop prints.
        let printed = Lines(Arc::default(), watch::Sender::new(()));
        printed.read(child.stderr.take().ok_or("no standard error")?);
        let out = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
        tee(out, printed.clone(), self.printed.clone());
        let host = Host { child, port, printed, printed_in_home: self.printed.clone(), client: reqwest::Client::new() };
        host.until_ready().await?;
        Ok(host)
    }

    /// Starts a host whose launch fails, and returns what it printed.
    #[allow(dead_code, reason = "the tests with Node do not use it")]
    pub async fn fails_to_start(&self) -> Result<String> {
        let output = timeout(Duration::from_secs(30), self.command("host", free_port()?, &[])?.output()).await??;
        if output.status.success() {
            return Err("the launch must fail".into());
        }
        Ok([output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat())
    }

    fn command(&self, name: &str, port: u16, environment: &[(&str, &str)]) -> Result<Command> {
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
    pub async fn count(&self, sql: &str) -> Result<i64> {
        let Some((url, schema)) = &self.postgres else {
            return Ok(rusqlite::Connection::open(self.database())?.query_row(sql, [], |row| row.get(0))?);
        };
        let client = servers::client(url).await;
        client.batch_execute(&format!("SET search_path = public, {schema}")).await?;
        let row = client.query_one(&format!("SELECT ({})::bigint", sql.replace("rocket_batch_", "")), &[]).await?;
        Ok(row.try_get(0)?)
    }

    /// Waits until the count meets the condition.
    pub async fn until(&self, sql: &str, condition: impl Fn(i64) -> bool) -> Result<i64> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let count = self.count(sql).await?;
            if condition(count) {
                return Ok(count);
            }
            if Instant::now() > deadline {
                return Err(format!("{sql}: still {count}").into());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Returns when the jobs of a batch started, in milliseconds, in ascending order.
    pub fn starts(&self, batch: i64) -> Result<Vec<i64>> {
        let connection = rusqlite::Connection::open(self.database())?;
        let mut statement =
            connection.prepare("SELECT claimed_at FROM rocket_batch_jobs WHERE batch = ?1 ORDER BY claimed_at")?;
        Ok(statement.query_map([batch], |row| row.get(0))?.collect::<std::result::Result<_, _>>()?)
    }

    /// Checks that the table of the shop has exactly the items of the ledger, each once and with
    /// the same code.
    pub async fn the_shop_has_every_item(&self) -> Result<()> {
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
    pub fn check_integrity(&self) -> Result<()> {
        if self.postgres.is_some() {
            return Ok(());
        }
        let connection = rusqlite::Connection::open(self.database())?;
        let answer: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if answer == "ok" { Ok(()) } else { Err(answer.into()) }
    }
}

fn tee(mut out: tokio::io::Lines<BufReader<impl AsyncRead + Unpin + Send + 'static>>, one: Lines, two: Lines) {
    tokio::spawn(async move {
        while let Ok(Some(line)) = out.next_line().await {
            for lines in [&one, &two] {
                lines.0.lock().unwrap().push(line.clone());
                lines.1.send_replace(());
            }
        }
    });
}

/// A running example host.
pub struct Host {
    child: Child,
    port: u16,
    printed: Lines,
    printed_in_home: Lines,
    client: reqwest::Client,
}

impl Host {
    async fn until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if self.get("/batches/health/ready").await.is_ok_and(|answer| answer["ready"] == true) {
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err(format!("the host did not start:\n{}", self.printed.0.lock().unwrap().join("\n")).into())
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        let response = self.client.get(self.url(path)).bearer_auth(TOKEN).send().await?;
        Ok(response.error_for_status()?.json().await?)
    }

    /// Returns the status of the response to a GET request.
    #[allow(dead_code, reason = "the tests with Node do not use it")]
    pub async fn status(&self, path: &str) -> Result<reqwest::StatusCode> {
        Ok(self.client.get(self.url(path)).bearer_auth(TOKEN).send().await?.status())
    }

    pub async fn post_batch(&self, body: &Value) -> Result<Value> {
        let response = self.client.post(self.url("/batches")).bearer_auth(TOKEN).json(body).send().await?;
        Ok(response.error_for_status()?.json().await?)
    }

    /// Posts a batch. Returns its id.
    pub async fn post(&self, body: &Value) -> Result<i64> {
        let accepted = self.post_batch(body).await?;
        accepted["batchId"].as_i64().ok_or_else(|| format!("no id in {accepted}").into())
    }

    /// Sends a request without a body. Returns the body of the response.
    pub async fn send(&self, method: Method, path: &str) -> Result<String> {
        let response = self.client.request(method, self.url(path)).bearer_auth(TOKEN).send().await?;
        Ok(response.error_for_status()?.text().await?)
    }

    /// The shop's own route.
    pub async fn fill(&self, id: i64) -> Result<Value> {
        let url = self.url(&format!("/product-batches/{id}/items"));
        let response = self.client.post(url).bearer_auth(TOKEN).send().await?;
        Ok(response.error_for_status()?.json().await?)
    }

    pub async fn progress(&self, batch: i64) -> Result<Value> {
        self.get(&format!("/batches/{batch}/progress")).await
    }

    pub async fn until(&self, batch: i64, condition: impl Fn(&Value) -> bool) -> Result<Value> {
        self.until_within(batch, Duration::from_secs(60), condition).await
    }

    pub async fn until_finished(&self, batch: i64, limit: Duration) -> Result<Value> {
        let is_finished =
            |progress: &Value| ["completed", "failed", "cancelled"].iter().any(|s| progress["status"] == *s);
        self.until_within(batch, limit, is_finished).await
    }

    async fn until_within(&self, batch: i64, limit: Duration, condition: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + limit;
        loop {
            let progress = self.progress(batch).await?;
            if condition(&progress) {
                return Ok(progress);
            }
            if Instant::now() > deadline {
                return Err(format!("still {progress}:\n{}", self.printed.0.lock().unwrap().join("\n")).into());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// All items of a batch, page by page.
    pub async fn items(&self, batch: i64) -> Result<Vec<Value>> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let mut page = self.get(&format!("/batches/{batch}/items?limit=1000{cursor}")).await?;
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

    pub async fn is_ready(&self) -> Result<bool> {
        let response = self.client.get(self.url("/batches/health/ready")).send().await?;
        Ok(response.status().is_success())
    }

    pub async fn until_printed(&self, words: &str) -> Result<()> {
        self.printed.until(words).await
    }

    /// Waits until this host, or another host of the same home, called the hook for the batch.
    pub async fn until_the_hook_was_called(&self, batch: i64) -> Result<()> {
        self.printed_in_home.until(&format!("Batch {batch} finished: ")).await
    }

    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Sends a signal, such as `STOP`.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.id().ok_or("the process has exited")?;
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status().await?;
        if sent.success() { Ok(()) } else { Err(format!("kill -{name} {pid}: {sent}").into()) }
    }

    /// Sends SIGTERM, and waits until the process exits.
    pub async fn terminate(mut self) -> Result<ExitStatus> {
        self.signal("TERM").await?;
        Ok(timeout(Duration::from_secs(40), self.child.wait()).await??)
    }

    /// Returns the largest resident memory so far, in bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id().ok_or("the process has exited")?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }
}

/// Cargo builds examples beside the tests.
fn example(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(2).ok_or("the test is not in a target folder")?;
    let example = target.join("examples").join(name);
    if !example.exists() {
        let how = format!("cargo build --example {name}");
        return Err(format!("the example is not built; `{how}` with the features of this test").into());
    }
    Ok(example)
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
