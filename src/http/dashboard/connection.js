// Whether the server can be reached, and when it last said something.

import { createStore } from "./store.js";

// `asOf` is the time of the last answer, `isReachable` whether the last try got one.
export const connection = createStore({ isReachable: true, asOf: null });

export function reached() {
  connection.set({ isReachable: true, asOf: Date.now() });
}

export function notReached() {
  if (connection.get().isReachable) connection.merge({ isReachable: false });
}

// Calls `again` each time the server can be reached after it could not be.
export function onReturn(again) {
  let wasReachable = connection.get().isReachable;
  return connection.watch(() => {
    const { isReachable } = connection.get();
    if (isReachable && !wasReachable) again();
    wasReachable = isReachable;
  });
}
