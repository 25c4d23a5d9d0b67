-- What holds for every job. The ledger's own table leaves it out, since it would cost each claim
-- and each end of a job.
ALTER TABLE jobs
    ADD CHECK (seq >= 0 AND first >= 0 AND quantity > 0 AND epoch >= 0 AND generation >= 0 AND worked_ms >= 0),
    ADD CHECK (created BETWEEN 0 AND quantity),
    ADD CHECK (state IN ('waiting', 'active', 'delayed', 'completed', 'failed', 'cancelled')),
    ADD CHECK (state <> 'completed' OR created = quantity),
    ADD CHECK (state <> 'failed' OR error IS NOT NULL),
    ADD CHECK ((error IS NULL) = (error_group IS NULL)),
    ADD CHECK ((state = 'delayed') = (not_before IS NOT NULL)),
    ADD CHECK ((state IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    ADD CHECK (state = 'active' OR NOT paused);
