// Asks the server what the caller may do.

import { get } from "./api.js";
import { session } from "./session.js";

export async function loadRights() {
  const rights = await get("rights");
  session.merge({ rights, refusal: rights.read ? null : (session.get().refusal ?? "missing") });
  return rights;
}
