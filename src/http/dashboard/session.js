// Who the caller is: the access token, which only this tab keeps, and what it allows.

import { createStore } from "./store.js";

const KEY = `rocket_batch.token:${new URL("../", import.meta.url).pathname}`;
const NO_RIGHTS = { read: false, write: false };

function storedToken() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

// `rights` is null until the server has said what the caller may do. `refusal` says why the
// page asks for a token.
export const session = createStore({ token: storedToken(), rights: null, refusal: null });

export function setToken(token) {
  try {
    if (token === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, token);
  } catch {
    // Storage is blocked: the token lasts until the page is left.
  }
  session.merge({ token });
}

export function authorization() {
  const { token } = session.get();
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

// The server refused the credentials `sent`: a token that it does not accept is dropped. The answer
// may be late, and says nothing about a token that was entered since.
export function dropToken(sent) {
  if (sent.Authorization !== authorization().Authorization) return;
  const { token } = session.get();
  if (token !== null) setToken(null);
  const refusal = token === null ? "missing" : "refused";
  session.merge({ rights: NO_RIGHTS, refusal });
}

// The server knows the caller, and forbids it to read.
export function forbidReading() {
  const refusal = session.get().token === null ? "missing" : "forbidden";
  session.merge({ rights: NO_RIGHTS, refusal });
}
