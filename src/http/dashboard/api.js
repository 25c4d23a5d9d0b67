// Calls the routes beside this page. The base is found from the URL of this file, so that the page
// works under every base and behind every proxy.

import { notReached, reached } from "./connection.js";
import { authorization, dropToken } from "./session.js";

const BASE = new URL("../", import.meta.url);

// How long a request may take, with its whole answer. A stream has a deadline of its own.
const DEADLINE_MS = 30_000;
// The pause after work that failed.
const RETRY_MS = 5_000;

// An answer other than success, in the words of its problem document.
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `The server answered ${status}.`);
    this.status = status;
    this.problem = problem;
  }
}

// No answer: the server is down, or the network is.
export class Unreachable extends Error {
  constructor() {
    super("The server can't be reached. Try again in a moment.");
    this.status = 0;
    this.problem = {};
  }
}

// Sends a request and returns the response. Throws ApiError, Unreachable, or an AbortError.
export async function send(path, { method = "GET", headers = {}, body, signal } = {}) {
  const url = new URL(path, BASE);
  const sent = authorization();
  const options = { method, body, signal, cache: "no-store", headers: { ...sent, ...headers } };
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    throw failureOf(error);
  }
  if (response.status === 502 || response.status === 504) notReached();
  else reached();
  if (response.ok) return response;
  if (response.status === 401) dropToken(sent);
  throw new ApiError(response.status, await problemOf(response));
}

// What a request without an answer failed with: the caller ended it, or there is no answer in time.
function failureOf(error) {
  if (isAbort(error)) return error;
  notReached();
  return new Unreachable();
}

async function problemOf(response) {
  try {
    return await response.json();
  } catch (error) {
    if (isAbort(error)) throw error;
    return { title: `The server answered ${response.status} ${response.statusText}`.trim() };
  }
}

// Sends a request and returns its whole answer, within the deadline.
async function ask(path, { signal, ...options } = {}) {
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  const response = await send(path, { ...options, signal: signal ? AbortSignal.any([deadline, signal]) : deadline });
  try {
    return await response.json();
  } catch (error) {
    // An answer that is no JSON came from something else than this server.
    throw error instanceof SyntaxError ? error : failureOf(error);
  }
}

export const get = (path, signal) => ask(path, { signal });

// Sends what changes something. The header can't be set by a form of another site.
export function post(path, body, { signal, headers = {} } = {}) {
  const json = body === undefined ? {} : { "Content-Type": "application/json" };
  return ask(path, {
    method: "POST",
    headers: { "X-Requested-With": "rocket_batch", ...json, ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
  });
}

// A path with a query of those values that are set.
export function withQuery(path, values) {
  const set = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  const query = new URLSearchParams(set).toString();
  return query === "" ? path : `${path}?${query}`;
}

// Runs one call of a kind at a time: a new one aborts the last, whose answer is out of date.
export function latest() {
  let controller = null;
  const abort = () => controller?.abort();
  const run = async (call) => {
    abort();
    const own = new AbortController();
    controller = own;
    try {
      const found = await call(own.signal);
      if (own.signal.aborted) throw new DOMException("out of date", "AbortError");
      return found;
    } finally {
      if (controller === own) controller = null;
    }
  };
  return { run, abort };
}

// Returns what is `left` to do, and `work()`, which calls `run(entry)` for one entry of it at a
// time. An entry that fails is put back. Then there is a pause, which another `work()` ends.
export function insistent(run) {
  const left = new Set();
  let isRunning = false;
  let wake = () => {};
  const pause = (resolve) => {
    wake = resolve;
    setTimeout(resolve, RETRY_MS);
  };
  const work = async () => {
    wake();
    if (isRunning) return;
    isRunning = true;
    while (left.size > 0) {
      const [next] = left;
      left.delete(next);
      try {
        await run(next);
      } catch {
        left.add(next);
        await new Promise(pause);
      }
    }
    isRunning = false;
  };
  return { left, work };
}

export const isAbort = (error) => error.name === "AbortError";

// The cursor after which a list goes on at `next`. Page and server are of one version, so the page
// may write it, and need not walk through all pages to the one that it shows.
export function cursorBefore(list, next) {
  if (next <= 0) return null;
  return btoa(`${list}:${next - 1}`)
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
