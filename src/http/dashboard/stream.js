// Server-Sent Events, read with fetch so that requests carry the caller's credentials. A stream
// connects again by itself, and closes while nobody looks at the page.

import { send } from "./api.js";
import { reached } from "./connection.js";
import { loadRights } from "./rights.js";
import { forbidReading } from "./session.js";

// The server sends a comment every 15 seconds. A connection that is silent for longer than this is
// dead.
const SILENCE_MS = 45_000;
const FIRST_DELAY_MS = 1_000;
const MAX_DELAY_MS = 30_000;
// Answers that stay the same when the request is repeated.
const FINAL = [401, 404];

// Answers that say why there is no stream, while other requests may succeed.
export const NO_STREAM = [403, 429, 503];

// Opens a stream. `onEvent(name, data)` is called for each event, `onFail(error)` for each failed
// try. After `close()` neither is called.
export function openStream(path, { onEvent, onFail = () => {} }) {
  const stream = {
    path,
    onEvent,
    onFail,
    lastId: null,
    failures: 0,
    isClosed: false,
    controller: null,
    timer: null,
  };
  const follow = () => {
    if (document.hidden) pause(stream);
    else start(stream);
  };
  document.addEventListener("visibilitychange", follow);
  follow();
  return {
    close() {
      stream.isClosed = true;
      document.removeEventListener("visibilitychange", follow);
      pause(stream);
    },
  };
}

function pause(stream) {
  clearTimeout(stream.timer);
  stream.controller?.abort();
  stream.controller = null;
}

async function start(stream) {
  if (stream.isClosed || stream.controller !== null) return;
  clearTimeout(stream.timer);
  const own = new AbortController();
  stream.controller = own;
  const isCurrent = () => stream.controller === own && !stream.isClosed;
  let isFinal = false;
  try {
    await readAll(stream, own, isCurrent);
  } catch (error) {
    if (!isCurrent()) return;
    // A broken connection says nothing about the server; the next try does.
    isFinal = FINAL.includes(error.status);
    if (error.status === 403) checkRights();
    stream.failures += 1;
    stream.onFail(error);
  }
  if (!isCurrent()) return;
  stream.controller = null;
  if (!isFinal) stream.timer = setTimeout(() => start(stream), delay(stream.failures));
}

// The caller may have lost the right to read: then the page asks for a token. If only this stream
// is forbidden, it is tried again.
async function checkRights() {
  try {
    await loadRights();
  } catch (error) {
    if (error.status === 403) forbidReading();
  }
}

// Doubles with each failure, and differs from page to page, so that not all return at once.
function delay(failures) {
  const longest = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.max(0, failures - 1));
  return longest * (0.5 + Math.random() / 2);
}

async function readAll(stream, own, isCurrent) {
  const headers = { Accept: "text/event-stream" };
  if (stream.lastId !== null) headers["Last-Event-ID"] = stream.lastId;
  const watchdog = watchdogOf(own);
  watchdog.restart();
  try {
    const response = await send(stream.path, { headers, signal: own.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = eventParser();
    for (;;) {
      watchdog.restart();
      const { value, done } = await reader.read();
      if (done) return;
      stream.failures = 0;
      reached();
      for (const event of parser(value)) {
        if (!isCurrent()) return;
        stream.lastId = event.id ?? stream.lastId;
        if (event.data !== "") stream.onEvent(event.name, JSON.parse(event.data));
      }
    }
  } finally {
    watchdog.stop();
    // Whatever ended the reading, the connection does not stay open unread.
    own.abort();
  }
}

// Ends the request when the server is silent, also before its answer starts. That is no abort by
// the caller, so it has another name.
function watchdogOf(own) {
  let timer;
  const stop = () => clearTimeout(timer);
  const restart = () => {
    stop();
    timer = setTimeout(() => own.abort(new DOMException("The server is silent.", "TimeoutError")), SILENCE_MS);
  };
  return { restart, stop };
}

// Returns a function that takes the next piece of text and returns the events that it completes.
export function eventParser() {
  let rest = "";
  return (text) => {
    const blocks = (rest + text).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    return blocks.map(eventOf);
  };
}

function eventOf(block) {
  const event = { name: "message", data: "", id: null };
  const data = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") data.push(value);
    else if (field === "event") event.name = value;
    else if (field === "id") event.id = value;
  }
  return { ...event, data: data.join("\n") };
}
