-- summarize: deletes outdated summaries of a batch and returns their versions, so that the caller
-- can add them to its own row and the batch's version never decreases.
--
--   ?1 batch                         ?3 rows older than this are outdated
--   ?2 process that counts it now    ?4 rows newer than this are wrong
--                                    ?5 maximum number of rows
--
-- A row from the future, written while the clock was wrong, is deleted too, because readers would
-- take it for the latest.

DELETE FROM rocket_batch_summaries
WHERE batch = ?1 AND process IN (
    SELECT process FROM rocket_batch_summaries WHERE batch = ?1 AND process <> ?2 AND counted_at NOT BETWEEN ?3
        AND ?4 LIMIT ?5
)
RETURNING version
