// The present time for "3 minutes ago", which moves on every few seconds.

import { createStore, useStore } from "./store.js";

const now = createStore(Date.now());

setInterval(() => now.set(Date.now()), 5_000);

export const useNow = () => useStore(now);
