-- insert_chunk: reads whether a claim is current, and the range of its job.
--
--   ?1 batch         ?3 generation
--   ?2 job number    ?4 epoch
--
-- Returns (is_current, status, first, quantity, created), or no row if there is no such job.

SELECT j.state = 'active' AND j.generation = ?3
    AND j.epoch = ?4 AS is_current, b.status, j.first, j.quantity, j.created
FROM rocket_batch_jobs j
JOIN rocket_batch_batches b ON b.id = j.batch
WHERE j.batch = ?1 AND j.seq = ?2
