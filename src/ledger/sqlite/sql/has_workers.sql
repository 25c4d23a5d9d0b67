-- has_workers: whether a process reported itself as a worker or inserted an item since a time.
--
--   ?1 the time, milliseconds    ?2 the same, microseconds
--
-- A process stores the time of its last insert with the counts of its batches. The counts of active
-- batches are in an index.

SELECT EXISTS (
    SELECT 1 FROM rocket_batch_workers WHERE reported_at > ?1 AND role <> 'web' AND NOT standby
) OR EXISTS (
    SELECT 1 FROM rocket_batch_summaries WHERE active > 0 AND counted_at > ?2 AND last_item_at > ?1
)
