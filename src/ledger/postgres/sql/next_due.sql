-- open_jobs: returns the milliseconds until the next delayed job of a running batch is due, or
-- NULL.

SELECT ceil(extract(epoch FROM min(j.not_before) - now()) * 1000)::bigint AS millis
FROM batches b
CROSS JOIN LATERAL (
    SELECT not_before FROM jobs
    WHERE batch = b.id AND not_before IS NOT NULL AND not_before > now()
    ORDER BY not_before
    LIMIT 1
) j
WHERE b.status = 'running'
