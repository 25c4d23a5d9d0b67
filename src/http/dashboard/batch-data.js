// What the page knows about the batch that it shows: its record, its progress as it changes, and
// its speed since the page was opened.

import { get, isAbort, latest } from "./api.js";
import { list, noteRecord, rowOf } from "./batches-data.js";
import { onReturn } from "./connection.js";
import { isOpen } from "./states.js";
import { createStore } from "./store.js";
import { NO_STREAM, openStream } from "./stream.js";

// The number of samples of the speed that are kept, one a second.
const SAMPLES = 300;
// The shortest time between two streams of one batch.
const RESTART_MS = 1_000;

// Follows a batch until `close()`, after which nothing is asked and nothing changes. `store` has
// what is known; `turns` counts what makes lists of the batch out of date: its end, and each
// action.
export function followBatch(id) {
  const store = createStore({ record: null, progress: null, error: null, samples: [], turns: 0 });
  const follow = { id, store, records: latest(), stream: null, lastStart: 0, heardAt: 0, isClosed: false };
  const stopWatching = list.watch(() => startAfterRetry(follow));
  const stopReturn = onReturn(() => again(follow));
  load(follow);
  start(follow);
  return {
    store,
    again: () => again(follow),
    close() {
      follow.isClosed = true;
      stop(follow);
      stopWatching();
      stopReturn();
      follow.records.abort();
    },
  };
}

async function load(follow) {
  if (follow.isClosed) return;
  const askedAt = performance.now();
  try {
    const record = await follow.records.run((signal) => get(`${follow.id}`, signal));
    noteRecord(record, askedAt);
    follow.store.merge({ record, error: null });
  } catch (error) {
    if (!isAbort(error) && !follow.isClosed) follow.store.merge({ error });
  }
}

function start(follow) {
  if (follow.isClosed) return;
  stop(follow);
  follow.lastStart = Date.now();
  follow.stream = openStream(`${follow.id}/events`, {
    onEvent: (name, progress) => take(follow, name, progress),
    onFail: (error) => NO_STREAM.includes(error.status) && readProgress(follow),
  });
}

function stop(follow) {
  follow.stream?.close();
  follow.stream = null;
}

function again(follow) {
  if (follow.isClosed) return;
  load(follow);
  start(follow);
  follow.store.merge({ turns: follow.store.get().turns + 1 });
}

// Someone may have retried the batch after its end.
function startAfterRetry(follow) {
  const row = rowOf(follow.id);
  const isLater = Date.now() - follow.lastStart > RESTART_MS;
  if (follow.stream === null && row && isOpen(row.status) && isLater) again(follow);
}

function take(follow, name, progress) {
  if (follow.isClosed) return;
  follow.heardAt = performance.now();
  const { samples, turns, progress: before } = follow.store.get();
  follow.store.merge({ progress, samples: withSample(samples, progress.itemsPerSecond) });
  if (name === "finished") {
    stop(follow);
    load(follow);
    follow.store.merge({ turns: turns + 1 });
  } else if (before !== null && changesRecord(before, progress)) {
    load(follow);
  }
}

// The record has the times of the batch, and the error of its finish hook.
function changesRecord(before, now) {
  return before.status !== now.status || (before.waitingFor === "hook") !== (now.waitingFor === "hook");
}

// Without a stream, each failed try to open one reads the progress once.
async function readProgress(follow) {
  const askedAt = performance.now();
  try {
    const progress = await get(`${follow.id}/progress`);
    if (follow.stream === null || follow.heardAt > askedAt) return;
    take(follow, isOpen(progress.status) ? "progress" : "finished", progress);
  } catch {
    // The next try to open the stream reads it again.
  }
}

// Adds the speed of this second, or replaces it.
export function withSample(samples, itemsPerSecond) {
  const second = Math.floor(Date.now() / 1000);
  const before = samples.at(-1)?.second === second ? samples.slice(0, -1) : samples;
  return [...before.slice(-(SAMPLES - 1)), { second, itemsPerSecond }];
}
