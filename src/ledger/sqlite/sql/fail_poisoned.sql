-- begin: gives a job up that lost its worker too often.
--
--   ?1 batch    ?2 job's number    ?3 crashes, this one included    ?4 why    ?5 now
--   ?6 ends that the queue was told
--
-- Raises the epoch as a begin does: the worker that was lost may come back, and its hold must not
-- be good.

UPDATE batch_jobs
SET state = 'failed', epoch = epoch + 1, crashes = ?3, error = ?4, chunks = NULL, not_before = NULL, finished_at = ?5,
    acknowledged = ?6
WHERE batch = ?1 AND seq = ?2
