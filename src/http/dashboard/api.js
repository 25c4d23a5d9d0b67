// Calls the routes beside this page. The base is found from the URL of this file, so that the page
// works under every base and behind every proxy.

import { notReached, reached } from "./connection.js";
import { authorization, dropToken } from "./session.js";

const BASE = new URL("../", import.meta.url);

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
  const options = { method, body, signal, cache: "no-store", headers: { ...authorization(), ...headers } };
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    notReached();
    throw new Unreachable();
  }
  if (response.status === 502 || response.status === 504) notReached();
  else reached();
  if (response.ok) return response;
  if (response.status === 401) dropToken();
  throw new ApiError(response.status, await problemOf(response));
}

async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return { title: `The server answered ${response.status} ${response.statusText}`.trim() };
  }
}

export async function get(path, signal) {
  return (await send(path, { signal })).json();
}

// Sends what changes something. The header can't be set by a form of another site.
export async function post(path, body, { signal, headers = {} } = {}) {
  const json = body === undefined ? {} : { "Content-Type": "application/json" };
  const response = await send(path, {
    method: "POST",
    headers: { "X-Requested-With": "rocket_batch", ...json, ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
  });
  return response.json();
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
