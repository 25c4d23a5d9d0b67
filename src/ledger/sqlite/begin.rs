//! begin: one attempt at a job, or why there is none.

use std::{ops::Range, time::Duration};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    columns::{key, now, state, status},
    error::Answer,
    hooks,
    settle::{end_of, lower_open_jobs},
};
use crate::domain::{BatchStatus, Change, Failure, JobId, JobState};
use crate::ledger::{Begun, Hold, Rules, Settled, Work};

const JOB: &str = include_str!("sql/begin_job.sql");
const BEGIN: &str = include_str!("sql/begin.sql");
const POISON: &str = include_str!("sql/poison.sql");
const RUN: &str = "UPDATE batch_batches
    SET status = ?2, started_at = coalesce(started_at, ?3), version = version + 1 WHERE id = ?1";
const ORDINALS: &str =
    "SELECT ordinal FROM batch_items WHERE batch = ?1 AND ordinal >= ?2 AND ordinal < ?3 ORDER BY ordinal";

pub(super) fn begin(conn: &Connection, rules: Rules, job: JobId) -> Answer<Begun> {
    let found = conn.prepare_cached(JOB)?.query_row((job.batch.get(), key(job.seq)), Found::read).optional()?;
    let Some(found) = found else { return Ok(Begun::Unknown) };
    match found.entry(job.generation, rules.max_crashes) {
        Entry::Unknown => Ok(Begun::Unknown),
        Entry::Over => Ok(Begun::Over),
        Entry::Paused => Ok(Begun::Paused),
        Entry::Poisoned { crashes } => poison(conn, rules, job, crashes),
        Entry::Free { crashes } => start(conn, job, found, crashes).map(Begun::Held),
    }
}

/// The job as it was found.
struct Found {
    generation: u32,
    state: JobState,
    epoch: u32,
    range: Range<u64>,
    attempts: u32,
    crashes: u32,
    status: BatchStatus,
    prefix: Option<String>,
    key_fingerprint: String,
}

/// What to answer whoever wants to begin a job.
enum Entry {
    Unknown,
    Over,
    Paused,
    Poisoned { crashes: u32 },
    Free { crashes: u32 },
}

impl Found {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (first, quantity): (u64, u64) = (row.get("first")?, row.get("quantity")?);
        Ok(Self {
            generation: row.get("generation")?,
            state: state(row, "state")?,
            epoch: row.get("epoch")?,
            range: first..first + quantity,
            attempts: row.get("attempts")?,
            crashes: row.get("crashes")?,
            status: status(row, "status")?,
            prefix: row.get("prefix")?,
            key_fingerprint: row.get("key_fingerprint")?,
        })
    }

    fn entry(&self, generation: u32, max_crashes: u32) -> Entry {
        if generation > self.generation {
            return Entry::Unknown;
        }
        if generation < self.generation || self.status.is_over() {
            return Entry::Over;
        }
        let crashes = match self.state {
            JobState::Completed | JobState::Failed | JobState::Cancelled => return Entry::Over,
            JobState::Waiting | JobState::Delayed => self.crashes,
            JobState::Active => self.crashes + 1,
        };
        match self.status {
            BatchStatus::Paused => Entry::Paused,
            _ if crashes > max_crashes => Entry::Poisoned { crashes },
            _ => Entry::Free { crashes },
        }
    }
}

fn start(conn: &Connection, job: JobId, found: Found, crashes: u32) -> Answer<Work> {
    let (batch, now) = (job.batch.get(), now());
    let running = found.status.after(Change::Begin)?;
    conn.prepare_cached(BEGIN)?.execute((batch, key(job.seq), crashes, now))?;
    conn.prepare_cached(RUN)?.execute((batch, running.as_str(), now))?;
    Ok(Work {
        hold: Hold { job, epoch: found.epoch + 1 },
        missing: missing(conn, batch, &found.range)?,
        range: found.range,
        attempts_made: found.attempts,
        prefix: found.prefix,
        key_fingerprint: found.key_fingerprint,
    })
}

/// Always looks at the rows themselves. For a job that has none this is one step down the tree, and no count can be wrong about it.
fn missing(conn: &Connection, batch: i64, range: &Range<u64>) -> Answer<Vec<Range<u64>>> {
    let mut query = conn.prepare_cached(ORDINALS)?;
    let mut rows = query.query((batch, key(range.start), key(range.end)))?;
    let mut gaps = Vec::new();
    let mut next = range.start;
    while let Some(row) = rows.next()? {
        let ordinal: u64 = row.get(0)?;
        gaps.extend((next < ordinal).then_some(next..ordinal));
        next = ordinal + 1;
    }
    gaps.extend((next < range.end).then_some(next..range.end));
    Ok(gaps)
}

fn poison(conn: &Connection, rules: Rules, job: JobId, crashes: u32) -> Answer<Begun> {
    let failure = Failure::because(format!("lost its worker {crashes} times without a new item"));
    let batch = job.batch.get();
    conn.prepare_cached(POISON)?.execute(params![batch, key(job.seq), crashes, failure.reason, now()])?;
    lower_open_jobs(conn, job.batch, 1, Duration::ZERO)?;
    hooks::job_over(conn, rules, job)?;
    Ok(Begun::Poisoned(Settled::Done { end: end_of(conn, job.batch)? }, failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_items_are_the_gaps_between_the_rows() {
        let table = [
            (vec![], vec![(10, 20)]),
            (vec![10, 11], vec![(12, 20)]),
            (vec![18, 19], vec![(10, 18)]),
            (vec![12, 15], vec![(10, 12), (13, 15), (16, 20)]),
            (vec![9, 20, 21], vec![(10, 20)]),
            ((10..20).collect(), vec![]),
        ];

        for (there, expected) in table {
            let conn = Connection::open_in_memory().unwrap();
            conn.execute_batch("CREATE TABLE batch_items (batch, ordinal)").unwrap();
            for (batch, ordinal) in there.iter().map(|ordinal| (1, *ordinal)).chain([(2, 13_u64)]) {
                conn.execute("INSERT INTO batch_items VALUES (?1, ?2)", (batch, ordinal)).unwrap();
            }
            let gaps: Vec<_> = missing(&conn, 1, &(10..20)).unwrap().iter().map(|gap| (gap.start, gap.end)).collect();
            assert_eq!(gaps, expected, "{there:?}");
        }
    }
}
