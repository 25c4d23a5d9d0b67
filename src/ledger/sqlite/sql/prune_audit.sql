-- prune_audit: removes old entries of the audit.
--
--   ?1 latest time to remove    ?2 maximum number

DELETE FROM rocket_batch_audit
WHERE id IN (
    SELECT id
    FROM rocket_batch_audit INDEXED BY rocket_batch_audit_by_time
    WHERE at <= ?1
    ORDER BY at, id
    LIMIT ?2
)
