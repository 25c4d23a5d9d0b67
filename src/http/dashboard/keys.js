// What the keyboard does, and a list of it.

import { goTo } from "./location.js";
import { Dialog } from "./parts.js";
import { html } from "./preact.js";
import { session } from "./session.js";
import { createStore, useStore } from "./store.js";

const KEYS = [
  ["/", "find a batch, job or code"],
  ["j", "next batch in the list"],
  ["k", "previous batch in the list"],
  ["Enter", "open the selected batch"],
  ["n", "new batch"],
  ["Arrow keys", "move through the map of jobs"],
  ["?", "this help"],
  ["Esc", "close"],
];

const isHelpShown = createStore(false);

export const showHelp = () => isHelpShown.set(true);

function moveInList(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.indexOf(document.activeElement);
  const from = at >= 0 ? at + step : rows.findIndex((row) => row.getAttribute("aria-current") !== null);
  rows[Math.min(rows.length - 1, Math.max(0, from))]?.focus();
}

const isTyping = (target) => target.closest?.("input, textarea, select, [contenteditable]") !== null;

// Listens to the keys of the page. Returns a function that stops it.
export function listenToKeys() {
  const actions = {
    "/": () => document.getElementById("search")?.focus(),
    "?": showHelp,
    j: () => moveInList(1),
    k: () => moveInList(-1),
    n: () => session.get().rights?.write && goTo({ new: "1" }),
    Escape: () => goTo({ job: null, group: null, item: null }),
  };
  const onKeyDown = (event) => {
    // A dialog has its own keys, wherever the focus is.
    if (document.querySelector("dialog[open]") !== null) return;
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.key === "Escape" && event.target.id === "search") event.target.blur();
    if (isTyping(event.target) || !Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    actions[event.key]();
  };
  document.addEventListener("keydown", onKeyDown);
  return () => document.removeEventListener("keydown", onKeyDown);
}

export function Help() {
  if (!useStore(isHelpShown)) return null;
  return html`
    <${Dialog} title="Keys" kind="narrow" onClose=${() => isHelpShown.set(false)}>
      <dl class="keys">
        ${KEYS.map(([key, what]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}
      </dl>
    <//>
  `;
}
