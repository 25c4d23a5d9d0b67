-- failed_jobs: one page of the failed jobs of a batch. The caller fetches rows until the page is
-- full.
--
--   $1 batch                                   $3 maximum number of jobs
--   $2 last job number of the previous page    $4 group of errors, or NULL for all

SELECT seq, generation, first, quantity, created, attempts, crashes, error,
    coalesce(failed_chunks::text, '{}') AS failed_chunks,
       claimed_at, finished_at
FROM jobs
WHERE batch = $1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL AND seq > $2
  AND ($4::text IS NULL OR error_group = $4)
ORDER BY seq
LIMIT $3
