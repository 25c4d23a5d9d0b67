// Asks for an access token, when the server wants credentials and the browser sends none.

import { plainLink } from "./location.js";
import { Button, ErrorNote } from "./parts.js";
import { html, useState } from "./preact.js";
import { loadRights } from "./rights.js";
import { setToken } from "./session.js";

// What a header can carry.
const TOKEN = /^[\x21-\x7e]+$/;
const NO_TOKEN = "A token has only letters, digits and signs of ASCII, without spaces.";

const REASONS = {
  missing: "You need the right to read to see the batches.",
  refused: "The server does not accept this token.",
  forbidden: "This token does not give the right to read batches.",
};

export function SignIn({ refusal, back }) {
  const [text, setText] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const onSubmit = async (event) => {
    event.preventDefault();
    const token = text.trim();
    if (token === "") return;
    if (!TOKEN.test(token)) return setError(new Error(NO_TOKEN));
    setBusy(true);
    setError(null);
    setToken(token);
    try {
      await loadRights();
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  const link = back ? plainLink(back) : null;
  return html`
    <main class="sign-in" id="main" tabindex="-1">
      <h2>Access</h2>
      <p role="status">${REASONS[refusal] ?? REASONS.missing}</p>
      <form onSubmit=${onSubmit}>
        <label>Access token
          <input type="password" autocomplete="off" value=${text} onInput=${(event) => setText(event.target.value)} />
        </label>
        <${Button} type="submit" class="primary" busy=${isBusy}>Continue<//>
      </form>
      ${error && html`<${ErrorNote} error=${error} />`}
      <p class="hint">
        The token is kept in this tab only and is sent as <code>Authorization: Bearer</code>.
        If your app has its own sign-in, ${link ? html`<a href=${link.href}>sign in there</a>` : "sign in there"} first,
        then reload this page.
      </p>
    </main>
  `;
}
