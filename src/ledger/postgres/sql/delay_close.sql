-- close, plan: stores that the finish hook of the host failed, unless the batch has open jobs
-- again.
--
--   $1 batch    $2 failed calls    $3 time until it may be called again, ms    $4 error

UPDATE batches
SET close_tries = $2, close_not_before = clock_timestamp() + $3::bigint * interval '1 ms', close_error = $4,
    version = version + 1
WHERE id = $1
  AND (
      SELECT seq FROM jobs WHERE batch = $1 AND finished_at IS NULL AND not_before IS NULL ORDER BY seq LIMIT 1
  ) IS NULL
  AND (SELECT seq FROM jobs WHERE batch = $1 AND not_before IS NOT NULL ORDER BY not_before LIMIT 1) IS NULL
