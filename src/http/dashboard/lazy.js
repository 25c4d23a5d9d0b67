// Parts that the first view does not need are loaded when they are shown.

import { html, useEffect, useState } from "./preact.js";

// A part that `load` imports, under the name `name`.
export function lazy(load, name) {
  let part = null;
  return (properties) => {
    const [, redraw] = useState(part !== null);
    useEffect(() => {
      if (part !== null) return;
      load().then((module) => {
        part = module[name];
        redraw(true);
      });
    }, []);
    return part === null ? null : html`<${part} ...${properties} />`;
  };
}
