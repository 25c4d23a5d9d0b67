-- finish_attempt: records how an attempt ended, if its claim is current.
--
--   $1 batch         $4 epoch              $7 delay, ms            $10 whether the job finished
--   $2 job number    $5 state              $8 error                $11 time worked, ms
--   $3 generation    $6 attempts to add    $9 failed chunks, JSON  $12 group of the error
--
-- Affects one row, or none if the claim is not current.
--
-- A released job keeps its previous error, as if it had not been claimed. A completed job has no
-- crashes. The batch's row is not touched, so jobs of one batch do not wait for each other.

UPDATE jobs
SET state = $5,
    attempts = attempts + $6,
    crashes = CASE $5 WHEN 'completed' THEN 0 ELSE crashes END,
    not_before = now() + $7::bigint * interval '1 millisecond',
    error = CASE $5 WHEN 'waiting' THEN error ELSE $8 END,
    error_group = CASE $5 WHEN 'waiting' THEN error_group ELSE $12 END,
    failed_chunks = CASE $5 WHEN 'waiting' THEN failed_chunks ELSE $9::text::json END,
    finished_at = CASE WHEN $10 THEN now() END,
    worked_ms = worked_ms + $11,
    paused = false
WHERE batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4 AND state = 'active'
