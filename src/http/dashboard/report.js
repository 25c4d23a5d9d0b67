// What an action did: how many jobs were recreated, how many were skipped, and why.

import { count, number } from "./format.js";
import { sentence } from "./parts.js";
import { html } from "./preact.js";

export function Report({ actions }) {
  const { error, report, dismiss } = actions;
  return html`
    <div class="note ${error ? "bad" : "good"}" role=${error ? "alert" : "status"}>
      ${error && html`<p>${sentence(error.message)}</p>`}
      ${report && !error && html`<${Counts} report=${report} />`}
      <button type="button" class="quiet" onClick=${dismiss}>Dismiss</button>
    </div>
  `;
}

function Counts({ report }) {
  const skipped = report.found - report.recreated;
  const status = report.status === "paused" ? " The batch is paused: they run once you resume it." : "";
  return html`
    <div>
      <p>
        <b>${number(report.recreated)} of ${count(report.found, "failed job")} recreated.</b>${" "}
        ${skipped > 0 ? `${number(skipped)} skipped.` : "None skipped."}${status}
      </p>
      ${skipped > 0 && html`
        <ul>
          ${reasons(report.skipped).map(([why, jobs]) => html`<li key=${why}>${count(jobs, "job")}: ${why}</li>`)}
        </ul>`}
      ${report.skippedTruncated && html`
        <p class="hint">The reasons are those of the first ${number(report.skipped.length)}.</p>`}
    </div>
  `;
}

// The reasons with their number of jobs, the most frequent first.
export function reasons(skipped) {
  const counts = new Map();
  for (const { reason } of skipped) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts].sort((one, two) => two[1] - one[1]);
}
