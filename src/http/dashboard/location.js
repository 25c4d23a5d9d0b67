// What the page shows stands in the fragment of its URL, so that links, reload and back work:
// #batch=12&status=failed&group=3f9a5c0d11e2b7a4&job=7

import { createStore } from "./store.js";

const NAMES = ["status", "batch", "group", "job", "item", "new", "workers"];

function read() {
  const values = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(NAMES.map((name) => [name, values.get(name)]));
}

export const place = createStore(read());

addEventListener("hashchange", () => place.set(read()));

// The fragment of the present place with changes. Another batch closes what was open in the last.
export function linkTo(change) {
  const here = place.get();
  const other = "batch" in change && change.batch !== here.batch;
  const next = { ...here, ...(other && { group: null, job: null, item: null, new: null, workers: null }), ...change };
  const values = new URLSearchParams();
  for (const name of NAMES) if (next[name] !== null && next[name] !== undefined) values.set(name, next[name]);
  return `#${values}`;
}

// A batch of the list with this filter, and nothing of it open.
export const linkToBatch = (id, status) =>
  linkTo({ batch: String(id), status, group: null, job: null, item: null, new: null, workers: null });

export function goTo(change) {
  const link = linkTo(change);
  if (link === location.hash) return;
  location.hash = link;
  place.set(read());
}

// As goTo, without a step for the back button.
export function replaceWith(change) {
  history.replaceState(null, "", linkTo(change));
  place.set(read());
}

// A link of the host's settings, if it is a plain one.
export function plainLink(text) {
  try {
    const url = new URL(text, location.href);
    return ["http:", "https:"].includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}
