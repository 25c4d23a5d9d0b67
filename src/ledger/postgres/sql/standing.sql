-- settle: where a job stands, if nobody began or recreated it since, and what its batch says.
--
--   $1 batch    $2 job's number    $3 generation    $4 epoch

SELECT j.state, b.round, b.open_jobs, b.finished_at IS NOT NULL AS over
FROM jobs j
JOIN batches b ON b.id = j.batch
WHERE j.batch = $1 AND j.seq = $2 AND j.generation = $3 AND j.epoch = $4
