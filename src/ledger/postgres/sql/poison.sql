-- begin: gives a job up that lost its worker too often, if it still is as it was read.
--
--   $1 batch            $3 generation    $5 job's state        $7 crashes, this one included
--   $2 job's number     $4 epoch         $6 crashes as read    $8 why
--   $9 ends that the queue was told
--
-- Returns one row (round, open_jobs) of its batch, or none when the job changed meanwhile.
--
-- Raises the epoch as a begin does: the worker that was lost may come back, and its hold must not be good.

WITH batch AS MATERIALIZED (
    SELECT id FROM batches WHERE id = $1 AND status IN ('pending', 'running') FOR NO KEY UPDATE
), job AS MATERIALIZED (
    SELECT j.seq, j.created - j.counted AS fresh
    FROM batch
    JOIN jobs j ON j.batch = batch.id
    WHERE j.seq = $2 AND j.generation = $3 AND j.epoch = $4 AND j.state = $5 AND j.crashes = $6
    FOR NO KEY UPDATE OF j
), failed AS (
    UPDATE jobs
    SET state = 'failed', epoch = epoch + 1, crashes = $7, error = $8, acknowledged = $9, chunks = NULL, counted = created, paused = false,
        finished_at = now()
    FROM job
    WHERE jobs.batch = $1 AND jobs.seq = job.seq
)
UPDATE batches
SET open_jobs = open_jobs - 1, items_created = items_created + job.fresh, version = version + 2 + job.fresh
FROM job
WHERE id = $1
RETURNING round, open_jobs
