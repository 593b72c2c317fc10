// Who is here: in the bar, on cards and pictures that somebody else looks at, and beside the field that somebody else is editing.
import { attend, isOpen, me, pages } from "./live.js";

const NAMED = 4;
let people = [];
let count = 0;

export const everybody = () => people;
export const others = () => people.filter((person) => person.user !== me());
/** How many people are in the project now, the reader among them. */
export const size = () => count;

export function avatar({ name, initials, hue }, size = "small-person") {
  const badge = document.createElement("span");
  badge.className = `person person-${Number(hue)} ${size}`;
  badge.textContent = initials;
  badge.title = name;
  badge.setAttribute("role", "img");
  badge.setAttribute("aria-label", name);
  return badge;
}

function stack(list) {
  const group = Object.assign(document.createElement("span"), { className: "people live-people" });
  group.append(...list.slice(0, NAMED).map((person) => avatar(person)));
  if (list.length > NAMED)
    group.append(Object.assign(document.createElement("span"), { className: "others", textContent: `+${list.length - NAMED}` }));
  return group;
}

// --------------------------------------------------------------------------------------------------------- in the bar
function line(person) {
  const row = document.createElement("li");
  const words = Object.assign(document.createElement("span"), { className: "words" });
  const name = Object.assign(document.createElement("bdi"), { textContent: person.name });
  const where = Object.assign(document.createElement("span"), { className: "small quiet where" });
  where.textContent = person.idle ? "Away for the moment" : person.presenting ? `Presents: ${person.tab}` : person.tab;
  words.append(name, where);
  row.append(avatar(person, ""), words);
  const button = Object.assign(document.createElement("button"), { type: "button", className: "button small-button" });
  button.textContent = "Follow";
  button.dataset.follow = String(person.user);
  button.setAttribute("aria-label", `Follow ${person.name}`);
  row.append(button);
  return row;
}

function drawBar() {
  const place = document.getElementById("here");
  if (!place) return;
  const list = others();
  const more = Math.max(0, count - 1 - Math.min(NAMED, list.length));
  place.hidden = !isOpen();
  const face = place.querySelector("[data-here-people]");
  face.replaceChildren(...list.slice(0, NAMED).map((person) => avatar(person, "")));
  if (more) face.append(Object.assign(document.createElement("span"), { className: "others", textContent: `+${more}` }));
  place.querySelector("[data-here-words]").textContent = list.length
    ? `${count - 1} ${count === 2 ? "other person is" : "others are"} here`
    : "Nobody else is here";
  place.classList.toggle("alone", list.length === 0);
  if (!place.open || !place.contains(document.activeElement))
    place.querySelector("[data-here-list]").replaceChildren(...list.map(line));
}

// -------------------------------------------------------------------------------------------------- on what they look at
function drawAttention() {
  for (const old of document.querySelectorAll(".live-people")) old.remove();
  const at = new Map();
  for (const person of others())
    if (!person.idle) for (const key of person.page.split(" ")) at.set(key, [...(at.get(key) ?? []), person]);
  for (const [key, list] of at) {
    const [kind, id] = key.split(":");
    if (!["character", "variation", "reference"].includes(kind) || key.split(":").length !== 2) continue;
    const element = document.getElementById(`${kind}-${id}`);
    if (!element) continue;
    (element.querySelector(".meta, .under, .end") ?? element).append(stack(list));
  }
}

// ------------------------------------------------------------------------------------------------------------ editing
const nameOf = (field) => `${field.form.dataset.draft}/${field.name}`;

function drawEditing() {
  for (const old of document.querySelectorAll(".editing-note")) old.remove();
  for (const form of document.querySelectorAll("form[data-draft]"))
    for (const person of others()) {
      if (!person.editing?.startsWith(`${form.dataset.draft}/`)) continue;
      const field = form.elements[person.editing.slice(form.dataset.draft.length + 1)];
      const place = (field instanceof RadioNodeList ? field[0] : field)?.closest(".field, label, fieldset") ?? form;
      const note = Object.assign(document.createElement("p"), { className: "editing-note" });
      note.append(avatar(person), Object.assign(document.createElement("span"), { textContent: `${person.name} is editing this` }));
      place.append(note);
    }
}

function draw() {
  drawBar();
  drawAttention();
  drawEditing();
}

let timer = 0;
function soon() {
  clearTimeout(timer);
  timer = setTimeout(draw, 60);
}

// ------------------------------------------------------------------------------------------------- the reader's own
function here() {
  attend({
    page: pages()
      .filter((page) => !page.startsWith("person:") && !/^project:[^:]*$/.test(page))
      .slice(0, 4)
      .join(" "),
    tab: document.title.split(" · ")[0].slice(0, 100),
    image: document.querySelector("[data-live-cursors]")?.dataset.liveCursors ?? "",
    url: location.pathname + location.search,
    idle: document.hidden,
  });
}

// ------------------------------------------------------------------------------------------------------- said aloud
// A screen reader hears what others did, gathered for a few seconds.
const NEWS_MS = 4_000;
let heard = [];
let telling = 0;
function tellNews() {
  telling = 0;
  const place = document.querySelector("[data-live-news]");
  if (!place || !heard.length) return;
  const [last, rest] = [heard.at(-1), heard.length - 1];
  place.textContent = rest ? `${last}, and ${rest} more ${rest === 1 ? "change" : "changes"}` : last;
  heard = [];
}

export function start() {
  if (!document.body.dataset.liveProject) return;
  here();
  document.addEventListener("live:presence", ({ detail }) => {
    people = detail.people;
    count = detail.count;
    soon();
  });
  document.addEventListener("live:open", here);
  document.addEventListener("live:closed", () => {
    people = [];
    count = 0;
    soon();
  });
  document.addEventListener("live:swapped", soon);
  document.addEventListener("live:event", ({ detail }) => {
    if (detail.actor === me()) return;
    heard.push(`${detail.by || "The studio"} ${detail.summary}`);
    telling ||= setTimeout(tellNews, NEWS_MS);
  });
  document.addEventListener("htmx:load", () => {
    here();
    soon();
  });
  for (const event of ["popstate", "visibilitychange", "htmx:pushedIntoHistory"]) {
    window.addEventListener(event, here);
    document.addEventListener(event, here);
  }
  document.addEventListener("focusin", ({ target }) => {
    if (target.form?.matches?.("[data-draft]") && target.name && target.matches("input, textarea, select"))
      attend({ editing: nameOf(target).slice(0, 120) });
  });
  document.addEventListener("focusout", ({ target }) => target.form?.matches?.("[data-draft]") && attend({ editing: "" }));
}
