//! The thread that changes the database, and commits many calls at once.
//!
//! ```text
//!   call ─▶ queue ─▶ BEGIN IMMEDIATE
//!   call ─▶          SAVEPOINT ─ work ─ RELEASE        (or ROLLBACK TO, if the work fails)
//!   call ─▶          SAVEPOINT ─ work ─ RELEASE
//!                    COMMIT ─▶ every call returns
//! ```
//!
//! SQLite allows one writer at a time, and a commit costs a flush of the disk. So calls that wait
//! at the same time share a commit. Each has its own savepoint, so the failure of one does not
//! affect the others. A call returns after the commit. A queued call runs to completion even if its
//! future is dropped.

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

use super::error::{closed, write_refusal};
#[cfg(feature = "metrics")]
use crate::ledger::PoolUsage;
use crate::{
    domain::panic_message,
    ledger::{
        error::{LedgerError, failed, unavailable},
        refusal::{WriteRefusal, refused},
    },
};

/// The capacity of the queue. Further calls wait until it has capacity, with a timeout.
const QUEUED: usize = 256;
/// The maximum number of calls per commit. More would delay the first of them too long.
const GROUP: usize = 64;

/// A handle to the thread.
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn QueuedCall>>>>,
    thread: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    wait_timeout: Duration,
}

impl Writer {
    /// Moves `conn` to a new thread. A call waits at most `wait_timeout` for capacity in the queue.
    pub(super) fn start(conn: Connection, wait_timeout: Duration) -> io::Result<Self> {
        let (queue, turns) = mpsc::channel(QUEUED);
        let thread = thread::Builder::new().name("batch-sqlite".into()).spawn(|| Thread { conn, turns }.run())?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: tokio::sync::Mutex::new(Some(thread)), wait_timeout })
    }

    /// Runs `work` in a transaction and returns once it is committed.
    ///
    /// An error of `work` comes back as it is.
    pub(super) async fn call<T, E, F>(&self, operation: &'static str, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<LedgerError> + Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.enqueue(operation, Box::new(Request { operation, work: Some(work), result: None, reply })).await?;
        answer.await.unwrap_or_else(|gone| Err(unavailable(operation, gone).into()))
    }

    async fn enqueue(&self, operation: &'static str, turn: Box<dyn QueuedCall>) -> Result<(), LedgerError> {
        let queue =
            self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(|| closed(operation))?;
        queue.send_timeout(turn, self.wait_timeout).await.map_err(|refused| match refused {
            SendTimeoutError::Timeout(_) => unavailable(operation, "the queue of the writer is full"),
            SendTimeoutError::Closed(_) => closed(operation),
        })
    }

    /// The connection counts as used while calls are in the queue.
    #[cfg(feature = "metrics")]
    pub(super) fn usage(&self) -> PoolUsage {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(queue) = queue else { return PoolUsage::default() };
        let waiting = QUEUED.saturating_sub(queue.capacity());
        let used = usize::from(waiting > 0);
        PoolUsage { used, idle: 1 - used, waiting }
    }

    /// Accepts no more calls, and waits until queued calls have returned and the thread has ended.
    pub(super) async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        // Locked meanwhile, so that a second close waits as well.
        let mut thread = self.thread.lock().await;
        if let Some(running) = thread.take() {
            let joined = tokio::task::spawn_blocking(|| running.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the ledger's writer thread panicked");
            }
        }
    }
}

/// The outcome of a shared transaction: committed, or why its effects are lost or unknown.
type Outcome = std::result::Result<(), Cause>;

/// Why a shared transaction was not committed.
#[derive(Clone)]
struct Cause {
    message: String,
    refusal: Option<WriteRefusal>,
}

impl Cause {
    fn of(error: &rusqlite::Error) -> Self {
        Self { message: error.to_string(), refusal: write_refusal(error) }
    }

    fn into_ledger_error(self, operation: &'static str) -> LedgerError {
        match self.refusal {
            Some(refusal) => refused(operation, refusal, self.message),
            None => unavailable(operation, self.message),
        }
    }
}

/// One queued call.
trait QueuedCall: Send {
    /// Runs the work and keeps its result. Returns whether to keep its effects.
    fn run(&mut self, conn: &mut Connection) -> bool;

    /// Sends the result to the caller.
    fn reply(self: Box<Self>, outcome: &Outcome);
}

struct Request<T, E, F> {
    operation: &'static str,
    work: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> QueuedCall for Request<T, E, F>
where
    T: Send,
    E: From<LedgerError> + Send,
    F: FnOnce(&mut Connection) -> Result<T, E> + Send,
{
    fn run(&mut self, conn: &mut Connection) -> bool {
        let Some(work) = self.work.take() else { return false };
        let operation = self.operation;
        // The connection stays usable after a panic: dropped statements are reset, and the
        // savepoint is rolled back.
        let result = match catch_unwind(AssertUnwindSafe(|| work(conn))) {
            Ok(answer) => answer,
            Err(panic) => Err(failed(operation, format!("panicked: {}", panic_message(&*panic))).into()),
        };
        self.result.insert(result).is_ok()
    }

    fn reply(self: Box<Self>, outcome: &Outcome) {
        let Self { operation, result, reply, .. } = *self;
        let answer = match (result, outcome) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(answer)), Ok(())) => Ok(answer),
            (Some(Ok(_)) | None, Err(why)) => Err(why.clone().into_ledger_error(operation).into()),
            (None, Ok(())) => Err(failed(operation, "the call did not run").into()),
        };
        // An error means that the future of the call was dropped; the work is done anyway.
        let _ = reply.send(answer);
    }
}

struct Thread {
    conn: Connection,
    turns: mpsc::Receiver<Box<dyn QueuedCall>>,
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

    /// Runs every call of `group`, usually in one transaction. If a call ends the whole
    /// transaction, the remaining calls run in another one.
    fn serve(&mut self, mut group: VecDeque<Box<dyn QueuedCall>>) {
        while !group.is_empty() {
            let mut ran = Vec::with_capacity(group.len());
            let outcome = match self.execute("BEGIN IMMEDIATE") {
                Ok(()) => self.run_all(&mut group, &mut ran).and_then(|()| self.execute("COMMIT")),
                Err(why) => {
                    ran.extend(group.drain(..));
                    Err(why)
                }
            };
            if outcome.is_err() && !self.conn.is_autocommit() {
                // All its callers get an error, so nothing of it may be committed with the next
                // group.
                let _ = self.execute("ROLLBACK");
            }
            ran.into_iter().for_each(|turn| turn.reply(&outcome));
        }
    }

    fn run_all(&mut self, group: &mut VecDeque<Box<dyn QueuedCall>>, ran: &mut Vec<Box<dyn QueuedCall>>) -> Outcome {
        while let Some(mut turn) = group.pop_front() {
            let outcome = self.run_one(&mut *turn);
            ran.push(turn);
            outcome?;
        }
        Ok(())
    }

    fn run_one(&mut self, turn: &mut dyn QueuedCall) -> Outcome {
        self.execute("SAVEPOINT turn")?;
        let keep = turn.run(&mut self.conn);
        // A full or failing disk and `RAISE(ROLLBACK)` end the whole transaction, and so may the
        // host's work.
        if self.conn.is_autocommit() {
            return Err(Cause { message: "the shared transaction was ended early".into(), refusal: None });
        }
        if !keep {
            self.execute("ROLLBACK TO turn")?;
        }
        self.execute("RELEASE turn")
    }

    fn execute(&self, sql: &'static str) -> Outcome {
        let done = self.conn.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        done.map(drop).map_err(|error| Cause::of(&error))
    }

    /// Writes the log into the file and deletes it, unless other processes use it.
    fn checkpoint(self) {
        let checked = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = checked.and_then(|()| self.conn.close().map_err(|(_, error)| error)) {
            tracing::warn!(%error, "ledger closed without a checkpoint; the next start repeats it");
        }
    }
}
