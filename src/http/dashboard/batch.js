// One batch: its head, its progress, its jobs, what failed, and its items.

import { Controls, useActions } from "./actions.js";
import { followBatch } from "./batch-data.js";
import { count, exactTime, number } from "./format.js";
import { lazy, loadStyle } from "./lazy.js";
import { goTo, linkTo, place } from "./location.js";
import { ErrorNote, Skeleton, StatusChip, Time, sentence } from "./parts.js";
import { html, useEffect, useRef, useState } from "./preact.js";
import { Progress } from "./progress-bar.js";
import { Sparkline } from "./sparkline.js";
import { isOpen } from "./states.js";
import { createStore, useStore } from "./store.js";
import { Waiting } from "./waiting.js";

await loadStyle("./batch.css");

const Failures = lazy("./failures.js", "Failures");
const History = lazy("./history.js", "History");
const Items = lazy("./items.js", "Items");
const JobMap = lazy("./job-map.js", "JobMap");
const Job = lazy("./job.js", "Job");
const Report = lazy("./report.js", "Report");
const NOTHING = createStore({ record: null, progress: null, error: null, samples: [], turns: 0 });

export function Batch({ id, mayWrite }) {
  const [follow, setFollow] = useState(null);
  useEffect(() => {
    const next = followBatch(id);
    setFollow(next);
    return next.close;
  }, [id]);
  const { record, progress, error, samples, turns } = useStore(follow?.store ?? NOTHING);
  const { group, job, item } = useStore(place);
  const actions = useActions(id, () => follow.again());
  const isKnown = record?.batchId === id && progress?.batchId === id;
  const isLost = error !== null && (error.status === 404 || record === null);
  if (isLost)
    return html`<div class="batch"><${ListLink} /><${ErrorNote} error=${error} retry=${() => follow.again()} /></div>`;
  if (!isKnown) return html`<div class="batch"><${ListLink} /><${BatchSkeleton} id=${id} /></div>`;
  const seq = job !== null && /^\d+$/.test(job) ? Number(job) : null;
  const openJob = (number) => goTo({ job: number === null ? null : String(number) });
  const { status } = progress;
  const canRetry = mayWrite && ["running", "paused", "failed"].includes(status);
  return html`
    <article class="batch" aria-labelledby="batch-title">
      <${Head} id=${id} record=${record} progress=${progress} actions=${actions} mayWrite=${mayWrite} />
      ${(actions.error || actions.report) && html`<${Report} actions=${actions} />`}
      <${Waiting} record=${record} progress=${progress} />
      <${Progress} progress=${progress} />
      <${Sparkline} samples=${samples} isRunning=${status === "running"} />
      ${
        !record.historyRemoved &&
        html`
        <${JobMap} id=${id} progress=${progress} turns=${turns} selected=${seq} onOpen=${openJob} />`
      }
      ${
        seq !== null &&
        !record.historyRemoved &&
        html`
        <${Job} id=${id} seq=${seq} progress=${progress} turns=${turns} onClose=${() => openJob(null)} />`
      }
      ${
        progress.failed > 0 &&
        !record.historyRemoved &&
        html`
        <${Failures} id=${id} progress=${progress} turns=${turns} open=${group} openJob=${job}
          actions=${canRetry ? actions : { busy: null }} />`
      }
      <${Items} id=${id} progress=${progress} turns=${turns} code=${item} />
      <${History} id=${id} progress=${progress} turns=${turns} />
    </article>
  `;
}

const ListLink = () => html`<a class="to-list" href=${linkTo({ batch: null })}>All batches</a>`;

function Head({ id, record, progress, actions, mayWrite }) {
  const heading = useRef(null);
  useEffect(() => {
    // On a phone the batch takes the place of the list, and the focus follows.
    if (matchMedia("(max-width: 799px)").matches) heading.current.focus();
  }, [id]);
  return html`
    <header class="batch-head">
      <${ListLink} />
      <div class="batch-line">
        <h2 id="batch-title" tabindex="-1" ref=${heading}>Batch ${id}</h2>
        <span aria-live="polite"><${StatusChip} status=${progress.status} /></span>
        ${mayWrite && html`<${Controls} id=${id} status=${progress.status} progress=${progress} actions=${actions} />`}
      </div>
      <${Options} record=${record} jobs=${progress.total} />
      ${record.error && !isOpen(progress.status) && html`<p class="error-text">${sentence(record.error)}</p>`}
    </header>
  `;
}

// Jobs are larger than asked for if there would be too many.
function Options({ record, jobs }) {
  const { options, quantity } = record;
  const itemsPerJob = Math.max(options.batchSize, jobs === 0 ? 0 : Math.ceil(quantity / jobs));
  const times = [
    ["created", record.createdAt],
    ["started", record.startedAt],
    ["finished", record.finishedAt],
  ].filter(([, at]) => at !== null);
  return html`
    <ul class="options">
      <li>${count(quantity, "item")}</li>
      <li>up to ${count(itemsPerJob, "item")} per job</li>
      ${options.qrCodePrefix && html`<li>prefix <code>${options.qrCodePrefix}</code></li>`}
      ${options.maxJobsPerBatch !== null && html`<li>at most ${count(options.maxJobsPerBatch, "job")}</li>`}
      ${times.map(([word, at]) => html`<li key=${word} title=${exactTime(at)}>${word} <${Time} at=${at} /></li>`)}
    </ul>
  `;
}

function BatchSkeleton({ id }) {
  return html`
    <header class="batch-head">
      <div class="batch-line"><h2 id="batch-title">Batch ${id}</h2></div>
      <${Skeleton} lines=${1} />
    </header>
    <${Skeleton} lines=${1} kind="bar" />
    <${Skeleton} lines=${2} kind="block" />
  `;
}
