-- report_worker: stores what a process reports about itself.
--
--   ?1 process      ?4 version        ?7 when it last took a task    ?10 memory in bytes
--   ?2 host name    ?5 started at     ?8 active jobs
--   ?3 role         ?6 now            ?9 whether it is on standby

INSERT INTO rocket_batch_workers
    (id, host, role, version, started_at, reported_at, last_fetch_at, active_jobs, standby, memory_bytes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (id) DO UPDATE
SET reported_at = excluded.reported_at, last_fetch_at = excluded.last_fetch_at, active_jobs = excluded.active_jobs,
    standby = excluded.standby, memory_bytes = excluded.memory_bytes
