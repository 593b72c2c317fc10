// Single keys. J K and arrows walk through [data-item] of the nearest [data-items]; an element with data-key="c" is clicked by
// that key, inside the focused item first, then on the page. data-key-label (or its own words) names it on the `?` sheet.
// They can be switched off there, for this browser, and in the profile, for every one (WCAG 2.1.4). / reaches the search; Ctrl-K
// opens the palette (palette.js).
import { store } from "./store.js";

const GLOBAL = [
  ["J", "Next"],
  ["K", "Previous"],
  ["S", "Select or let go"],
  ["/", "Search"],
  ["Ctrl K", "Everything by name"],
  ["?", "This list"],
  ["Esc", "Close, let go"],
];

const isOff = () => document.body.dataset.keys === "off";
const isOn = () => !isOff() && store.get("keys") !== "off";

function typing(target) {
  return target.matches?.(
    "input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable]",
  );
}

function focusable(item) {
  return item.matches("a[href], button, [tabindex]")
    ? item
    : item.querySelector("a[href], button:not([disabled]), [tabindex]");
}

function walk(step, vertical = false) {
  const here = document.activeElement?.closest("[data-item]");
  const list = here?.closest("[data-items]") ?? document.querySelector("[data-items]");
  if (!list) return false;
  const all = [...list.querySelectorAll("[data-item]")].filter((item) => focusable(item));
  if (!all.length) return false;
  let next = here ? all.indexOf(here) + step : step > 0 ? 0 : all.length - 1;
  if (vertical && here) {
    // The nearest item of the row above or below, by where it stands on the screen.
    const box = here.getBoundingClientRect();
    const rows = all.filter(
      (item) =>
        Math.sign(item.getBoundingClientRect().top - box.top) === Math.sign(step) &&
        Math.abs(item.getBoundingClientRect().top - box.top) > box.height / 2,
    );
    rows.sort((a, b) => {
      const [p, q] = [a, b].map((item) => item.getBoundingClientRect());
      return (
        Math.abs(p.top - box.top) - Math.abs(q.top - box.top) ||
        Math.abs(p.left - box.left) - Math.abs(q.left - box.left)
      );
    });
    next = rows.length ? all.indexOf(rows[0]) : -1;
  }
  if (!all[next]) return Boolean(here);
  const target = focusable(all[next]);
  target.focus();
  target.scrollIntoView({ block: "nearest" });
  return true;
}

function press(key) {
  const item = document.activeElement?.closest("[data-item]");
  const selector = `[data-key="${CSS.escape(key)}"]`;
  const inItem = item?.querySelector(selector);
  const target =
    inItem ?? [...document.querySelectorAll(selector)].find((one) => !one.closest("[data-item]") && one.offsetParent);
  target?.click();
  return Boolean(target);
}

function sheet() {
  const dialog = document.getElementById("keys-sheet");
  const list = dialog?.querySelector("[data-keys-list]");
  if (!list) return;
  const named = new Map(GLOBAL.map(([key, words]) => [words, [key]]));
  for (const element of document.querySelectorAll("[data-key]")) {
    const key = element.dataset.key.length === 1 ? element.dataset.key.toUpperCase() : element.dataset.key;
    const words = element.dataset.keyLabel || element.title || element.textContent.trim();
    if (!named.has(words)) named.set(words, []);
    if (!named.get(words).includes(key)) named.get(words).push(key);
  }
  // While something is drawn, more keys choose how.
  const tools = [...document.querySelectorAll("[data-tool-key]")];
  if (tools.length) {
    for (const tool of tools) named.set(`Draw: ${tool.textContent.trim()}`, ["D", tool.dataset.toolKey.toUpperCase()]);
    named.set("Draw: move the cross, set a point", ["← ↑ → ↓", "Enter"]);
  }
  const column = document.createElement("ul");
  column.className = "keys-column";
  for (const [words, keys] of named) {
    const row = document.createElement("li");
    const name = Object.assign(document.createElement("span"), { textContent: words });
    const caps = Object.assign(document.createElement("span"), { className: "keys" });
    caps.append(...keys.map((key) => Object.assign(document.createElement("kbd"), { textContent: key })));
    row.append(name, caps);
    column.append(row);
  }
  list.replaceChildren(column);
  const box = dialog.querySelector("[data-keys-switch]");
  box.checked = isOn();
  box.disabled = isOff();
}

function onKey(event) {
  if (event.defaultPrevented) return;
  const search = document.querySelector("[data-search] input");
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (document.querySelector("dialog[open]") || event.target.closest?.("[data-own-keys]")) return;
  if (!isOn() && event.key !== "?") return;
  const vertical = event.key === "ArrowDown" || event.key === "ArrowUp";
  const steps = { j: 1, ArrowRight: 1, ArrowDown: 1, k: -1, ArrowLeft: -1, ArrowUp: -1 };
  const arrow = event.key.startsWith("Arrow");
  if (steps[event.key]) {
    // On the page of one of many (a picture, an image under review) they lead to its neighbours, by its own links.
    const isFree = !vertical && !event.target.matches?.("input") && !event.target.closest?.("[data-item]");
    if (isFree && press(steps[event.key] > 0 ? "j" : "k")) return void event.preventDefault();
    // Arrows scroll the page until an item has the focus; radio buttons and sliders keep theirs.
    if (arrow && (!event.target.closest?.("[data-item]") || event.target.matches("input"))) return;
    if (walk(steps[event.key], vertical)) event.preventDefault();
    return;
  }
  if (event.key === "?") {
    event.preventDefault();
    document.getElementById("keys-sheet")?.showModal();
    return;
  }
  if (event.key === "/" && search) {
    event.preventDefault();
    search.focus();
    return;
  }
  // X rejects where something can be rejected (reviews, votes), and selects where not; S selects everywhere.
  const item = document.activeElement?.closest("[data-item]");
  const pick = ["x", "s"].includes(event.key) ? item?.querySelector("[data-pick]") : null;
  if (pick && !item.querySelector(`[data-key="${event.key}"]`)) return void pick.click();
  if (event.key.length === 1 && press(event.key.toLowerCase())) event.preventDefault();
}

export function start() {
  document.addEventListener("keydown", onKey);
  document.addEventListener("change", (event) => {
    if (event.target.matches?.("[data-keys-switch]")) store.set("keys", event.target.checked ? "on" : "off");
  });
  const dialog = document.getElementById("keys-sheet");
  if (dialog)
    new MutationObserver(() => dialog.open && sheet()).observe(dialog, { attributes: true, attributeFilter: ["open"] });
}
