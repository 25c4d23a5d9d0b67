// Numbers, durations and times, in words and by the browser's locale.

const WHOLE = new Intl.NumberFormat();
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const number = (value) => WHOLE.format(value);

// A number with its noun: "1 job", "1,000 jobs".
export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

const UNITS = [
  ["second", 60],
  ["minute", 60],
  ["hour", 24],
  ["day", Infinity],
];

// A duration in its largest whole unit: "2 minutes".
export function duration(seconds) {
  let value = Math.max(0, seconds);
  for (const [unit, next] of UNITS) {
    const rounded = Math.round(value);
    if (rounded < next) return count(rounded, unit);
    value /= next;
  }
  return "";
}

export function timeLeft(seconds) {
  if (seconds === null || seconds === undefined) return null;
  if (seconds < 1) return "less than a second left";
  return `about ${duration(seconds)} left`;
}

export function ago(time, now) {
  const seconds = (now - Date.parse(time)) / 1000;
  return seconds < 5 ? "just now" : `${duration(seconds)} ago`;
}

const SHORT = [
  ["s", 60],
  ["min", 60],
  ["h", 24],
  ["d", Infinity],
];

// An age for narrow places: "3 min".
export function age(time, now) {
  let value = Math.max(0, (now - Date.parse(time)) / 1000);
  for (const [unit, next] of SHORT) {
    if (Math.floor(value) < next) return `${number(Math.floor(value))} ${unit}`;
    value /= next;
  }
  return "";
}

// Date, time and zone.
export const exactTime = (time) => EXACT.format(new Date(time));

export const clock = (time) => CLOCK.format(time);

// The share of items that exist, rounded down: 100 only if all do.
export function percentOf(created, total) {
  return total === 0 ? 0 : Math.min(100, Math.floor((created / total) * 100));
}
