-- open_jobs: lets no job wait longer for its next attempt than any backoff is, whatever the clock said when it was delayed.
--
--   $1 the longest backoff, milliseconds
--
-- There are none, but after the clock of the server was wrong. Jobs in somebody's hands are left for the next time.

UPDATE jobs
SET not_before = now() + $1::bigint * interval '1 millisecond'
FROM (
    SELECT batch, seq
    FROM jobs
    WHERE state = 'delayed' AND not_before > now() + $1::bigint * interval '1 millisecond'
    LIMIT 1000
    FOR NO KEY UPDATE SKIP LOCKED
) AS late
WHERE jobs.batch = late.batch AND jobs.seq = late.seq
