-- forget: finds and locks the batch that has been over for the longest and still has a history.
--
--   $1 for how long at least, milliseconds
--
-- The end was written by this server's clock, and is held against it. Whoever has the batch locked
-- retries it, or removes its history as well: it is passed over. The index `batches_with_history`
-- holds no batch whose history is gone.

SELECT id
FROM batches
WHERE finished_at <= now() - $1::bigint * interval '1 millisecond' AND finished_at IS NOT NULL AND history <> 'gone'
ORDER BY finished_at
LIMIT 1
FOR NO KEY UPDATE SKIP LOCKED
