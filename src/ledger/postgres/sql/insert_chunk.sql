-- write: inserts what is missing of one chunk of a job, if the hold is good; comes after
-- `write_next.sql`, when that wrote nothing.
--
--   $1 batch            $3 generation    $5 ordinals, bigint[]                  $7 the least ordinal
--   $2 job's number     $4 epoch         $6 codes, text[], as many as ordinals  $8 the largest ordinal
--
--   $9 whether to say which were new
--
-- Returns one row (state, held, paused, first, quantity, written, ordinals), or none when there is
-- no such job. Items were written only when it is held, not paused, and all ordinals are the job's;
-- written counts those that were not there before, and ordinals says which they were, when it is
-- asked and not all of them were.
--
-- One statement, so that the check, the rows and the count commit together or not at all. It locks
-- the job and nothing else: chunks of one batch don't wait for each other's commit. Whoever cancels
-- or pauses a batch puts it down in its active jobs, and so waits for the chunks that are under
-- way.
--
-- A plain insert of what is not there, and no upsert, which costs a third more: whoever has the job
-- locked is the only one to write its items. Ordinals from written_to on were never written, so
-- mostly nothing is looked up. If an earlier holder's chunk was committed while this statement
-- waited for the job, it may try a row that it could not see; the primary key says so, and the
-- caller repeats it.

WITH job AS MATERIALIZED (
    SELECT state, generation = $3 AND epoch = $4 AND state = 'active' AS held, paused, first, quantity, written_to
    FROM jobs
    WHERE batch = $1 AND seq = $2
    FOR NO KEY UPDATE
), written AS (
    INSERT INTO items (batch, ordinal, code)
    SELECT $1, item.ordinal, item.code
    FROM job, unnest($5::bigint[], $6::text[]) AS item (ordinal, code)
    WHERE job.held AND NOT job.paused AND $7 >= job.first AND $8 < job.first + job.quantity
      AND (item.ordinal >= job.written_to
           OR NOT EXISTS (SELECT FROM items there WHERE there.batch = $1 AND there.ordinal = item.ordinal))
    RETURNING ordinal
), new AS MATERIALIZED (
    SELECT count(*) AS written, array_agg(ordinal) FILTER (WHERE $9) AS ordinals FROM written
), counted AS (
    UPDATE jobs
    SET created = created + new.written, written_to = greatest(written_to, $8 + 1), crashes = 0
    FROM new
    WHERE batch = $1 AND seq = $2 AND new.written > 0
)
SELECT job.state, job.held, job.paused, job.first, job.quantity, new.written,
       CASE WHEN new.written < cardinality($5::bigint[]) THEN new.ordinals END AS ordinals
FROM job, new
