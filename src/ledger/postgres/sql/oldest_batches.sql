-- open_jobs: the batches that came first, of those that have a job to work.
--
--   $1 at most so many    $2 counts the jobs of each no further than this
--
-- Of one that was never begun all jobs are open. Of the others the jobs are counted themselves:
-- summaries lag behind by many jobs where jobs are short. That is done batch by batch and in the
-- order of an index, and not with EXISTS, which may become a join that reads all jobs.

SELECT b.id, open.jobs AS ready
FROM batches b
CROSS JOIN LATERAL (
    SELECT CASE WHEN b.status = 'pending' THEN least(b.jobs, $2) ELSE (
        SELECT count(*)
        FROM (SELECT FROM jobs WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL ORDER BY seq LIMIT $2) job
    ) END AS jobs
    OFFSET 0 -- so that it is counted once, though it is named twice below
) open
WHERE b.jobs > 0 AND b.status IN ('pending', 'running') AND open.jobs > 0
ORDER BY b.created_at, b.id
LIMIT $1
