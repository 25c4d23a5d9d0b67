-- batch, batches: all that may be seen of batches; which ones is said where it is used.

SELECT id, status, quantity, batch_size, prefix, max_jobs, round, jobs, items_created, worked_ms, error,
       created_at, started_at, finished_at, completed, failed, cancelled,
       history <> 'whole' AS history_removed
FROM batch_batches
