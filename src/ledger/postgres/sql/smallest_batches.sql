-- open_jobs: the batches with the fewest open jobs that have a waiting or active job.
--
--   $1 maximum number of batches    $2 stop counting the jobs of a batch at this number
--
-- All jobs of a pending batch are open, and an index orders pending batches by that number. Running
-- batches are ordered by their latest summary. Reads only the 1,000 with the lowest ids: the
-- feeder's window keeps fewer running, unless many were paused and resumed. Returns (id, ready):
-- `ready` is the number of waiting and active jobs.

SELECT id, CASE WHEN pending THEN least(open, $2) ELSE (
    SELECT count(*)
    FROM (
        SELECT FROM jobs WHERE batch = smallest.id AND finished_at IS NULL AND not_before IS NULL
            ORDER BY seq LIMIT $2
    ) job
) END AS ready
FROM (
    SELECT id, open, pending
    FROM (
        (
            SELECT id, jobs AS open, true AS pending FROM batches WHERE jobs > 0
                AND status = 'pending' ORDER BY jobs, id LIMIT $1
        ) UNION ALL (
            SELECT b.id, coalesce(s.open, b.jobs) AS open, false AS pending
            FROM (SELECT id, jobs FROM batches WHERE jobs > 0 AND status = 'running' ORDER BY id LIMIT 1000) b
            LEFT JOIN LATERAL (
                SELECT waiting + active + delayed AS open FROM summaries WHERE batch = b.id
                    ORDER BY counted_at DESC LIMIT 1
            ) s ON true
            CROSS JOIN LATERAL (
                SELECT FROM jobs WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL
                    ORDER BY seq LIMIT 1
            ) job
            ORDER BY open, id
            LIMIT $1
        )
    ) AS batch
    ORDER BY open, id
    LIMIT $1
) AS smallest
ORDER BY open, id
