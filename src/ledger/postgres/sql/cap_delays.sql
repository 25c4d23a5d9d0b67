-- open_jobs: lets no job wait longer for its next attempt than any backoff is, whatever the clock
-- said when it was delayed.
--
--   $1 the longest backoff, milliseconds
--
-- There are none, but after the clock of the server was wrong. Jobs that another session has locked
-- are left for the next time, and those of a paused batch until it runs.

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
) AS late
WHERE jobs.batch = late.batch AND jobs.seq = late.seq
