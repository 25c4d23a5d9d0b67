-- claim: reads a job and its batch.
--
--   $1 batch    $2 job number

SELECT j.generation, j.state, j.epoch, j.first, j.quantity, j.attempts, j.crashes, j.acknowledged, j.error, j.token,
       b.status, b.history <> 'complete' AS history_removed, b.jobs AS jobs_in_batch, b.prefix, b.key_fingerprint,
       b.traceparent
FROM jobs j
JOIN batches b ON b.id = j.batch
WHERE j.batch = $1 AND j.seq = $2
