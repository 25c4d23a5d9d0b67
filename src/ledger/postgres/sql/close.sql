-- close, steer, plan: ends a batch and keeps the counts of its jobs, also when it was never given any.
--
--   $1 batch     $3 error        $5 failed       $7 items handed in now
--   $2 status    $4 completed    $6 cancelled    $8 how much higher the version is

UPDATE batches
SET status = $2, error = $3, finished_at = now(), completed = $4, failed = $5, cancelled = $6,
    items_created = items_created + $7, jobs = coalesce(jobs, 0), open_jobs = 0,
    round = round + 1, version = version + $8
WHERE id = $1
