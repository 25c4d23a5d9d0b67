-- steer: locks the active jobs of a batch, by number, and says how many there are and what they wrote but did not hand in.
--
--   $1 batch, which is locked already
--
-- Waits for the chunks that are under way; those that come later find the jobs locked.

WITH active AS MATERIALIZED (
    SELECT created - counted AS fresh
    FROM jobs
    WHERE batch = $1 AND state = 'active'
    ORDER BY seq
    FOR NO KEY UPDATE
)
SELECT count(*) AS active, coalesce(sum(fresh), 0)::bigint AS fresh FROM active
