//! What each verb does, as errors say it: a verb phrase, the same for both databases.

pub(super) const BATCH: &str = "read a batch";
pub(super) const BATCHES: &str = "list batches";
pub(super) const ITEMS: &str = "list items";
pub(super) const FAILED_JOBS: &str = "list failed jobs";
pub(super) const BACKLOG: &str = "read the backlog";
pub(super) const SUMMARIZE: &str = "count the jobs of batches";
pub(super) const CREATE: &str = "create a batch";
pub(super) const PLAN: &str = "plan a batch";
pub(super) const CLAIM: &str = "claim a job";
pub(super) const INSERT_CHUNK: &str = "insert items";
pub(super) const FINISH_ATTEMPT: &str = "finish an attempt";
pub(super) const INSERT_AND_COMPLETE: &str = "insert the last items of a job";
pub(super) const AT_END: &str = "find batches to close";
pub(super) const CLOSE: &str = "close a batch";
pub(super) const CONTROL: &str = "control a batch";
pub(super) const RETRY: &str = "retry a batch";
pub(super) const OPEN_JOBS: &str = "find open jobs";
pub(super) const OPEN_TASKS: &str = "find open tasks";
pub(super) const HOOK: &str = "read a hook";
pub(super) const RECORD_HOOK_OUTCOME: &str = "record the outcome of a hook";
pub(super) const PRUNE_HISTORY: &str = "remove the history of batches";
pub(super) const CODE_KEY: &str = "store the code key";
pub(super) const ACQUIRE_LEADERSHIP: &str = "acquire the leadership";
pub(super) const PING: &str = "ping";
pub(super) const IDENTITY: &str = "store the identity of the ledger";
pub(super) const OPEN_HOOKS: &str = "count open hooks";
