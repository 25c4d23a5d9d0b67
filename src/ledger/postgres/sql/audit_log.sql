-- audit_log: finds entries of the audit.
--
--   $1 the entry before    $3 earliest time, or NULL    $5 action, or NULL
--   $2 the last entry      $4 actor, or NULL            $6 maximum number

SELECT id, batch, at, action, actor, address, details::text
FROM audit
WHERE id > $1 AND id <= $2
    AND ($3::timestamptz IS NULL OR at >= $3)
    AND ($4::text IS NULL OR coalesce(actor, 'unknown') = $4)
    AND ($5::text IS NULL OR action = $5)
ORDER BY id
LIMIT $6
