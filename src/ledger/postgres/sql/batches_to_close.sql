-- batches_to_close: finds the started batches, of those given, that have no open job, and that need
-- not wait for another call of the host's finish hook.
--
--   $1 batches, bigint[]    $2 the longest possible time until that call, ms
--
-- Returns (id, round), one row for each batch to close. A caller that runs this after it finished a
-- job sees that job as finished. So when two callers finish the last two jobs at once, at least one
-- of them finds the batch.
--
-- Reads each batch through its index. EXISTS could become a join that reads all jobs.

SELECT b.id, b.round
FROM batches b
WHERE b.id = ANY ($1::bigint[]) AND b.jobs > 0 AND b.status IN ('running', 'paused')
  AND (b.close_not_before IS NULL OR b.close_not_before <= now()
      OR b.close_not_before > now() + $2::bigint * interval '1 ms')
  AND (
      SELECT seq FROM jobs WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL ORDER BY seq LIMIT 1
  ) IS NULL
  AND (SELECT seq FROM jobs WHERE batch = b.id AND not_before IS NOT NULL ORDER BY not_before LIMIT 1) IS NULL
