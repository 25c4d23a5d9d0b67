-- 0001: the tables of batches, jobs, items, hooks and the audit, and the views that hosts may read.
--
-- Times are milliseconds since 1970, UTC. States and statuses are spelled as in the JSON of the
-- API. CHECK constraints reject values that a defect of the crate might write. The table
-- `rocket_batch_settings` already exists; it stores the version of these tables.

CREATE TABLE rocket_batch_batches (
    id                  INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 9007199254740991),
    quantity            INTEGER NOT NULL CHECK (quantity > 0),
    batch_size          INTEGER NOT NULL CHECK (batch_size > 0),
    prefix              TEXT,
    max_jobs            INTEGER,
    key_fingerprint     TEXT,

    status              TEXT    NOT NULL DEFAULT 'pending'
                        CHECK (status IN ('pending', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    round               INTEGER NOT NULL DEFAULT 0 CHECK (round >= 0),
    -- NULL until the batch is planned: at its creation, or later by the feeder if it was inserted
    -- into `batch_requests`. 0 if the batch finished without being planned.
    jobs                INTEGER CHECK (jobs >= 0),
    version             INTEGER NOT NULL DEFAULT 1,
    error               TEXT,
    -- The duration that was estimated when the batch was planned.
    estimated_ms        INTEGER CHECK (estimated_ms >= 0),

    created_at          INTEGER NOT NULL,
    started_at          INTEGER,
    finished_at         INTEGER,

    -- The counts of a finished batch. NULL while the batch is open: its jobs or its summaries have
    -- the counts then.
    completed           INTEGER,
    failed              INTEGER,
    cancelled           INTEGER,
    items_created       INTEGER CHECK (items_created BETWEEN 0 AND quantity),
    worked_ms           INTEGER CHECK (worked_ms >= 0),
    -- About when the last item was inserted before the batch finished the last time. The summaries
    -- have it while the batch is open.
    last_item_at        INTEGER,

    -- A batch whose jobs are all finished is closed when the host's finish hook succeeds: how often
    -- the hook has failed, when it may be called again, and its last error.
    close_tries         INTEGER NOT NULL DEFAULT 0 CHECK (close_tries >= 0),
    close_not_before    INTEGER,
    close_error         TEXT,

    -- `complete`: all rows of jobs exist; `pruning`: some were removed; `pruned`: all were. Only a
    -- finished batch is pruned. Once rows were removed, it can't be reopened.
    history             TEXT    NOT NULL DEFAULT 'complete' CHECK (history IN ('complete', 'pruning', 'pruned')),

    -- The round in which a repair recreated jobs. NULL if none did.
    repaired_round      INTEGER CHECK (repaired_round >= 0),

    -- The request that created the batch. Key and fingerprint are NULL without an idempotency key,
    -- and once it has expired.
    caller              TEXT    NOT NULL DEFAULT '',
    idempotency_key     TEXT,
    request_fingerprint TEXT,
    -- Where the request stands in a distributed trace, as W3C Trace Context writes it.
    traceparent         TEXT,

    CHECK ((finished_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))),
    CHECK (jobs IS NOT NULL OR status IN ('pending', 'paused')),
    -- 0 only in a batch that finished without being planned. A NULL passes, too.
    CHECK (jobs > 0 OR status IN ('failed', 'cancelled')),
    CHECK (jobs = 0 OR (key_fingerprint IS NOT NULL AND estimated_ms IS NOT NULL)),
    CHECK ((finished_at IS NOT NULL) = (items_created IS NOT NULL)),
    CHECK ((finished_at IS NOT NULL) = (worked_ms IS NOT NULL)),
    CHECK (finished_at IS NOT NULL OR history = 'complete'),
    CHECK ((close_not_before IS NOT NULL) = (close_tries > 0) AND (close_error IS NOT NULL) = (close_tries > 0)),
    CHECK (finished_at IS NULL OR close_tries = 0),
    CHECK (finished_at IS NULL OR completed + failed + cancelled IS jobs),
    CHECK (status <> 'completed' OR items_created = quantity),
    CHECK ((request_fingerprint IS NOT NULL) = (idempotency_key IS NOT NULL))
) STRICT;

CREATE INDEX rocket_batch_batches_by_status ON rocket_batch_batches (status, id);
CREATE INDEX rocket_batch_batches_open ON rocket_batch_batches (created_at, id)
    WHERE jobs > 0 AND status IN ('pending', 'running');
CREATE INDEX rocket_batch_batches_started ON rocket_batch_batches (id)
    WHERE jobs > 0 AND status IN ('running', 'paused');
CREATE INDEX rocket_batch_batches_pending ON rocket_batch_batches (jobs, id) WHERE jobs > 0 AND status = 'pending';
CREATE INDEX rocket_batch_batches_unplanned ON rocket_batch_batches (id) WHERE jobs IS NULL;
CREATE INDEX rocket_batch_batches_measured ON rocket_batch_batches (finished_at)
    WHERE finished_at IS NOT NULL AND worked_ms > 0;
CREATE INDEX rocket_batch_batches_with_history ON rocket_batch_batches (finished_at) WHERE finished_at IS NOT NULL
    AND history <> 'pruned';
CREATE UNIQUE INDEX rocket_batch_batches_by_request ON rocket_batch_batches (caller, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE rocket_batch_jobs (
    batch               INTEGER NOT NULL REFERENCES rocket_batch_batches (id),
    seq                 INTEGER NOT NULL CHECK (seq >= 0),
    first               INTEGER NOT NULL CHECK (first >= 0),
    quantity            INTEGER NOT NULL CHECK (quantity > 0),

    state               TEXT    NOT NULL DEFAULT 'waiting'
                        CHECK (state IN ('waiting', 'active', 'delayed', 'completed', 'failed', 'cancelled')),
    epoch               INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    generation          INTEGER NOT NULL DEFAULT 0 CHECK (generation >= 0),
    created             INTEGER NOT NULL DEFAULT 0 CHECK (created BETWEEN 0 AND quantity),
    attempts            INTEGER NOT NULL DEFAULT 0,
    crashes             INTEGER NOT NULL DEFAULT 0,
    -- The total time of its attempts.
    worked_ms           INTEGER NOT NULL DEFAULT 0 CHECK (worked_ms >= 0),
    -- The number of finished attempts that the queue had recorded at the last claim. NULL if the
    -- claim came from an external delivery.
    acknowledged        INTEGER,
    not_before          INTEGER,
    error               TEXT,
    -- Errors with the same text, apart from numbers, codes and quoted values, have the same group.
    error_group         TEXT,
    -- The failed chunks of the last failed attempt: {ranges: [{from, to, tries, error}], more,
    -- more_items}.
    failed_chunks       TEXT    CHECK (failed_chunks IS NULL OR json_valid(failed_chunks)),

    claimed_at          INTEGER,
    finished_at         INTEGER,

    PRIMARY KEY (batch, seq),
    CHECK (state <> 'completed' OR created = quantity),
    CHECK (state <> 'failed' OR error IS NOT NULL),
    CHECK ((error IS NULL) = (error_group IS NULL)),
    CHECK ((state = 'delayed') = (not_before IS NOT NULL)),
    CHECK ((state IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- No index contains the state, which changes often. The claim of a waiting job and its chunks
-- change no indexed column.
CREATE INDEX rocket_batch_jobs_to_work ON rocket_batch_jobs (batch, seq)
    WHERE finished_at IS NULL AND not_before IS NULL;
-- By batch, so that jobs of a paused batch are not scanned.
CREATE INDEX rocket_batch_jobs_delayed ON rocket_batch_jobs (batch, not_before) WHERE not_before IS NOT NULL;
CREATE INDEX rocket_batch_jobs_failed ON rocket_batch_jobs (batch, seq)
    WHERE error IS NOT NULL AND finished_at IS NOT NULL;

-- The counts of open batches, so that lists need not count jobs. Each process writes its own rows,
-- and each row has the counts of the whole batch. Without a row, either no process has worked on
-- the batch and all its jobs are waiting, or the batch is finished and its own row has the counts.
CREATE TABLE rocket_batch_summaries (
    batch               INTEGER NOT NULL,
    -- A random number for each start of a process. 0 for a verb that changes a whole batch, such as
    -- a cancel.
    process             INTEGER NOT NULL,
    waiting             INTEGER NOT NULL,
    active              INTEGER NOT NULL,
    delayed             INTEGER NOT NULL,
    completed           INTEGER NOT NULL,
    failed              INTEGER NOT NULL,
    items_created       INTEGER NOT NULL,
    worked_ms           INTEGER NOT NULL,
    -- Microseconds since 1970, read just before the count. The latest row of a batch has the newest
    -- counts.
    counted_at          INTEGER NOT NULL,
    -- The work of this process alone: the time of its last insert, and the number of items that it
    -- inserted in the ten seconds before it counted. A row may be old, because its process has died
    -- or another process counts the batch now. Treat `recent_items` as 0 if the row is older than
    -- ten seconds.
    last_item_at        INTEGER,
    recent_items        INTEGER NOT NULL DEFAULT 0,
    -- Increases with each count, so that a watcher notices changes.
    version             INTEGER NOT NULL DEFAULT 1,

    PRIMARY KEY (batch, process)
) STRICT, WITHOUT ROWID;

CREATE INDEX rocket_batch_summaries_active ON rocket_batch_summaries (counted_at) WHERE active > 0;

-- The version that watchers compare. It increases with each change of the row of the batch, and
-- shortly after each change of its jobs.
CREATE VIEW rocket_batch_versions AS
SELECT b.id, b.version + coalesce((SELECT sum(version) FROM rocket_batch_summaries WHERE batch = b.id), 0) AS version
FROM rocket_batch_batches b;

-- The items, by far the largest table. No foreign key, since `insert_chunk` reads the job in the
-- same transaction. No index on the code, since a code decodes to this primary key.
CREATE TABLE rocket_batch_items (
    batch               INTEGER NOT NULL,
    ordinal             INTEGER NOT NULL CHECK (ordinal >= 0),
    code                TEXT    NOT NULL,
    created_at          INTEGER NOT NULL,

    PRIMARY KEY (batch, ordinal)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT, so that ids are never reused: a queue may still contain the id of a deleted hook.
CREATE TABLE rocket_batch_hooks (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    batch               INTEGER NOT NULL REFERENCES rocket_batch_batches (id),
    kind                TEXT    NOT NULL CHECK (kind IN ('batch_finished', 'job_failed', 'job_completed')),
    event               TEXT    NOT NULL CHECK (json_valid(event)),
    state               TEXT    NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'given_up')),
    attempts            INTEGER NOT NULL DEFAULT 0,
    not_before          INTEGER,
    error               TEXT
) STRICT;

CREATE INDEX rocket_batch_hooks_open ON rocket_batch_hooks (id) WHERE state = 'open';
CREATE INDEX rocket_batch_hooks_given_up ON rocket_batch_hooks (batch) WHERE state = 'given_up';

-- The audit: who changed which batch, inserted in the transaction of the change. The actions have
-- no CHECK, since later versions add some. Ids ascend in the order of the changes.
CREATE TABLE rocket_batch_audit (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    batch               INTEGER NOT NULL REFERENCES rocket_batch_batches (id),
    at                  INTEGER NOT NULL,
    action              TEXT    NOT NULL,
    -- NULL if it is unknown.
    actor               TEXT    CHECK (length(actor) BETWEEN 1 AND 255),
    address             TEXT,
    details             TEXT    NOT NULL CHECK (json_valid(details))
) STRICT;

CREATE INDEX rocket_batch_audit_by_batch ON rocket_batch_audit (batch, id);
CREATE INDEX rocket_batch_audit_by_time ON rocket_batch_audit (at, id);

-- The entries can't be altered. `prune_audit` alone removes some; it has the setting
-- `pruning_audit` in its transaction.
CREATE TRIGGER rocket_batch_audit_update BEFORE UPDATE ON rocket_batch_audit
BEGIN
    SELECT raise(ABORT, 'an entry of the audit can not be changed');
END;

CREATE TRIGGER rocket_batch_audit_delete BEFORE DELETE ON rocket_batch_audit
WHEN NOT EXISTS (SELECT 1 FROM rocket_batch_settings WHERE name = 'pruning_audit')
BEGIN
    SELECT raise(ABORT, 'an entry of the audit can not be removed; the setting `keep_audit` removes old ones');
END;

-- `INSERT OR REPLACE` removes a row without its trigger.
CREATE TRIGGER rocket_batch_audit_insert BEFORE INSERT ON rocket_batch_audit
WHEN EXISTS (SELECT 1 FROM rocket_batch_audit WHERE id = new.id)
BEGIN
    SELECT raise(ABORT, 'an entry of the audit can not be changed');
END;

-- The processes that use the ledger. Each reports itself every ten seconds and removes its row when
-- it ends; a row that was not renewed is of a process that died.
CREATE TABLE rocket_batch_workers (
    -- A random number for each start of a process, as in the summaries.
    id                  INTEGER PRIMARY KEY,
    host                TEXT    NOT NULL,
    role                TEXT    NOT NULL CHECK (role IN ('all', 'web', 'worker')),
    version             TEXT    NOT NULL,
    started_at          INTEGER NOT NULL,
    reported_at         INTEGER NOT NULL,
    last_fetch_at       INTEGER,
    active_jobs         INTEGER NOT NULL CHECK (active_jobs >= 0),
    standby             INTEGER NOT NULL CHECK (standby IN (0, 1)),
    memory_bytes        INTEGER CHECK (memory_bytes >= 0)
) STRICT;

-- The latest checks of items, without and with their codes. A status task continues a check at
-- `position`, which is NULL once it has finished.
CREATE TABLE rocket_batch_reconciliations (
    batch               INTEGER NOT NULL REFERENCES rocket_batch_batches (id),
    codes               INTEGER NOT NULL CHECK (codes IN (0, 1)),
    -- Increases with each new check.
    run                 INTEGER NOT NULL CHECK (run >= 1),
    position            INTEGER CHECK (position >= 0),
    -- The result so far.
    tally               TEXT    NOT NULL CHECK (json_valid(tally)),
    started_at          INTEGER NOT NULL,
    finished_at         INTEGER,

    PRIMARY KEY (batch, codes),
    CHECK ((position IS NULL) = (finished_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX rocket_batch_reconciliations_open ON rocket_batch_reconciliations (batch) WHERE finished_at IS NULL;

-- The views that hosts may read: see docs/guide/tables.md. PostgreSQL has views of the same names
-- with the same columns, so that one query serves both. Times are text, `2026-11-30T06:00:00.000Z`,
-- which sorts in the order of time. The views are read-only.
--
-- A view is merged into the query that reads it, so that a condition on `batch_id` or `code` uses
-- the index of the table, and a column that the query does not name costs nothing.
CREATE VIEW batch_batches AS
SELECT id AS batch_id, status, quantity, batch_size, prefix AS qr_code_prefix, max_jobs AS max_jobs_per_batch, jobs,
       coalesce(
           items_created, (SELECT sum(created) FROM rocket_batch_jobs WHERE batch = rocket_batch_batches.id), 0
       ) AS items_created,
       error,
       strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch') AS created_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000.0, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', finished_at / 1000.0, 'unixepoch') AS finished_at
FROM rocket_batch_batches;

CREATE VIEW batch_jobs AS
SELECT batch AS batch_id, seq, state, first AS first_ordinal, quantity, created AS items_created, attempts, crashes,
       error,
       strftime('%Y-%m-%dT%H:%M:%fZ', claimed_at / 1000.0, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', finished_at / 1000.0, 'unixepoch') AS finished_at
FROM rocket_batch_jobs;

CREATE VIEW batch_items AS
SELECT batch AS batch_id, ordinal, code,
       strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch') AS created_at
FROM rocket_batch_items;

CREATE VIEW batch_workers AS
SELECT printf('%016x', id) AS worker_id, host, role, version,
       strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000.0, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', reported_at / 1000.0, 'unixepoch') AS reported_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', last_fetch_at / 1000.0, 'unixepoch') AS last_fetch_at,
       active_jobs, standby, memory_bytes
FROM rocket_batch_workers;

-- Insert a row here to create a batch in a transaction of the host, with any driver. It has no
-- jobs; the feeder plans it after the commit. Without a `batch_id` it gets the next free id,
-- which the same transaction finds in the setting `last_id`.
--
-- Each launch stores its limits as settings, and the trigger checks those of the last launch. A
-- message must be a constant, so it names the setting instead of its value. Other programs open the
-- file with their own SQLite, so the trigger needs no newer version than the tables.
CREATE VIEW batch_requests AS
SELECT quantity, id AS batch_id, batch_size, prefix AS qr_code_prefix, max_jobs AS max_jobs_per_batch
FROM rocket_batch_batches
WHERE jobs IS NULL;

CREATE TRIGGER batch_requests_insert INSTEAD OF INSERT ON batch_requests
BEGIN
    SELECT raise(ABORT, '`quantity` must be 1 to the setting `max_quantity`')
    WHERE new.quantity IS NULL
        OR new.quantity NOT BETWEEN 1 AND (SELECT value FROM rocket_batch_settings WHERE name = 'max_quantity');
    SELECT raise(ABORT, '`batch_id` must be 1 to 9007199254740991')
    WHERE new.batch_id NOT BETWEEN 1 AND 9007199254740991;
    SELECT raise(ABORT, '`batch_size` must be 1 to the setting `max_items_per_job`')
    WHERE new.batch_size NOT BETWEEN 1 AND (SELECT value FROM rocket_batch_settings WHERE name = 'max_items_per_job');
    SELECT raise(ABORT, '`qr_code_prefix` must be 1 to 16 characters of A-Z, a-z, 0-9, `_` and `-`')
    WHERE length(new.qr_code_prefix) NOT BETWEEN 1 AND 16 OR new.qr_code_prefix GLOB '*[^A-Za-z0-9_-]*';
    SELECT raise(ABORT, '`max_jobs_per_batch` must be 1 to the setting of the same name')
    WHERE new.max_jobs_per_batch
        NOT BETWEEN 1 AND (SELECT value FROM rocket_batch_settings WHERE name = 'max_jobs_per_batch');
    SELECT raise(ABORT, '`quantity` must be at most `max_jobs_per_batch` times the setting `max_items_per_job`')
    WHERE new.quantity
        > coalesce(new.max_jobs_per_batch, (SELECT value FROM rocket_batch_settings WHERE name = 'max_jobs_per_batch'))
        * (SELECT value FROM rocket_batch_settings WHERE name = 'max_items_per_job');
    SELECT raise(ABORT, '`batch_id` is in use')
    WHERE EXISTS (SELECT 1 FROM rocket_batch_batches WHERE id = new.batch_id);

    INSERT OR IGNORE INTO rocket_batch_settings (name, value) VALUES ('last_id', 0);
    -- The next id or, if that is in use, the first free one after it.
    UPDATE rocket_batch_settings
    SET value = CASE
        WHEN NOT EXISTS (SELECT 1 FROM rocket_batch_batches WHERE id = rocket_batch_settings.value + 1) THEN value + 1
        ELSE (
            SELECT id + 1
            FROM rocket_batch_batches AS used
            WHERE id > rocket_batch_settings.value
                AND NOT EXISTS (SELECT 1 FROM rocket_batch_batches WHERE id = used.id + 1)
            ORDER BY id
            LIMIT 1
        )
    END
    WHERE name = 'last_id' AND new.batch_id IS NULL;

    INSERT INTO rocket_batch_batches (id, quantity, batch_size, prefix, max_jobs, created_at)
    VALUES (
        coalesce(new.batch_id, (SELECT value FROM rocket_batch_settings WHERE name = 'last_id')),
        new.quantity,
        coalesce(new.batch_size, (SELECT value FROM rocket_batch_settings WHERE name = 'batch_size')),
        new.qr_code_prefix,
        new.max_jobs_per_batch,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
    );

    INSERT INTO rocket_batch_audit (batch, at, action, details)
    SELECT id, created_at, 'created', json_object(
        'source', 'sql', 'quantity', quantity,
        'options', json_object('batchSize', batch_size, 'qrCodePrefix', prefix, 'maxJobsPerBatch', max_jobs)
    )
    FROM rocket_batch_batches
    WHERE id = coalesce(new.batch_id, (SELECT value FROM rocket_batch_settings WHERE name = 'last_id'));
END;
