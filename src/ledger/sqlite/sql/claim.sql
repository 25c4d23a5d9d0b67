-- begin: puts a job into a worker's hands and fences every earlier one.
--
--   ?1 batch    ?2 job's number    ?3 crashes, this one included    ?4 now    ?5 ends that the queue was told

UPDATE batch_jobs
SET state = 'active', epoch = epoch + 1, crashes = ?3, not_before = NULL, begun_at = ?4, acknowledged = ?5
WHERE batch = ?1 AND seq = ?2
