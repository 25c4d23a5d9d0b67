-- write: inserts one chunk of a job past all that was written of it, if the hold is good.
--
--   $1 batch            $3 generation    $5 ordinals, bigint[]                  $7 the least ordinal
--   $2 job's number     $4 epoch         $6 codes, text[], as many as ordinals  $8 the largest ordinal
--
-- Returns nothing; as many rows were written as it affects: all of them, or none. None, when the
-- hold is not good, the job is paused, an ordinal is not the job's, or one of them may have been
-- written before: `write.sql` says which it is.
--
-- This is nearly every chunk, and less work than the other statement: the job is locked by its
-- update, which other holders wait for and then see, and no row needs to be looked up, since from
-- written_to on none was ever written.

WITH job AS (
    UPDATE jobs
    SET created = created + cardinality($5::bigint[]), written_to = $8 + 1, crashes = 0
    WHERE batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4 AND state = 'active' AND NOT paused
      AND $7 >= first AND $7 >= written_to AND $8 < first + quantity
    RETURNING batch
)
INSERT INTO items (batch, ordinal, code)
SELECT job.batch, item.ordinal, item.code
FROM job, unnest($5::bigint[], $6::text[]) AS item (ordinal, code)
