// The words of states and statuses. Their colours are in the style sheet, by the same names.

export const JOB_STATES = ["completed", "active", "delayed", "waiting", "failed", "cancelled"];

export const STATUSES = ["pending", "running", "paused", "failed", "completed", "cancelled"];

export const isOpen = (status) => ["pending", "running", "paused"].includes(status);

// What the caller can do with a batch in this status.
export const ACTIONS = {
  pending: ["pause", "cancel"],
  running: ["pause", "cancel"],
  paused: ["resume", "cancel"],
  failed: [],
  completed: [],
  cancelled: [],
};

// Why nothing happens, what it means, and what to do.
export const WAITING_FOR = {
  database: [
    "The database does not respond.",
    "Work goes on by itself once it does. No attempt is counted meanwhile.",
  ],
  queue: ["Redis does not respond.", "Jobs wait and none runs. Work goes on by itself once it does."],
  rateLimit: [
    "The rate limit holds the jobs back.",
    "As many have started as this setting allows:",
    "generate.rate_limit",
  ],
  leader: [
    "This process is on standby.",
    "Another process runs the jobs of this database. Several processes can run jobs together once they share Redis:",
    "redis",
  ],
  workers: [
    "No process runs jobs.",
    "Start one whose role is all or worker. The setting:",
    "role",
  ],
  hook: [
    "All jobs are finished, but the finish hook of your app returned an error.",
    "It is called again until it succeeds.",
  ],
  paused: ["The batch is paused.", "No job starts until it is resumed."],
  queuePaused: [
    "The queue is paused.",
    "A tool of BullMQ paused it for all batches. Resume the queue with that tool.",
  ],
};
