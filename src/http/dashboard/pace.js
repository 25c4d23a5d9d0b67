// Work that is asked for often and done seldom: one run at a time, with a pause between two runs.

import { isAbort } from "./api.js";

// Returns `ask()`, after which `run(signal)` is called soon, and `stop()`. What is asked for during
// a run is done by one more run after it.
export function paced(run, pauseMs) {
  let timer = null;
  let isRunning = false;
  let isWanted = false;
  let lastStart = -Infinity;
  const controller = new AbortController();

  const next = () => {
    if (isRunning || timer !== null || controller.signal.aborted) return;
    isWanted = false;
    timer = setTimeout(start, Math.max(0, lastStart + pauseMs - performance.now()));
  };
  const start = async () => {
    timer = null;
    isRunning = true;
    lastStart = performance.now();
    try {
      await run(controller.signal);
    } catch (error) {
      if (!isAbort(error)) throw error;
    } finally {
      isRunning = false;
      if (isWanted) next();
    }
  };
  return {
    ask() {
      isWanted = true;
      next();
    },
    stop() {
      controller.abort();
      clearTimeout(timer);
    },
  };
}
