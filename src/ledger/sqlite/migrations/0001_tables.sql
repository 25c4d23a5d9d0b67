-- 0001: the tables of batches, jobs, items and hooks.
--
-- Times are milliseconds since 1970, UTC. States and statuses are the words that JSON uses. What
-- must never be wrong stands here as a CHECK, so that a defect above is refused and not stored.
-- (`batch_settings` exists already: the version of these tables is kept there.)

CREATE TABLE batch_batches (
    id                  INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 9007199254740991),
    quantity            INTEGER NOT NULL CHECK (quantity > 0),
    batch_size          INTEGER NOT NULL CHECK (batch_size > 0),
    prefix              TEXT,
    max_jobs            INTEGER,
    key_fingerprint     TEXT,

    status              TEXT    NOT NULL DEFAULT 'pending'
                        CHECK (status IN ('pending', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    round               INTEGER NOT NULL DEFAULT 0 CHECK (round >= 0),
    -- Not known until it is planned, which is when it is made, but for one that came by
    -- `batch_requests` below.
    jobs                INTEGER CHECK (jobs >= 0),
    version             INTEGER NOT NULL DEFAULT 1,
    error               TEXT,
    -- How long it was to take, when it was planned.
    estimated_ms        INTEGER CHECK (estimated_ms >= 0),

    created_at          INTEGER NOT NULL,
    started_at          INTEGER,
    finished_at         INTEGER,

    -- The counts at the end. While the batch is open its jobs are counted, and this row stays as it
    -- is.
    completed           INTEGER,
    failed              INTEGER,
    cancelled           INTEGER,
    items_created       INTEGER CHECK (items_created BETWEEN 0 AND quantity),
    worked_ms           INTEGER CHECK (worked_ms >= 0),

    -- Whether the rows of its jobs are all there, are being removed, or are gone. It has to be over
    -- for that, and stays so.
    history             TEXT    NOT NULL DEFAULT 'complete' CHECK (history IN ('complete', 'pruning', 'pruned')),

    -- Of the request that made it, as long as the key stands for it.
    caller              TEXT    NOT NULL DEFAULT '',
    idempotency_key     TEXT,
    request_fingerprint TEXT,

    CHECK ((finished_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))),
    CHECK (jobs IS NOT NULL OR status IN ('pending', 'paused')),
    -- None at all has only a batch that ended unplanned.
    CHECK (jobs > 0 OR status IN ('failed', 'cancelled')),
    CHECK (jobs = 0 OR (key_fingerprint IS NOT NULL AND estimated_ms IS NOT NULL)),
    CHECK ((finished_at IS NOT NULL) = (items_created IS NOT NULL)),
    CHECK ((finished_at IS NOT NULL) = (worked_ms IS NOT NULL)),
    CHECK (finished_at IS NOT NULL OR history = 'complete'),
    CHECK (finished_at IS NULL OR completed + failed + cancelled IS jobs),
    CHECK (status <> 'completed' OR items_created = quantity),
    CHECK ((request_fingerprint IS NOT NULL) = (idempotency_key IS NOT NULL))
) STRICT;

CREATE INDEX batch_batches_by_status ON batch_batches (status, id);
CREATE INDEX batch_batches_open ON batch_batches (created_at, id) WHERE jobs > 0 AND status IN ('pending', 'running');
CREATE INDEX batch_batches_started ON batch_batches (id) WHERE jobs > 0 AND status IN ('running', 'paused');
CREATE INDEX batch_batches_pending ON batch_batches (jobs, id) WHERE jobs > 0 AND status = 'pending';
CREATE INDEX batch_batches_unplanned ON batch_batches (id) WHERE jobs IS NULL;
CREATE INDEX batch_batches_measured ON batch_batches (finished_at) WHERE finished_at IS NOT NULL AND worked_ms > 0;
CREATE INDEX batch_batches_with_history ON batch_batches (finished_at) WHERE finished_at IS NOT NULL AND history <> 'pruned';
CREATE UNIQUE INDEX batch_batches_by_request ON batch_batches (caller, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE batch_jobs (
    batch               INTEGER NOT NULL REFERENCES batch_batches (id),
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
    -- The time that its attempts took.
    worked_ms           INTEGER NOT NULL DEFAULT 0 CHECK (worked_ms >= 0),
    -- Ends of attempts that the queue had been told when the job was begun last; NULL when it was
    -- begun for an order.
    acknowledged        INTEGER,
    not_before          INTEGER,
    error               TEXT,
    -- Those set aside by the last attempt that failed: {ranges: [{from, to, tries, error}], more,
    -- more_items}.
    failed_chunks              TEXT    CHECK (failed_chunks IS NULL OR json_valid(failed_chunks)),

    claimed_at            INTEGER,
    finished_at         INTEGER,

    PRIMARY KEY (batch, seq),
    CHECK (state <> 'completed' OR created = quantity),
    CHECK (state <> 'failed' OR error IS NOT NULL),
    CHECK ((state = 'delayed') = (not_before IS NOT NULL)),
    CHECK ((state IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- No index has the state, which changes all the time: a claim and a chunk change nothing that is
-- indexed.
CREATE INDEX batch_jobs_to_work ON batch_jobs (batch, seq) WHERE finished_at IS NULL AND not_before IS NULL;
-- By batch, so that those of a paused batch are not looked through.
CREATE INDEX batch_jobs_delayed ON batch_jobs (batch, not_before) WHERE not_before IS NOT NULL;
CREATE INDEX batch_jobs_failed ON batch_jobs (batch, seq) WHERE error IS NOT NULL AND finished_at IS NOT NULL;

-- Open batches as lists show them, so that a list never counts jobs. The counts are those of the
-- whole batch at that time. A batch that no process has worked yet has no row: all its jobs wait.
-- One that is over has none: its own row says it all.
CREATE TABLE batch_summaries (
    batch               INTEGER NOT NULL,
    -- Drawn at each start of a process; 0 is for verbs that change a batch as a whole.
    process             INTEGER NOT NULL,
    waiting             INTEGER NOT NULL,
    active              INTEGER NOT NULL,
    delayed             INTEGER NOT NULL,
    completed           INTEGER NOT NULL,
    failed              INTEGER NOT NULL,
    items_created       INTEGER NOT NULL,
    worked_ms           INTEGER NOT NULL,
    -- Before its snapshot, in microseconds: the latest of a batch has seen the most.
    counted_at          INTEGER NOT NULL,
    -- What this process alone wrote: the time of its last item, and how many it wrote in the ten
    -- seconds before it counted. For now nobody reads them. A process does not write its row while
    -- another one counts the batch, and leaves it when it dies, so `recent_items` says nothing in a
    -- row that was counted more than ten seconds ago: whoever reads it takes that for 0.
    last_item_at        INTEGER,
    recent_items        INTEGER NOT NULL DEFAULT 0,
    -- Grows with each count, so that a watcher sees that something changed.
    version             INTEGER NOT NULL DEFAULT 1,

    PRIMARY KEY (batch, process)
) STRICT, WITHOUT ROWID;

CREATE INDEX batch_summaries_active ON batch_summaries (counted_at) WHERE active > 0;

-- What a watcher compares: it grows with every change of a batch as a whole, and a moment after
-- every change of its jobs.
CREATE VIEW batch_versions AS
SELECT b.id, b.version + coalesce((SELECT sum(version) FROM batch_summaries WHERE batch = b.id), 0) AS version
FROM batch_batches b;

-- The rows that all this is for, and by far the most. No foreign key, since `write` reads the job
-- in the transaction that inserts; no index on the code, since a code decodes to this primary key.
CREATE TABLE batch_items (
    batch               INTEGER NOT NULL,
    ordinal             INTEGER NOT NULL CHECK (ordinal >= 0),
    code                TEXT    NOT NULL,
    created_at          INTEGER NOT NULL,

    PRIMARY KEY (batch, ordinal)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT, so that no id comes twice: queues know a hook by its id, and may remember one that
-- is gone.
CREATE TABLE batch_hooks (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    batch               INTEGER NOT NULL REFERENCES batch_batches (id),
    kind                TEXT    NOT NULL CHECK (kind IN ('batch_finished', 'job_failed', 'job_completed')),
    event               TEXT    NOT NULL CHECK (json_valid(event)),
    state               TEXT    NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'given_up')),
    attempts            INTEGER NOT NULL DEFAULT 0,
    not_before          INTEGER,
    error               TEXT
) STRICT;

CREATE INDEX batch_hooks_open ON batch_hooks (id) WHERE state = 'open';
CREATE INDEX batch_hooks_given_up ON batch_hooks (batch) WHERE state = 'given_up';

-- For hosts on any driver: a batch in a transaction of theirs is a row inserted here. It has no
-- jobs; the feeder plans it once it is committed. Without a `batch_id` it gets the next one, which
-- is the setting `last_id` then.
--
-- The trigger checks what can never be right; the limits of the settings are checked when it is
-- planned. It must run in any SQLite that opens the file, so it uses nothing newer than these
-- tables do.
CREATE VIEW batch_requests AS
SELECT quantity, id AS batch_id, batch_size, prefix AS qr_code_prefix, max_jobs AS max_jobs_per_batch
FROM batch_batches
WHERE jobs IS NULL;

CREATE TRIGGER batch_requests_insert INSTEAD OF INSERT ON batch_requests
BEGIN
    SELECT raise(ABORT, '`quantity` must be 1 to 9007199254740991')
    WHERE new.quantity IS NULL OR new.quantity NOT BETWEEN 1 AND 9007199254740991;
    SELECT raise(ABORT, '`batch_id` must be 1 to 9007199254740991')
    WHERE new.batch_id NOT BETWEEN 1 AND 9007199254740991;
    SELECT raise(ABORT, '`batch_size` must be 1 to 9007199254740991')
    WHERE new.batch_size NOT BETWEEN 1 AND 9007199254740991;
    SELECT raise(ABORT, '`max_jobs_per_batch` must be 1 to 100000')
    WHERE new.max_jobs_per_batch NOT BETWEEN 1 AND 100000;
    SELECT raise(ABORT, '`qr_code_prefix` must be 1 to 16 of A-Z a-z 0-9 _ -')
    WHERE length(new.qr_code_prefix) NOT BETWEEN 1 AND 16 OR new.qr_code_prefix GLOB '*[^A-Za-z0-9_-]*';
    SELECT raise(ABORT, '`batch_id` is in use')
    WHERE EXISTS (SELECT 1 FROM batch_batches WHERE id = new.batch_id);

    INSERT OR IGNORE INTO batch_settings (name, value) VALUES ('last_id', 0);
    -- The next one, or where that is taken, the first free one behind it.
    UPDATE batch_settings
    SET value = CASE
        WHEN NOT EXISTS (SELECT 1 FROM batch_batches WHERE id = batch_settings.value + 1) THEN value + 1
        ELSE (
            SELECT id + 1
            FROM batch_batches AS taken
            WHERE id > batch_settings.value AND NOT EXISTS (SELECT 1 FROM batch_batches WHERE id = taken.id + 1)
            ORDER BY id
            LIMIT 1
        )
    END
    WHERE name = 'last_id' AND new.batch_id IS NULL;

    INSERT INTO batch_batches (id, quantity, batch_size, prefix, max_jobs, created_at)
    VALUES (
        coalesce(new.batch_id, (SELECT value FROM batch_settings WHERE name = 'last_id')),
        new.quantity,
        coalesce(new.batch_size, (SELECT value FROM batch_settings WHERE name = 'batch_size')),
        new.qr_code_prefix,
        new.max_jobs_per_batch,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
    );
END;
