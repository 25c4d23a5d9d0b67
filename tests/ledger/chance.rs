//! Verbs in any order, from workers that are late, twice or lost, and what must be true after each of them.

use std::time::Duration;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use rocket_batch::{
    domain::{BatchId, BatchStatus, Call, JobId, StatusTask},
    ledger::{Begun, Hold, LedgerError, Settlement, Wish},
};
use tokio::{runtime::Handle, task::block_in_place};

use crate::given::*;

const BATCHES: usize = 3;
const JOBS: usize = 3;
const ITEMS: u64 = 10;

/// What is done next. The numbers choose among what there is, so that any number is one.
#[derive(Debug, Clone)]
enum Step {
    Plan {
        refuse: bool,
    },
    /// Without a number of ends that the queue was told, it is an order.
    Begin {
        job: usize,
        told: Option<u32>,
    },
    Write {
        hold: usize,
        from: u64,
        count: u64,
    },
    Finish {
        hold: usize,
    },
    Fail {
        hold: usize,
    },
    Delay {
        hold: usize,
    },
    GiveBack {
        hold: usize,
    },
    Close {
        batch: usize,
        round: u32,
    },
    Steer {
        batch: usize,
        wish: Wish,
    },
    Retry {
        batch: usize,
    },
    Forget {
        most: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (job, batch, hold) = (0..BATCHES * JOBS, 0..BATCHES, any::<prop::sample::Index>());
    let hold = hold.prop_map(|index| index.index(1 << 16));
    let wish = prop_oneof![1 => Just(Wish::Cancel), 3 => Just(Wish::Pause), 6 => Just(Wish::Resume)];
    prop_oneof![
        2 => (0..6).prop_map(|chance| Step::Plan { refuse: chance == 0 }),
        8 => (job, prop::option::weighted(0.8, 0_u32..4)).prop_map(|(job, told)| Step::Begin { job, told }),
        6 => (hold.clone(), 0..ITEMS, 1..=ITEMS).prop_map(|(hold, from, count)| Step::Write { hold, from, count }),
        5 => hold.clone().prop_map(|hold| Step::Finish { hold }),
        3 => hold.clone().prop_map(|hold| Step::Fail { hold }),
        2 => hold.clone().prop_map(|hold| Step::Delay { hold }),
        2 => hold.prop_map(|hold| Step::GiveBack { hold }),
        4 => (batch.clone(), 0_u32..3).prop_map(|(batch, round)| Step::Close { batch, round }),
        1 => (batch.clone(), wish).prop_map(|(batch, wish)| Step::Steer { batch, wish }),
        2 => batch.prop_map(|batch| Step::Retry { batch }),
        1 => (1_u64..5).prop_map(|most| Step::Forget { most }),
    ]
}

pub async fn verbs_in_any_order_keep_the_books(given: impl Harness) -> TestResult {
    let mut runner =
        TestRunner::new(Config { cases: 24, max_shrink_iters: 100, failure_persistence: None, ..Config::default() });
    let steps = prop::collection::vec(step(), 1..80);
    let run = runner.run(&steps, |steps| {
        let played = block_in_place(|| Handle::current().block_on(play(&given, steps)));
        played.map_err(|error| TestCaseError::fail(error.to_string()))
    });
    Ok(run?)
}

async fn play(given: &impl Harness, steps: Vec<Step>) -> TestResult {
    let ledger = given.ledger().await;
    let mut world = World { ledger: &ledger, batches: Vec::new(), jobs: Vec::new(), holds: Vec::new() };
    for _ in 1..BATCHES {
        world.batches.push(ledger.jobs_of(whole()).await?[0].batch);
    }
    // One has its jobs only when it is planned.
    world.batches.push(ledger.asked(whole()).await?);
    for batch in world.batches.clone() {
        world.jobs.extend((0..JOBS as u64).map(|seq| JobId { batch, seq, generation: 0 }));
    }
    for step in steps {
        world.take(step).await?;
        for batch in &world.batches {
            check_books(&ledger, *batch).await?;
        }
    }
    Ok(())
}

fn whole() -> ABatch {
    a_batch().of(JOBS as u64 * ITEMS).in_jobs_of(ITEMS)
}

struct World<'a> {
    ledger: &'a Subject,
    batches: Vec<BatchId>,
    /// In their latest generation.
    jobs: Vec<JobId>,
    /// Every hold that was ever given out: most are void.
    holds: Vec<Hold>,
}

impl World<'_> {
    async fn take(&mut self, step: Step) -> TestResult {
        match step {
            Step::Plan { refuse } => {
                let asked = self.batches[BATCHES - 1];
                self.ledger.plan(asked, if refuse { too_many() } else { cut(whole()) }).await?;
            }
            Step::Begin { job, told } => {
                if let Begun::Held(work) = self.ledger.begin(call(self.jobs[job], told)).await? {
                    self.holds.push(work.hold);
                }
            }
            Step::Write { hold, from, count } => self.write(hold, from, count).await?,
            Step::Finish { hold } => {
                self.write(hold, 0, ITEMS).await?;
                self.finish(hold).await?;
            }
            Step::Fail { hold } => self.settle(hold, Settlement::Failed(because("chance"))).await?,
            Step::Delay { hold } => self.settle(hold, delayed(because("chance"), Duration::ZERO)).await?,
            Step::GiveBack { hold } => self.settle(hold, Settlement::GivenBack).await?,
            Step::Close { batch, round } => drop(self.ledger.close(self.batches[batch], round).await?),
            Step::Steer { batch, wish } => drop(allowed(self.ledger.steer(self.batches[batch], wish).await)?),
            Step::Retry { batch } => self.retry(self.batches[batch]).await?,
            Step::Forget { most } => drop(self.ledger.forget(Duration::ZERO, most).await?),
        }
        Ok(())
    }

    fn hold(&self, number: usize) -> Option<&Hold> {
        // The latest ones are the likeliest to be good.
        let back = number % self.holds.len().clamp(1, 4);
        self.holds.iter().rev().nth(back)
    }

    async fn write(&self, hold: usize, from: u64, count: u64) -> TestResult {
        let Some(hold) = self.hold(hold) else { return Ok(()) };
        let first = hold.job.seq * ITEMS;
        self.ledger.write(hold, chunk(first + from..first + (from + count).min(ITEMS))).await?;
        Ok(())
    }

    /// As a worker does: only when all items exist.
    async fn finish(&self, hold: usize) -> TestResult {
        let Some(JobId { batch, seq, .. }) = self.hold(hold).map(|hold| hold.job) else { return Ok(()) };
        let after = (seq * ITEMS).checked_sub(1);
        let there = self.ledger.items(batch, page(after, ITEMS)).await?;
        let whole = there.len() as u64 == ITEMS && there.last().is_some_and(|item| item.ordinal < (seq + 1) * ITEMS);
        if whole { self.settle(hold, Settlement::Completed).await } else { Ok(()) }
    }

    async fn settle(&self, hold: usize, how: Settlement) -> TestResult {
        let Some(hold) = self.hold(hold) else { return Ok(()) };
        self.ledger.settle(hold, how, WORKED).await?;
        Ok(())
    }

    async fn retry(&mut self, batch: BatchId) -> TestResult {
        let Some(report) = allowed(self.ledger.retry(batch).await)? else { return Ok(()) };
        for again in report.job_ids {
            let again: JobId = again.parse().map_err(|()| "the id of a recreated job can't be read")?;
            self.jobs.iter_mut().filter(|job| (job.batch, job.seq) == (batch, again.seq)).for_each(|job| *job = again);
        }
        Ok(())
    }
}

fn call(job: JobId, told: Option<u32>) -> Call {
    match told {
        Some(acknowledged) => Call::Offered { job, acknowledged },
        None => Call::Ordered { batch: job.batch, seq: job.seq },
    }
}

fn allowed<T>(answer: Result<T, LedgerError>) -> Result<Option<T>, LedgerError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(LedgerError::NotAllowed(_) | LedgerError::HistoryRemoved(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn check_books(ledger: &Subject, id: BatchId) -> TestResult {
    let batch = ledger.batch(id).await?;
    let failed = allowed(ledger.failed_jobs(id, ALL).await)?.map(|jobs| jobs.len() as u64);
    let (jobs, items) = (ledger.every_open_job().await?.jobs, ledger.items_of(id).await?);
    let work = ledger.open_tasks(EVERY_TASK).await?;
    let open = jobs.iter().filter(|open| open.job.batch == id).count() as u64;
    let to_end = work.status.iter().any(|(task, _)| matches!(task, StatusTask::End { batch, .. } if *batch == id));
    let unplanned = work.unplanned.iter().any(|asked| asked.batch == id);
    let works = matches!(batch.status, BatchStatus::Pending | BatchStatus::Running);
    let ends =
        !unplanned && matches!(batch.status, BatchStatus::Running | BatchStatus::Paused) && batch.jobs.open() == 0;
    let never_planned = unplanned || (batch.status.is_over() && batch.jobs.total() == 0);
    let books = [
        ("jobs by state sum to the jobs", batch.jobs.total() == if never_planned { 0 } else { JOBS as u64 }),
        ("who has no jobs never ran", !never_planned || (batch.started_at.is_none() && items.is_empty())),
        ("an unplanned batch is not over", !unplanned || !batch.status.is_over()),
        ("the feeder sees every open job", open == if works { batch.jobs.open() } else { 0 }),
        ("the end is to come when no job is open", to_end == ends),
        ("the count of items is that of the rows", items.len() as u64 == batch.items_created),
        ("a batch that is over has no open job", !batch.status.is_over() || batch.jobs.open() == 0),
        ("and a time of its end", batch.finished_at.is_some() == batch.status.is_over()),
        (
            "a completed one has all its items",
            batch.status != BatchStatus::Completed || items.len() as u64 == batch.quantity,
        ),
        (
            "failed jobs are listed as long as there is a history",
            failed.unwrap_or(batch.jobs.failed) == batch.jobs.failed,
        ),
        (
            "which only a batch that is over can lose",
            failed.is_none() == batch.history_removed && (failed.is_some() || batch.status.is_over()),
        ),
    ];
    match books.iter().find(|(_, holds)| !holds) {
        None => Ok(()),
        Some((rule, _)) => Err(format!("not so: {rule}: {batch:?}").into()),
    }
}
