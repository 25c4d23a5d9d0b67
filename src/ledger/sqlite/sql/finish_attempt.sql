-- settle: records how an attempt ended, if its hold is good.
--
--   ?1 batch            ?4 epoch            ?7 not before       ?10 now, when the job is over
--   ?2 job's number     ?5 state            ?8 error
--   ?3 generation       ?6 attempts more    ?9 chunks, JSON   ?11 time worked, milliseconds
--
-- Given back, a job keeps the error that it had: as if it had not been begun. Completed, it has
-- lost no worker in vain.

UPDATE batch_jobs
SET state = ?5,
    attempts = attempts + ?6,
    crashes = CASE ?5 WHEN 'completed' THEN 0 ELSE crashes END,
    not_before = ?7,
    error = CASE ?5 WHEN 'waiting' THEN error ELSE ?8 END,
    chunks = CASE ?5 WHEN 'waiting' THEN chunks ELSE ?9 END,
    finished_at = ?10,
    worked_ms = worked_ms + ?11
WHERE batch = ?1 AND seq = ?2 AND generation = ?3 AND epoch = ?4 AND state = 'active'
