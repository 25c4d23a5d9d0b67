// One job: what the list of jobs says about it.

import { cursorBefore, get, withQuery } from "./api.js";
import { count, number } from "./format.js";
import { paced } from "./pace.js";
import { ErrorNote, Skeleton, StatusChip, Time, sentence } from "./parts.js";
import { html, useEffect, useRef, useState } from "./preact.js";

const REFRESH_MS = 1_000;

export function Job({ id, seq, progress, turns, onClose }) {
  const { job, error } = useJob(id, seq, progress, turns);
  const heading = useRef(null);
  useEffect(() => {
    heading.current?.focus({ preventScroll: true });
    heading.current?.scrollIntoView({ block: "nearest" });
  }, [id, seq]);
  return html`
    <section class="job" aria-labelledby="job-title">
      <header>
        <h3 id="job-title" tabindex="-1" ref=${heading}>Job ${seq}</h3>
        ${job && html`<${StatusChip} status=${job.state} />`}
        <button type="button" class="quiet" onClick=${onClose}>Close job</button>
      </header>
      ${error && html`<${ErrorNote} error=${error} />`}
      ${!job && !error && html`<${Skeleton} lines=${3} />`}
      ${job && html`<${Facts} job=${job} />`}
    </section>
  `;
}

// Reads the job again after each change that may concern it, at most once a second.
function useJob(id, seq, progress, turns) {
  const [found, setFound] = useState({ job: null, error: null });
  const pace = useRef(null);
  const isCurrent = found.id === id && found.seq === seq;
  const version = `${changesOf(isCurrent ? found.job?.state : undefined, progress)} ${turns}`;
  useEffect(() => {
    const path = withQuery(`${id}/jobs`, { cursor: cursorBefore(`jobs:${id}:all`, seq), limit: 1 });
    const load = async (signal) => {
      try {
        const page = await get(path, signal);
        const job = page.items.find((other) => other.seq === seq) ?? null;
        setFound({ id, seq, job, error: job ? null : new Error(`batch ${id} has no job ${seq}`) });
      } catch (error) {
        if (signal.aborted || error.status === 0) return;
        setFound({ id, seq, job: null, error });
      }
    };
    pace.current = paced(load, REFRESH_MS);
    return () => pace.current.stop();
  }, [id, seq]);
  useEffect(() => pace.current.ask(), [id, seq, version]);
  return isCurrent ? found : { job: null, error: null };
}

// What changes in the batch when a job in this state may have changed. A failed job is left alone
// until it is retried, here or elsewhere, and a completed or cancelled one stays as it is.
function changesOf(state, { status, failed, itemsCreated, [state]: sameState }) {
  if (state === "completed" || state === "cancelled") return `${state} ${status}`;
  if (state === "failed") return `${state} ${status} ${failed}`;
  return `${state} ${status} ${sameState} ${itemsCreated}`;
}

function Facts({ job }) {
  const times = [
    ["Started", job.startedAt],
    ["Finished", job.finishedAt],
    ["Next attempt", job.notBefore],
  ].filter(([, at]) => at !== null);
  return html`
    <dl class="facts">
      <div><dt>Id</dt><dd><code>${job.jobId}</code></dd></div>
      <div><dt>Items</dt><dd>${number(job.itemsCreated)} of ${count(job.quantity, "item")} exist</dd></div>
      <div><dt>Ordinals</dt><dd>${number(job.first)} to ${number(job.last)}</dd></div>
      <div><dt>Failed attempts</dt><dd>${number(job.attempts)}</dd></div>
      ${job.crashes > 0 && html`<div><dt>Crashes of its worker</dt><dd>${number(job.crashes)}</dd></div>`}
      ${times.map(([word, at]) => html`<div key=${word}><dt>${word}</dt><dd><${Time} at=${at} /></dd></div>`)}
    </dl>
    ${job.error && html`<p class="error-text">${sentence(job.error)}</p>`}
  `;
}
