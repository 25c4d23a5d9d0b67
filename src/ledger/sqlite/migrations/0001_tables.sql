-- 0001: the tables of batches, jobs, items and hooks.
--
-- Times are milliseconds since 1970, UTC. States and statuses are the words that JSON uses. What must never be wrong stands here as a
-- CHECK, so that a defect above is refused and not stored. (`batch_settings` exists already: the version of these tables is kept there.)

CREATE TABLE batch_batches (
    id                  INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 9007199254740991),
    quantity            INTEGER NOT NULL CHECK (quantity > 0),
    batch_size          INTEGER NOT NULL CHECK (batch_size > 0),
    prefix              TEXT,
    max_jobs            INTEGER,
    key_fingerprint     TEXT    NOT NULL,

    status              TEXT    NOT NULL DEFAULT 'pending'
                        CHECK (status IN ('pending', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    round               INTEGER NOT NULL DEFAULT 0 CHECK (round >= 0),
    jobs                INTEGER NOT NULL CHECK (jobs > 0),
    open_jobs           INTEGER NOT NULL CHECK (open_jobs BETWEEN 0 AND jobs),
    items_created       INTEGER NOT NULL DEFAULT 0 CHECK (items_created BETWEEN 0 AND quantity),
    worked_ms           INTEGER NOT NULL DEFAULT 0 CHECK (worked_ms >= 0),
    version             INTEGER NOT NULL DEFAULT 1,
    error               TEXT,
    -- How long it was to take, when it was made.
    estimated_ms        INTEGER NOT NULL CHECK (estimated_ms >= 0),

    created_at          INTEGER NOT NULL,
    started_at          INTEGER,
    finished_at         INTEGER,

    -- The jobs by state as they were at the end; while the batch is open they are counted.
    completed           INTEGER,
    failed              INTEGER,
    cancelled           INTEGER,

    -- Of the request that made it, as long as the key stands for it.
    caller              TEXT    NOT NULL DEFAULT '',
    idempotency_key     TEXT,
    request_fingerprint TEXT,

    CHECK ((finished_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))),
    CHECK (finished_at IS NULL OR open_jobs = 0),
    CHECK (finished_at IS NULL OR completed + failed + cancelled IS jobs),
    CHECK (status <> 'completed' OR items_created = quantity),
    CHECK ((request_fingerprint IS NOT NULL) = (idempotency_key IS NOT NULL))
) STRICT;

CREATE INDEX batch_batches_by_status ON batch_batches (status, id);
CREATE INDEX batch_batches_to_close ON batch_batches (id) WHERE open_jobs = 0 AND finished_at IS NULL;
CREATE INDEX batch_batches_measured ON batch_batches (finished_at) WHERE finished_at IS NOT NULL AND worked_ms > 0;
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
    -- Ends of attempts that the queue had been told when the job was begun last; NULL when it was begun for an order.
    acknowledged        INTEGER,
    not_before          INTEGER,
    error               TEXT,
    -- Those set aside by the last attempt that failed: [{from, to, tries, error}].
    chunks              TEXT    CHECK (chunks IS NULL OR json_valid(chunks)),

    begun_at            INTEGER,
    finished_at         INTEGER,

    PRIMARY KEY (batch, seq),
    CHECK (state <> 'completed' OR created = quantity),
    CHECK (state <> 'failed' OR error IS NOT NULL),
    CHECK (state <> 'delayed' OR not_before IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE INDEX batch_jobs_open ON batch_jobs (batch, seq) WHERE state IN ('waiting', 'active', 'delayed');
CREATE INDEX batch_jobs_failed ON batch_jobs (batch, seq) WHERE state = 'failed';

-- The rows that all this is for, and by far the most. No foreign key, since `write` reads the job in the transaction that inserts; no
-- index on the code, since a code decodes to this primary key.
CREATE TABLE batch_items (
    batch               INTEGER NOT NULL,
    ordinal             INTEGER NOT NULL CHECK (ordinal >= 0),
    code                TEXT    NOT NULL,
    created_at          INTEGER NOT NULL,

    PRIMARY KEY (batch, ordinal)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT, so that no id comes twice: queues know a hook by its id, and may remember one that is gone.
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
