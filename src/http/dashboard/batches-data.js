// The batches of the list: those that are open from the stream of all batches, the others from
// pages of the list.

import { cursorBefore, get, insistent, isAbort, latest, withQuery } from "./api.js";
import { onReturn } from "./connection.js";
import { isOpen } from "./states.js";
import { createStore } from "./store.js";
import { NO_STREAM, openStream } from "./stream.js";

const PAGE = 50;
// The largest page that the server sends.
const MAX_PAGE = 1_000;
// A snapshot has at most 1,000 batches, less those that have just finished. From this number on it
// may not have all open ones.
const MAYBE_CUT = 900;
// With more finished rows than MOST, only the newest KEPT stay, unless the user has asked for more.
const MOST = 1_000;
const KEPT = 500;
// A first page that was asked for this long before the first snapshot may lack batches.
const FRESH_MS = 2_000;

// Every batch that is known, by its id. It is changed in place, and `list` counts the changes.
// `heardAt` of a row is the time of which its status and counts are.
const rows = new Map();

// `floor` is the lowest id down to which the list is loaded with this filter.
export const list = createStore({
  changes: 0,
  filter: null,
  cursor: null,
  floor: 0,
  isLoading: true,
  error: null,
  streamError: null,
});

export const rowOf = (id) => rows.get(id);

function change(row) {
  rows.set(row.id, { ...rows.get(row.id), ...row });
}

export const changed = (part = {}) => list.merge({ ...part, changes: list.get().changes + 1 });

// Takes a record that was asked for at `askedAt`. What an event has said since then is newer.
function takeRecord(record, askedAt) {
  const { batchId: id, status, itemsCreated, createdAt, jobs: { failed }, options } = record;
  change({ id, createdAt, itemsTotal: record.quantity, prefix: options.qrCodePrefix });
  const { heardAt, stalled } = rows.get(id);
  if (heardAt > askedAt) return;
  change({ id, status, itemsCreated, failed, stalled: stalled && status === "running", heardAt: askedAt });
}

function takeProgress(progress) {
  const { batchId: id, status, itemsCreated, itemsTotal, failed, stalled } = progress;
  change({ id, status, itemsCreated, itemsTotal, failed, stalled, heardAt: performance.now() });
  missed.delete(id);
}

export function noteRecord(record, askedAt) {
  takeRecord(record, askedAt);
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

// Reads a page of the list. Returns what the list then says about its end.
async function readPage(calls, query) {
  const askedAt = performance.now();
  const page = await calls.run((signal) => get(withQuery("./", query), signal));
  page.items.forEach((record) => takeRecord(record, askedAt));
  const floor = page.nextCursor === null ? 0 : (page.items.at(-1)?.batchId ?? Infinity);
  return { isLoading: false, error: null, cursor: page.nextCursor, floor };
}

const pages = latest();
// When the first page was asked for last, and how many finished rows may be there.
let firstAskedAt = -Infinity;
let most = MOST;

async function load(filter, cursor) {
  list.merge({ filter, isLoading: true, error: null, ...(cursor === null && { cursor: null }) });
  try {
    changed(await readPage(pages, { status: filter, cursor, limit: PAGE }));
  } catch (error) {
    if (isAbort(error)) return;
    // The page as a whole says that the server can't be reached, and the list is still to come.
    const isAway = error.status === 0;
    list.merge({ isLoading: isAway && cursor === null, error: isAway ? null : error });
    if (isAway && cursor === null) reloadSoon();
  }
}

export function loadFirst(filter) {
  firstAskedAt = performance.now();
  most = MOST;
  return load(filter, null);
}

export async function loadMore() {
  await load(list.get().filter, list.get().cursor);
  most = Math.max(most, rowsInOrder().finished.length + KEPT);
}

// What happened while no stream was open is read afterwards: the list, and rows that were open and
// are not in the last snapshot.
const LIST = "list";
let isFollowing = false;
const reloads = latest();
const { left: missed, work: catchUp } = insistent(
  (next) => isFollowing && (next === LIST ? reload() : refresh(next)),
);

function reloadSoon() {
  missed.add(LIST);
  catchUp();
}

// Reads as much of the list as is in view.
async function reload() {
  const { filter, cursor, floor } = list.get();
  const { open, finished } = rowsInOrder();
  const count = finished.length + open.filter((row) => row.id >= floor).length;
  const limit = Math.min(MAX_PAGE, Math.max(PAGE, count));
  const end = await readPage(reloads, { status: filter, limit });
  changed(list.get().filter === filter && list.get().cursor === cursor ? end : {});
}

async function refresh(id) {
  const askedAt = performance.now();
  try {
    takeRecord(await get(`${id}`), askedAt);
  } catch (error) {
    if (error.status !== 404) throw error;
    rows.delete(id);
  }
  changed();
}

function takeSnapshot(items, isFirst) {
  const ids = new Set(items.map((progress) => progress.batchId));
  items.forEach(takeProgress);
  if (!isFirst || performance.now() - firstAskedAt > FRESH_MS) missed.add(LIST);
  for (const row of rows.values()) {
    if (items.length < MAYBE_CUT && isOpen(row.status) && !ids.has(row.id)) missed.add(row.id);
  }
  list.merge({ streamError: null });
  catchUp();
}

// Forgets finished rows that are not shown and, if there are too many, the oldest of the others.
// "Show older batches" reads these again.
function prune() {
  const { isLoading, filter } = list.get();
  if (isLoading || rows.size <= most) return;
  const { finished } = rowsInOrder();
  const isFull = finished.length > most;
  const kept = new Set(isFull ? finished.slice(0, KEPT) : finished);
  const others = [...rows.values()].filter((row) => !isOpen(row.status) && !kept.has(row));
  if (others.length < KEPT) return;
  others.forEach((row) => rows.delete(row.id));
  if (!isFull) return;
  const floor = finished[KEPT - 1].id;
  most = MOST;
  changed({ floor, cursor: cursorBefore(`batches:${filter ?? "all"}`, floor + 1) });
}

// Follows all batches. Returns a function that stops it.
export function followBatches() {
  let isFirst = true;
  const onEvent = (name, data) => {
    if (name === "snapshot") takeSnapshot(data.items, isFirst);
    else takeProgress(data);
    isFirst = false;
    changed();
  };
  const onFail = (error) => {
    if (NO_STREAM.includes(error.status)) list.merge({ streamError: error });
  };
  isFollowing = true;
  const stream = openStream("events", { onEvent, onFail });
  const stops = [() => stream.close(), onReturn(reloadSoon), list.watch(prune), pages.abort, reloads.abort];
  return () => {
    isFollowing = false;
    stops.forEach((stop) => stop());
  };
}
