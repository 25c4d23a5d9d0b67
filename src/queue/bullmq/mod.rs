//! BullMQ's queues in Redis, by its official crate: shared by any number of processes, and by
//! whatever else reads BullMQ.
//!
//! ```text
//!   offer ─ look.lua: who is absent? ─▶ add in bulk ──▶ ┌───────────┐ ──▶ worker ─▶ attempt ─▶ Handler
//!   withdraw ─ scan, remove ──────────────────────────▶ │   Redis   │        ▲
//!   counts, ping ─────────────────────────────────────▶ └───────────┘        └── supervisor: makes, watches, replaces
//! ```
//!
//! What BullMQ does is left to the crate: adding, handing out, locks, the rate limit, retries, what
//! is kept. What the crate leaves open is closed here: nothing waits without a deadline, no socket
//! is trusted, no handler's panic gets through, and no error is final.
//!
//! One process has three connections a queue (one adds, two are the worker's) and up to four for
//! round trips; one that only feeds has one a queue and those for round trips.

mod attempt;
mod cluster;
mod discovery;
mod health;
mod options;
mod pool;
mod progress;
mod repair;
mod rights;
mod sentinel;
mod server;
mod snapshot;
mod supervisor;
mod tls;
mod wire;

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bullmq::{BulkJob, QueueKeys, QueueOptions};
use rocket::futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    pool::{BatchRedis, RedisConnection, RedisPool},
    server::Server,
};
use self::{
    server::{BoxError, not_met, silent, unavailable},
    snapshot::{JobPlace, QueueSnapshot, SnapshotQuery, Times},
    supervisor::Supervisor,
};
use super::{Drained, Handler, Offer, Queue, QueueCounts, Result};
use crate::{config::QueueSettings, domain::BatchId};

/// How long a page of work in Redis may take.
const PATIENT: Duration = Duration::from_secs(5);

/// Jobs that one script looks at, and that are added together: a script holds up everybody else.
const PAGE: usize = 500;

/// Jobs that are removed at a time.
const AT_A_TIME: usize = 50;

/// A job of ours that is delayed beyond its longest backoff and this was put there by somebody
/// else.
const LENIENT: Duration = Duration::from_secs(60);

/// Between two questions to Sentinels, or to the nodes of a cluster.
const WHERE: Duration = Duration::from_secs(1);

/// A queue in Redis.
pub struct BullQueue {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    started: AtomicBool,
}

/// What the queue and those who work it have in common.
struct Shared {
    name: String,
    settings: QueueSettings,
    server: Arc<Server>,
    keys: QueueKeys,
    /// The crate's queue, which adds, and [`Server::failures`] when it was made. None before it is
    /// needed, and after it failed.
    adds: Mutex<Option<(u64, Arc<bullmq::Queue>)>>,
    /// Handlers that run.
    running: AtomicU64,
    /// Whether somebody paused it, as it was seen last.
    paused: AtomicBool,
    /// Cancelled when nothing is to begin any more.
    draining: CancellationToken,
    /// Until when what runs may end. Set before `draining` is cancelled by a drain.
    deadline: OnceLock<Instant>,
}

impl BullQueue {
    /// Opens the queue called `name`. Reaches Redis, so that a wrong address or password is found
    /// here. `settings` have passed [`Config::check`](crate::config::Config::check).
    ///
    /// # Errors
    ///
    /// [`QueueError::Forbidden`](super::QueueError::Forbidden) if Redis allows its user too little,
    /// and [`QueueError::Unavailable`](super::QueueError::Unavailable) if it does not answer, or
    /// refuses.
    pub async fn open(name: impl Into<String>, settings: &QueueSettings, server: Arc<Server>) -> Result<Self> {
        let name = name.into();
        let shared = Arc::new(Shared {
            keys: QueueKeys::new(&name, Some(server.prefix())),
            name,
            settings: settings.clone(),
            server,
            adds: Mutex::default(),
            running: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            draining: CancellationToken::new(),
            deadline: OnceLock::new(),
        });
        shared.server.meet(&shared.keys).await.map_err(|error| not_met(&shared.name, error))?;
        shared.set_up().await?;
        let tasks = TaskTracker::new();
        tasks.spawn(keep_checking(shared.clone()));
        if shared.server.may_move() {
            tasks.spawn(keep_finding(shared.clone()));
        }
        Ok(Self { shared, tasks, started: AtomicBool::new(false) })
    }
}

#[async_trait]
impl Queue for BullQueue {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn offer(&self, offers: &[Offer]) -> Result<u64> {
        let mut seen = HashSet::with_capacity(offers.len());
        let offers: Vec<&Offer> = offers.iter().filter(|offer| seen.insert(offer.task)).collect();
        let mut times = Times::default();
        let mut added = 0;
        for page in offers.chunks(PAGE) {
            added += self.shared.offer(page, &mut times).await?;
        }
        Ok(added)
    }

    async fn withdraw(&self, batch: BatchId) -> Result<()> {
        let ids = self.shared.ids_of(batch).await.map_err(|error| unavailable(self.name(), error))?;
        self.shared.remove(ids).await
    }

    async fn counts(&self) -> Result<QueueCounts> {
        self.shared.server.count(&self.shared.keys).await.map_err(|error| unavailable(self.name(), error))
    }

    async fn work(&self, handler: Arc<dyn Handler>) -> Result<()> {
        if !self.started.swap(true, Ordering::Relaxed) {
            self.tasks.spawn(Supervisor::new(self.shared.clone(), handler).run());
        }
        Ok(())
    }

    async fn pause(&self) -> Result<()> {
        self.shared.with_queue(async |queue| queue.pause().await).await
    }

    async fn resume(&self) -> Result<()> {
        self.shared.with_queue(async |queue| queue.resume().await).await
    }

    async fn drain(&self, deadline: Instant) -> Drained {
        let deadline = *self.shared.deadline.get_or_init(|| deadline);
        self.shared.draining.cancel();
        self.tasks.close();
        let ended = timeout_at(deadline, self.tasks.wait()).await;
        match (ended, self.shared.running.load(Ordering::SeqCst)) {
            (Ok(()), _) | (Err(_), 0) => Drained::Clean,
            (Err(_), left) => Drained::Left(left),
        }
    }

    async fn ping(&self) -> Result<()> {
        self.shared.look(&[]).await.map(drop).map_err(|error| unavailable(self.name(), error))
    }
}

impl Drop for BullQueue {
    /// Lets the worker go, and whatever runs in it: nobody can wait for it any more.
    fn drop(&mut self) {
        self.shared.draining.cancel();
    }
}

impl fmt::Debug for BullQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BullQueue")
            .field("name", &self.shared.name)
            .field("server", &self.shared.server)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Does `work` with the crate's queue, within [`PATIENT`]. Whatever fails takes the queue with
    /// it, since its socket may be of no use any more; the next one who needs it makes a new one.
    async fn with_queue<T, F>(&self, work: impl FnOnce(Arc<bullmq::Queue>) -> F) -> Result<T>
    where
        F: Future<Output = bullmq::Result<T>>,
    {
        let attempt = async {
            let queue = self.queue().await?;
            work(queue).await
        };
        let done = match timeout(PATIENT, attempt).await {
            Ok(done) => done.map_err(|error| unavailable(&self.name, error)),
            Err(_) => Err(unavailable(&self.name, silent(PATIENT))),
        };
        if done.is_err() {
            *self.adds.lock().await = None;
        }
        done
    }

    async fn queue(&self) -> bullmq::Result<Arc<bullmq::Queue>> {
        let mut slot = self.adds.lock().await;
        let failures = self.server.failures();
        match &*slot {
            // A socket that is older than a failure may be of no use any more, and the crate would
            // take five seconds to find out.
            Some((made, queue)) if *made == failures => return Ok(queue.clone()),
            _ => {}
        }
        let connection = self.server.connection().map_err(bullmq::Error::InvalidConfig)?;
        let options = QueueOptions::new().connection(connection).prefix(self.server.prefix());
        let queue = Arc::new(bullmq::Queue::with_options(&self.name, options).await?);
        *slot = Some((failures, queue.clone()));
        Ok(queue)
    }

    /// What is kept in Redis about the queue as a whole, and gone when somebody empties it.
    async fn set_up(&self) -> Result<()> {
        let max = self.settings.global_concurrency;
        self.with_queue(async move |queue| match max {
            Some(max) => queue.set_global_concurrency(max.into()).await,
            None => queue.remove_global_concurrency().await,
        })
        .await
    }

    /// Tells of a pause, at the start and whenever that changes. It is made with a tool of BullMQ's
    /// and holds all processes, for as long as it takes.
    async fn check_pause(&self) {
        let mut question = redis::cmd("HEXISTS");
        question.arg(self.keys.meta()).arg("paused");
        match self.server.ask(question).await {
            Ok(paused) if self.paused.swap(paused, Ordering::SeqCst) == paused => {}
            Ok(true) => {
                tracing::warn!(queue = self.name, "somebody paused the queue; nothing begins until it is resumed");
            }
            Ok(false) => tracing::info!(queue = self.name, "the queue is resumed"),
            Err(error) => tracing::debug!(queue = self.name, %error, "Redis does not say whether the queue is paused"),
        }
    }

    async fn look(&self, ids: &[String]) -> std::result::Result<QueueSnapshot, BoxError> {
        let max = self.settings.rate_limit.0.map_or(0, |limit| limit.jobs);
        let latest = SystemTime::now() + self.settings.max_backoff + LENIENT;
        let latest = latest.duration_since(UNIX_EPOCH).unwrap_or_default();
        let latest = u64::try_from(latest.as_millis()).unwrap_or(u64::MAX);
        self.server.look(&SnapshotQuery { keys: &self.keys, max, latest, ids }).await
    }

    /// Sees to it that a page of offers is in Redis. `times` are of the whole call.
    async fn offer(&self, page: &[&Offer], times: &mut Times) -> Result<u64> {
        let ids: Vec<String> = page.iter().map(|offer| offer.task.to_string()).collect();
        let look = self.look(&ids).await.map_err(|error| unavailable(&self.name, error))?;
        times.note(page, &look);
        let over = ids.iter().zip(&look.states).filter(|(_, state)| **state == JobPlace::Over);
        self.remove(over.map(|(id, _)| id.clone()).collect()).await?;
        let lacking = page.iter().zip(&look.states).filter(|(_, state)| !state.is_open());
        let jobs: Vec<BulkJob> = lacking.map(|(offer, _)| self.job(offer, times.of(offer))).collect();
        let added = jobs.len() as u64;
        self.with_queue(async move |queue| queue.add_bulk(jobs).await).await?;
        Ok(added)
    }

    fn job(&self, offer: &Offer, time: u64) -> BulkJob {
        let options = options::job(&self.settings, offer, time);
        BulkJob::with_options(wire::name(&offer.task), wire::write(&offer.task), options)
    }

    /// Removes jobs; those that somebody works stay.
    async fn remove(&self, ids: Vec<String>) -> Result<()> {
        for page in ids.chunks(PAGE) {
            let page = page.to_vec();
            self.with_queue(async move |queue| {
                let removals = page.into_iter().map(|id| {
                    let queue = queue.clone();
                    async move { queue.remove(&id).await }
                });
                stream::iter(removals).buffer_unordered(AT_A_TIME).try_for_each(|_| async { Ok(()) }).await
            })
            .await?;
        }
        Ok(())
    }

    /// The ids of the batch's jobs that wait or are delayed.
    async fn ids_of(&self, batch: BatchId) -> std::result::Result<Vec<String>, BoxError> {
        let own = format!("b{batch}-");
        let mut waiting = redis::cmd("LRANGE");
        waiting.arg(self.keys.wait()).arg(0).arg(-1);
        let mut ids: Vec<String> = self.server.ask(waiting).await?;
        ids.retain(|id| id.starts_with(&own));
        for key in [self.keys.prioritized(), self.keys.delayed()] {
            ids.extend(self.scan(&key, &format!("{own}*")).await?);
        }
        Ok(ids)
    }

    /// The members of a sorted set that match, in portions.
    async fn scan(&self, key: &str, pattern: &str) -> std::result::Result<Vec<String>, BoxError> {
        let (mut cursor, mut members) = (0, Vec::new());
        loop {
            let mut scan = redis::cmd("ZSCAN");
            scan.arg(key).arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(PAGE);
            let (next, found): (u64, Vec<(String, f64)>) = self.server.ask(scan).await?;
            members.extend(found.into_iter().map(|(member, _)| member));
            cursor = next;
            if cursor == 0 {
                return Ok(members);
            }
        }
    }

    fn deadline(&self) -> Instant {
        self.deadline.get().copied().unwrap_or_else(Instant::now)
    }

    /// Waits until the drain is over.
    async fn too_late(&self) {
        self.draining.cancelled().await;
        sleep_until(self.deadline()).await;
    }
}

/// Looks after what nobody else would notice.
async fn keep_checking(shared: Arc<Shared>) {
    let checks = async {
        loop {
            shared.server.check_eviction().await;
            shared.check_pause().await;
            sleep(shared.server.check).await;
            if let Err(error) = shared.set_up().await {
                tracing::debug!(queue = shared.name, %error, "the queue's settings could not be renewed");
            }
        }
    };
    shared.draining.run_until_cancelled(checks).await;
}

/// Asks again and again where Redis is. While nobody says it, it is taken to be where it was.
async fn keep_finding(shared: Arc<Shared>) {
    let finding = async {
        let mut lost = false;
        loop {
            sleep(WHERE).await;
            let found = shared.server.find().await;
            if let Err(error) = &found
                && !lost
            {
                tracing::warn!(queue = shared.name, %error, "nobody says where the master of Redis is; it is asked for again");
            }
            lost = found.is_err();
        }
    };
    shared.draining.run_until_cancelled(finding).await;
}
