-- insert_and_complete: inserts the last chunk of a job and completes it, if its hold is good and
-- all other items exist.
--
--   $1 batch            $3 generation    $5 ordinals, bigint[]                  $7 the least ordinal    $9 time worked, milliseconds
--   $2 job's number     $4 epoch         $6 codes, text[], as many as ordinals  $8 the largest ordinal
--
-- Returns nothing; as many rows were written as it affects: all of them, or none. None, when the
-- hold is not good, the job is paused, an ordinal may have been written before, or another item is
-- missing: `write_next.sql` and `settle.sql` find out what there is to do.
--
-- It changes the job and nothing else, so jobs of one batch don't wait for each other.

WITH job AS (
    UPDATE jobs
    SET created = quantity, written_to = first + quantity, crashes = 0, state = 'completed', worked_ms = worked_ms + $9,
        not_before = NULL, error = NULL, chunks = NULL, finished_at = now()
    WHERE batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4 AND state = 'active' AND NOT paused
      AND $7 >= written_to AND $7 >= first AND $8 < first + quantity AND created + cardinality($5::bigint[]) = quantity
    RETURNING batch
)
INSERT INTO items (batch, ordinal, code)
SELECT job.batch, item.ordinal, item.code
FROM job, unnest($5::bigint[], $6::text[]) AS item (ordinal, code)
