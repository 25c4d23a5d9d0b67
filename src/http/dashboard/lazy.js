// Parts that the first view does not need are loaded when they are shown.

import { ErrorNote } from "./parts.js";
import { html, useEffect, useState } from "./preact.js";

// So long after a failure a part is loaded again.
const RETRY_MS = 5_000;

const FAILED = "A part of this page can't be loaded. Trying again. If this takes long, reload the page.";

// Loads a style sheet of this folder, for the modules that need it.
export function loadStyle(path) {
  const loaded = document.querySelector(`link[href="${new URL(path, import.meta.url).href}"]`);
  if (loaded?.sheet) return Promise.resolve();
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL(path, import.meta.url).href;
  return new Promise((done, failed) => {
    link.onload = done;
    link.onerror = () => {
      link.remove();
      failed(new Error(FAILED));
    };
    document.head.append(link);
  });
}

// The part that the module at `path`, in this folder, exports as `name`.
export function lazy(path, name) {
  let part = null;
  let failures = 0;
  const load = async () => {
    try {
      // A browser may remember that an import failed, and does so by its URL.
      const module = await import(failures === 0 ? path : `${path}?again=${failures}`);
      part ??= module[name];
      return { error: null };
    } catch (cause) {
      failures += 1;
      return { error: new Error(FAILED, { cause }) };
    }
  };
  return (properties) => {
    const [state, setState] = useState({ error: null });
    const loadAgain = () => load().then(setState);
    useEffect(() => {
      if (part !== null) return undefined;
      if (state.error === null) {
        loadAgain();
        return undefined;
      }
      const timer = setTimeout(loadAgain, RETRY_MS);
      return () => clearTimeout(timer);
    }, [state]);
    if (part !== null) return html`<${part} ...${properties} />`;
    return state.error && html`<${ErrorNote} error=${state.error} retry=${loadAgain} />`;
  };
}
