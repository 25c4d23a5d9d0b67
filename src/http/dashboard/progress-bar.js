// The large bar of a batch: the items that exist, and how the jobs of the others stand.

import { count, number, timeLeft } from "./format.js";
import { html } from "./preact.js";
import { JOB_STATES, isOpen } from "./states.js";

// The states that share the part of the bar which has no items yet, in their order.
const REST = ["active", "delayed", "failed", "waiting", "cancelled"];
const WIDTH = 1_000;
// A state of a single job among thousands must be seen.
const MIN_WIDTH = 6;

export function Progress({ progress }) {
  const { percent, itemsCreated, itemsTotal } = progress;
  const words = `${count(itemsCreated, "item")} of ${number(itemsTotal)}, ${percent} %`;
  return html`
    <section class="progress" aria-labelledby="progress-title">
      <h3 id="progress-title" class="unseen">Progress</h3>
      <p class="figures">
        <strong class="percent">${percent}<small> %</small></strong>
        <span class="items-made">${number(itemsCreated)} of ${count(itemsTotal, "item")}</span>
        <${TimeLeft} progress=${progress} />
      </p>
      <div
        role="progressbar"
        aria-label="Items created"
        aria-valuemin="0"
        aria-valuemax="100"
        aria-valuenow=${percent}
        aria-valuetext=${words}
      >
        <svg class="bar" viewBox="0 0 ${WIDTH} 10" preserveAspectRatio="none" aria-hidden="true">
          <rect class="track" width=${WIDTH} height="10" />
          ${segments(progress).map(({ state, x, width }) => html`
            <rect key=${state} data-state=${state} x=${x} width=${width} height="10" />`)}
        </svg>
      </div>
      <${Legend} progress=${progress} />
    </section>
  `;
}

function TimeLeft({ progress }) {
  const { status, etaSeconds } = progress;
  if (status !== "running" && status !== "pending") return null;
  return html`<span class="time-left">${timeLeft(etaSeconds) ?? "no estimate yet"}</span>`;
}

// The parts of the bar. The first is as long as the share of the items; the jobs that have items
// missing share what is left.
export function segments(progress) {
  const made = progress.itemsTotal === 0 ? 0 : (progress.itemsCreated / progress.itemsTotal) * WIDTH;
  const unfinished = REST.map((state) => ({ state, jobs: progress[state] })).filter(({ jobs }) => jobs > 0);
  const jobs = unfinished.reduce((sum, part) => sum + part.jobs, 0);
  const parts = [];
  let x = made;
  if (made > 0) parts.push({ state: "completed", x: 0, width: made });
  for (const part of unfinished) {
    const share = ((WIDTH - made) * part.jobs) / jobs;
    const width = Math.min(WIDTH - x, Math.max(share, MIN_WIDTH));
    parts.push({ state: part.state, x, width });
    x += width;
  }
  return parts;
}

function Legend({ progress }) {
  if (progress.total === 0) {
    const why = isOpen(progress.status) ? "The batch is not planned yet: it has no jobs." : "The batch has no jobs.";
    return html`<p class="legend">${why}</p>`;
  }
  const states = JOB_STATES.filter((state) => progress[state] > 0);
  return html`
    <ul class="legend" aria-label="Jobs by state">
      <li class="all-jobs">${count(progress.total, "job")}</li>
      ${states.map(
        (state) => html`
          <li key=${state}>
            <i class="cell" data-state=${state} aria-hidden="true"></i>
            <b>${number(progress[state])}</b> ${state}
          </li>
        `,
      )}
    </ul>
  `;
}
