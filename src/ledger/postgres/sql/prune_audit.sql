-- prune_audit: removes old entries of the audit.
--
--   $1 minimum age, milliseconds    $2 maximum number
--
-- Entries that another prune is removing are skipped.

DELETE FROM audit
WHERE id = ANY (ARRAY(
    SELECT id
    FROM audit
    WHERE at <= now() - $1::bigint * interval '1 millisecond'
    ORDER BY at, id
    LIMIT $2
    FOR UPDATE SKIP LOCKED
))
