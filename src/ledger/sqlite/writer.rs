//! The one thread that changes the database, and commits for many callers at once.
//!
//! ```text
//!   call ─▶ queue ─▶ BEGIN IMMEDIATE
//!   call ─▶          SAVEPOINT ─ work ─ RELEASE        (or ROLLBACK TO, when the work answers an error)
//!   call ─▶          SAVEPOINT ─ work ─ RELEASE
//!                    COMMIT ─▶ now every caller gets its answer
//! ```
//!
//! SQLite takes one writer at a time, and a commit costs a flush of the disk. So whoever waits
//! anyway shares one, without sharing its fate: each work has a savepoint of its own. An answer is
//! given after the commit, never before it. What was queued runs to its end, whether or not its
//! caller still waits.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{
    mpsc::{self, error::SendTimeoutError},
    oneshot,
};

use super::error::{self, broken, shut, unavailable};
use crate::ledger::Result;

/// Works that wait for the thread; whoever finds no place waits outside, and not for ever.
const QUEUED: usize = 256;
/// Works that share a commit. More would make the first of them wait too long.
const GROUP: usize = 64;

/// The way to the thread.
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Turn>>>>,
    thread: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    patience: Duration,
}

impl Writer {
    /// Gives `conn` to a thread of its own. A call waits at most `patience` for a place in the
    /// queue.
    pub(super) fn start(conn: Connection, patience: Duration) -> io::Result<Self> {
        let (queue, turns) = mpsc::channel(QUEUED);
        let thread = thread::Builder::new().name("batch-sqlite".into()).spawn(|| Thread { conn, turns }.run())?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: tokio::sync::Mutex::new(Some(thread)), patience })
    }

    /// Runs `work` in a transaction and answers when it is committed.
    pub(super) async fn call<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> error::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.enqueue(operation, Box::new(Request { operation, work: Some(work), result: None, reply })).await?;
        answer.await.unwrap_or_else(|gone| Err(unavailable(operation, gone)))
    }

    async fn enqueue(&self, operation: &'static str, turn: Box<dyn Turn>) -> Result<()> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(|| shut(operation))?;
        queue.send_timeout(turn, self.patience).await.map_err(|refused| match refused {
            SendTimeoutError::Timeout(_) => unavailable(operation, "the queue of the writer stayed full"),
            SendTimeoutError::Closed(_) => shut(operation),
        })
    }

    /// Takes no more calls, and waits until those that were queued are answered and the thread has
    /// ended.
    pub(super) async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        // Held meanwhile, so that a second close waits as well.
        let mut thread = self.thread.lock().await;
        if let Some(running) = thread.take() {
            let joined = tokio::task::spawn_blocking(|| running.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the writer thread of the ledger ended by a panic");
            }
        }
    }
}

/// What became of the transaction that a turn was part of: nothing, or why its effects are gone or
/// not known.
type Fate = std::result::Result<(), String>;

/// What one caller does with the connection when it is its turn.
trait Turn: Send {
    /// Does it and keeps the answer; whether its effects are to stay.
    fn run(&mut self, conn: &mut Connection) -> bool;

    /// Answers the caller, if it still waits.
    fn tell(self: Box<Self>, fate: &Fate);
}

struct Request<T, F> {
    operation: &'static str,
    work: Option<F>,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Turn for Request<T, F>
where
    T: Send,
    F: FnOnce(&mut Connection) -> error::Result<T> + Send,
{
    fn run(&mut self, conn: &mut Connection) -> bool {
        let Some(work) = self.work.take() else { return false };
        let operation = self.operation;
        // The connection is sound after a panic: statements are reset when they are dropped, and
        // the savepoint is rolled back.
        let result = match catch_unwind(AssertUnwindSafe(|| work(conn))) {
            Ok(answer) => answer.map_err(|stop| stop.while_trying_to(operation)),
            Err(panic) => Err(broken(operation, format!("panicked: {}", message(&*panic)))),
        };
        self.result.insert(result).is_ok()
    }

    fn tell(self: Box<Self>, fate: &Fate) {
        let Self { operation, result, reply, .. } = *self;
        let answer = match (result, fate) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(answer)), Ok(())) => Ok(answer),
            (Some(Ok(_)) | None, Err(why)) => Err(unavailable(operation, why.clone())),
            (None, Ok(())) => Err(broken(operation, "it was not run")),
        };
        // Nobody waits any more; the work is done all the same.
        let _ = reply.send(answer);
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

struct Thread {
    conn: Connection,
    turns: mpsc::Receiver<Box<dyn Turn>>,
}

impl Thread {
    fn run(mut self) {
        while let Some(first) = self.turns.blocking_recv() {
            let mut group = VecDeque::from([first]);
            while group.len() < GROUP
                && let Ok(next) = self.turns.try_recv()
            {
                group.push_back(next);
            }
            self.serve(group);
        }
        self.checkpoint();
    }

    /// Takes every turn of `group`. Mostly that is one transaction; a turn that brings the whole of
    /// it down leaves the rest to another.
    fn serve(&mut self, mut group: VecDeque<Box<dyn Turn>>) {
        while !group.is_empty() {
            let mut ran = Vec::with_capacity(group.len());
            let fate = match self.execute("BEGIN IMMEDIATE") {
                Ok(()) => self.run_all(&mut group, &mut ran).and_then(|()| self.execute("COMMIT")),
                Err(why) => {
                    ran.extend(group.drain(..));
                    Err(why)
                }
            };
            if fate.is_err() && !self.conn.is_autocommit() {
                // All callers are told that it failed, so nothing of it may be committed with the
                // next group.
                let _ = self.execute("ROLLBACK");
            }
            ran.into_iter().for_each(|turn| turn.tell(&fate));
        }
    }

    fn run_all(&mut self, group: &mut VecDeque<Box<dyn Turn>>, ran: &mut Vec<Box<dyn Turn>>) -> Fate {
        while let Some(mut turn) = group.pop_front() {
            let fate = self.run_one(&mut *turn);
            ran.push(turn);
            fate?;
        }
        Ok(())
    }

    fn run_one(&mut self, turn: &mut dyn Turn) -> Fate {
        self.execute("SAVEPOINT turn")?;
        let keep = turn.run(&mut self.conn);
        // A full disk, a failing one and `RAISE(ROLLBACK)` end the whole transaction, and so may
        // the work of a host.
        if self.conn.is_autocommit() {
            return Err("the transaction, which several share, was ended before its time".into());
        }
        if !keep {
            self.execute("ROLLBACK TO turn")?;
        }
        self.execute("RELEASE turn")
    }

    fn execute(&self, sql: &'static str) -> Fate {
        let done = self.conn.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        done.map(drop).map_err(|error| error.to_string())
    }

    /// Leaves one file and no log beside it, as far as other processes let us.
    fn checkpoint(self) {
        let checked = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = checked.and_then(|()| self.conn.close().map_err(|(_, error)| error)) {
            tracing::warn!(%error, "the ledger was shut without a checkpoint; the next start makes up for it");
        }
    }
}
