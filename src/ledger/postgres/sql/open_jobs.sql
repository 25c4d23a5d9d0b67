-- open_work: the first open jobs of some batches.
--
--   $1 batches, bigint[]    $2 at most so many of each, bigint[]

SELECT b.id AS batch, j.seq, j.generation, j.first, j.quantity, j.attempts, j.not_before
FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS b (id, most, place)
CROSS JOIN LATERAL (
    SELECT seq, generation, first, quantity, attempts, not_before
    FROM jobs
    WHERE batch = b.id AND state IN ('waiting', 'active', 'delayed')
    ORDER BY seq
    LIMIT b.most
) j
ORDER BY b.place, j.seq
