-- create, plan: counts the jobs of other batches that will be worked in between those of a new batch.
--
--   ?1 jobs of the new batch
--
-- Batches take turns, so each of the others puts in at most as many as the new one has. One that is not planned yet has none.

SELECT coalesce(sum(min(open_jobs, ?1)), 0)
FROM batch_batches
WHERE status IN ('pending', 'running') AND open_jobs > 0
