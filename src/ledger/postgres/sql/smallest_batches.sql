-- open_jobs: the batches with the fewest open jobs, of those that have a job to work.
--
--   $1 at most so many    $2 counts the jobs of each no further than this
--
-- Of one that was never begun all jobs are open, and an index has them in order. Those that run are
-- counted in their summaries, and the first thousand of them are looked at: so many run only when
-- most of them were paused and resumed.

SELECT id, CASE WHEN pending THEN least(open, $2) ELSE (
    SELECT count(*)
    FROM (
        SELECT FROM jobs WHERE batch = smallest.id AND finished_at IS NULL AND not_before IS NULL ORDER BY seq LIMIT $2
    ) job
) END AS ready
FROM (
    SELECT id, open, pending
    FROM (
        (
            SELECT id, jobs AS open, true AS pending FROM batches WHERE jobs > 0 AND status = 'pending' ORDER BY jobs, id LIMIT $1
        ) UNION ALL (
            SELECT b.id, coalesce(s.open, b.jobs) AS open, false AS pending
            FROM (SELECT id, jobs FROM batches WHERE jobs > 0 AND status = 'running' ORDER BY id LIMIT 1000) b
            LEFT JOIN LATERAL (
                SELECT waiting + active + delayed AS open FROM summaries WHERE batch = b.id ORDER BY counted_at DESC LIMIT 1
            ) s ON true
            CROSS JOIN LATERAL (
                SELECT FROM jobs WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL ORDER BY seq LIMIT 1
            ) job
            ORDER BY open, id
            LIMIT $1
        )
    ) AS batch
    ORDER BY open, id
    LIMIT $1
) AS smallest
ORDER BY open, id
