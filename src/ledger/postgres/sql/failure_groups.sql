-- failure_groups: one page of the groups of failed jobs of a batch, the largest first.
--
--   $1 batch    $2 number of groups of the previous pages    $3 maximum number of groups

SELECT g.error_group, g.jobs, g.items_missing, g.first_seen, g.last_seen, j.seq, j.generation, j.error
FROM (
    SELECT error_group, count(*) AS jobs, sum(quantity - created)::bigint AS items_missing,
           min(finished_at) AS first_seen, max(finished_at) AS last_seen, min(seq) AS example
    FROM jobs
    WHERE batch = $1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL
    GROUP BY error_group
    ORDER BY count(*) DESC, error_group
    LIMIT $3 OFFSET $2
) g
JOIN jobs j ON j.batch = $1 AND j.seq = g.example
ORDER BY g.jobs DESC, g.error_group
