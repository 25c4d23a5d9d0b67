-- write: reads whether a hold is good, and which ordinals it is for.
--
--   ?1 batch             ?3 generation
--   ?2 job's number      ?4 epoch
--
-- Returns (held, status, first, quantity, created), or no row when there is no such job.

SELECT j.state = 'active' AND j.generation = ?3 AND j.epoch = ?4 AS held, b.status, j.first, j.quantity, j.created
FROM batch_jobs j
JOIN batch_batches b ON b.id = j.batch
WHERE j.batch = ?1 AND j.seq = ?2
