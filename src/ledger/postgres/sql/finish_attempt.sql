-- settle: records how an attempt ended, if its hold is good.
--
--   $1 batch            $4 epoch            $7 delay, ms        $10 whether the job is over
--   $2 job's number     $5 state            $8 error            $11 time worked, milliseconds
--   $3 generation       $6 attempts more    $9 chunks, JSON
--
-- Returns nothing; it affects one row, or none when the hold is not good.
--
-- Given back, a job keeps the error that it had: as if it had not been begun. Completed, it has
-- lost no worker in vain. The batch's row stays as it is, so jobs of one batch don't wait for each
-- other.

UPDATE jobs
SET state = $5,
    attempts = attempts + $6,
    crashes = CASE $5 WHEN 'completed' THEN 0 ELSE crashes END,
    not_before = now() + $7::bigint * interval '1 millisecond',
    error = CASE $5 WHEN 'waiting' THEN error ELSE $8 END,
    chunks = CASE $5 WHEN 'waiting' THEN chunks ELSE $9::text::json END,
    finished_at = CASE WHEN $10 THEN now() END,
    worked_ms = worked_ms + $11,
    paused = false
WHERE batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4 AND state = 'active'
