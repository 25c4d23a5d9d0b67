// A list that is loaded page by page, and from its start again when it is out of date.

import { get, isAbort, withQuery } from "./api.js";
import { paced } from "./pace.js";
import { useEffect, useRef, useState } from "./preact.js";

const RELOAD_MS = 2_000;

// Reads `path` with `query`. `version` changes when the list is out of date; what was loaded stays
// until the new first page is there.
export function usePages(path, query, version) {
  const [found, setFound] = useState({ key: null, items: null, cursor: null, error: null });
  const pace = useRef(null);
  const key = withQuery(path, query);
  useEffect(() => {
    const load = async (signal) => {
      try {
        const page = await get(key, signal);
        setFound({ key, items: page.items, cursor: page.nextCursor, error: null });
      } catch (error) {
        if (signal.aborted || error.status === 0) return;
        setFound({ key, items: null, cursor: null, error });
      }
    };
    pace.current = paced(load, RELOAD_MS);
    return () => pace.current.stop();
  }, [key]);
  useEffect(() => pace.current.ask(), [key, version]);
  const more = async () => {
    try {
      const page = await get(withQuery(path, { ...query, cursor: found.cursor }));
      setFound((before) => joined(before, page, found.cursor));
    } catch (error) {
      if (!isAbort(error)) setFound((before) => ({ ...before, error }));
    }
  };
  const isCurrent = found.key === key;
  return {
    items: isCurrent ? found.items : null,
    hasMore: isCurrent && found.cursor !== null,
    error: isCurrent ? found.error : null,
    more,
  };
}

// The list may have been loaded again while the page was on its way.
function joined(before, page, cursor) {
  if (before.cursor !== cursor) return before;
  return { ...before, items: [...before.items, ...page.items], cursor: page.nextCursor, error: null };
}
