-- repair: recreates completed jobs as a new generation with fresh attempts.
--
--   $1 batch    $2 job numbers, bigint[]    $3 items that exist, bigint[], one per job
--
-- Keeps the epoch, so that claims of the old generation stay fenced, and written_to, so that a
-- chunk looks up which of its items exist.

UPDATE jobs
SET state = 'waiting', generation = generation + 1, created = job.present, attempts = 0, crashes = 0,
    claimed_at = NULL, finished_at = NULL
FROM unnest($2::bigint[], $3::bigint[]) AS job (seq, present)
WHERE jobs.batch = $1 AND jobs.seq = job.seq
