// Ctrl-K: everything that can be done or opened from here, by typing a few letters of it. The commands are what the page itself
// offers (places, tabs, elements with a key of their own); the server adds what the project has under that name.

const MOST = 12;
let dialog = null;
let entries = [];
let asked = 0;
let timer = 0;

const visible = (element) => element.offsetParent !== null || element.getClientRects().length > 0;

function words(element) {
  const named = element.dataset.keyLabel || element.getAttribute("aria-label") || element.textContent || element.title;
  return (named || element.title || "").replace(/\s+/g, " ").trim();
}

/** What the page offers: [{title, group, key, run}], each once. */
function offered() {
  const found = new Map();
  const add = (title, group, run, key = "") => title && !found.has(title) && found.set(title, { title, group, run, key });
  for (const element of document.querySelectorAll("[data-key]"))
    if (!element.closest("[data-item]") && visible(element.closest("label") ?? element) && !element.disabled)
      add(words(element), "Here", () => element.click(), element.dataset.key);
  for (const link of document.querySelectorAll(".tabs a[href]")) add(words(link), "Here", () => link.click());
  for (const link of document.querySelectorAll(".rail .place[href]")) add(link.title || words(link), "Go to", () => link.click());
  for (const link of document.querySelectorAll(".switcher a.item[href]")) add(words(link), "Project", () => link.click());
  for (const one of document.querySelectorAll(".you .item"))
    if (one.type !== "submit") add(words(one).replace(/\?$/, "").trim(), "You", () => one.click());
  return [...found.values()];
}

function fits(title, typed) {
  const name = title.toLowerCase();
  return typed
    .toLowerCase()
    .split(/\s+/)
    .every((word) => name.split(/[\s,]+/).some((part) => part.startsWith(word)) || name.includes(word));
}

function rank(entry, typed) {
  const name = entry.title.toLowerCase();
  if (name.startsWith(typed.toLowerCase())) return 0;
  return fits(entry.title, typed) ? 1 : 2;
}

function show(found) {
  const list = dialog.querySelector("[data-palette-list]");
  const input = dialog.querySelector("input");
  entries = found.slice(0, MOST);
  list.replaceChildren(
    ...entries.map((entry, place) => {
      const row = Object.assign(document.createElement("li"), { id: `palette-${place}`, role: "option" });
      row.dataset.place = String(place);
      const name = Object.assign(document.createElement("span"), { className: "clip", textContent: entry.title });
      const group = Object.assign(document.createElement("span"), { className: "small quiet push", textContent: entry.group });
      if (entry.picture) row.append(Object.assign(document.createElement("img"), { src: entry.picture, alt: "" }));
      row.append(name, group);
      if (entry.key)
        row.append(Object.assign(document.createElement("kbd"), { textContent: entry.key.length === 1 ? entry.key.toUpperCase() : entry.key }));
      return row;
    }),
  );
  dialog.querySelector("[data-palette-none]").hidden = entries.length > 0;
  mark(entries.length ? 0 : -1);
  input.setAttribute("aria-expanded", String(entries.length > 0));
}

function mark(place) {
  const rows = [...dialog.querySelectorAll("[role=option]")];
  rows.forEach((row, k) => row.setAttribute("aria-selected", String(k === place)));
  const input = dialog.querySelector("input");
  if (rows[place]) {
    input.setAttribute("aria-activedescendant", rows[place].id);
    rows[place].scrollIntoView({ block: "nearest" });
  } else input.removeAttribute("aria-activedescendant");
}

const marked = () => entries[Number(dialog.querySelector("[aria-selected=true]")?.dataset.place ?? -1)];

function narrow() {
  const typed = dialog.querySelector("input").value.trim();
  const here = offered();
  if (!typed) return show(here);
  const found = here.filter((entry) => fits(entry.title, typed)).sort((a, b) => rank(a, typed) - rank(b, typed));
  show(found);
  clearTimeout(timer);
  const url = dialog.dataset.findUrl;
  if (!url) return undefined;
  const number = ++asked;
  timer = setTimeout(async () => {
    try {
      const answer = await fetch(`${url}?q=${encodeURIComponent(typed)}`, { headers: { Accept: "application/json" } });
      if (!answer.ok || number !== asked || !dialog.open) return;
      const more = (await answer.json()).found.map((one) => ({
        title: one.title,
        group: one.kind,
        picture: one.picture,
        run: () => location.assign(one.url),
      }));
      show([...found.filter((entry) => rank(entry, typed) === 0), ...more, ...found.filter((entry) => rank(entry, typed))]);
    } catch {
      // What the page offers itself stands already.
    }
  }, 120);
  return undefined;
}

function run(entry) {
  if (!entry) return;
  dialog.close();
  entry.run();
}

export function start() {
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey || event.key.toLowerCase() !== "k") return;
    dialog = document.getElementById("palette");
    if (!dialog) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    open();
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-opens=palette]")) setTimeout(open);
  });
}

function open() {
  dialog = document.getElementById("palette");
  if (dialog.dataset.ready === undefined) {
    dialog.dataset.ready = "";
    const input = dialog.querySelector("input");
    input.addEventListener("input", narrow);
    input.addEventListener("keydown", (event) => {
      const at = entries.indexOf(marked());
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step && entries.length) mark((at + step + entries.length) % entries.length);
      else if (event.key === "Enter") run(marked());
      else return;
      event.preventDefault();
    });
    dialog.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) run(entries[Number(row.dataset.place)]);
    });
  }
  if (!dialog.open) dialog.showModal();
  const input = dialog.querySelector("input");
  input.value = "";
  input.focus();
  narrow();
}
