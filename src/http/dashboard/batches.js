// The list of batches: oldest unfinished first, then finished ones, newest first.

import { get } from "./api.js";
import { changed, list, loadFirst, loadMore, noteRecord, rowsInOrder } from "./batches-data.js";
import { useNow } from "./clock.js";
import { age, exactTime, number, percentOf } from "./format.js";
import { goTo, linkToBatch, place } from "./location.js";
import { ErrorNote, Skeleton, StatusChip } from "./parts.js";
import { html, useEffect, useState } from "./preact.js";
import { STATUSES } from "./states.js";
import { memo, useStore } from "./store.js";

// So many open batches are shown before the finished ones, unless more are asked for.
const OPEN_SHOWN = 100;

// Reads the records of those rows that are known from events only, one at a time.
let isFilling = false;
const unreadable = new Set();
async function fill(visible) {
  if (isFilling) return;
  const missing = visible.find((row) => row.createdAt === undefined && !unreadable.has(row.id));
  if (missing === undefined) return;
  isFilling = true;
  const askedAt = performance.now();
  try {
    noteRecord(await get(`${missing.id}`), askedAt);
  } catch {
    // The row shows what the event said.
    unreadable.add(missing.id);
    changed();
  }
  isFilling = false;
}

export function Batches({ mayWrite }) {
  const { filter, isLoading, error, cursor, changes, streamError } = useStore(list);
  const { batch, status } = useStore(place);
  const [openShown, showOpen] = useState(OPEN_SHOWN);
  useEffect(() => void loadFirst(status), [status]);
  const { open, finished } = rowsInOrder();
  const visibleOpen = open.slice(0, openShown);
  useEffect(() => void fill([...visibleOpen, ...finished]), [changes, openShown]);
  const isEmpty = open.length + finished.length === 0;
  return html`
    <div class="list-head">
      <h2 id="list-title">All batches</h2>
      <${Filter} status=${status} />
    </div>
    ${streamError && html`<${ErrorNote} error=${streamError} />`}
    ${error && html`<${ErrorNote} error=${error} retry=${() => loadFirst(filter)} />`}
    ${isEmpty && isLoading && html`<${Skeleton} lines=${6} kind="row" />`}
    ${isEmpty && !isLoading && !error && html`<${NoRows} filter=${filter} mayWrite=${mayWrite} />`}
    <${Rows} title="Unfinished" rows=${visibleOpen} selected=${batch} filter=${status} />
    ${
      open.length > openShown &&
      html`<button type="button" class="more" onClick=${() => showOpen(openShown + OPEN_SHOWN)}>
      Show more of ${number(open.length)} unfinished batches
    </button>`
    }
    <${Rows} title="Finished" rows=${finished} selected=${batch} filter=${status} />
    ${
      cursor !== null &&
      html`<button type="button" class="more" disabled=${isLoading} onClick=${loadMore}>Show older batches</button>`
    }
  `;
}

function Filter({ status }) {
  const onChange = (event) => goTo({ status: event.target.value || null });
  return html`
    <label class="filter">
      <span class="unseen">Status</span>
      <select value=${status ?? ""} onChange=${onChange}>
        <option value="" selected=${status === null}>any status</option>
        ${STATUSES.map((word) => html`<option key=${word} value=${word} selected=${status === word}>${word}</option>`)}
      </select>
    </label>
  `;
}

function NoRows({ filter, mayWrite }) {
  if (filter !== null) return html`<p class="empty">No batch is ${filter}.</p>`;
  return html`<p class="empty">There is no batch yet.${mayWrite ? " Create the first one with New batch." : ""}</p>`;
}

function Rows({ title, rows, selected, filter }) {
  if (rows.length === 0) return null;
  return html`
    <h3 class="rows-title">${title}</h3>
    <ul class="rows">
      ${rows.map((row) => html`
        <${Row} key=${row.id} row=${row} isSelected=${String(row.id) === selected} filter=${filter} />`)}
    </ul>
  `;
}

// The link keeps the filter, so a row is drawn again with another one, and nothing else of the
// present place, so that it need not be.
const Row = memo(({ row, isSelected, filter }) => {
  const percent = percentOf(row.itemsCreated, row.itemsTotal);
  return html`
    <li>
      <a class="row" data-row href=${linkToBatch(row.id, filter)} aria-current=${isSelected ? "true" : null}>
        <span class="row-id"><span class="unseen">Batch </span>${row.id}</span>
        <${StatusChip} status=${row.status} />
        <span class="row-age">${row.createdAt && html`<${Age} at=${row.createdAt} />`}</span>
        <span class="row-items">${number(row.itemsTotal)} items${row.prefix ? ` · ${row.prefix}` : ""}</span>
        <span class="row-percent">${row.stalled ? "stalled · " : ""}${percent} %</span>
        <${ThinBar} row=${row} percent=${percent} />
      </a>
    </li>
  `;
});

// SVG, because the policy of the page allows no style attributes.
function ThinBar({ row, percent }) {
  return html`
    <svg class="thin-bar" data-state=${row.status} viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">
      <rect class="track" width="100" height="1" /><rect class="fill" width=${percent} height="1" />
    </svg>
  `;
}

function Age({ at }) {
  const now = useNow();
  return html`<time datetime=${at} title=${exactTime(at)}>${age(at, now)}</time>`;
}
