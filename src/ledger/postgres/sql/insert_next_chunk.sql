-- insert_chunk: inserts one chunk beyond all existing items of a job, if the claim is current.
--
--   $1 batch         $4 epoch                               $7 smallest ordinal
--   $2 job number    $5 ordinals, bigint[]                  $8 largest ordinal
--   $3 generation    $6 codes, text[], one per ordinal
--
-- Affects as many rows as it inserts: all of them, or none. None if the claim is not current, the
-- job is paused, an ordinal does not belong to it, or one of them may exist already.
-- insert_chunk.sql finds out which.
--
-- Nearly every chunk takes this path, which does less work. The UPDATE locks the job; other claims
-- wait for it and then see it. No item is looked up, because no row at or beyond written_to was
-- ever inserted.

WITH job AS (
    UPDATE jobs
    SET created = created + cardinality($5::bigint[]), written_to = $8 + 1, crashes = 0
    WHERE batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4 AND state = 'active' AND NOT paused
      AND $7 >= first AND $7 >= written_to AND $8 < first + quantity
    RETURNING batch
)
INSERT INTO items (batch, ordinal, code)
SELECT job.batch, item.ordinal, item.code
FROM job, unnest($5::bigint[], $6::text[]) AS item (ordinal, code)
