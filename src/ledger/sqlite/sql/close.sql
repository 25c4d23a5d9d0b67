-- close, steer, plan: ends a batch and keeps the counts of its jobs, also when it was never given any.
--
--   ?1 batch     ?3 error    ?5 completed    ?7 cancelled
--   ?2 status    ?4 now      ?6 failed

UPDATE batch_batches
SET status = ?2, error = ?3, finished_at = ?4, completed = ?5, failed = ?6, cancelled = ?7,
    jobs = coalesce(jobs, 0), open_jobs = 0, round = round + 1, version = version + 1
WHERE id = ?1
