// The top of the page: its name, the way back, the search, and what concerns the page as a whole.

import { connection } from "./connection.js";
import { clock } from "./format.js";
import { goTo, linkTo, place, plainLink } from "./location.js";
import { html, useState } from "./preact.js";
import { Search } from "./search.js";
import { setToken } from "./session.js";
import { showHelp } from "./keys.js";
import { useStore } from "./store.js";

export function Header({ settings, mayRead, mayWrite, hasToken }) {
  return html`
    <header class="top">
      <div class="name">
        <${Back} to=${settings.back} />
        <h1><a href=${linkTo({ batch: null, new: null, workers: null })}>${settings.title}</a></h1>
      </div>
      ${mayRead && html`<${Search} />`}
      <div class="tools">
        ${mayRead && mayWrite && html`<button type="button" class="primary" onClick=${create}>New batch</button>`}
        ${mayRead && !mayWrite && html`<span class="read-only">Read only</span>`}
        ${mayRead && html`<${WorkersLink} />`}
        <${Theme} />
        <button type="button" class="quiet keys-button" aria-label="Keys" title="Keys (?)" onClick=${showHelp}>
          ?
        </button>
        ${hasToken && html`<button type="button" class="quiet" onClick=${signOut}>Forget token</button>`}
      </div>
    </header>
  `;
}

function WorkersLink() {
  const { workers } = useStore(place);
  return html`<a href=${linkTo({ workers: "1" })} aria-current=${workers === null ? null : "page"}>Workers</a>`;
}

const create = () => goTo({ new: "1" });

function signOut() {
  setToken(null);
  location.reload();
}

function Back({ to }) {
  const link = to ? plainLink(to) : null;
  if (link === null) return null;
  const where = link.origin === location.origin ? "Back" : `Back to ${link.host}`;
  return html`<a class="back" href=${link.href}>${where}</a>`;
}

function storedTheme() {
  return document.documentElement.dataset.theme ?? "system";
}

function Theme() {
  const [theme, setTheme] = useState(storedTheme());
  const onChange = (event) => {
    const chosen = event.target.value;
    if (chosen === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    try {
      localStorage.setItem("rocket_batch.theme", chosen);
    } catch {
      // Storage is blocked: the choice lasts until the page is left.
    }
    setTheme(chosen);
  };
  return html`
    <label class="theme">
      <select value=${theme} onChange=${onChange} aria-label="Theme">
        ${["system", "light", "dark"].map((word) => html`
          <option key=${word} value=${word} selected=${word === theme}>${word} theme</option>`)}
      </select>
    </label>
  `;
}

// Says that what is shown may be old, and of when it is.
export function Offline() {
  const { isReachable, asOf } = useStore(connection);
  return html`
    <div class="offline" role="status" hidden=${isReachable}>
      ${!isReachable && html`
        <b>The server can't be reached.</b> ${asOf === null ? "" : `Data as of ${clock(asOf)}. `}Trying again.`}
    </div>
  `;
}
