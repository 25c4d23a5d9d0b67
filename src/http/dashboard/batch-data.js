// What the page knows about the batch that it shows: its record, its progress as it changes, and
// its speed since the page was opened.

import { get, isAbort, latest } from "./api.js";
import { list, noteRecord, rowOf } from "./batches-data.js";
import { onReturn } from "./connection.js";
import { isOpen } from "./states.js";
import { createStore } from "./store.js";
import { openStream } from "./stream.js";

// The number of samples of the speed that are kept, one a second.
const SAMPLES = 300;
// The shortest time between two streams of one batch.
const RESTART_MS = 1_000;

// Follows a batch until `close()`. `store` has what is known; `turns` counts what makes lists of
// the batch out of date: its end, and each action.
export function followBatch(id) {
  const store = createStore({ record: null, progress: null, error: null, samples: [], turns: 0 });
  const records = latest();
  let stream = null;
  let lastStart = 0;

  const load = async () => {
    try {
      const record = await records.run((signal) => get(`${id}`, signal));
      noteRecord(record);
      store.merge({ record, error: null });
    } catch (error) {
      if (!isAbort(error)) store.merge({ error });
    }
  };
  const stop = () => {
    stream?.close();
    stream = null;
  };
  const onEvent = (name, progress) => {
    const { samples, turns, progress: before } = store.get();
    store.merge({ progress, samples: withSample(samples, progress.itemsPerSecond) });
    if (name === "finished") {
      stop();
      load();
      store.merge({ turns: turns + 1 });
    } else if (before !== null && before.status !== progress.status) {
      load();
    }
  };
  const start = () => {
    stop();
    lastStart = Date.now();
    stream = openStream(`${id}/events`, { onEvent });
  };
  // Someone may have retried the batch after its end.
  const stopWatching = list.watch(() => {
    const row = rowOf(id);
    if (stream === null && row && isOpen(row.status) && Date.now() - lastStart > RESTART_MS) again();
  });
  const again = () => {
    load();
    start();
    store.merge({ turns: store.get().turns + 1 });
  };
  const stopReturn = onReturn(again);
  load();
  start();
  return {
    store,
    again,
    close() {
      stop();
      stopWatching();
      stopReturn();
      records.abort();
    },
  };
}

// Adds the speed of this second, or replaces it.
export function withSample(samples, itemsPerSecond) {
  const second = Math.floor(Date.now() / 1000);
  const before = samples.at(-1)?.second === second ? samples.slice(0, -1) : samples;
  return [...before.slice(-(SAMPLES - 1)), { second, itemsPerSecond }];
}
