-- create: inserts the batch.
--
--   ?1 id            ?4 prefix            ?7 jobs
--   ?2 quantity      ?5 most jobs         ?8 now
--   ?3 batch size    ?6 key fingerprint

INSERT INTO batch_batches (id, quantity, batch_size, prefix, max_jobs, key_fingerprint, jobs, open_jobs, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8)
