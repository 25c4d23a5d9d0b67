-- summarize: which of these batches are open, and whether another process has just counted them.
--
--   $1 batches, bigint[]    $2 process    $3 how long a count stays fresh, milliseconds
--
-- Returns (id, jobs, counted). A count from the future is not fresh: the clock was set back since.

SELECT id, jobs, EXISTS (
    SELECT FROM summaries
    WHERE batch = b.id AND process <> $2
      AND counted_at BETWEEN statement_timestamp() - $3::bigint * interval '1 millisecond' AND statement_timestamp()
) AS counted
FROM batches b
WHERE id = ANY ($1) AND jobs > 0 AND finished_at IS NULL
ORDER BY id
