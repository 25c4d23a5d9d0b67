-- insert_and_complete: inserts the last chunk of a job and completes the job, if its claim is
-- current and all other items exist.
--
--   $1 batch         $4 epoch                               $7 smallest ordinal
--   $2 job number    $5 ordinals, bigint[]                  $8 largest ordinal
--   $3 generation    $6 codes, text[], one per ordinal      $9 time worked, milliseconds
--
-- Affects as many rows as it inserts: all of them, or none. None if the claim is not current, the
-- job is paused, an ordinal may exist already, or another item is missing. insert_next_chunk.sql
-- and finish_attempt.sql handle those cases.
--
-- Changes the job and no other row, so jobs of one batch do not wait for each other.

WITH job AS (
    UPDATE jobs
    SET created = quantity, written_to = first + quantity, crashes = 0, state = 'completed',
        worked_ms = worked_ms + $9,
        not_before = NULL, error = NULL, error_group = NULL, failed_chunks = NULL, finished_at = now()
    WHERE batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4 AND state = 'active' AND NOT paused
      AND $7 >= written_to AND $7 >= first AND $8 < first + quantity
      AND created + cardinality($5::bigint[]) = quantity
    RETURNING batch
)
INSERT INTO items (batch, ordinal, code)
SELECT job.batch, item.ordinal, item.code
FROM job, unnest($5::bigint[], $6::text[]) AS item (ordinal, code)
