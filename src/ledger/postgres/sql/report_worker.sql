-- report_worker: stores what a process reports about itself, and deletes old reports.
--
--   $1 process                    $7 active jobs
--   $2 host name                  $8 whether it is on standby
--   $3 role                       $9 memory in bytes
--   $4 version                    $10 age of an old report, ms
--   $5 time since its start, ms   $11 maximum number of old reports
--   $6 time since its last task, ms
--
-- Waits for no lock: rows that another process deletes now are left out.

WITH old AS MATERIALIZED (
    SELECT id
    FROM workers
    WHERE reported_at < now() - $10::bigint * interval '1 millisecond' AND id <> $1
    LIMIT $11
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM workers w USING old WHERE w.id = old.id
)
INSERT INTO workers
    (id, host, role, version, started_at, reported_at, last_fetch_at, active_jobs, standby, memory_bytes)
VALUES (
    $1, $2, $3, $4, now() - $5::bigint * interval '1 millisecond', now(),
    now() - $6::bigint * interval '1 millisecond', $7, $8, $9
)
ON CONFLICT (id) DO UPDATE
SET reported_at = excluded.reported_at, last_fetch_at = excluded.last_fetch_at, active_jobs = excluded.active_jobs,
    standby = excluded.standby, memory_bytes = excluded.memory_bytes
