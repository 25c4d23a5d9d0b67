-- open_jobs: the time until the next delayed job is due, in milliseconds; NULL when there is none.

SELECT ceil(extract(epoch FROM min(not_before) - now()) * 1000)::bigint AS millis
FROM jobs
WHERE state = 'delayed' AND not_before > now()
