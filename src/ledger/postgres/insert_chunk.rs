//! `insert_chunk`: inserts a chunk of items, and the host's rows with them.

use std::{collections::HashSet, sync::Arc};

use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::{
    Error, Row,
    error::{DbError, SqlState},
    types::ToSql,
};

use super::{
    columns::small,
    error::{Result, VerbError},
    item_writer::Writer,
    pool::Verb,
    redacted::Redacted,
};
use crate::{
    domain::JobState,
    ledger::{
        columns::{Columns, key},
        decide::ChunkGate,
        operation, rows,
        types::{ChunkInserted, Claim, NewItem, NewItemRow},
    },
};

const INSERT_NEXT_CHUNK: &str = include_str!("sql/insert_next_chunk.sql");
const INSERT_CHUNK: &str = include_str!("sql/insert_chunk.sql");

/// See [`Ledger::insert_chunk`](crate::ledger::Ledger::insert_chunk).
pub(super) struct InsertChunk {
    pub claim: Claim,
    pub items: Arc<[NewItem]>,
    pub writer: Option<Arc<Writer>>,
}

impl Verb for InsertChunk {
    type Output = ChunkInserted;
    const OPERATION: &'static str = operation::INSERT_CHUNK;

    async fn run(&self, conn: &mut Client) -> Result<ChunkInserted> {
        match &self.writer {
            None => self.insert(&*conn).await.map(|(inserted, _)| inserted),
            Some(writer) => self.insert_with(conn, writer).await,
        }
    }
}

impl InsertChunk {
    async fn insert_with(&self, conn: &mut Client, writer: &Writer) -> Result<ChunkInserted> {
        let transaction = conn.transaction().await?;
        let (inserted, new) = self.insert(&transaction).await?;
        // Last, so that the ledger's rows are complete whatever the writer does.
        if !new.is_empty() {
            writer.write(&transaction, self.claim.job.batch, &new).await?;
        }
        transaction.commit().await?;
        Ok(inserted)
    }

    /// Inserts the items that do not exist, and returns them.
    async fn insert(&self, conn: &impl GenericClient) -> Result<(ChunkInserted, Vec<NewItemRow<'_>>)> {
        let parameters = ChunkParameters::of(&self.claim, &self.items);
        if insert_next_chunk(conn, &parameters).await? {
            return Ok((ChunkInserted::New(self.items.len() as u64), self.new_rows(None)));
        }
        let Some(row) = self.insert_missing(conn, &parameters).await? else {
            return Ok((ChunkInserted::Fenced, Vec::new()));
        };
        let gate = read_gate(&row)?;
        if let Some(refusal) = gate.refusal() {
            return Ok((refusal, Vec::new()));
        }
        // The statement inserted nothing if an item is out of range.
        gate.check_range(&self.items)?;
        let inserted = row.number("inserted")?;
        let new = if inserted > 0 { self.new_rows(row.try_get("ordinals")?) } else { Vec::new() };
        Ok((ChunkInserted::New(inserted), new))
    }

    /// Inserts the missing items, if any may be inserted, and returns what decides that.
    async fn insert_missing(&self, conn: &impl GenericClient, parameters: &ChunkParameters<'_>) -> Result<Option<Row>> {
        let with_ordinals: &(dyn ToSql + Sync) = &self.writer.is_some();
        let parameters: Vec<_> = parameters.all().into_iter().chain([with_ordinals]).collect();
        conn.query_opt(&conn.prepare_cached(INSERT_CHUNK).await?, &parameters).await.map_err(race_or_error)
    }

    /// The items with these ordinals, in order; all items if there are none.
    fn new_rows(&self, ordinals: Option<Vec<i64>>) -> Vec<NewItemRow<'_>> {
        let inserted: Option<HashSet<i64>> = ordinals.map(HashSet::from_iter);
        let is_new = |item: &&NewItem| inserted.as_ref().is_none_or(|new| new.contains(&key(item.ordinal)));
        let batch_id = self.claim.job.batch;
        let new = self.items.iter().filter(is_new);
        new.map(|item| NewItemRow { batch_id, ordinal: item.ordinal, code: &item.code }).collect()
    }
}

/// Inserts all items, if none of them can exist. Returns whether it did.
async fn insert_next_chunk(conn: &impl GenericClient, parameters: &ChunkParameters<'_>) -> Result<bool> {
    let inserted = conn.execute(&conn.prepare_cached(INSERT_NEXT_CHUNK).await?, &parameters.all()).await;
    Ok(inserted.map_err(race_or_error)? > 0)
}

fn read_gate(row: &Row) -> Result<ChunkGate> {
    Ok(ChunkGate {
        is_cancelled: row.state("state")? == JobState::Cancelled,
        is_current: row.flag("is_current")?,
        is_paused: row.flag("paused")?,
        range: rows::range(row)?,
    })
}

/// The common parameters of the statements that insert a chunk.
pub(super) struct ChunkParameters<'a> {
    batch: i64,
    seq: i64,
    generation: i32,
    epoch: i32,
    ordinals: Vec<i64>,
    codes: Redacted<Vec<&'a str>>,
    min: Option<i64>,
    max: Option<i64>,
}

impl<'a> ChunkParameters<'a> {
    pub(super) fn of(Claim { job, epoch }: &Claim, items: &'a [NewItem]) -> Self {
        let ordinals: Vec<i64> = items.iter().map(|item| key(item.ordinal)).collect();
        Self {
            batch: job.batch.get(),
            seq: key(job.seq),
            generation: small(job.generation),
            epoch: small(*epoch),
            min: ordinals.iter().min().copied(),
            max: ordinals.iter().max().copied(),
            ordinals,
            codes: Redacted(items.iter().map(|item| item.code.as_str()).collect()),
        }
    }

    pub(super) fn all(&self) -> [&(dyn ToSql + Sync); 8] {
        let Self { batch, seq, generation, epoch, ordinals, codes, min, max } = self;
        [batch, seq, generation, epoch, ordinals, codes, min, max]
    }
}

/// Turns the rejection of an existing item into [`VerbError::Race`], which repeats the statement.
pub(super) fn race_or_error(error: Error) -> VerbError {
    if error.as_db_error().is_some_and(is_race) { VerbError::Race } else { error.into() }
}

/// Whether another session inserted an item that the statement's snapshot does not show.
///
/// These statements insert into `items` only, unless a trigger of the host does more, which adds a
/// context to the error. If the host has partitioned `items`, the error names the partition and its
/// constraint. So the columns of the key decide, which every partition shares. A unique index of
/// the host has other columns, and rejects the chunk.
fn is_race(error: &DbError) -> bool {
    let is_primary_key = error
        .detail()
        .map_or_else(|| error.constraint() == Some("items_pkey"), |detail| detail.contains("(batch, ordinal)="));
    error.code() == &SqlState::UNIQUE_VIOLATION && is_primary_key && error.where_().is_none()
}
