// A map of the jobs: one cell a job, or several jobs a cell, coloured by state.

import { get } from "./api.js";
import { count, number } from "./format.js";
import { paced } from "./pace.js";
import { ErrorNote, Skeleton } from "./parts.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./preact.js";
import { memo } from "./store.js";

const REFRESH_MS = 1_000;
// The smallest size of a cell with its gap, by the number of cells. Cells grow to fill the width.
const SIZES = [
  [120, "large", 24],
  [400, "medium", 18],
  [Infinity, "small", 14],
];

export function JobMap({ id, progress, turns, selected, onOpen }) {
  const { map, error } = useJobMap(id, progress, turns);
  if (progress.total === 0 || error?.status === 409) return null;
  const several = map !== null && map.jobsPerCell > 1;
  return html`
    <section class="job-map" aria-labelledby="map-title">
      <h3 id="map-title">Jobs</h3>
      ${error && html`<${ErrorNote} error=${error} />`}
      ${map === null && !error && html`<${Skeleton} lines=${2} kind="block" />`}
      ${several && html`
        <p class="hint">Each cell stands for up to ${number(map.jobsPerCell)} jobs and shows the state that needs the
          most attention.</p>`}
      ${map !== null && html`<${Grid} id=${id} map=${map} selected=${selected} onOpen=${onOpen} />`}
    </section>
  `;
}

// Reads the map again after each change, at most once a second.
function useJobMap(id, progress, turns) {
  const [found, setFound] = useState({ map: null, error: null });
  const pace = useRef(null);
  useEffect(() => {
    setFound({ map: null, error: null });
    const load = async (signal) => {
      try {
        setFound({ map: await get(`${id}/job-map`, signal), error: null });
      } catch (error) {
        if (signal.aborted || error.status === 0) return;
        setFound((before) => ({ map: before.map, error }));
      }
    };
    pace.current = paced(load, REFRESH_MS);
    return () => pace.current.stop();
  }, [id]);
  useEffect(() => pace.current.ask(), [id, progress, turns]);
  return found;
}

function Grid({ id, map, selected, onOpen }) {
  const grid = useRef(null);
  const [, size, step] = SIZES.find(([most]) => map.cells.length <= most);
  const columns = useColumns(grid, step);
  const at = selected === null ? -1 : Math.floor(selected / map.jobsPerCell);
  const [focused, setFocused] = useState(0);
  const [shown, setShown] = useState(null);
  const current = Math.min(focused, map.cells.length - 1);
  const cellOf = (event) => Number(event.target.closest("[data-cell]")?.dataset.cell ?? NaN);
  const show = (event) => {
    const cell = cellOf(event);
    setShown(Number.isNaN(cell) ? null : cell);
    if (event.type === "focusin" && !Number.isNaN(cell)) setFocused(cell);
  };
  const open = (event) => {
    const cell = cellOf(event);
    if (!Number.isNaN(cell)) onOpen(cell * map.jobsPerCell);
  };
  const onKeyDown = (event) => {
    const to = target(event.key, current, columns, map.cells.length);
    if (to === null) return;
    event.preventDefault();
    setFocused(to);
    grid.current.querySelector(`[data-cell="${to}"]`)?.focus();
  };
  const rows = [];
  for (let from = 0; from < map.cells.length; from += columns) {
    const to = Math.min(from + columns, map.cells.length);
    const has = (cell) => (cell >= from && cell < to ? cell : -1);
    rows.push(html`
      <${Row}
        key=${from} id=${id} from=${from} size=${map.jobsPerCell} jobs=${map.jobs}
        states=${map.cells.slice(from, to).join(" ")} focused=${has(current)} selected=${has(at)}
      />
    `);
  }
  // Not onFocusIn: elements have no property onfocusin, so Preact would listen to "FocusIn".
  return html`
    <div
      ref=${grid} class="grid ${size}" role="grid" aria-labelledby="map-title"
      aria-rowcount=${rows.length} aria-colcount=${columns}
      onKeyDown=${onKeyDown} onClick=${open} onMouseOver=${show} onMouseLeave=${() => setShown(null)} onfocusin=${show}
    >
      ${rows}
    </div>
    <p class="hint shown-cell">
      ${shown === null ? hint(map) : label(map, shown)}
    </p>
  `;
}

// The state of a row of cells is one text, so that a row without a change is not drawn again.
const Row = memo(({ from, size, jobs, states, focused, selected }) => {
  const map = { jobsPerCell: size, jobs, cells: states.split(" ") };
  return html`
    <div class="map-row" role="row">
      ${map.cells.map((state, column) => {
        const cell = from + column;
        return html`
          <button
            key=${cell} type="button" role="gridcell" class="cell" data-cell=${cell} data-state=${state}
            tabindex=${cell === focused ? 0 : -1} aria-selected=${cell === selected ? "true" : "false"}
            aria-label=${label(map, cell, state)}
          ></button>
        `;
      })}
    </div>
  `;
});

function hint({ jobsPerCell }) {
  if (jobsPerCell === 1) return "Point at a cell to see its job. Click it to open the job.";
  return "Point at a cell to see its jobs. Click it to open the first of them.";
}

function label(map, cell, state = map.cells[cell]) {
  const first = cell * map.jobsPerCell;
  const last = Math.min(first + map.jobsPerCell, map.jobs) - 1;
  if (first === last) return `Job ${first}: ${state}`;
  return `Jobs ${first} to ${last} (${count(last - first + 1, "job")}): ${state}`;
}

// The cell that a key leads to, or null.
export function target(key, current, columns, cells) {
  const last = cells - 1;
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  if (key === "Home") return 0;
  if (key === "End") return last;
  if (!(key in moves)) return null;
  const to = current + moves[key];
  return to < 0 || to > last ? current : to;
}

// As many columns as fit, in fives, so that one can count.
function useColumns(grid, step) {
  const [columns, setColumns] = useState(20);
  useLayoutEffect(() => grid.current.style.setProperty("--columns", columns), [columns]);
  useEffect(() => {
    const measure = () => {
      const fitting = Math.floor(grid.current.clientWidth / step);
      setColumns(Math.min(100, Math.max(5, Math.floor(fitting / 5) * 5)));
    };
    const observer = new ResizeObserver(measure);
    observer.observe(grid.current);
    return () => observer.disconnect();
  }, [step]);
  return columns;
}
