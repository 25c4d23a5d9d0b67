// Asks the server what the caller may do.

import { get, withQuery } from "./api.js";
import { session } from "./session.js";

export async function loadRights() {
  const rights = await get("rights");
  const refusal = rights.read ? null : await whyNot();
  session.merge({ rights, refusal });
}

// Why a caller may not read. The rights do not say whether its token is wrong or its rights are
// too small, and the host's guard may have failed for another reason.
async function whyNot() {
  if (session.get().token === null) return session.get().refusal ?? "missing";
  try {
    await get(withQuery("./", { limit: 1 }));
  } catch (error) {
    if (error.status === 401) return "refused";
    if (error.status === 403) return "forbidden";
    throw error;
  }
  return "missing";
}
