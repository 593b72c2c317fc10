// <time datetime data-relative>: "4 minutes ago", in the reader's own zone, the exact moment on hover.
const UNITS = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

const language = document.documentElement.lang || "en";
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
const exact = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" });
const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hour12: false });

export function words(moment, now = Date.now()) {
  const seconds = Math.round((moment.getTime() - now) / 1000);
  for (const [unit, length] of UNITS)
    if (Math.abs(seconds) >= length) return relative.format(Math.trunc(seconds / length), unit);
  return seconds > 10 ? "in less than a minute" : "just now";
}

function write(element) {
  const moment = new Date(element.dateTime);
  if (Number.isNaN(moment.getTime())) return;
  const text = element.dataset.relative === "clock" ? `about ${clock.format(moment)}` : words(moment);
  if (element.textContent !== text) element.textContent = text;
  if (!element.title) element.title = exact.format(moment);
}

const all = (root) => root.querySelectorAll("time[data-relative]");

export function start() {
  setInterval(() => document.hidden || all(document).forEach(write), 20_000);
}

export function mount(root) {
  if (root.matches?.("time[data-relative]")) write(root);
  all(root).forEach(write);
}
