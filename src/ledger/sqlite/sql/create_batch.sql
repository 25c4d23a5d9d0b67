-- create: inserts a batch.
--
--   ?1 id            ?4 prefix             ?7 number of jobs  ?10 caller
--   ?2 quantity      ?5 maximum jobs       ?8 estimate, ms    ?11 idempotency key
--   ?3 batch size    ?6 key fingerprint    ?9 now             ?12 request fingerprint
--   ?13 position in a distributed trace

INSERT INTO rocket_batch_batches
    (id, quantity, batch_size, prefix, max_jobs, key_fingerprint, jobs, estimated_ms, created_at,
     caller, idempotency_key, request_fingerprint, traceparent)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
