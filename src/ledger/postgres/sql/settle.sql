-- settle: puts down how an attempt ended, if its hold is good, and hands in what it wrote.
--
--   $1 batch            $4 epoch            $7 not before       $10 whether the job is over
--   $2 job's number     $5 state            $8 error            $11 time worked, milliseconds
--   $3 generation       $6 attempts more    $9 chunks, JSON
--
-- Returns one row (round, open_jobs) of its batch, or none when the hold is not good.
--
-- Given back, a job keeps the error that it had: as if it had not been begun. Completed, it has lost no worker in vain. The batch is locked
-- first, so of two last jobs the second sees what the first one left.
--
-- Its commit does not wait for the flush, so the batch is free again at once for the next job of it. Nothing is lost with it but work: see
-- decision 0012.

WITH batch AS MATERIALIZED (
    SELECT id, set_config('synchronous_commit', 'off', true) FROM batches WHERE id = $1 FOR NO KEY UPDATE
), job AS MATERIALIZED (
    SELECT j.seq, j.created - j.counted AS fresh
    FROM batch
    JOIN jobs j ON j.batch = batch.id
    WHERE j.seq = $2 AND j.generation = $3 AND j.epoch = $4 AND j.state = 'active'
    FOR NO KEY UPDATE OF j
), settled AS (
    UPDATE jobs
    SET state = $5,
        attempts = attempts + $6,
        crashes = CASE $5 WHEN 'completed' THEN 0 ELSE crashes END,
        not_before = $7,
        error = CASE $5 WHEN 'waiting' THEN error ELSE $8 END,
        chunks = CASE $5 WHEN 'waiting' THEN chunks ELSE $9::text::json END,
        finished_at = CASE WHEN $10 THEN now() END,
        counted = created,
        paused = false
    FROM job
    WHERE jobs.batch = $1 AND jobs.seq = job.seq
)
UPDATE batches
SET open_jobs = open_jobs - CASE WHEN $10 THEN 1 ELSE 0 END,
    items_created = items_created + job.fresh,
    worked_ms = worked_ms + $11,
    version = version + 2 + job.fresh
FROM job
WHERE id = $1
RETURNING round, open_jobs
