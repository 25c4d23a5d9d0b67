-- open_jobs: the oldest batches that have a waiting or active job.
--
--   $1 maximum number of batches    $2 stop counting the jobs of a batch at this number
--
-- All jobs of a pending batch are open. For other batches the jobs are counted, because summaries
-- lag many jobs behind when jobs are short. Counts batch by batch in the order of an index: EXISTS
-- could become a join that reads all jobs.

SELECT b.id, open.jobs AS ready
FROM batches b
CROSS JOIN LATERAL (
    SELECT CASE WHEN b.status = 'pending' THEN least(b.jobs, $2) ELSE (
        SELECT count(*)
        FROM (SELECT FROM jobs WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL
            ORDER BY seq LIMIT $2) job
    ) END AS jobs
    OFFSET 0 -- prevents counting twice, since it is named twice below
) open
WHERE b.jobs > 0 AND b.status IN ('pending', 'running') AND open.jobs > 0
ORDER BY b.created_at, b.id
LIMIT $1
