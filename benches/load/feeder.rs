//! `feeder`: the commands that a host spends in Redis, those of the feeder apart from those of the workers.
//!
//! `MONITOR` shows every command. A script is known by its source, which a new server sees once: ours begin with a line that names them,
//! BullMQ's with a comment that says what they do.
//!
//! ```text
//!   feeder    BullMQ's scripts that add or remove jobs, and our snapshot when it asks for jobs by their ids
//!   checks    our other scripts, and what is asked about Redis itself
//!   workers   everything else: BullMQ's scripts that hand out, renew and finish jobs
//! ```
//!
//! The round trips of the feeder are counted too. Each snapshot is one. Jobs are added and removed many at a time, so commands that do so
//! and follow each other without a break are one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use rocket::futures::StreamExt as _;
use tokio::time::sleep;

use crate::{
    Scope,
    client::{Client, Route},
    figures::Result,
    host::Host,
    report::Table,
    site::{Servers, Settings, Site},
    work::BatchOf,
};

/// Jobs at a time, the default.
const CONCURRENCY: u32 = 2;

/// Commands of one round trip are not further apart, in seconds.
const BULK_GAP: f64 = 0.05;

/// After the last create until what it caused is done.
const SETTLE: Duration = Duration::from_secs(2);

const LARGE: BatchOf = BatchOf { jobs: 1_000, items_per_job: 10 };
const SMALL: BatchOf = BatchOf { jobs: 10, items_per_job: 10 };

pub async fn run(scope: Scope) -> Result<()> {
    let servers = Servers::redis_and_postgres().await;
    let monitor = Monitor::start(servers.redis()?.port).await?;
    let site = servers.site()?;
    measure(&site, &monitor, scope).await?;
    site.remove().await
}

async fn measure(site: &Site<'_>, monitor: &Monitor, scope: Scope) -> Result<()> {
    let host = site.start(&Settings::limited(CONCURRENCY)).await?;
    let mut client = Client::new()?;
    sleep(SETTLE).await;

    let idle = scope.pick(Duration::from_secs(5), Duration::from_secs(60));
    monitor.window(idle).await.print(&format!("An idle host, {} s", idle.as_secs()), 1.0);

    let created = scope.pick(5, 20);
    monitor.clear();
    for _ in 0..created {
        create(&mut client, &host, SMALL).await?;
        sleep(Duration::from_millis(500)).await;
    }
    sleep(SETTLE).await;
    monitor.take().print(&format!("Per created batch of {SMALL}, {created} of them"), f64::from(created));

    let open = scope.pick(3, 15);
    for _ in 0..open {
        create(&mut client, &host, LARGE).await?;
    }
    sleep(SETTLE).await;
    for _ in 0..scope.rounds {
        let seen = monitor.window(Duration::from_secs(10)).await;
        seen.print(&format!("{open} open batches of {LARGE}, the default rate limit, 10 s"), 1.0);
    }
    host.stop().await
}

async fn create(client: &mut Client, host: &Host, batch: BatchOf) -> Result<()> {
    client.insist(Route::Create, &host.url(""), Some(&batch.body())).await.into_success()?;
    Ok(())
}

/// Watches a Redis server, as long as it runs.
struct Monitor(Arc<Mutex<Watched>>);

impl Monitor {
    async fn start(port: u16) -> Result<Self> {
        let stream = redis::Client::open(("127.0.0.1", port))?.get_async_monitor().await?;
        let watched = Arc::new(Mutex::new(Watched::default()));
        let lines = watched.clone();
        tokio::spawn(async move {
            let mut stream = stream.into_on_message::<String>();
            while let Some(line) = stream.next().await {
                if let Some(command) = Command::parse(&line) {
                    lines.lock().expect("no code panics while holding this lock").note(command);
                }
            }
        });
        Ok(Self(watched))
    }

    /// What is seen from now on for so long.
    async fn window(&self, time: Duration) -> Seen {
        self.clear();
        sleep(time).await;
        self.take()
    }

    fn clear(&self) {
        self.take();
    }

    fn take(&self) -> Seen {
        std::mem::take(&mut self.0.lock().expect("no code panics while holding this lock").seen)
    }
}

/// A command as `MONITOR` shows it.
struct Command {
    /// In seconds.
    at: f64,
    words: Vec<String>,
}

impl Command {
    /// Reads `1339518083.107412 [0 127.0.0.1:60866] "evalsha" "…"`. `None` for what a script calls, and for what is not a command.
    fn parse(line: &str) -> Option<Self> {
        let (at, rest) = line.split_once(" [")?;
        let (connection, rest) = rest.split_once("] ")?;
        let by_a_script = connection.ends_with(" lua");
        (!by_a_script).then(|| Self { at: at.parse().unwrap_or_default(), words: words(rest) })
    }

    fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }
}

/// Takes the quotes and the escapes from the words of a command.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut bytes) = (Vec::new(), Vec::new(), false, text.bytes());
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if quoted => {
                words.push(String::from_utf8_lossy(&std::mem::take(&mut word)).into_owned());
                quoted = false;
            }
            b'"' => quoted = true,
            b'\\' if quoted => word.extend(unescaped(&mut bytes)),
            byte if quoted => word.push(byte),
            _ => {}
        }
    }
    words
}

/// The byte that an escape stands for: `\n`, `\"`, `\xe2`.
fn unescaped(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    match bytes.next()? {
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'x' => {
            let digits = [bytes.next()?, bytes.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
        }
        other => Some(other),
    }
}

/// Who sent a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sender {
    /// The feeder, to see which jobs are there.
    Snapshot,
    /// The feeder, to add or remove jobs.
    Bulk,
    Workers,
    Checks,
}

impl Sender {
    const fn feeds(self) -> bool {
        matches!(self, Self::Snapshot | Self::Bulk)
    }
}

/// A script whose source was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Script {
    Ours(String),
    Theirs(String),
}

impl Script {
    fn of(source: &str) -> Self {
        match source.strip_prefix("-- ") {
            Some(ours) => Self::Ours(ours.split(':').next().unwrap_or_default().to_owned()),
            None => {
                let said = source.lines().map(str::trim).find(|line| !line.is_empty() && *line != "--[[");
                Self::Theirs(said.unwrap_or_default().to_owned())
            }
        }
    }

    /// Who calls it with these arguments.
    fn sender(&self, arguments: &[String]) -> Sender {
        match self {
            Self::Ours(_) if arguments.iter().any(|word| is_id(word)) => Sender::Snapshot,
            Self::Ours(_) => Sender::Checks,
            Self::Theirs(said) if said.starts_with("Adds a") || said.starts_with("Remove a job") => Sender::Bulk,
            Self::Theirs(_) => Sender::Workers,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Ours(name) => format!("our script `{name}`"),
            Self::Theirs(said) => format!("BullMQ: {said}"),
        }
    }
}

/// Whether a word is the id of a job, such as `b1-j0-g0`, or of another task of a batch.
fn is_id(word: &str) -> bool {
    let batch = word.strip_prefix('b').and_then(|rest| rest.split_once('-'));
    batch.is_some_and(|(batch, _)| !batch.is_empty() && batch.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What was watched: the scripts since the start, and the commands since they were taken last.
#[derive(Default)]
struct Watched {
    /// By the hash that names it.
    scripts: HashMap<String, Script>,
    seen: Seen,
}

impl Watched {
    fn note(&mut self, command: Command) {
        let (sender, name) = match command.word(0).to_lowercase().as_str() {
            "evalsha" => self.script(command.word(1), &command.words),
            "eval" => {
                let hash = self.learn(command.word(1));
                self.script(&hash, &command.words)
            }
            "script" => {
                self.learn(command.word(2));
                (Sender::Checks, "SCRIPT LOAD".to_owned())
            }
            name @ ("bzpopmin" | "hgetall" | "hget" | "zadd" | "incr") => (Sender::Workers, name.to_uppercase()),
            name => (Sender::Checks, name.to_uppercase()),
        };
        self.seen.count(sender, name, command.at);
    }

    fn learn(&mut self, source: &str) -> String {
        let hash = redis::Script::new(source).get_hash().to_owned();
        self.scripts.insert(hash.clone(), Script::of(source));
        hash
    }

    fn script(&self, hash: &str, words: &[String]) -> (Sender, String) {
        match self.scripts.get(hash) {
            Some(script) => (script.sender(words), script.name()),
            // Its first call failed, since the server did not know it; its source follows.
            None => (Sender::Checks, "EVALSHA of a script that is not loaded".to_owned()),
        }
    }
}

/// Commands of a time, by sender and name.
#[derive(Default)]
struct Seen {
    commands: BTreeMap<(Sender, String), u64>,
    round_trips_of_feeder: u64,
    /// When the feeder last added or removed a job, if it sent nothing else since.
    last_bulk: Option<f64>,
}

impl Seen {
    fn count(&mut self, sender: Sender, name: String, at: f64) {
        if sender.feeds() {
            let continues = sender == Sender::Bulk && self.last_bulk.is_some_and(|last| at - last < BULK_GAP);
            self.round_trips_of_feeder += u64::from(!continues);
            self.last_bulk = (sender == Sender::Bulk).then_some(at);
        }
        *self.commands.entry((sender, name)).or_default() += 1;
    }

    /// Prints the sums, and below them what they are made of, each divided by `by`.
    fn print(&self, title: &str, by: f64) {
        let mut table = Table::new(title, &["commands in Redis", ""]);
        let mut row = |name: &str, count: u64| table.row(&[&name, &format!("{:.1}", count as f64 / by)]);
        row("**feeder, round trips**", self.round_trips_of_feeder);
        let groups: [(&str, &[Sender]); 3] = [
            ("**feeder, commands**", &[Sender::Snapshot, Sender::Bulk]),
            ("**workers, commands**", &[Sender::Workers]),
            ("**checks, commands**", &[Sender::Checks]),
        ];
        for (name, senders) in groups {
            let commands = || self.commands.iter().filter(|((sender, _), _)| senders.contains(sender));
            row(name, commands().map(|(_, count)| count).sum());
            for ((_, name), count) in commands() {
                row(name, *count);
            }
        }
        table.print();
    }
}
