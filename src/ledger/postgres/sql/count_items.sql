-- jobs_with_gaps, repair: counts the items of jobs.
--
--   $1 batch    $2 job numbers, bigint[]    $3 first ordinals, bigint[]    $4 quantities, bigint[]
--
-- Returns (seq, quantity, present, state, generation) by number. State and generation are NULL if
-- there is no such row.

SELECT job.seq, job.quantity, items.present, jobs.state, jobs.generation
FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS job (seq, first, quantity)
LEFT JOIN jobs ON jobs.batch = $1 AND jobs.seq = job.seq
CROSS JOIN LATERAL (
    SELECT count(*) AS present FROM items
    WHERE batch = $1 AND ordinal >= job.first AND ordinal < job.first + job.quantity
) items
ORDER BY job.seq
