-- insert_chunk: inserts one item, if it does not exist yet.
--
--   ?1 batch    ?2 ordinal    ?3 code    ?4 now
--
-- The conflict target is the primary key only. A conflict with an index of the host is an error,
-- not a skipped row.

INSERT INTO rocket_batch_items (batch, ordinal, code, created_at)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (batch, ordinal) DO NOTHING
