// Why nothing happens, with the name of the setting that decides it.

import { Time, sentence } from "./parts.js";
import { html, useRef } from "./preact.js";
import { WAITING_FOR, isOpen } from "./states.js";

// So long the rate limit stays in view after it was last the reason. Jobs wait and run in turns
// under it, and what is below would jump with each turn.
const STAYS_MS = 12_000;

// The present reason, or the rate limit while it may come back.
function useReason({ batchId, status, waitingFor }) {
  const limited = useRef({ batchId: null, at: 0 });
  if (waitingFor === "rateLimit") limited.current = { batchId, at: Date.now() };
  if (status === "paused") return "paused";
  if (waitingFor === "paused") return "queuePaused";
  if (waitingFor !== null || !isOpen(status)) return waitingFor;
  const { batchId: of, at } = limited.current;
  return of === batchId && Date.now() - at < STAYS_MS ? "rateLimit" : null;
}

export function Waiting({ record, progress }) {
  const { stalled, lastItemAt } = progress;
  const reason = useReason(progress);
  const [what, then, setting] = WAITING_FOR[reason] ?? [];
  return html`
    <div aria-live="polite">
      ${
        what &&
        html`
        <p class="note why">
          <b>${what}</b> ${then}${setting && html` <code>${setting}</code>.`}
        </p>`
      }
      ${
        stalled &&
        html`
        <p class="note why bad">
          <b>No progress.</b> Jobs could run, but no item was created
          recently${lastItemAt && html` (last: <${Time} at=${lastItemAt} />)`}.
          Check that a process with workers runs: its setting${" "}
          <code>role</code> is <code>all</code> or <code>worker</code>.
        </p>`
      }
      ${record.hookError && html`
        <p class="note bad"><b>The finish hook of your app:</b> ${sentence(record.hookError)}</p>`}
      ${
        record.historyRemoved &&
        html`
        <p class="note"><b>The history of this batch was removed.</b> Its jobs can no longer be listed or retried.
          The setting <code>keep_history</code> says how long history is kept.</p>`
      }
    </div>
  `;
}
