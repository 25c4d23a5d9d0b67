-- retry, claim: reopens a batch after some of its jobs were recreated or revived.
--
--   ?1 batch    ?2 status

UPDATE rocket_batch_batches
SET status = ?2, error = NULL, finished_at = NULL,
    completed = NULL, failed = NULL, cancelled = NULL, items_created = NULL, worked_ms = NULL, version = version + 1
WHERE id = ?1
