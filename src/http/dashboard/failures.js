// Why jobs failed, grouped by their error, and what to do about it.

import { count, number } from "./format.js";
import { linkTo, replaceWith } from "./location.js";
import { usePages } from "./pages.js";
import { Button, ErrorNote, Skeleton, Time, sentence } from "./parts.js";
import { html } from "./preact.js";

export function Failures({ id, progress, turns, open, openJob, actions }) {
  const version = `${progress.failed} ${turns}`;
  const { items, hasMore, error, more } = usePages(`${id}/failure-groups`, {}, version);
  return html`
    <section class="failures" aria-labelledby="failures-title">
      <header>
        <h3 id="failures-title">Failures</h3>
        ${
          actions.retry &&
          html`
          <${Button} class="primary" busy=${actions.busy === "retry"} onClick=${() => actions.retry(undefined)}>
            Retry all failed jobs
          <//>`
        }
      </header>
      ${error && html`<${ErrorNote} error=${error} />`}
      ${items === null && !error && html`<${Skeleton} lines=${2} kind="block" />`}
      <ul class="groups">
        ${items?.map(
          (group) => html`
          <${Group} key=${group.group} id=${id} group=${group} isOpen=${group.group === open}
            openJob=${openJob} version=${version} actions=${actions} />
        `,
        )}
      </ul>
      ${hasMore && html`<button type="button" class="more" onClick=${more}>Show more groups</button>`}
    </section>
  `;
}

function Group({ id, group, isOpen, openJob, version, actions }) {
  const toggle = () => replaceWith({ group: isOpen ? null : group.group });
  const words = `Retry ${count(group.jobs, "job")}`;
  const list = `group-${group.group}`;
  return html`
    <li class="group">
      <div class="group-head">
        <h4>
          <button type="button" class="disclose" aria-expanded=${isOpen ? "true" : "false"}
            aria-controls=${list} onClick=${toggle}>
            ${group.title}
          </button>
        </h4>
        ${
          actions.retry &&
          html`
          <${Button} busy=${actions.busy === group.group}
            onClick=${() => actions.retry({ group: group.group }, group.group)}>
            ${words}
          <//>`
        }
      </div>
      <p class="group-facts">
        <b>${count(group.jobs, "job")}</b>, ${count(group.itemsMissing, "item")} missing ·
        last <${Time} at=${group.lastSeen} />
        ${group.firstSeen !== group.lastSeen && html`, first <${Time} at=${group.firstSeen} />`}
      </p>
      ${group.example && html`
        <p class="error-text"><code>${group.example.jobId}</code> ${sentence(group.example.error)}</p>`}
      <div id=${list} hidden=${!isOpen}>
        ${isOpen && html`<${GroupJobs} id=${id} group=${group.group} version=${version} openJob=${openJob} />`}
      </div>
    </li>
  `;
}

function GroupJobs({ id, group, version, openJob }) {
  const { items, hasMore, error, more } = usePages(`${id}/failed-jobs`, { group, limit: 20 }, version);
  if (error) return html`<${ErrorNote} error=${error} />`;
  if (items === null) return html`<${Skeleton} lines=${3} />`;
  return html`
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Job</th>
            <th scope="col">Ordinals</th>
            <th scope="col">Missing items</th>
            <th scope="col">Attempts</th>
            <th scope="col">Failed</th>
          </tr>
        </thead>
        <tbody>
          ${items.map(
            (job) => html`
            <tr key=${job.jobId} aria-current=${String(job.seq) === openJob ? "true" : null}>
              <td><a href=${linkTo({ job: String(job.seq) })}>${job.jobId}</a></td>
              <td>${number(job.first)} to ${number(job.last)}</td>
              <td>${number(job.last - job.first + 1 - job.itemsCreated)}</td>
              <td>${number(job.attempts)}</td>
              <td>${job.finishedAt && html`<${Time} at=${job.finishedAt} />`}</td>
            </tr>
          `,
          )}
        </tbody>
      </table>
    </div>
    ${hasMore && html`<button type="button" class="more" onClick=${more}>Show more jobs</button>`}
  `;
}
