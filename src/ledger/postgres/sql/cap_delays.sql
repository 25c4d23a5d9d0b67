-- open_jobs: shortens delays that exceed the longest backoff.
--
--   $1 longest backoff, milliseconds
--
-- Such delays exist only if the server's clock was wrong for a while. Jobs locked by another
-- session are skipped until the next call. Jobs of a paused batch are left alone until it runs.

UPDATE jobs
SET not_before = now() + $1::bigint * interval '1 millisecond'
FROM (
    SELECT j.batch, j.seq
    FROM batches b
    CROSS JOIN LATERAL (
        SELECT batch, seq
        FROM jobs
        WHERE batch = b.id AND not_before IS NOT NULL AND not_before > now() + $1::bigint * interval '1 millisecond'
        ORDER BY not_before
        LIMIT 1000
        FOR NO KEY UPDATE SKIP LOCKED
    ) j
    WHERE b.status = 'running'
    LIMIT 1000
) AS too_late
WHERE jobs.batch = too_late.batch AND jobs.seq = too_late.seq
