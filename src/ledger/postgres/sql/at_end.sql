-- at_end: which of some batches were begun and have no open job any more.
--
--   $1 batches, bigint[]
--
-- Returns the task that closes each (id, round). Whoever asks after it ended a job sees that end,
-- so of two who end the last jobs at once at least one finds the batch. Batch by batch and in the
-- order of an index, and not with EXISTS: that may become a join, which reads all jobs.

SELECT b.id, b.round
FROM batches b
WHERE b.id = ANY ($1::bigint[]) AND b.jobs > 0 AND b.status IN ('running', 'paused')
  AND (SELECT seq FROM jobs WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL ORDER BY seq LIMIT 1) IS NULL
  AND (SELECT seq FROM jobs WHERE batch = b.id AND not_before IS NOT NULL ORDER BY not_before LIMIT 1) IS NULL
