// The form for a new batch, with what would become of it beside it while you type.

import { announce } from "./announce.js";
import { post } from "./api.js";
import { count } from "./format.js";
import { goTo } from "./location.js";
import { Button, Dialog, ErrorNote, sentence } from "./parts.js";
import { html, useRef, useState } from "./preact.js";
import { Preview, usePreview } from "./preview.js";

const FIELDS = [
  { name: "quantity", label: "Quantity", hint: "How many items to create.", isNumber: true },
  {
    name: "batchSize",
    label: "Items per job",
    hint: "Optional. Smaller jobs are shared more evenly among workers.",
    isNumber: true,
  },
  { name: "qrCodePrefix", label: "Code prefix", hint: "Optional, such as QR." },
  {
    name: "maxJobsPerBatch",
    label: "Maximum number of jobs",
    hint: "Optional. If more would be needed, each job gets more items.",
    isNumber: true,
  },
  {
    name: "batchId",
    label: "Batch id",
    hint: "Optional. By default, the next free id.",
    isNumber: true,
  },
];

// The body of the request. A text that is no number is sent as it is, and the server says what is
// wrong with it.
export function bodyOf(values) {
  const body = {};
  for (const { name, isNumber } of FIELDS) {
    const text = (values[name] ?? "").trim();
    if (text === "") continue;
    body[name] = isNumber && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  }
  return body;
}

export function CreateDialog() {
  const [values, setValues] = useState({});
  const [failure, setFailure] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const key = useRef(null);
  const body = bodyOf(values);
  const preview = usePreview(body);
  const close = () => goTo({ new: null });
  const onInput = (name, text) => {
    setFailure(null);
    // Another body is another request, and a repeated one is not.
    key.current = null;
    setValues({ ...values, [name]: text });
  };
  const create = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    key.current ??= randomKey();
    try {
      const batch = await post("./", body, { headers: { "Idempotency-Key": key.current } });
      announce(`Batch ${batch.batchId} is accepted: ${count(batch.jobsCreated, "job")}.`);
      goTo({ batch: String(batch.batchId), new: null });
    } catch (error) {
      setFailure(error);
      setBusy(false);
    }
  };
  const errors = errorsOf(failure ?? (body.quantity === undefined ? null : preview.error));
  const others = failure !== null && FIELDS.every(({ name }) => !errors.has(name)) ? failure : null;
  return html`
    <${Dialog} title="New batch" onClose=${close}>
      <form class="new-batch" noValidate onSubmit=${create}>
        <div class="fields">
          ${FIELDS.map(
            (field) => html`
            <${Field} key=${field.name} field=${field} value=${values[field.name] ?? ""}
              error=${errors.get(field.name)} onInput=${onInput} />`,
          )}
          ${others && html`<${ErrorNote} error=${others} />`}
        </div>
        <${Preview} preview=${preview} />
        <footer>
          <${Button} type="submit" class="primary" busy=${isBusy}>Create batch<//>
          <button type="button" onClick=${close}>Discard</button>
        </footer>
      </form>
    <//>
  `;
}

// The errors by field: all that the problem lists, or the one that it names.
export function errorsOf(error) {
  const problem = error?.problem ?? {};
  if (Array.isArray(problem.errors)) return new Map(problem.errors.map(({ field, detail }) => [field, detail]));
  return new Map(problem.field ? [[problem.field, problem.detail ?? problem.title]] : []);
}

function Field({ field, value, error, onInput }) {
  const id = `field-${field.name}`;
  return html`
    <p class="field">
      <label for=${id}>${field.label}</label>
      <input
        id=${id} value=${value} autocomplete="off" spellcheck="false" inputmode=${field.isNumber ? "numeric" : "text"}
        aria-describedby="${id}-hint" aria-invalid=${error ? "true" : null}
        onInput=${(event) => onInput(field.name, event.target.value)}
      />
      <small id="${id}-hint" class=${error ? "wrong" : ""}>${error ? sentence(error) : field.hint}</small>
    </p>
  `;
}

// Pages that are not served over HTTPS have no randomUUID.
const randomKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
