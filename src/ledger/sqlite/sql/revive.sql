-- begin: lets a failed job wait again that was put back by hand, in its generation and with the
-- attempts that it made.
--
--   ?1 batch    ?2 job's number

UPDATE batch_jobs
SET state = 'waiting', crashes = 0, error = NULL, chunks = NULL, finished_at = NULL
WHERE batch = ?1 AND seq = ?2
