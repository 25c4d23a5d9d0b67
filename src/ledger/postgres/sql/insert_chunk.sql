-- insert_chunk: inserts the missing items of one chunk, if the claim is current. Runs after
-- insert_next_chunk.sql inserted nothing.
--
--   $1 batch         $4 epoch                               $7 smallest ordinal
--   $2 job number    $5 ordinals, bigint[]                  $8 largest ordinal
--   $3 generation    $6 codes, text[], one per ordinal      $9 whether to return the new ordinals
--
-- Returns one row (state, is_current, paused, first, quantity, inserted, ordinals), or none if
-- there is no such job. Items were inserted only if the claim is current, the job is not paused,
-- and all ordinals belong to it. `inserted` counts the new items. `ordinals` lists them if $9 is
-- true and some existed before.
--
-- One statement, so that the check, the rows and the count commit together. It locks the job and no
-- other row, so chunks of one batch do not wait for each other's commit. A cancel or a pause marks
-- the active jobs, and so waits for chunks that are in progress.
--
-- A plain insert of the missing rows is a third faster than an upsert. It is enough, because only
-- the session that locks the job inserts its items. No row at or beyond written_to was ever
-- inserted, so usually nothing is looked up. If an earlier claim's chunk is committed while this
-- statement waits for the job, the insert may meet a row that its snapshot does not show. The
-- primary key then rejects it, and the caller repeats the statement.

WITH job AS MATERIALIZED (
    SELECT state, generation = $3 AND epoch = $4
        AND state = 'active' AS is_current, paused, first, quantity, written_to
    FROM jobs
    WHERE batch = $1 AND seq = $2
    FOR NO KEY UPDATE
), inserted AS (
    INSERT INTO items (batch, ordinal, code)
    SELECT $1, item.ordinal, item.code
    FROM job, unnest($5::bigint[], $6::text[]) AS item (ordinal, code)
    WHERE job.is_current AND NOT job.paused AND $7 >= job.first AND $8 < job.first + job.quantity
      AND (item.ordinal >= job.written_to
           OR NOT EXISTS (SELECT FROM items there WHERE there.batch = $1 AND there.ordinal = item.ordinal))
    RETURNING ordinal
), new AS MATERIALIZED (
    SELECT count(*) AS inserted, array_agg(ordinal) FILTER (WHERE $9) AS ordinals FROM inserted
), counted AS (
    UPDATE jobs
    SET created = created + new.inserted, written_to = greatest(written_to, $8 + 1), crashes = 0
    FROM new
    WHERE batch = $1 AND seq = $2 AND new.inserted > 0
)
SELECT job.state, job.is_current, job.paused, job.first, job.quantity, new.inserted,
       CASE WHEN new.inserted < cardinality($5::bigint[]) THEN new.ordinals END AS ordinals
FROM job, new
