-- summarize: deletes outdated summaries of batches that this process has just counted.
--
--   $1 batches, bigint[]                 $3 age of an outdated row, milliseconds
--   $2 process that counted them         $4 maximum number of rows
--
-- Adds the versions of deleted rows to the process's own row, so that the batch's version never
-- decreases. Waits for no lock: locked rows are left for the next call. A row from the future,
-- written while the clock was wrong, is deleted too, because readers would take it for the latest.

WITH outdated AS MATERIALIZED (
    SELECT batch, process
    FROM summaries
    WHERE batch = ANY ($1) AND process <> $2
      AND counted_at NOT BETWEEN now() - $3::bigint * interval '1 millisecond'
      AND now() + $3::bigint * interval '1 millisecond'
    LIMIT $4
    FOR UPDATE SKIP LOCKED
), own AS MATERIALIZED (
    SELECT batch FROM summaries WHERE batch = ANY ($1) AND process = $2 FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM summaries s
    USING outdated JOIN own USING (batch)
    WHERE s.batch = outdated.batch AND s.process = outdated.process
    RETURNING s.batch, s.version
)
UPDATE summaries s
SET version = s.version + deleted.version
FROM (SELECT batch, sum(version)::bigint AS version FROM deleted GROUP BY batch) deleted
WHERE s.batch = deleted.batch AND s.process = $2
