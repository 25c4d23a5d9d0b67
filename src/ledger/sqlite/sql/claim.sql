-- claim: claims a job and fences every earlier claim.
--
--   ?1 batch         ?3 new number of crashes    ?5 finished attempts acknowledged by the queue
--   ?2 job number    ?4 now

UPDATE rocket_batch_jobs
SET state = 'active', epoch = epoch + 1, crashes = ?3, not_before = NULL, claimed_at = ?4, acknowledged = ?5
WHERE batch = ?1 AND seq = ?2
