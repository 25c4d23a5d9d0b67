// Why nothing happens, with the name of the setting that decides it.

import { Time, sentence } from "./parts.js";
import { html } from "./preact.js";
import { WAITING_FOR } from "./states.js";

export function Waiting({ record, progress }) {
  const { waitingFor, stalled, status, lastItemAt } = progress;
  const reason = status === "paused" ? "paused" : waitingFor;
  const [what, then, setting] = WAITING_FOR[reason] ?? [];
  return html`
    <div aria-live="polite">
      ${what && html`
        <p class="note why">
          <b>${what}</b> ${then}${setting && html` <code>${setting}</code>.`}
        </p>`}
      ${stalled && html`
        <p class="note why bad">
          <b>No progress.</b> Jobs could run, but no item was created for a while${lastItemAt && html` (the last one <${Time} at=${lastItemAt} />)`}.
          Check that a process with workers runs: its setting <code>role</code> is <code>all</code> or <code>worker</code>.
        </p>`}
      ${record.hookError && html`<p class="note bad"><b>The finish hook of your app:</b> ${sentence(record.hookError)}</p>`}
      ${record.historyRemoved && html`
        <p class="note"><b>The history of this batch was removed.</b> Its jobs can no longer be listed or retried, by the setting <code>keep_history</code>.</p>`}
    </div>
  `;
}
