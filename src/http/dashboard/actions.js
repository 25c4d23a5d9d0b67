// What a caller can do with a batch. Pause, resume and retry ask nothing; a cancel asks once.

import { announce } from "./announce.js";
import { post } from "./api.js";
import { count } from "./format.js";
import { Button, Dialog } from "./parts.js";
import { html, useEffect, useRef, useState } from "./preact.js";
import { ACTIONS } from "./states.js";

const IDLE = { busy: null, error: null, report: null };
const DONE = { pause: "paused", resume: "resumed", cancel: "cancelled" };

// The actions on one batch. `busy` names the one that runs, `error` is that of the last one, and
// `report` is what the last retry did. Each batch has its own: another may be shown when an answer
// comes.
export function useActions(id, again) {
  const [states, setStates] = useState({});
  const setState = (part) => setStates((now) => ({ ...now, [id]: { ...IDLE, ...part } }));
  const current = states[id] ?? IDLE;
  const shown = useRef(null);
  shown.current = { id, again };
  useEffect(
    () => () => {
      shown.current = null;
    },
    [],
  );
  const run = async (busy, call) => {
    if (current.busy !== null) return;
    setState({ busy });
    try {
      setState({ report: await call() });
    } catch (error) {
      setState({ error, report: error.problem?.report ?? null });
    }
    if (shown.current?.id === id) shown.current.again();
  };
  return {
    ...current,
    dismiss: () => setState(IDLE),
    control: (name) =>
      run(name, async () => {
        await post(`${id}/${name}`);
        announce(`Batch ${id} ${DONE[name]}.`);
        return null;
      }),
    retry: (body, busy = "retry") =>
      run(busy, async () => {
        const report = await post(`${id}/retry`, body);
        announce(`${count(report.recreated, "job")} of batch ${id} recreated.`);
        return report;
      }),
  };
}

const WORDS = { pause: "Pause", resume: "Resume", cancel: "Cancel batch" };

export function Controls({ id, status, progress, actions }) {
  const [asks, setAsks] = useState(null);
  const onClick = (name) => (name === "cancel" ? setAsks(id) : actions.control(name));
  const cancel = () => {
    setAsks(null);
    actions.control("cancel");
  };
  return html`
    <div class="controls">
      ${ACTIONS[status].map(
        (name) => html`
        <${Button} key=${name} class=${name === "cancel" ? "danger" : ""}
          busy=${actions.busy === name} onClick=${() => onClick(name)}>
          ${WORDS[name]}
        <//>`,
      )}
    </div>
    ${asks === id && html`
      <${CancelDialog} id=${id} progress=${progress} onCancel=${cancel} onClose=${() => setAsks(null)} />`}
  `;
}

function CancelDialog({ id, progress, onCancel, onClose }) {
  const created = progress.itemsCreated;
  const stays =
    created === 0
      ? "Running chunks may still add a few items."
      : `The ${count(created, "item")} that ${created === 1 ? "exists stays" : "exist stay"}, and running chunks ` +
        "may add a few.";
  return html`
    <${Dialog} title="Cancel batch ${id}?" kind="narrow" onClose=${onClose}>
      <p>${stays} No others are created. A cancelled batch can't be resumed.</p>
      <footer>
        <button type="button" class="primary danger" onClick=${onCancel}>Cancel this batch</button>
        <button type="button" onClick=${onClose}>Don't cancel</button>
      </footer>
    <//>
  `;
}
