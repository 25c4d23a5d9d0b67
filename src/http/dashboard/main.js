// The page as a whole: who is asked for credentials, what stands beside what, and when it is old.

import { Announcement } from "./announce.js";
import { followBatches, list, rowsInOrder } from "./batches-data.js";
import { Batches } from "./batches.js";
import { connection, onReturn } from "./connection.js";
import { Header, Offline } from "./header.js";
import { Help, listenToKeys } from "./keys.js";
import { lazy } from "./lazy.js";
import { goTo, place, replaceWith } from "./location.js";
import { ErrorNote, Skeleton } from "./parts.js";
import { html, render, useEffect, useRef, useState } from "./preact.js";
import { loadRights } from "./rights.js";
import { session } from "./session.js";
import { useStore } from "./store.js";

const Batch = lazy("./batch.js", "Batch");
const CreateDialog = lazy("./create.js", "CreateDialog");
const SignIn = lazy("./sign-in.js", "SignIn");
const Workers = lazy("./workers.js", "Workers");

// So long after a failure the rights are asked for again.
const RETRY_MS = 5_000;

function App({ settings }) {
  const { rights, token, refusal } = useStore(session);
  const { isReachable } = useStore(connection);
  const mayRead = Boolean(rights?.read);
  const mayWrite = Boolean(rights?.write);
  const { error, load } = useRights(rights, isReachable);
  useEffect(listenToKeys, []);
  return html`
    <button type="button" class="skip" onClick=${() => document.getElementById("main")?.focus()}>
      Skip to the content
    </button>
    <${Header} settings=${settings} mayRead=${mayRead} mayWrite=${mayWrite} hasToken=${token !== null} />
    <${Offline} />
    <div class="content" data-old=${isReachable ? null : "yes"}>
      ${rights === null && error && html`<main id="main"><${ErrorNote} error=${error} retry=${load} /></main>`}
      ${rights === null && !error && html`
        <main id="main" class="starting"><${Skeleton} lines=${4} kind="row" /></main>`}
      ${rights !== null && !mayRead && html`<${SignIn} refusal=${refusal} back=${settings.back} />`}
      ${mayRead && html`<${Columns} mayWrite=${mayWrite} />`}
    </div>
    <${Help} />
    <${Announcement} />
  `;
}

// Asks for the rights. A caller who may not read has no streams, which would try again by
// themselves, so the question is repeated while it fails.
function useRights(rights, isReachable) {
  const [error, setError] = useState(null);
  const load = () => loadRights().then(() => setError(null), setError);
  useEffect(() => {
    load();
    return onReturn(load);
  }, []);
  const isMissing = rights === null ? error !== null : !rights.read && !isReachable;
  useEffect(() => {
    if (!isMissing) return undefined;
    const timer = setTimeout(load, RETRY_MS);
    return () => clearTimeout(timer);
  }, [isMissing, error]);
  return { error, load };
}

function Columns({ mayWrite }) {
  const { batch, workers, new: creates } = useStore(place);
  useEffect(followBatches, []);
  useFirstBatch();
  const id = batch !== null && /^\d+$/.test(batch) ? Number(batch) : null;
  return html`
    <div class="columns" data-view=${id === null && workers === null ? "list" : "batch"}>
      <nav class="list" aria-labelledby="list-title"><${Batches} mayWrite=${mayWrite} /></nav>
      <main id="main" tabindex="-1">
        ${workers !== null && html`<${Workers} />`}
        ${workers === null && id === null && html`<${Nothing} mayWrite=${mayWrite} />`}
        ${workers === null && id !== null && html`<${Batch} id=${id} mayWrite=${mayWrite} />`}
      </main>
    </div>
    ${creates !== null && mayWrite && html`<${CreateDialog} />`}
  `;
}

// Beside the list there is space for a batch: opens the first one, once.
function useFirstBatch() {
  const { isLoading, changes } = useStore(list);
  const isDone = useRef(false);
  useEffect(() => {
    if (isDone.current || isLoading) return;
    const { open, finished } = rowsInOrder();
    const first = open[0] ?? finished[0];
    const { batch, workers, new: creates } = place.get();
    const isFree = batch === null && workers === null && creates === null;
    isDone.current = !isFree || first !== undefined;
    if (isFree && first !== undefined && matchMedia("(min-width: 800px)").matches)
      replaceWith({ batch: String(first.id) });
  }, [isLoading, changes]);
}

function Nothing({ mayWrite }) {
  useStore(list);
  const { open, finished } = rowsInOrder();
  if (list.get().isLoading) return null;
  if (open.length + finished.length > 0) return html`<p class="empty">Choose a batch from the list.</p>`;
  return html`
    <div class="welcome">
      <h2>No batch yet</h2>
      <p>A batch is a set of items with unique codes, created in the background. This page shows its progress,
        and what failed and why.</p>
      ${mayWrite && html`
        <button type="button" class="primary" onClick=${() => goTo({ new: "1" })}>Create the first batch</button>`}
    </div>
  `;
}

async function settingsOfHost() {
  try {
    return await (await fetch(new URL("settings.json", import.meta.url), { cache: "no-cache" })).json();
  } catch {
    return { title: "Batches", back: null };
  }
}

const settings = await settingsOfHost();
document.title = settings.title;
render(html`<${App} settings=${settings} />`, document.getElementById("page"));
