-- create: finds the batch that an earlier request with the same idempotency key created.
--
--   ?1 caller    ?2 idempotency key
--
-- Returns at most one row, because the index is unique.

SELECT id, quantity, jobs, estimated_ms, request_fingerprint, created_at
FROM rocket_batch_batches INDEXED BY rocket_batch_batches_by_request
WHERE caller = ?1 AND idempotency_key = ?2
