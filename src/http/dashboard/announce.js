// Says what an action did, for a while, also to screen readers.

import { html } from "./preact.js";
import { createStore, useStore } from "./store.js";

const SHOWN_MS = 8_000;
const message = createStore("");
let timer = null;

export function announce(text) {
  clearTimeout(timer);
  message.set(text);
  timer = setTimeout(() => message.set(""), SHOWN_MS);
}

export function Announcement() {
  const text = useStore(message);
  return html`<p class="announcement" role="status" data-shown=${text === "" ? null : "yes"}>${text}</p>`;
}
