// One box for everything: the id of a batch, the id of a job, a code, or a link that ends with one.

import { get, isAbort, latest } from "./api.js";
import { goTo } from "./location.js";
import { sentence } from "./parts.js";
import { html, useState } from "./preact.js";

// What a text means: a batch, a job, or a code.
export function meaningOf(text) {
  const trimmed = text.trim();
  const job = /^b(\d+)-j(\d+)-g\d+$/.exec(trimmed);
  if (job) return { batch: job[1], job: job[2] };
  if (/^\d+$/.test(trimmed)) return { batch: trimmed };
  return { code: codeIn(trimmed) };
}

// The code itself, or the last part of the path of a link.
function codeIn(text) {
  if (!text.includes("/")) return text;
  const path = text.split(/[?#]/)[0];
  const last =
    path
      .split("/")
      .filter((part) => part !== "")
      .at(-1) ?? "";
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

const NO_MEANING = "Enter the id of a batch, the id of a job, or a code.";

// Only the last search counts.
const searches = latest();

async function find(text, signal) {
  const { batch, job = null, code } = meaningOf(text);
  if (batch === undefined) {
    if (!/^[A-Za-z0-9_-]{4,}$/.test(code)) throw new Error(NO_MEANING);
    const item = await get(`items/${encodeURIComponent(code)}`, signal);
    return { batch: String(item.batchId), item: item.code, job: null };
  }
  const id = BigInt(batch).toString();
  await get(id, signal);
  return { batch: id, job: job && BigInt(job).toString() };
}

export function Search() {
  const [text, setText] = useState("");
  const [problem, setProblem] = useState(null);
  const onInput = (event) => {
    setText(event.target.value);
    setProblem(null);
  };
  const onSubmit = async (event) => {
    event.preventDefault();
    if (text.trim() === "") return;
    try {
      goTo(await searches.run((signal) => find(text, signal)));
      // What was typed meanwhile stays.
      setText((now) => (now === text ? "" : now));
    } catch (error) {
      if (!isAbort(error)) setProblem(error.status === 404 ? `Nothing found: ${error.message}` : error.message);
    }
  };
  return html`
    <form role="search" class="search" onSubmit=${onSubmit}>
      <label>
        <span class="unseen">Find a batch, job or code</span>
        <input id="search" type="search" placeholder="Find a batch, job or code" autocomplete="off" spellcheck="false"
          value=${text} onInput=${onInput} aria-describedby="search-problem" />
      </label>
      <p id="search-problem" role="status" class="search-problem" hidden=${problem === null}>
        ${problem && sentence(problem)}
      </p>
    </form>
  `;
}
