-- open_jobs: the next jobs of some batches.
--
--   $1 batches, bigint[]
--   $2 first job number not yet offered, per batch, bigint[]
--   $3 maximum number of jobs, per batch, bigint[]
--
-- Includes active jobs, since the queue may have lost them. `head` is the first waiting or active
-- job of the batch, from which ranks count.

SELECT b.id AS batch, j.seq, j.generation, j.first, j.quantity, j.attempts, head.seq AS head
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS b (id, offered_to, job_limit, position)
CROSS JOIN LATERAL (
    SELECT seq FROM jobs WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL ORDER BY seq LIMIT 1
) head
CROSS JOIN LATERAL (
    SELECT seq, generation, first, quantity, attempts
    FROM jobs
    WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL AND seq >= b.offered_to
    ORDER BY seq
    LIMIT b.job_limit
) j
ORDER BY b.position, j.seq
