//! Verbs in any order, from workers that are late, duplicated or lost, and the invariants after
//! each verb.

use std::time::Duration;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use rocket_batch::{
    domain::{BatchId, BatchStatus, Delivery, JobId, StatusTask},
    ledger::{AttemptResult, BatchCommand, Claim, Claimed, LedgerError},
};
use tokio::{runtime::Handle, task::block_in_place};

use crate::subject::*;

const BATCHES: usize = 3;
const JOBS: usize = 3;
const ITEMS: u64 = 10;

/// The next step. The numbers select among existing jobs, claims and batches; any number is valid.
#[derive(Debug, Clone)]
enum Step {
    Plan {
        refuse: bool,
    },
    /// Without acknowledged attempts, it is an external delivery.
    Claim {
        job: usize,
        acknowledged: Option<u32>,
    },
    Insert {
        claim: usize,
        from: u64,
        count: u64,
    },
    Finish {
        claim: usize,
    },
    Fail {
        claim: usize,
    },
    Delay {
        claim: usize,
    },
    Release {
        claim: usize,
    },
    Close {
        batch: usize,
        round: u32,
    },
    Control {
        batch: usize,
        command: BatchCommand,
    },
    Retry {
        batch: usize,
    },
    Prune {
        max: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (job, batch, claim) = (0..BATCHES * JOBS, 0..BATCHES, any::<prop::sample::Index>());
    let claim = claim.prop_map(|index| index.index(1 << 16));
    let command =
        prop_oneof![1 => Just(BatchCommand::Cancel), 3 => Just(BatchCommand::Pause), 6 => Just(BatchCommand::Resume)];
    prop_oneof![
        2 => (0..6).prop_map(|stateful| Step::Plan { refuse: stateful == 0 }),
        8 => (job, prop::option::weighted(0.8, 0_u32..4)).prop_map(|(job, acknowledged)| Step::Claim { job, acknowledged }),
        6 => (claim.clone(), 0..ITEMS, 1..=ITEMS).prop_map(|(claim, from, count)| Step::Insert { claim, from, count }),
        5 => claim.clone().prop_map(|claim| Step::Finish { claim }),
        3 => claim.clone().prop_map(|claim| Step::Fail { claim }),
        2 => claim.clone().prop_map(|claim| Step::Delay { claim }),
        2 => claim.prop_map(|claim| Step::Release { claim }),
        4 => (batch.clone(), 0_u32..3).prop_map(|(batch, round)| Step::Close { batch, round }),
        1 => (batch.clone(), command).prop_map(|(batch, command)| Step::Control { batch, command }),
        2 => batch.prop_map(|batch| Step::Retry { batch }),
        1 => (1_u64..5).prop_map(|max| Step::Prune { max }),
    ]
}

pub async fn verbs_in_any_order_keep_the_counts_consistent(harness: impl Harness) -> TestResult {
    let mut runner =
        TestRunner::new(Config { cases: 24, max_shrink_iters: 100, failure_persistence: None, ..Config::default() });
    let steps = prop::collection::vec(step(), 1..80);
    let run = runner.run(&steps, |steps| {
        let played = block_in_place(|| Handle::current().block_on(play(&harness, steps)));
        played.map_err(|error| TestCaseError::fail(error.to_string()))
    });
    Ok(run?)
}

async fn play(harness: &impl Harness, steps: Vec<Step>) -> TestResult {
    let ledger = harness.ledger().await;
    let mut world = World { ledger: &ledger, batches: Vec::new(), jobs: Vec::new(), holds: Vec::new() };
    for _ in 1..BATCHES {
        world.batches.push(ledger.jobs_of(whole()).await?[0].batch);
    }
    // One batch has no jobs until it is planned.
    world.batches.push(ledger.requested(whole()).await?);
    for batch in world.batches.clone() {
        world.jobs.extend((0..JOBS as u64).map(|seq| JobId { batch, seq, generation: 0 }));
    }
    for step in steps {
        world.take(step).await?;
        for batch in &world.batches {
            check_counts(&ledger, *batch).await?;
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
    /// The jobs in their latest generation.
    jobs: Vec<JobId>,
    /// All claims ever granted; most are fenced.
    holds: Vec<Claim>,
}

impl World<'_> {
    async fn take(&mut self, step: Step) -> TestResult {
        match step {
            Step::Plan { refuse } => {
                let asked = self.batches[BATCHES - 1];
                self.ledger.plan(asked, if refuse { too_many() } else { plan_input(whole()) }).await?;
            }
            Step::Claim { job, acknowledged } => {
                if let Claimed::Work(work) = self.ledger.claim(delivery(self.jobs[job], acknowledged)).await? {
                    self.holds.push(work.claim);
                }
            }
            Step::Insert { claim, from, count } => self.insert_chunk(claim, from, count).await?,
            Step::Finish { claim } => {
                self.insert_chunk(claim, 0, ITEMS).await?;
                self.finish(claim).await?;
            }
            Step::Fail { claim } => {
                self.finish_attempt(claim, AttemptResult::Failed(because("random failure"))).await?;
            }
            Step::Delay { claim } => {
                self.finish_attempt(claim, delayed(because("random failure"), Duration::ZERO)).await?;
            }
            Step::Release { claim } => self.finish_attempt(claim, AttemptResult::Released).await?,
            Step::Close { batch, round } => drop(self.ledger.close(self.batches[batch], round).await?),
            Step::Control { batch, command } => drop(allowed(self.ledger.control(self.batches[batch], command).await)?),
            Step::Retry { batch } => self.retry(self.batches[batch]).await?,
            Step::Prune { max } => drop(self.ledger.prune_history(Duration::ZERO, max).await?),
        }
        Ok(())
    }

    fn claim_job(&self, number: usize) -> Option<&Claim> {
        // The latest claims are the most likely to be current.
        let back = number % self.holds.len().clamp(1, 4);
        self.holds.iter().rev().nth(back)
    }

    async fn insert_chunk(&self, claim: usize, from: u64, count: u64) -> TestResult {
        let Some(claim) = self.claim_job(claim) else { return Ok(()) };
        let first = claim.job.seq * ITEMS;
        self.ledger.insert_chunk(claim, chunk(first + from..first + (from + count).min(ITEMS))).await?;
        Ok(())
    }

    /// As a worker does, only if all items exist.
    async fn finish(&self, claim: usize) -> TestResult {
        let Some(JobId { batch, seq, .. }) = self.claim_job(claim).map(|claim| claim.job) else { return Ok(()) };
        let after = (seq * ITEMS).checked_sub(1);
        let there = self.ledger.items(batch, page(after, ITEMS)).await?;
        let whole = there.len() as u64 == ITEMS && there.last().is_some_and(|item| item.ordinal < (seq + 1) * ITEMS);
        if whole { self.finish_attempt(claim, AttemptResult::Completed).await } else { Ok(()) }
    }

    async fn finish_attempt(&self, claim: usize, how: AttemptResult) -> TestResult {
        let Some(claim) = self.claim_job(claim) else { return Ok(()) };
        self.ledger.finish_attempt(claim, how, WORKED).await?;
        Ok(())
    }

    async fn retry(&mut self, batch: BatchId) -> TestResult {
        let Some(report) = allowed(self.ledger.retry(batch).await)? else { return Ok(()) };
        for again in report.job_ids {
            let again: JobId = again.parse().map_err(|_| "the id of a recreated job can't be read")?;
            self.jobs.iter_mut().filter(|job| (job.batch, job.seq) == (batch, again.seq)).for_each(|job| *job = again);
        }
        Ok(())
    }
}

fn delivery(job: JobId, acknowledged: Option<u32>) -> Delivery {
    match acknowledged {
        Some(acknowledged) => Delivery::Enqueued { task: job, acknowledged },
        None => Delivery::External { batch: job.batch, seq: job.seq },
    }
}

fn allowed<T>(answer: Result<T, LedgerError>) -> Result<Option<T>, LedgerError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(LedgerError::NotAllowed(_) | LedgerError::HistoryRemoved(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn check_counts(ledger: &Subject, id: BatchId) -> TestResult {
    let batch = ledger.batch(id).await?;
    let failed = allowed(ledger.failed_jobs(id, ALL).await)?.map(|jobs| jobs.len() as u64);
    let (jobs, items) = (ledger.every_open_job().await?.jobs, ledger.items_of(id).await?);
    let work = ledger.open_tasks(EVERY_TASK).await?;
    let open = jobs.iter().filter(|open| open.job.batch == id).count() as u64;
    let to_end = work.status.iter().any(|(task, _)| matches!(task, StatusTask::Close { batch, .. } if *batch == id));
    let unplanned = work.unplanned.iter().any(|batch| batch.batch == id);
    let works = matches!(batch.status, BatchStatus::Pending | BatchStatus::Running);
    let ends =
        !unplanned && matches!(batch.status, BatchStatus::Running | BatchStatus::Paused) && batch.jobs.open() == 0;
    let never_planned = unplanned || (batch.status.is_finished() && batch.jobs.total() == 0);
    let rules = [
        ("jobs by state sum to the jobs", batch.jobs.total() == if never_planned { 0 } else { JOBS as u64 }),
        ("a batch without jobs never ran", !never_planned || (batch.started_at.is_none() && items.is_empty())),
        ("an unplanned batch is not finished", !unplanned || !batch.status.is_finished()),
        ("the feeder sees every open job", open == if works { batch.jobs.open() } else { 0 }),
        ("the batch is to be closed if no job is open", to_end == ends),
        ("the count of items is the number of rows", items.len() as u64 == batch.items_created),
        ("a finished batch has no open job", !batch.status.is_finished() || batch.jobs.open() == 0),
        ("a finished batch has an end time", batch.finished_at.is_some() == batch.status.is_finished()),
        (
            "a completed batch has all its items",
            batch.status != BatchStatus::Completed || items.len() as u64 == batch.quantity,
        ),
        ("failed jobs are listed while the history exists", failed.unwrap_or(batch.jobs.failed) == batch.jobs.failed),
        (
            "only a finished batch can lose its history",
            failed.is_none() == batch.history_removed && (failed.is_some() || batch.status.is_finished()),
        ),
    ];
    match rules.iter().find(|(_, holds)| !holds) {
        None => Ok(()),
        Some((rule, _)) => Err(format!("violated: {rule}: {batch:?}").into()),
    }
}
