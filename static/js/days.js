// [data-days]: entries (li with a <time>) in lists under headings that name the day. The server groups by days in UTC and says so;
// here they become the days of the reader's own zone, one heading for each, however many pages have been loaded.
import { within } from "./within.js";

const language = document.documentElement.lang || "en";
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
const exact = new Intl.DateTimeFormat(language, { dateStyle: "full" });

function words(moment, now = new Date()) {
  const number = (date) => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / 86_400_000;
  const ahead = number(moment) - number(now);
  if (ahead !== 0 && ahead !== -1) return exact.format(moment);
  const text = relative.format(ahead, "day");
  return text[0].toLocaleUpperCase(language) + text.slice(1);
}

function group(place) {
  const entries = [...place.querySelectorAll(".feed > li")].map((entry) => [
    entry,
    new Date(entry.querySelector("time").dateTime),
  ]);
  const old = place.querySelectorAll(":scope > h2, :scope > .feed");
  const days = new Map();
  for (const [entry, moment] of entries) {
    const day = moment.toDateString();
    if (!days.has(day)) {
      const heading = Object.assign(document.createElement("h2"), { textContent: words(moment) });
      days.set(day, [heading, Object.assign(document.createElement("ul"), { className: "feed" })]);
    }
    days.get(day)[1].append(entry);
  }
  for (const element of old) element.remove();
  place.prepend(...[...days.values()].flat());
}

export function start() {
  let today = new Date().toDateString();
  setInterval(() => {
    if (today === new Date().toDateString()) return;
    today = new Date().toDateString();
    document.querySelectorAll("[data-days]").forEach(group);
  }, 20_000);
}

export function mount(root) {
  const around = root.isConnected ? root.closest("[data-days]") : null;
  (around ? [around] : within(root, "[data-days]")).forEach(group);
}
