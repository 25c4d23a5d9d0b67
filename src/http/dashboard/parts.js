// Small parts that several places show.

import { useNow } from "./clock.js";
import { ago, exactTime } from "./format.js";
import { html, useEffect, useRef } from "./preact.js";

export function StatusChip({ status }) {
  return html`<span class="chip" data-state=${status}><i class="mark" aria-hidden="true"></i>${status}</span>`;
}

// A time as "3 minutes ago", with the exact one and its zone on hover.
export function Time({ at }) {
  const now = useNow();
  return html`<time datetime=${at} title=${exactTime(at)}>${ago(at, now)}</time>`;
}

// What went wrong, in the words of the server.
export function ErrorNote({ error, retry }) {
  return html`
    <div class="note bad" role="alert">
      <p>${sentence(error.message)}</p>
      ${retry && html`<button type="button" onClick=${retry}>Try again</button>`}
    </div>
  `;
}

// The server's messages are lower case and without a full stop.
export function sentence(text) {
  const trimmed = text.trim();
  if (trimmed === "") return "";
  const end = /[.!?…]$/.test(trimmed) ? "" : ".";
  return trimmed[0].toUpperCase() + trimmed.slice(1) + end;
}

// Lines of the size of what is about to be there.
export function Skeleton({ lines = 3, kind = "line" }) {
  const all = Array.from({ length: lines }, (_, at) => html`<i key=${at} class="skeleton ${kind}"></i>`);
  return html`<div class="skeletons" aria-busy="true" aria-label="Loading" role="status">${all}</div>`;
}

// A dialog that keeps the focus within it, and closes with Esc.
export function Dialog({ title, onClose, children, kind = "" }) {
  const dialog = useRef(null);
  useEffect(() => {
    const opened = dialog.current;
    const before = document.activeElement;
    opened.showModal();
    opened.querySelector("input")?.focus();
    return () => {
      opened.close();
      if (before?.isConnected) before.focus();
    };
  }, []);
  const onCancel = (event) => {
    event.preventDefault();
    onClose();
  };
  return html`
    <dialog ref=${dialog} class=${kind} aria-labelledby="dialog-title" onCancel=${onCancel}>
      <header>
        <h2 id="dialog-title">${title}</h2>
        <button type="button" class="quiet" onClick=${onClose}>Close</button>
      </header>
      ${children}
    </dialog>
  `;
}

// A button that is busy while its work is done, and can't be pressed twice.
export function Button({ busy, children, ...rest }) {
  return html`<button type="button" aria-busy=${busy ? "true" : null} disabled=${busy} ...${rest}>${children}</button>`;
}
