// One job: what the list of jobs says about it.

import { cursorBefore, get, isAbort, withQuery } from "./api.js";
import { count, number } from "./format.js";
import { ErrorNote, Skeleton, StatusChip, Time, sentence } from "./parts.js";
import { html, useEffect, useRef, useState } from "./preact.js";

export function Job({ id, seq, progress, onClose }) {
  const { job, error } = useJob(id, seq, progress);
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

function useJob(id, seq, progress) {
  const [found, setFound] = useState({ job: null, error: null });
  const isCurrent = found.job?.seq === seq;
  const isSettled = isCurrent && ["completed", "failed", "cancelled"].includes(found.job.state);
  // A settled job is read again only when the batch as a whole changes its status.
  const version = isSettled ? progress.status : `${progress[found.job?.state]} ${progress.itemsCreated}`;
  useEffect(() => {
    const controller = new AbortController();
    const path = withQuery(`${id}/jobs`, { cursor: cursorBefore(`jobs:${id}:all`, seq), limit: 1 });
    get(path, controller.signal).then(
      (page) => {
        const job = page.items.find((other) => other.seq === seq) ?? null;
        setFound({ job, error: job ? null : new Error(`batch ${id} has no job ${seq}`) });
      },
      (error) => !isAbort(error) && error.status !== 0 && setFound({ job: null, error }),
    );
    return () => controller.abort();
  }, [id, seq, version]);
  return isCurrent || found.error ? found : { job: null, error: null };
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
