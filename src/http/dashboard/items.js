// The first and the last items of a batch, and those around an ordinal or a code.

import { cursorBefore, get, isAbort, withQuery } from "./api.js";
import { number } from "./format.js";
import { goTo } from "./location.js";
import { ErrorNote, Skeleton, Time } from "./parts.js";
import { html, useEffect, useState } from "./preact.js";

const SHOWN = 5;

export function Items({ id, progress, turns, code }) {
  const { itemsTotal, itemsCreated } = progress;
  const isAny = itemsCreated > 0;
  // Only the first items and the end of a batch change what is shown.
  const version = `${Math.min(itemsCreated, SHOWN)} ${turns}`;
  const tail = Math.max(SHOWN, itemsTotal - SHOWN);
  const [from, look] = useState(null);
  return html`
    <section class="items" aria-labelledby="items-title">
      <header>
        <h3 id="items-title">Items</h3>
        <${LookUp} total=${itemsTotal} onLook=${look} />
      </header>
      ${code && html`<${Found} code=${code} turns=${turns} />`}
      ${!isAny && html`<p class="empty">No item exists yet.</p>`}
      ${isAny && from !== null && html`
        <${ItemTable} id=${id} title="From ordinal ${number(from)}" from=${from} version=${version} isWanted />`}
      ${
        isAny &&
        html`
        <div class="two">
          <${ItemTable} id=${id} title="First" from=${0} version=${version} />
          ${itemsTotal > SHOWN && html`<${ItemTable} id=${id} title="Last" from=${tail} version=${version} />`}
        </div>
      `
      }
    </section>
  `;
}

function LookUp({ total, onLook }) {
  const [text, setText] = useState("");
  const look = (event) => {
    event.preventDefault();
    if (/^\d+$/.test(text.trim())) onLook(Math.min(Number(text), Math.max(0, total - 1)));
    else if (text.trim() === "") onLook(null);
    else goTo({ item: text.trim() });
  };
  return html`
    <form class="look-up" onSubmit=${look}>
      <label><span class="unseen">Ordinal or code of an item</span>
        <input type="search" placeholder="Ordinal or code" value=${text}
          onInput=${(event) => setText(event.target.value)} />
      </label>
      <button type="submit">Look up</button>
    </form>
  `;
}

function useFound(path, version) {
  const [found, setFound] = useState({ path: null });
  useEffect(() => {
    const controller = new AbortController();
    get(path, controller.signal).then(
      (data) => setFound({ path, data }),
      (error) => !isAbort(error) && error.status !== 0 && setFound({ path, error }),
    );
    return () => controller.abort();
  }, [path, version]);
  return found.path === path ? found : {};
}

// Only what can be a code is asked for: another text, such as "..", may lead to another route.
function Found({ code, turns }) {
  if (!/^[A-Za-z0-9_-]+$/.test(code)) return html`<${NotFound} code=${code} />`;
  return html`<${FoundItem} code=${code} turns=${turns} />`;
}

const NotFound = ({ code }) => html`<p class="note" role="status">No item has the code <code>${code}</code>.</p>`;

// After each turn, among them the return of the server, the item is asked for again.
function FoundItem({ code, turns }) {
  const { data, error } = useFound(`items/${code}`, turns);
  if (error && error.status !== 404) return html`<${ErrorNote} error=${error} />`;
  if (error) return html`<${NotFound} code=${code} />`;
  if (!data) return html`<${Skeleton} lines=${1} />`;
  return html`
    <p class="note" role="status">
      <code>${data.code}</code> is item ${number(data.ordinal)} of batch ${data.batchId}, created${" "}
      <${Time} at=${data.createdAt} />.
    </p>
  `;
}

function ItemTable({ id, title, from, version, isWanted = false }) {
  const path = withQuery(`${id}/items`, { cursor: cursorBefore(`items:${id}`, from), limit: SHOWN });
  const { data, error } = useFound(path, version);
  if (error) return html`<${ErrorNote} error=${error} />`;
  if (!data) return html`<${Skeleton} lines=${SHOWN} />`;
  if (data.items.length === 0) return isWanted ? html`<p class="hint">${title}: no item exists yet.</p>` : null;
  return html`
    <table>
      <caption>${title}</caption>
      <thead class="unseen"><tr><th scope="col">Ordinal</th><th scope="col">Code</th></tr></thead>
      <tbody>
        ${data.items.map(
          (item) => html`
          <tr key=${item.ordinal}><td>${number(item.ordinal)}</td><td><code>${item.code}</code></td></tr>
        `,
        )}
      </tbody>
    </table>
  `;
}
