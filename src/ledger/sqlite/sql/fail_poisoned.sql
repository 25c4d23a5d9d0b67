-- claim: fails a job whose workers crashed too often.
--
--   ?1 batch         ?3 new number of crashes    ?5 now
--   ?2 job number    ?4 error                    ?6 finished attempts acknowledged by the queue
--                                                ?7 group of the error
--
-- Raises the epoch as a claim does, so that a lost worker is fenced if it returns.

UPDATE rocket_batch_jobs
SET state = 'failed', epoch = epoch + 1, crashes = ?3, error = ?4, error_group = ?7, failed_chunks = NULL,
    not_before = NULL, finished_at = ?5, acknowledged = ?6
WHERE batch = ?1 AND seq = ?2
