-- write: inserts one item that does not exist yet.
--
--   ?1 batch    ?2 ordinal    ?3 code    ?4 now
--
-- The conflict target is the primary key and nothing else: a clash with an index of the host's is
-- an error, not a row less.

INSERT INTO batch_items (batch, ordinal, code, created_at)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (batch, ordinal) DO NOTHING
