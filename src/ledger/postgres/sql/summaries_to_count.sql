-- summarize: which of these batches are open, and so are to be counted.
--
--   $1 batches, bigint[]    $2 process    $3 so long a count is good for everybody, milliseconds
--
-- Returns their numbers of jobs, and whether another process counted them within that time. One
-- that the clock puts in the future does not count: the clock was set back since.

SELECT id, jobs, EXISTS (
    SELECT FROM summaries
    WHERE batch = b.id AND process <> $2
      AND counted_at BETWEEN statement_timestamp() - $3::bigint * interval '1 millisecond' AND statement_timestamp()
) AS counted
FROM batches b
WHERE id = ANY ($1) AND jobs > 0 AND finished_at IS NULL
ORDER BY id
