//! write: a chunk of items, if the hold is good, and the host's rows with them.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::{Error, Row, error::SqlState, types::ToSql};

use super::{
    columns::{key, number, small, state},
    error::{Result, VerbError},
    item_writer::{ItemWriter, call},
    pool::Verb,
    redacted::Redacted,
};
use crate::domain::JobState;
use crate::ledger::{ChunkInserted, Claim, LedgerError, NewItem, NewItemRow};

const INSERT_NEXT_CHUNK: &str = include_str!("sql/insert_next_chunk.sql");
const WRITE: &str = include_str!("sql/insert_chunk.sql");

/// See [`Ledger::insert_chunk`](crate::ledger::Ledger::insert_chunk).
pub(super) struct InsertChunk {
    pub claim: Claim,
    pub items: Arc<[NewItem]>,
    pub item_writer: Option<Arc<dyn ItemWriter>>,
}

#[async_trait]
impl Verb for InsertChunk {
    type Output = ChunkInserted;
    const OPERATION: &'static str = "write items";

    async fn run(&self, conn: &mut Client) -> Result<ChunkInserted> {
        match &self.item_writer {
            None => self.insert(&*conn).await.map(|(written, _)| written),
            Some(writer) => self.insert_with(conn, &**writer).await,
        }
    }
}

impl InsertChunk {
    async fn insert_with(&self, conn: &mut Client, writer: &dyn ItemWriter) -> Result<ChunkInserted> {
        let transaction = conn.transaction().await?;
        let (written, new) = self.insert(&transaction).await?;
        // Last, so that our books are whole whatever it does.
        if !new.is_empty() {
            call(writer, &transaction, &new).await?;
        }
        transaction.commit().await?;
        Ok(written)
    }

    /// Inserts those that are not there, and answers which those were.
    async fn insert(&self, conn: &impl GenericClient) -> Result<(ChunkInserted, Vec<NewItemRow<'_>>)> {
        let given = Given::of(&self.claim, &self.items);
        if insert_next_chunk(conn, &given).await? {
            return Ok((ChunkInserted::New(self.items.len() as u64), self.new_rows(None)));
        }
        let Some(row) = self.write(conn, &given).await? else { return Ok((ChunkInserted::Fenced, Vec::new())) };
        let chunk_context = ChunkContext::read(&row)?;
        let written = match chunk_context {
            ChunkContext { state: JobState::Cancelled, .. } => ChunkInserted::Cancelled,
            ChunkContext { is_current: false, .. } => ChunkInserted::Fenced,
            ChunkContext { paused: true, .. } => ChunkInserted::Paused,
            ChunkContext { .. } => {
                self.within(&row)?;
                ChunkInserted::New(number(&row, "inserted")?)
            }
        };
        let new =
            if let ChunkInserted::New(1..) = written { self.new_rows(row.try_get("ordinals")?) } else { Vec::new() };
        Ok((written, new))
    }

    /// Inserts what is missing of them, and finds out why nothing may be written when nothing may.
    async fn write(&self, conn: &impl GenericClient, given: &Given<'_>) -> Result<Option<Row>> {
        let which: &(dyn ToSql + Sync) = &self.item_writer.is_some();
        let parameters: Vec<_> = given.parameters().into_iter().chain([which]).collect();
        conn.query_opt(&conn.prepare_cached(WRITE).await?, &parameters).await.map_err(raced)
    }
    /// An item of another job would be counted for this one; the statement wrote nothing then.
    fn within(&self, row: &Row) -> Result<()> {
        let (first, quantity) = (number(row, "first")?, number(row, "quantity")?);
        let range = first..first + quantity;
        match self.items.iter().find(|item| !range.contains(&item.ordinal)) {
            None => Ok(()),
            Some(stray) => Err(LedgerError::Refused {
                why: format!(
                    "item {} is outside the job, which has {} to {}",
                    stray.ordinal,
                    range.start,
                    range.end - 1
                ),
            }
            .into()),
        }
    }

    /// The items with these ordinals, in order; all of them without any.
    fn new_rows(&self, ordinals: Option<Vec<i64>>) -> Vec<NewItemRow<'_>> {
        let written: Option<HashSet<i64>> = ordinals.map(HashSet::from_iter);
        let new = |item: &&NewItem| written.as_ref().is_none_or(|written| written.contains(&key(item.ordinal)));
        let batch_id = self.claim.job.batch;
        self.items
            .iter()
            .filter(new)
            .map(|item| NewItemRow { batch_id, ordinal: item.ordinal, code: &item.code })
            .collect()
    }
}

/// Inserts all of them, which it mostly can; answers whether it did.
async fn insert_next_chunk(conn: &impl GenericClient, given: &Given<'_>) -> Result<bool> {
    let written = conn.execute(&conn.prepare_cached(INSERT_NEXT_CHUNK).await?, &given.parameters()).await;
    Ok(written.map_err(raced)? > 0)
}

/// What the statements are given that insert a chunk.
pub(super) struct Given<'a> {
    batch: i64,
    seq: i64,
    generation: i32,
    epoch: i32,
    ordinals: Vec<i64>,
    codes: Redacted<Vec<&'a str>>,
    min: Option<i64>,
    largest: Option<i64>,
}

impl<'a> Given<'a> {
    pub(super) fn of(Claim { job, epoch }: &Claim, items: &'a [NewItem]) -> Self {
        let ordinals: Vec<i64> = items.iter().map(|item| key(item.ordinal)).collect();
        Self {
            batch: job.batch.get(),
            seq: key(job.seq),
            generation: small(job.generation),
            epoch: small(*epoch),
            min: ordinals.iter().min().copied(),
            largest: ordinals.iter().max().copied(),
            ordinals,
            codes: Redacted(items.iter().map(|item| item.code.as_str()).collect()),
        }
    }

    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 8] {
        let Self { batch, seq, generation, epoch, ordinals, codes, min, largest } = self;
        [batch, seq, generation, epoch, ordinals, codes, min, largest]
    }
}

/// A row that was there, though the statement did not see it, is no error: the statement is
/// repeated.
pub(super) fn raced(error: Error) -> VerbError {
    if is_race(&error) { VerbError::Raced } else { error.into() }
}

/// Whether one of our own rows was there, though the statement did not see it. A trigger of the
/// host's would say where it was.
fn is_race(error: &Error) -> bool {
    error.as_db_error().is_some_and(|said| {
        said.code() == &SqlState::UNIQUE_VIOLATION && said.constraint() == Some("items_pkey") && said.where_().is_none()
    })
}

struct ChunkContext {
    state: JobState,
    is_current: bool,
    paused: bool,
}

impl ChunkContext {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self { state: state(row, "state")?, is_current: row.try_get("is_current")?, paused: row.try_get("paused")? })
    }
}
