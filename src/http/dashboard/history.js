// Who did what with a batch, and when, in the order of the changes.

import { count } from "./format.js";
import { usePages } from "./pages.js";
import { ErrorNote, Skeleton, Time } from "./parts.js";
import { html } from "./preact.js";

const WORDS = {
  created: "Created",
  paused: "Paused",
  resumed: "Resumed",
  cancelled: "Cancelled",
  retried: "Retried",
  repaired: "Repaired",
};

export function History({ id, progress, turns }) {
  const version = `${progress.status} ${progress.failed} ${turns}`;
  const { items, hasMore, error, more } = usePages(`${id}/audit`, {}, version);
  return html`
    <section class="history" aria-labelledby="history-title">
      <h3 id="history-title">History</h3>
      ${error && html`<${ErrorNote} error=${error} />`}
      ${items === null && !error && html`<${Skeleton} lines=${2} />`}
      <ol>
        ${items?.map((entry) => html`<${Entry} key=${entry.id} entry=${entry} />`)}
      </ol>
      ${hasMore && html`<button type="button" class="more" onClick=${more}>Show later changes</button>`}
    </section>
  `;
}

function Entry({ entry }) {
  const { action, actor, address, at } = entry;
  const what = factsOf(entry);
  return html`
    <li>
      <span><b>${WORDS[action] ?? action}</b> by ${actor}${address && html` from <code>${address}</code>`}</span>
      <${Time} at=${at} />
      ${what && html`<span class="hint">${what}</span>`}
    </li>
  `;
}

function factsOf({ action, details }) {
  if (action === "created") return count(details.quantity, "item");
  if (action === "cancelled") return `${count(details.itemsCreated, "item")} kept`;
  if (action === "retried" || action === "repaired") return `${count(details.recreated, "job")} recreated`;
  return null;
}
