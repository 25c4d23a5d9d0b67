-- summarize: removes rows of these batches that processes left behind, and that a process has
-- counted anew.
--
--   $1 batches, bigint[]    $2 process that counted them    $3 so old is left behind, milliseconds    $4 at most so many rows
--
-- Their versions go to the row of the process, so that the version of the batch grows on. It waits
-- for no lock, and what it can't lock stays for the next time. A row that the clock puts in the
-- future goes too: readers would take it for the newest until then.

WITH old AS MATERIALIZED (
    SELECT batch, process
    FROM summaries
    WHERE batch = ANY ($1) AND process <> $2
      AND counted_at NOT BETWEEN now() - $3::bigint * interval '1 millisecond' AND now() + $3::bigint * interval '1 millisecond'
    LIMIT $4
    FOR UPDATE SKIP LOCKED
), heir AS MATERIALIZED (
    SELECT batch FROM summaries WHERE batch = ANY ($1) AND process = $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM summaries s
    USING old JOIN heir USING (batch)
    WHERE s.batch = old.batch AND s.process = old.process
    RETURNING s.batch, s.version
)
UPDATE summaries s
SET version = s.version + gone.version
FROM (SELECT batch, sum(version)::bigint AS version FROM gone GROUP BY batch) gone
WHERE s.batch = gone.batch AND s.process = $2
