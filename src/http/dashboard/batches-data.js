// The batches of the list: those that are open from the stream of all batches, the others from
// pages of the list.

import { get, isAbort, latest, withQuery } from "./api.js";
import { onReturn } from "./connection.js";
import { isOpen } from "./states.js";
import { createStore } from "./store.js";
import { openStream } from "./stream.js";

const PAGE = 50;

// Every batch that is known, by its id. It is changed in place, and `list` counts the changes.
const rows = new Map();

// `floor` is the lowest id down to which the list is loaded with this filter.
export const list = createStore({
  changes: 0,
  filter: null,
  cursor: null,
  floor: 0,
  isLoading: true,
  error: null,
});

export const rowOf = (id) => rows.get(id);

function fromRecord(record) {
  const { batchId: id, status, itemsCreated, createdAt, jobs, options } = record;
  return {
    id,
    status,
    itemsCreated,
    createdAt,
    failed: jobs.failed,
    itemsTotal: record.quantity,
    prefix: options.qrCodePrefix,
  };
}

function fromProgress(progress) {
  const { batchId: id, status, itemsCreated, itemsTotal, failed, stalled } = progress;
  return { id, status, itemsCreated, itemsTotal, failed, stalled };
}

function change(row) {
  rows.set(row.id, { ...rows.get(row.id), ...row });
}

const changed = (part = {}) => list.merge({ ...part, changes: list.get().changes + 1 });

export function noteRecord(record) {
  change(fromRecord(record));
  changed();
}

// The rows to show: open ones first, the oldest of them on top, then the newest finished ones.
export function rowsInOrder() {
  const { filter, floor } = list.get();
  const open = [];
  const finished = [];
  for (const row of rows.values()) {
    if (filter !== null && row.status !== filter) continue;
    if (isOpen(row.status)) open.push(row);
    else if (row.id >= floor) finished.push(row);
  }
  open.sort((one, two) => one.id - two.id);
  finished.sort((one, two) => two.id - one.id);
  return { open, finished };
}

const pages = latest();

async function load(filter, cursor) {
  list.merge({ filter, isLoading: true, error: null, ...(cursor === null && { cursor: null }) });
  try {
    const page = await pages.run((signal) =>
      get(withQuery("./", { status: filter, cursor, limit: PAGE }), signal),
    );
    page.items.forEach((record) => change(fromRecord(record)));
    const last = page.items.at(-1)?.batchId ?? Infinity;
    const floor = page.nextCursor === null ? 0 : last;
    changed({ isLoading: false, cursor: page.nextCursor, floor });
  } catch (error) {
    // The page as a whole says that the server can't be reached.
    if (!isAbort(error)) list.merge({ isLoading: false, error: error.status === 0 ? null : error });
  }
}

export const loadFirst = (filter) => load(filter, null);
export const loadMore = () => load(list.get().filter, list.get().cursor);

// Reads the records of those rows that are known from events only, one at a time.
let isFilling = false;
export async function fill(visible) {
  if (isFilling) return;
  const missing = visible.find((row) => row.createdAt === undefined && !row.isUnreadable);
  if (missing === undefined) return;
  isFilling = true;
  try {
    change(fromRecord(await get(`${missing.id}`)));
  } catch {
    // The row shows what the event said.
    change({ id: missing.id, isUnreadable: true });
  }
  isFilling = false;
  changed();
}

// An open batch that a new snapshot does not have finished while no stream was open.
function takeSnapshot(items) {
  const ids = new Set(items.map((progress) => progress.batchId));
  items.forEach((progress) => change(fromProgress(progress)));
  const isComplete = items.length < 1_000;
  for (const row of rows.values()) {
    if (isComplete && isOpen(row.status) && !ids.has(row.id)) refresh(row.id);
  }
}

async function refresh(id) {
  try {
    noteRecord(await get(`${id}`));
  } catch (error) {
    if (error.status === 404) rows.delete(id);
    changed();
  }
}

// Follows all batches. Returns a function that stops it.
export function followBatches() {
  const onEvent = (name, data) => {
    if (name === "snapshot") takeSnapshot(data.items);
    else change(fromProgress(data));
    changed();
  };
  const onFail = (error) => {
    if (error.status === 429) list.merge({ streamError: error });
  };
  const stream = openStream("events", { onEvent, onFail });
  const stopReturn = onReturn(() => loadFirst(list.get().filter));
  return () => {
    stream.close();
    stopReturn();
    pages.abort();
  };
}
