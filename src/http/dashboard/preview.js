// What would become of a batch, before it is created.

import { isAbort, latest, post } from "./api.js";
import { count, duration, number } from "./format.js";
import { sentence } from "./parts.js";
import { html, useEffect, useRef, useState } from "./preact.js";

// So long after the last key the server is asked.
const PAUSE_MS = 250;

// Asks for a preview of `body` after a pause in typing. The last one stays until the next is there.
export function usePreview(body) {
  const [state, setState] = useState({ plan: null, error: null });
  const calls = useRef(null);
  calls.current ??= latest();
  const text = JSON.stringify(body);
  useEffect(() => {
    if (body.quantity === undefined) {
      setState({ plan: null, error: null });
      return undefined;
    }
    const ask = async () => {
      try {
        const plan = await calls.current.run((signal) => post("preview", body, { signal }));
        setState({ plan, error: null });
      } catch (error) {
        if (!isAbort(error)) setState({ plan: null, error });
      }
    };
    const timer = setTimeout(ask, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      calls.current.abort();
    };
  }, [text]);
  return state;
}

export function Preview({ preview }) {
  return html`
    <section class="preview" aria-labelledby="preview-title" aria-live="polite">
      <h3 id="preview-title">Preview</h3>
      <${Content} ...${preview} />
    </section>
  `;
}

function Content({ plan, error }) {
  if (error?.status === 422)
    return html`<p class="hint">Correct the marked fields to see what would be created.</p>`;
  if (error) return html`<p class="hint">${sentence(error.message)}</p>`;
  if (plan === null)
    return html`<p class="hint">Enter a quantity to see how many jobs it takes, how long, and a code.</p>`;
  const { estimatedSeconds: seconds, estimatedSecondsWithoutRateLimit: free } = plan;
  return html`
    <dl class="facts">
      <div><dt>Takes about</dt><dd class="leading">${plan.estimatedDuration}</dd></div>
      <div><dt>Items</dt><dd>${number(plan.quantity)}</dd></div>
      <div><dt>Jobs</dt><dd>${number(plan.jobs)}, up to ${count(plan.itemsPerJob, "item")} each</dd></div>
      <div><dt>Chunks (transactions)</dt>
        <dd>${number(plan.chunks)}, up to ${count(plan.itemsPerChunk, "item")} each</dd></div>
      <div>
        <dt>A code, as an example</dt>
        <dd><code>${plan.code.example}</code><br />${count(plan.code.length, "character")}</dd>
      </div>
    </dl>
    ${
      free < seconds &&
      html`
      <p class="hint">Without the rate limit: about ${duration(free)}. The rate limit is set by${" "}
        <code>generate.rate_limit</code>.</p>`
    }
  `;
}
