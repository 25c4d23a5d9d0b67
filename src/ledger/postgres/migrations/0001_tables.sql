-- 0001: the tables of batches, jobs, items and hooks.
--
-- Runs with the ledger's schema as the search path. States and statuses are the words that JSON
-- uses. What must never be wrong stands here as a CHECK, so that a defect above is refused and not
-- stored. (`settings` exists already: the version of these tables is kept there.)

-- Ids for those who choose none. Goes on from where it was, not from the largest id: a host that
-- takes a huge one would use it up.
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
    -- Not known until it is planned, which is when it is made, but for one that
    -- `create_product_items` below made.
    jobs                bigint      CHECK (jobs >= 0),
    version             bigint      NOT NULL DEFAULT 1,
    error               text,
    -- How long it was to take, when it was planned.
    estimated_ms        bigint      CHECK (estimated_ms >= 0),

    -- Of the call that made it, so that it knows its own batch when the answer to its commit was
    -- lost.
    token               bigint      NOT NULL DEFAULT 0,

    created_at          timestamptz NOT NULL DEFAULT now(),
    started_at          timestamptz,
    finished_at         timestamptz,

    -- The counts at the end. While the batch is open its jobs are counted, and this row stays as it
    -- is: a job that changed it would make all other jobs of the batch wait.
    completed           bigint,
    failed              bigint,
    cancelled           bigint,
    items_created       bigint      CHECK (items_created BETWEEN 0 AND quantity),
    worked_ms           bigint      CHECK (worked_ms >= 0),

    -- Whether the rows of its jobs are all there, are being removed, or are gone. It has to be over
    -- for that, and stays so.
    history             text        NOT NULL DEFAULT 'complete' CHECK (history IN ('complete', 'pruning', 'pruned')),

    -- Of the request that made it, as long as the key stands for it.
    caller              text        NOT NULL DEFAULT '',
    idempotency_key     text,
    request_fingerprint text,

    CHECK ((finished_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))),
    CHECK (jobs IS NOT NULL OR status IN ('pending', 'paused')),
    -- None at all has only a batch that ended unplanned.
    CHECK (jobs > 0 OR status IN ('failed', 'cancelled')),
    CHECK (jobs = 0 OR (key_fingerprint IS NOT NULL AND estimated_ms IS NOT NULL)),
    CHECK ((finished_at IS NOT NULL) = (items_created IS NOT NULL)),
    CHECK ((finished_at IS NOT NULL) = (worked_ms IS NOT NULL)),
    CHECK (finished_at IS NOT NULL OR history = 'complete'),
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

-- Room is left in each page: a chunk updates its job, and stays on the page then.
--
-- It has no CHECK. PostgreSQL prepares those of a table anew for each statement that changes it:
-- all that hold here took 40 us of the 115 that such a statement took. The tests of the ledger add
-- them, see tests/ledger/checks.sql.
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
    -- Past the largest ordinal that was ever written. What is beyond does not exist, and need not
    -- be looked up.
    written_to          bigint      NOT NULL DEFAULT 0,
    -- Set in an active job while its batch is paused, since a chunk looks at the job alone.
    paused              boolean     NOT NULL DEFAULT false,
    -- Of the call that began it last, so that it knows its own begin when the answer to its commit
    -- was lost.
    token               bigint,
    attempts            integer     NOT NULL DEFAULT 0,
    crashes             integer     NOT NULL DEFAULT 0,
    -- The time that its attempts took.
    worked_ms           bigint      NOT NULL DEFAULT 0,
    -- Ends of attempts that the queue had been told when the job was begun last; NULL when it was
    -- begun for an order.
    acknowledged        bigint,
    not_before          timestamptz,
    error               text,
    -- Those set aside by the last attempt that failed: {ranges: [{from, to, tries, error}], more,
    -- more_items}.
    failed_chunks              json,

    claimed_at            timestamptz,
    finished_at         timestamptz,

    PRIMARY KEY (batch, seq)
) WITH (fillfactor = 60);

-- No index has the state, which changes all the time: a claim and a chunk change nothing that is
-- indexed, so the row's new version stays on its page and no index learns of it.
CREATE INDEX jobs_to_work ON jobs (batch, seq) WHERE finished_at IS NULL AND not_before IS NULL;
-- By batch, so that those of a paused batch are not looked through.
CREATE INDEX jobs_delayed ON jobs (batch, not_before) WHERE not_before IS NOT NULL;
CREATE INDEX jobs_failed ON jobs (batch, seq) WHERE error IS NOT NULL AND finished_at IS NOT NULL;

-- Open batches as lists show them, so that a list never counts jobs. Each process writes rows of
-- its own, at most a few times a second, and each row has the counts of the whole batch: the one
-- that was counted last is the best. A batch that no process has worked yet has none: all its jobs
-- wait. One that is over has none: its own row says it all.
CREATE TABLE summaries (
    batch               bigint      NOT NULL,
    -- Drawn at each start of a process; 0 is for verbs that change a batch as a whole.
    process             bigint      NOT NULL,
    waiting             bigint      NOT NULL,
    active              bigint      NOT NULL,
    delayed             bigint      NOT NULL,
    completed           bigint      NOT NULL,
    failed              bigint      NOT NULL,
    items_created       bigint      NOT NULL,
    worked_ms           bigint      NOT NULL,
    -- Before its snapshot: the latest of a batch has seen the most.
    counted_at          timestamptz NOT NULL,
    -- What this process alone wrote: the time of its last item, and how many it wrote in the ten
    -- seconds before it counted. For now nobody reads them. A process does not write its row while
    -- another one counts the batch, and leaves it when it dies, so `recent_items` says nothing in a
    -- row that was counted more than ten seconds ago: whoever reads it takes that for 0.
    last_item_at        timestamptz,
    recent_items        bigint      NOT NULL DEFAULT 0,
    -- Grows with each count, so that a watcher sees that something changed.
    version             bigint      NOT NULL DEFAULT 1,

    PRIMARY KEY (batch, process)
) WITH (fillfactor = 70);

CREATE INDEX summaries_active ON summaries (counted_at) WHERE active > 0;

-- What a watcher compares: it grows with every change of a batch as a whole, and a moment after
-- every change of its jobs.
CREATE VIEW batch_versions AS
SELECT b.id, b.version + coalesce(s.more, 0) AS version
FROM batches b
LEFT JOIN LATERAL (SELECT sum(version)::bigint AS more FROM summaries WHERE batch = b.id) s ON b.finished_at IS NULL;

-- The rows that all this is for, and by far the most. No foreign key, since `write` holds the job
-- while it inserts; no index on the code, since a code decodes to this primary key.
CREATE TABLE items (
    batch               bigint      NOT NULL,
    ordinal             bigint      NOT NULL CHECK (ordinal >= 0),
    code                text        COLLATE "C" NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (batch, ordinal)
);

-- No id comes twice: queues know a hook by its id, and may remember one that is gone.
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

-- For hosts on any driver: a batch in a transaction of theirs. It has no jobs; the feeder plans it
-- once it is committed.
--
-- Checks what can never be right; the limits of the settings are checked when it is planned. Runs
-- as the owner of the tables, so that whoever may call it needs no right on them, and in this
-- schema whatever the caller's search path is.
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
    field text;
    given bigint;
    most bigint;
    made bigint;
BEGIN
    FOR field, given, most IN VALUES
        ('quantity', quantity, 9007199254740991),
        ('batch_id', batch_id, 9007199254740991),
        ('batch_size', batch_size, 9007199254740991),
        ('max_jobs_per_batch', max_jobs_per_batch, 100000)
    LOOP
        IF given NOT BETWEEN 1 AND most OR (given IS NULL AND field = 'quantity') THEN
            RAISE invalid_parameter_value USING MESSAGE =
                format('`%s` must be 1 to %s, but is %s', field, most, coalesce(given::text, 'null'));
        END IF;
    END LOOP;
    IF qr_code_prefix !~ '^[A-Za-z0-9_-]{1,16}$' THEN
        RAISE invalid_parameter_value USING MESSAGE = '`qr_code_prefix` must be 1 to 16 of A-Z a-z 0-9 _ -';
    END IF;

    LOOP
        made := coalesce(batch_id, nextval('batch_ids'));
        INSERT INTO batches (id, quantity, batch_size, prefix, max_jobs)
        VALUES (
            made, quantity,
            coalesce(batch_size, (SELECT value::bigint FROM settings WHERE name = 'batch_size')),
            qr_code_prefix, max_jobs_per_batch
        )
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN made;
        END IF;
        IF batch_id IS NOT NULL THEN
            RAISE unique_violation USING MESSAGE = format('batch %s exists already', batch_id);
        END IF;
    END LOOP;
END
$$;

SELECT set_config('search_path', current_schema() || ', public', true);

REVOKE EXECUTE ON FUNCTION create_product_items FROM PUBLIC;
