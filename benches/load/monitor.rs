//! Counts the commands of a Redis server, separately for the feeder and the workers.
//!
//! `MONITOR` shows every command. A script is recognised by its source, which a new server receives
//! once: our scripts start with a line with their name, BullMQ's with a comment on their purpose.
//!
//! ```text
//!   feeder    BullMQ's scripts that add or remove jobs, our script that reads jobs by their
//!             ids, and the lengths of the queue
//!   checks    our other scripts, and queries about Redis itself
//!   workers   everything else: BullMQ's scripts that deliver, renew and finish jobs
//! ```
//!
//! The pool tests a connection whenever one is taken. These commands are counted for the sender of
//! the next command, and not as round trips of their own.
//!
//! The round trips of the feeder are counted too. Each read of jobs is one. Jobs are added, removed
//! and counted in pipelines, so such commands without a gap between them are one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use rocket::futures::StreamExt as _;
use tokio::time::sleep;

use crate::{figures::Result, report::Table};

/// The longest gap between two commands of one round trip, in seconds.
const BULK_GAP: f64 = 0.05;

/// Monitors a Redis server.
pub struct Monitor(Arc<Mutex<Watched>>);

impl Monitor {
    pub async fn start(port: u16) -> Result<Self> {
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

    /// Returns the commands of the next `time`.
    pub async fn window(&self, time: Duration) -> Counts {
        self.clear();
        sleep(time).await;
        self.take()
    }

    pub fn clear(&self) {
        self.take();
    }

    pub fn take(&self) -> Counts {
        std::mem::take(&mut self.0.lock().expect("no code panics while holding this lock").counts)
    }
}

/// A command as `MONITOR` shows it.
struct Command {
    /// In seconds.
    at: f64,
    /// The address of its connection.
    connection: String,
    words: Vec<String>,
}

impl Command {
    /// Reads `1339518083.107412 [0 127.0.0.1:60866] "evalsha" "…"`. Returns `None` for commands
    /// that a script calls, and for lines that are not commands.
    fn parse(line: &str) -> Option<Self> {
        let (at, rest) = line.split_once(" [")?;
        let (connection, rest) = rest.split_once("] ")?;
        let connection = connection.split_once(' ')?.1.to_owned();
        (connection != "lua").then(|| Self { at: at.parse().unwrap_or_default(), connection, words: words(rest) })
    }

    fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }
}

/// Splits a command into its words, without quotes and escapes.
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

/// The sender of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sender {
    /// The feeder, to read jobs.
    Snapshot,
    /// The feeder, to add, remove or count jobs in pipelines.
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
                let first_line = source.lines().map(str::trim).find(|line| !line.is_empty() && *line != "--[[");
                Self::Theirs(first_line.unwrap_or_default().to_owned())
            }
        }
    }

    /// Returns the sender for these arguments.
    fn sender(&self, arguments: &[String]) -> Sender {
        match self {
            Self::Ours(_) if arguments.iter().any(|word| is_id(word)) => Sender::Snapshot,
            Self::Ours(_) => Sender::Checks,
            Self::Theirs(first_line) if first_line.starts_with("Adds a") || first_line.starts_with("Remove a job") => {
                Sender::Bulk
            }
            Self::Theirs(_) => Sender::Workers,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Ours(name) => format!("our script `{name}`"),
            Self::Theirs(first_line) => format!("BullMQ: {first_line}"),
        }
    }
}

/// Whether a word is the id of a job, such as `b1-j0-g0`, or of another task of a batch.
fn is_id(word: &str) -> bool {
    let batch = word.strip_prefix('b').and_then(|rest| rest.split_once('-'));
    batch.is_some_and(|(batch, _)| !batch.is_empty() && batch.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The scripts since the start, and the commands since they were last taken.
#[derive(Default)]
struct Watched {
    /// By the hash of the script.
    scripts: HashMap<String, Script>,
    /// Number of pings that the pool sent on each connection since its last other command.
    pings: HashMap<String, u64>,
    counts: Counts,
}

impl Watched {
    fn note(&mut self, command: Command) {
        if ["UNWATCH", "PING"].iter().any(|name| command.word(0).eq_ignore_ascii_case(name)) {
            *self.pings.entry(command.connection).or_default() += 1;
            return;
        }
        let (sender, name) = self.sender_and_name(&command);
        let pings = self.pings.remove(&command.connection).unwrap_or_default();
        self.counts.count(sender, name, command.at, pings);
    }

    fn sender_and_name(&mut self, command: &Command) -> (Sender, String) {
        match command.word(0).to_lowercase().as_str() {
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
            name @ ("llen" | "zcard") => (Sender::Bulk, name.to_uppercase()),
            name => (Sender::Checks, name.to_uppercase()),
        }
    }

    fn learn(&mut self, source: &str) -> String {
        let hash = redis::Script::new(source).get_hash().to_owned();
        self.scripts.insert(hash.clone(), Script::of(source));
        hash
    }

    fn script(&self, hash: &str, words: &[String]) -> (Sender, String) {
        match self.scripts.get(hash) {
            Some(script) => (script.sender(words), script.name()),
            // EVALSHA fails for a script that is not loaded; the client then sends EVAL.
            None => (Sender::Checks, "EVALSHA of a script that is not loaded".to_owned()),
        }
    }
}

/// Commands of a time, by sender and name.
#[derive(Default)]
pub struct Counts {
    commands: BTreeMap<(Sender, String), u64>,
    pub round_trips_of_feeder: u64,
    /// When the feeder last added or removed a job, if it sent nothing else since.
    last_bulk: Option<f64>,
}

impl Counts {
    /// Counts a command, and the pings before it on its connection.
    fn count(&mut self, sender: Sender, name: String, at: f64, pings: u64) {
        if sender.feeds() {
            let continues = sender == Sender::Bulk && self.last_bulk.is_some_and(|last| at - last < BULK_GAP);
            self.round_trips_of_feeder += u64::from(!continues);
            self.last_bulk = (sender == Sender::Bulk).then_some(at);
        }
        *self.commands.entry((sender, name)).or_default() += 1;
        if pings > 0 {
            *self.commands.entry((sender, "UNWATCH and PING before it".to_owned())).or_default() += pings;
        }
    }

    /// Prints the total of each group and the commands in it, divided by `by`.
    pub fn print(&self, title: &str, by: f64) {
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
