-- summarize: removes rows of a batch that processes left behind, and answers their versions, so
-- that the version of the batch grows on.
--
--   ?1 batch    ?2 process that counts it now    ?3 older than this is left behind    ?4 newer than this is wrong    ?5 at most so many rows
--
-- A row that the clock puts in the future goes too: readers would take it for the newest until
-- then.

DELETE FROM batch_summaries
WHERE batch = ?1 AND process IN (
    SELECT process FROM batch_summaries WHERE batch = ?1 AND process <> ?2 AND counted_at NOT BETWEEN ?3 AND ?4 LIMIT ?5
)
RETURNING version
