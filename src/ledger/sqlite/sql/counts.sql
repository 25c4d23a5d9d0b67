-- batch, close, summarize: counts the jobs of a batch by state.
--
--   ?1 batch

SELECT state, count(*) AS jobs, sum(created) AS items_created, sum(worked_ms) AS worked_ms
FROM rocket_batch_jobs
WHERE batch = ?1
GROUP BY state
