-- begin: reads a job with what its batch says about it.
--
--   $1 batch    $2 job's number

SELECT j.generation, j.state, j.epoch, j.first, j.quantity, j.attempts, j.crashes, j.acknowledged, j.error, j.token,
       b.status, b.history <> 'whole' AS history_removed, b.prefix, b.key_fingerprint
FROM jobs j
JOIN batches b ON b.id = j.batch
WHERE j.batch = $1 AND j.seq = $2
