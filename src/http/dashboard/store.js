// A value that parts of the page watch. Changes within one frame are shown together.

import { Component, useEffect, useState } from "./preact.js";

export function createStore(initial) {
  let value = initial;
  let isScheduled = false;
  const watchers = new Set();

  const notify = () => {
    isScheduled = false;
    for (const watcher of watchers) watcher();
  };
  const set = (next) => {
    if (Object.is(next, value)) return;
    value = next;
    if (isScheduled) return;
    isScheduled = true;
    // A hidden page has no frames.
    if (document.hidden) setTimeout(notify);
    else requestAnimationFrame(notify);
  };

  return {
    get: () => value,
    set,
    merge: (part) => set({ ...value, ...part }),
    watch(watcher) {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
  };
}

// Shows the value of a store, and shows it again when it changes.
export function useStore(store) {
  const [, redraw] = useState(0);
  useEffect(() => {
    const seen = store.get();
    const stop = store.watch(() => redraw((count) => count + 1));
    // The value may have changed between the first draw and now.
    if (!Object.is(seen, store.get())) redraw((count) => count + 1);
    return stop;
  }, [store]);
  return store.get();
}

// A part that is drawn again only if one of its properties is another value.
export function memo(draw) {
  return class extends Component {
    shouldComponentUpdate(next) {
      const names = Object.keys({ ...next, ...this.props });
      return names.some((name) => !Object.is(next[name], this.props[name]));
    }

    render() {
      return draw(this.props);
    }
  };
}
