-- has_workers: whether a process reported itself as a worker or inserted an item recently.
--
--   $1 how long ago at most, milliseconds
--
-- A process stores the time of its last insert with the counts of its batches. The counts of active
-- batches are in an index.

SELECT EXISTS (
    SELECT FROM workers
    WHERE reported_at > now() - $1::bigint * interval '1 millisecond' AND role <> 'web' AND NOT standby
) OR EXISTS (
    SELECT FROM summaries
    WHERE active > 0 AND counted_at > now() - $1::bigint * interval '1 millisecond'
      AND last_item_at > now() - $1::bigint * interval '1 millisecond'
)
