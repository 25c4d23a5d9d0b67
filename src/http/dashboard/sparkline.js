// The speed of the batch while it is watched.

import { count, number } from "./format.js";
import { html } from "./preact.js";

const WIDTH = 300;
const HEIGHT = 40;

export function Sparkline({ samples, isRunning }) {
  const speeds = samples.map((sample) => sample.itemsPerSecond);
  const now = speeds.at(-1) ?? 0;
  const highest = Math.max(0, ...speeds);
  if (highest === 0 && !isRunning) return null;
  return html`
    <section class="speed" aria-labelledby="speed-title">
      <h3 id="speed-title">Speed</h3>
      <p class="speed-now"><strong>${number(now)}</strong> items per second</p>
      <svg
        class="sparkline"
        viewBox="0 0 ${WIDTH} ${HEIGHT}"
        preserveAspectRatio="none"
        role="img"
        aria-label="Speed since you opened this batch: now ${count(now, "item")} per second, at most ${number(highest)}"
      >
        <path class="area" d="${line(samples, highest)} L ${WIDTH} ${HEIGHT} L ${start(samples)} ${HEIGHT} Z" />
        <path class="line" d=${line(samples, highest)} />
      </svg>
      <p class="speed-most">highest: ${number(highest)} since you opened this batch</p>
    </section>
  `;
}

// A minute is the shortest time that fills the width.
const span = (samples) => Math.max(60, samples.length < 2 ? 0 : samples.at(-1).second - samples[0].second);

const xOf = (sample, samples) => WIDTH - ((samples.at(-1).second - sample.second) / span(samples)) * WIDTH;

const start = (samples) => (samples.length === 0 ? WIDTH : xOf(samples[0], samples).toFixed(1));

function line(samples, highest) {
  if (samples.length === 0) return `M 0 ${HEIGHT - 1} L ${WIDTH} ${HEIGHT - 1}`;
  const y = ({ itemsPerSecond }) => HEIGHT - 1 - (itemsPerSecond / Math.max(1, highest)) * (HEIGHT - 3);
  const points = samples.map((sample) => `${xOf(sample, samples).toFixed(1)} ${y(sample).toFixed(1)}`);
  return `M ${points.join(" L ")} L ${WIDTH} ${y(samples.at(-1)).toFixed(1)}`;
}
