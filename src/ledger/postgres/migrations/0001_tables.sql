-- 0001: the tables of batches, jobs, items, hooks and the audit, and the views that hosts may read.
--
-- Runs with the ledger's schema as the search path. States and statuses are spelled as in the JSON
-- of the API. CHECK constraints reject values that a defect of the crate might write. The table
-- `settings` already exists; it stores the version of these tables.

-- Ids for batches without a chosen one. Does not continue from the largest id, which a host may
-- have chosen close to the maximum.
CREATE SEQUENCE batch_ids MAXVALUE 9007199254740991;

CREATE TABLE batches (
    id                  bigint      PRIMARY KEY CHECK (id BETWEEN 1 AND 9007199254740991),
    quantity            bigint      NOT NULL CHECK (quantity > 0),
    batch_size          bigint      NOT NULL CHECK (batch_size > 0),
    prefix              text,
    max_jobs            bigint,
    key_fingerprint     text,

    status              text        NOT NULL DEFAULT 'pending'
                        CHECK (status IN ('pending', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    round               integer     NOT NULL DEFAULT 0 CHECK (round >= 0),
    -- NULL until the batch is planned: at its creation, or later by the feeder if it was created by
    -- `create_product_items`. 0 if the batch finished without being planned.
    jobs                bigint      CHECK (jobs >= 0),
    version             bigint      NOT NULL DEFAULT 1,
    error               text,
    -- The duration that was estimated when the batch was planned.
    estimated_ms        bigint      CHECK (estimated_ms >= 0),

    -- Names the call that created the batch. If the response to its commit was lost, the call
    -- recognises its own batch by it.
    token               bigint      NOT NULL DEFAULT 0,

    created_at          timestamptz NOT NULL DEFAULT now(),
    started_at          timestamptz,
    finished_at         timestamptz,

    -- The counts of a finished batch. NULL while the batch is open: its jobs or its summaries have
    -- the counts then. A job that changed this row would block all other jobs of the batch.
    completed           bigint,
    failed              bigint,
    cancelled           bigint,
    items_created       bigint      CHECK (items_created BETWEEN 0 AND quantity),
    worked_ms           bigint      CHECK (worked_ms >= 0),
    -- About when the last item was inserted before the batch finished the last time. The summaries
    -- have it while the batch is open.
    last_item_at        timestamptz,

    -- A batch whose jobs are all finished is closed when the host's finish hook succeeds: how often
    -- the hook has failed, when it may be called again, and its last error.
    close_tries         integer     NOT NULL DEFAULT 0 CHECK (close_tries >= 0),
    close_not_before    timestamptz,
    close_error         text,

    -- `complete`: all rows of jobs exist; `pruning`: some were removed; `pruned`: all were. Only a
    -- finished batch is pruned. Once rows were removed, it can't be reopened.
    history             text        NOT NULL DEFAULT 'complete' CHECK (history IN ('complete', 'pruning', 'pruned')),

    -- The round in which a repair recreated jobs. NULL if none did.
    repaired_round      integer     CHECK (repaired_round >= 0),

    -- The request that created the batch. Key and fingerprint are NULL without an idempotency key,
    -- and once it has expired.
    caller              text        NOT NULL DEFAULT '',
    idempotency_key     text,
    request_fingerprint text,
    -- Where the request stands in a distributed trace, as W3C Trace Context writes it.
    traceparent         text,

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
    CHECK (finished_at IS NULL OR completed + failed + cancelled IS NOT DISTINCT FROM jobs),
    CHECK (status <> 'completed' OR items_created = quantity),
    CHECK ((request_fingerprint IS NOT NULL) = (idempotency_key IS NOT NULL))
) WITH (fillfactor = 70);

CREATE INDEX batches_by_status ON batches (status, id);
CREATE INDEX batches_open ON batches (created_at, id) WHERE jobs > 0 AND status IN ('pending', 'running');
CREATE INDEX batches_started ON batches (id) WHERE jobs > 0 AND status IN ('running', 'paused');
CREATE INDEX batches_pending ON batches (jobs, id) WHERE jobs > 0 AND status = 'pending';
CREATE INDEX batches_unplanned ON batches (id) WHERE jobs IS NULL;
CREATE INDEX batches_measured ON batches (finished_at) WHERE finished_at IS NOT NULL AND worked_ms > 0;
CREATE INDEX batches_with_history ON batches (finished_at) WHERE finished_at IS NOT NULL AND history <> 'pruned';
CREATE UNIQUE INDEX batches_by_request ON batches (caller, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- The fill factor leaves space in each page, so that the update of a job by a chunk stays on the
-- page.
--
-- There is no CHECK. PostgreSQL prepares the constraints of a table for each statement that changes
-- it, which took 40 of the 115 us of such a statement. The tests add them, see
-- tests/ledger/checks.sql.
CREATE TABLE jobs (
    batch               bigint      NOT NULL REFERENCES batches (id),
    seq                 bigint      NOT NULL,
    first               bigint      NOT NULL,
    quantity            bigint      NOT NULL,

    -- waiting, active, delayed, completed, failed or cancelled
    state               text        NOT NULL DEFAULT 'waiting',
    epoch               integer     NOT NULL DEFAULT 0,
    generation          integer     NOT NULL DEFAULT 0,
    created             bigint      NOT NULL DEFAULT 0,
    -- One more than the largest ordinal ever inserted. No item at or beyond it exists or needs to
    -- be looked up.
    written_to          bigint      NOT NULL DEFAULT 0,
    -- Set in active jobs while their batch is paused, since a chunk reads only the job.
    paused              boolean     NOT NULL DEFAULT false,
    -- Names the call that claimed the job last. If the response to its commit was lost, the call
    -- recognises its own claim by it.
    token               bigint,
    attempts            integer     NOT NULL DEFAULT 0,
    crashes             integer     NOT NULL DEFAULT 0,
    -- The total time of its attempts.
    worked_ms           bigint      NOT NULL DEFAULT 0,
    -- The number of finished attempts that the queue had recorded at the last claim. NULL if the
    -- claim came from an external delivery.
    acknowledged        bigint,
    not_before          timestamptz,
    error               text,
    -- Errors with the same text, apart from numbers, codes and quoted values, have the same group.
    error_group         text,
    -- The failed chunks of the last failed attempt: {ranges: [{from, to, tries, error}], more,
    -- more_items}.
    failed_chunks       json,

    claimed_at          timestamptz,
    finished_at         timestamptz,

    PRIMARY KEY (batch, seq)
) WITH (fillfactor = 60);

-- No index contains the state, which changes often. The claim of a waiting job and its chunks
-- change no indexed column, so the new version of the row stays on its page and no index is
-- updated.
CREATE INDEX jobs_to_work ON jobs (batch, seq) WHERE finished_at IS NULL AND not_before IS NULL;
-- By batch, so that jobs of a paused batch are not scanned.
CREATE INDEX jobs_delayed ON jobs (batch, not_before) WHERE not_before IS NOT NULL;
CREATE INDEX jobs_failed ON jobs (batch, seq) WHERE error IS NOT NULL AND finished_at IS NOT NULL;

-- The counts of open batches, so that lists need not count jobs. Each process writes its own rows,
-- at most a few times a second, and each row has the counts of the whole batch. Without a row,
-- either no process has worked on the batch and all its jobs are waiting, or the batch is finished
-- and its own row has the counts.
CREATE TABLE summaries (
    batch               bigint      NOT NULL,
    -- A random number for each start of a process. 0 for a verb that changes a whole batch, such as
    -- a cancel.
    process             bigint      NOT NULL,
    waiting             bigint      NOT NULL,
    active              bigint      NOT NULL,
    delayed             bigint      NOT NULL,
    completed           bigint      NOT NULL,
    failed              bigint      NOT NULL,
    items_created       bigint      NOT NULL,
    worked_ms           bigint      NOT NULL,
    -- Read just before the count. The latest row of a batch has the newest counts.
    counted_at          timestamptz NOT NULL,
    -- The work of this process alone: the time of its last insert, and the number of items that it
    -- inserted in the ten seconds before it counted. A row may be old, because its process has died
    -- or another process counts the batch now. Treat `recent_items` as 0 if the row is older than
    -- ten seconds.
    last_item_at        timestamptz,
    recent_items        bigint      NOT NULL DEFAULT 0,
    -- Increases with each count, so that a watcher notices changes.
    version             bigint      NOT NULL DEFAULT 1,

    PRIMARY KEY (batch, process)
) WITH (fillfactor = 70);

CREATE INDEX summaries_active ON summaries (counted_at) WHERE active > 0;

-- The version that watchers compare. It increases with each change of the row of the batch, and
-- shortly after each change of its jobs.
CREATE VIEW versions AS
SELECT b.id, b.version + coalesce(s.more, 0) AS version
FROM batches b
LEFT JOIN LATERAL (SELECT sum(version)::bigint AS more FROM summaries WHERE batch = b.id) s ON b.finished_at IS NULL;

-- The items, by far the largest table. No foreign key, since `insert_chunk` locks the job while it
-- inserts. No index on the code, since a code decodes to this primary key.
CREATE TABLE items (
    batch               bigint      NOT NULL,
    ordinal             bigint      NOT NULL CHECK (ordinal >= 0),
    code                text        COLLATE "C" NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (batch, ordinal)
);

-- Ids are never reused: a queue may still contain the id of a deleted hook.
CREATE TABLE hooks (
    id                  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch               bigint      NOT NULL REFERENCES batches (id),
    kind                text        NOT NULL CHECK (kind IN ('batch_finished', 'job_failed', 'job_completed')),
    event               json        NOT NULL,
    state               text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'given_up')),
    attempts            integer     NOT NULL DEFAULT 0,
    not_before          timestamptz,
    error               text
);

CREATE INDEX hooks_open ON hooks (id) WHERE state = 'open';
CREATE INDEX hooks_given_up ON hooks (batch) WHERE state = 'given_up';

-- The audit: who changed which batch, inserted in the transaction of the change. The actions have
-- no CHECK, since later versions add some. Ids of one batch ascend in the order of its changes,
-- since each change locks the batch. The time is that of the insert, not that of the transaction's
-- start.
CREATE TABLE audit (
    id                  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch               bigint      NOT NULL REFERENCES batches (id),
    at                  timestamptz NOT NULL DEFAULT clock_timestamp(),
    action              text        NOT NULL,
    -- NULL if it is unknown.
    actor               text        CHECK (length(actor) BETWEEN 1 AND 255),
    address             text,
    details             json        NOT NULL
);

CREATE INDEX audit_by_batch ON audit (batch, id);
CREATE INDEX audit_by_time ON audit (at, id);

-- The entries can't be altered. `prune_audit` alone removes some; it sets
-- `rocket_batch.pruning_audit` in its transaction.
CREATE FUNCTION keep_audit() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('rocket_batch.pruning_audit', true) = 'on' THEN
        RETURN old;
    END IF;
    RAISE restrict_violation USING MESSAGE = 'an entry of the audit can not be changed or removed',
        HINT = 'The setting `keep_audit` removes old entries.';
END
$$;

CREATE TRIGGER keep_audit BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION keep_audit();
CREATE TRIGGER keep_whole_audit BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION keep_audit();

-- The processes that use the ledger. Each reports itself every ten seconds and removes its row when
-- it ends; a row that was not renewed is of a process that died.
CREATE TABLE workers (
    -- A random number for each start of a process, as in the summaries.
    id                  bigint      PRIMARY KEY,
    host                text        NOT NULL,
    role                text        NOT NULL CHECK (role IN ('all', 'web', 'worker')),
    version             text        NOT NULL,
    started_at          timestamptz NOT NULL,
    reported_at         timestamptz NOT NULL,
    last_fetch_at       timestamptz,
    active_jobs         bigint      NOT NULL CHECK (active_jobs >= 0),
    standby             boolean     NOT NULL,
    memory_bytes        bigint      CHECK (memory_bytes >= 0)
) WITH (fillfactor = 70);

-- The latest checks of items, without and with their codes. A status task continues a check at
-- `position`, which is NULL once it has finished.
CREATE TABLE reconciliations (
    batch               bigint      NOT NULL REFERENCES batches (id),
    codes               boolean     NOT NULL,
    -- Increases with each new check.
    run                 integer     NOT NULL CHECK (run >= 1),
    position            bigint      CHECK (position >= 0),
    -- The result so far.
    tally               json        NOT NULL,
    started_at          timestamptz NOT NULL DEFAULT now(),
    finished_at         timestamptz,

    PRIMARY KEY (batch, codes),
    CHECK ((position IS NULL) = (finished_at IS NOT NULL))
);

CREATE INDEX reconciliations_open ON reconciliations (batch) WHERE finished_at IS NULL;

-- The views that hosts may read: see docs/guide/tables.md. SQLite has views of the same names with
-- the same columns, so that one query serves both. All numbers are `bigint`.
--
-- A view is merged into the query that reads it, so that a condition on `batch_id` or `code` uses
-- the index of the table, and a column that the query does not name costs nothing. The join makes a
-- view read-only: PostgreSQL lets no one write through a view of two relations. It costs nothing
-- either. A view reads with the rights of its owner, so a reader needs rights on the view only.
CREATE VIEW batch_batches AS
SELECT b.id AS batch_id, b.status, b.quantity, b.batch_size, b.prefix AS qr_code_prefix,
       b.max_jobs AS max_jobs_per_batch, b.jobs,
       coalesce(b.items_created, (SELECT sum(created)::bigint FROM jobs WHERE batch = b.id), 0) AS items_created,
       b.error, b.created_at, b.started_at, b.finished_at
FROM batches b
CROSS JOIN (SELECT) AS read_only;

CREATE VIEW batch_jobs AS
SELECT j.batch AS batch_id, j.seq, j.state, j.first AS first_ordinal, j.quantity, j.created AS items_created,
       j.attempts::bigint AS attempts, j.crashes::bigint AS crashes, j.error, j.claimed_at AS started_at, j.finished_at
FROM jobs j
CROSS JOIN (SELECT) AS read_only;

CREATE VIEW batch_items AS
SELECT i.batch AS batch_id, i.ordinal, i.code, i.created_at
FROM items i
CROSS JOIN (SELECT) AS read_only;

CREATE VIEW batch_workers AS
SELECT lpad(to_hex(w.id), 16, '0') AS worker_id, w.host, w.role, w.version, w.started_at, w.reported_at,
       w.last_fetch_at, w.active_jobs, w.standby::int::bigint AS standby, w.memory_bytes
FROM workers w
CROSS JOIN (SELECT) AS read_only;

-- Creates a batch in a transaction of the host, with any driver. It has no jobs; the feeder plans
-- it after the commit.
--
-- Checks the limits of the process that started last, which each launch stores in `settings`. Runs
-- as the owner of the tables, so that its caller needs no right on them, and in this schema
-- whatever the caller's search path is.
SELECT set_config('search_path', current_schema() || ', pg_temp', true);

CREATE FUNCTION create_product_items(
    quantity            bigint,
    batch_id            bigint      DEFAULT NULL,
    batch_size          bigint      DEFAULT NULL,
    qr_code_prefix      text        DEFAULT NULL,
    max_jobs_per_batch  bigint      DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
    limits CONSTANT jsonb := (SELECT jsonb_object_agg(name, value) FROM settings WHERE name LIKE 'max\_%');
    max_jobs CONSTANT bigint := limits ->> 'max_jobs_per_batch';
    max_items CONSTANT bigint := limits ->> 'max_items_per_job';
    jobs CONSTANT bigint := coalesce(max_jobs_per_batch, max_jobs);
    field text;
    argument bigint;
    max_value bigint;
    setting text;
    new_id bigint;
BEGIN
    FOR field, argument, max_value, setting IN VALUES
        ('quantity', quantity, (limits ->> 'max_quantity')::bigint, ' (setting `max_quantity`)'),
        ('batch_id', batch_id, 9007199254740991, ''),
        ('batch_size', batch_size, max_items, ' (setting `max_items_per_job`)'),
        ('max_jobs_per_batch', max_jobs_per_batch, max_jobs, ' (setting `max_jobs_per_batch`)')
    LOOP
        IF argument NOT BETWEEN 1 AND max_value OR (argument IS NULL AND field = 'quantity') THEN
            RAISE invalid_parameter_value USING MESSAGE = format(
                '`%s` must be 1 to %s%s, but is %s', field, max_value, setting, coalesce(argument::text, 'null'));
        END IF;
    END LOOP;
    IF quantity > jobs * max_items THEN
        RAISE invalid_parameter_value USING MESSAGE = format(
            '`quantity` must be at most %s for %s jobs of up to %s items (setting `max_items_per_job`), but is %s',
            jobs * max_items, jobs, max_items, quantity);
    END IF;
    IF qr_code_prefix !~ '^[A-Za-z0-9_-]{1,16}$' THEN
        RAISE invalid_parameter_value USING MESSAGE =
            '`qr_code_prefix` must be 1 to 16 characters of A-Z, a-z, 0-9, `_` and `-`';
    END IF;

    LOOP
        new_id := coalesce(batch_id, nextval('batch_ids'));
        INSERT INTO batches (id, quantity, batch_size, prefix, max_jobs)
        VALUES (
            new_id, quantity,
            coalesce(batch_size, (SELECT value::bigint FROM settings WHERE name = 'batch_size')),
            qr_code_prefix, max_jobs_per_batch
        )
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            INSERT INTO audit (batch, action, details)
            SELECT id, 'created', json_build_object(
                'source', 'sql', 'quantity', b.quantity,
                'options', json_build_object(
                    'batchSize', b.batch_size, 'qrCodePrefix', b.prefix, 'maxJobsPerBatch', b.max_jobs
                )
            )
            FROM batches b
            WHERE id = new_id;
            RETURN new_id;
        END IF;
        IF batch_id IS NOT NULL THEN
            RAISE unique_violation USING MESSAGE = format('batch %s already exists', batch_id);
        END IF;
    END LOOP;
END
$$;

SELECT set_config('search_path', current_schema() || ', public', true);

REVOKE EXECUTE ON FUNCTION create_product_items FROM PUBLIC;
