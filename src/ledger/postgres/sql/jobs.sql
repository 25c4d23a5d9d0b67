-- jobs: one page of the jobs of a batch, optionally of one state.
--
--   $1 batch                      $3 last job number to look at    $5 maximum number of jobs
--   $2 first job number           $4 state, or NULL for all

SELECT seq, generation, first, quantity, created, state, attempts, crashes, claimed_at, finished_at, not_before, error
FROM jobs
WHERE batch = $1 AND seq BETWEEN $2 AND $3 AND ($4::text IS NULL OR state = $4)
ORDER BY seq
LIMIT $5
