-- failed_jobs: the failed jobs of a batch, page by page. They are read in portions, until the page
-- is full.
--
--   $1 batch    $2 the last number of the page before    $3 at most so many

SELECT seq, generation, first, quantity, created, attempts, crashes, error, coalesce(chunks::text, '{}') AS chunks,
       begun_at, finished_at
FROM jobs
WHERE batch = $1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL AND seq > $2
ORDER BY seq
LIMIT $3
