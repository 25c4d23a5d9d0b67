-- job_map: the cells of the map of a batch's jobs, in the order of the job numbers.
--
--   ?1 batch    ?2 number of jobs in each cell
--
-- Returns (attention): the lowest position of the state of a job of the cell in
-- `JobState::BY_ATTENTION`.

SELECT min(CASE state WHEN 'failed' THEN 0 WHEN 'active' THEN 1 WHEN 'delayed' THEN 2 WHEN 'waiting' THEN 3
                      WHEN 'cancelled' THEN 4 ELSE 5 END) AS attention
FROM rocket_batch_jobs
WHERE batch = ?1
GROUP BY seq / ?2
ORDER BY seq / ?2
