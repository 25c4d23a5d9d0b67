-- open_jobs: the batches with the fewest open jobs that have a waiting or active job.
--
--   ?1 maximum number of batches    ?2 stop counting the jobs of a batch at this number
--
-- All jobs of a pending batch are open, and an index orders pending batches by that number. Running
-- batches are ordered by their latest summary. Reads only the 1,000 with the lowest ids: the
-- feeder's window keeps fewer running, unless many were paused and resumed. Returns (id, ready):
-- `ready` is the number of waiting and active jobs.

SELECT id, CASE WHEN pending THEN min(open, ?2) ELSE (
    SELECT count(*) FROM (
        SELECT 1 FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_to_work
        WHERE batch = smallest.id AND finished_at IS NULL AND not_before IS NULL
        LIMIT ?2
    )
) END AS ready
FROM (
    SELECT id, open, pending
    FROM (
        SELECT * FROM (
            SELECT id, jobs AS open, true AS pending
            FROM rocket_batch_batches INDEXED BY rocket_batch_batches_pending
            WHERE jobs > 0 AND status = 'pending'
            ORDER BY jobs, id
            LIMIT ?1
        )
        UNION ALL
        SELECT * FROM (
            SELECT b.id, coalesce(
                (SELECT waiting + active + delayed FROM rocket_batch_summaries WHERE batch = b.id
                    ORDER BY counted_at DESC LIMIT 1),
                b.jobs
            ) AS open, false AS pending
            FROM (
                SELECT id, jobs
                FROM rocket_batch_batches INDEXED BY rocket_batch_batches_by_status
                WHERE jobs > 0 AND status = 'running'
                ORDER BY id
                LIMIT 1000
            ) b
            WHERE EXISTS (
                SELECT 1 FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_to_work WHERE batch = b.id
                    AND finished_at IS NULL AND not_before IS NULL
            )
            ORDER BY open, b.id
            LIMIT ?1
        )
    )
    ORDER BY open, id
    LIMIT ?1
) AS smallest
ORDER BY open, id
