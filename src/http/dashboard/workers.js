// The processes that report to the ledger: which of them run jobs, and how they are.

import { get, isAbort, latest } from "./api.js";
import { count, number } from "./format.js";
import { loadStyle } from "./lazy.js";
import { linkTo } from "./location.js";
import { ErrorNote, Skeleton, Time } from "./parts.js";
import { html, useEffect, useRef, useState } from "./preact.js";

await loadStyle("./batch.css");

const REFRESH_MS = 5_000;
const MEBIBYTE = 1024 * 1024;

export function Workers() {
  const { items, error } = useWorkers();
  const heading = useRef(null);
  useEffect(() => heading.current.focus(), []);
  const working = items?.filter(runsJobs) ?? [];
  return html`
    <section class="workers" aria-labelledby="workers-title">
      <header>
        <h2 id="workers-title" tabindex="-1" ref=${heading}>Workers</h2>
        <a href=${linkTo({ workers: null })}>Close</a>
      </header>
      ${error && html`<${ErrorNote} error=${error} />`}
      ${items === null && !error && html`<${Skeleton} lines=${3} kind="row" />`}
      ${items !== null && html`<p class="hint">${summary(items, working)}</p>`}
      ${items !== null && working.length === 0 && html`
        <p class="note why bad"><b>No process runs jobs.</b> Start one whose setting${" "}
          <code>role</code> is <code>all</code> or <code>worker</code>.</p>`}
      ${items?.length > 0 && html`<${Table} items=${items} />`}
    </section>
  `;
}

const runsJobs = ({ role, standby }) => role !== "web" && !standby;

function summary(items, working) {
  const active = working.reduce((sum, worker) => sum + worker.activeJobs, 0);
  const others = items.length - working.length;
  const more = others === 0 ? "" : ` ${count(others, "other process", "other processes")} run none.`;
  return `${count(working.length, "process runs", "processes run")} jobs, ${count(active, "job")} now.${more} \
A process that stopped leaves this list within a minute.`;
}

// Reads the list again and again while it is in view. What was read last stays when a try fails.
function useWorkers() {
  const [found, setFound] = useState({ items: null, error: null });
  useEffect(() => {
    const calls = latest();
    const load = async () => {
      try {
        const { items } = await calls.run((signal) => get("workers", signal));
        setFound({ items, error: null });
      } catch (error) {
        if (!isAbort(error) && error.status !== 0) setFound((before) => ({ ...before, error }));
      }
    };
    load();
    const timer = setInterval(load, REFRESH_MS);
    return () => {
      clearInterval(timer);
      calls.abort();
    };
  }, []);
  return found;
}

function Table({ items }) {
  return html`
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Host</th>
            <th scope="col">Role</th>
            <th scope="col">Jobs now</th>
            <th scope="col">Last job taken</th>
            <th scope="col">Memory</th>
            <th scope="col">Version</th>
            <th scope="col">Started</th>
            <th scope="col">Reported</th>
          </tr>
        </thead>
        <tbody>
          ${items.map((worker) => html`<${Row} key=${worker.id} worker=${worker} />`)}
        </tbody>
      </table>
    </div>
  `;
}

function Row({ worker }) {
  const { host, role, standby, activeJobs, lastFetchAt, memoryBytes, version, startedAt, reportedAt } = worker;
  return html`
    <tr>
      <td>${host}</td>
      <td>${role}${standby && ", on standby"}</td>
      <td>${runsJobs(worker) ? number(activeJobs) : "–"}</td>
      <td>${lastFetchAt ? html`<${Time} at=${lastFetchAt} />` : "–"}</td>
      <td>${memoryBytes === null ? "–" : `${number(Math.round(memoryBytes / MEBIBYTE))} MiB`}</td>
      <td>${version}</td>
      <td><${Time} at=${startedAt} /></td>
      <td><${Time} at=${reportedAt} /></td>
    </tr>
  `;
}
