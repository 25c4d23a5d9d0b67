-- open_jobs: the next jobs of some batches.
--
--   $1 batches, bigint[]    $2 from which number on their jobs were not offered yet, bigint[]    $3 at most so many of each, bigint[]
--
-- Active ones are among them, since the queue may have lost them. Ranks count from the first job
-- that waits or is active.

SELECT b.id AS batch, j.seq, j.generation, j.first, j.quantity, j.attempts, j.seq - head.seq AS rank
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS b (id, offered_to, most, place)
CROSS JOIN LATERAL (
    SELECT seq FROM jobs WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL ORDER BY seq LIMIT 1
) head
CROSS JOIN LATERAL (
    SELECT seq, generation, first, quantity, attempts
    FROM jobs
    WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL AND seq >= b.offered_to
    ORDER BY seq
    LIMIT b.most
) j
ORDER BY b.place, j.seq
