// Live news of the page over one socket. The page says what it shows (data-live-pages, data-live-page) and the number of the last
// event it knows; the server sends every later one, exactly once and in order, with the pieces of HTML that it changes.
// Lost connections are taken up again with what was missed; a gap is noticed by its number, or by the next beat.
//
//   import { send, isOpen } from "./live.js";
//   send("drag", { x, y }, { page: "variation:…", key: "shape-1" });   to who shows the same page; never kept
//   document.addEventListener("live:drag", ({ detail }) => …)          {from: {id, user, name, initials, hue}, page, key, data}
//   document.addEventListener("live:event", …)                         {stream, seq, kind, actor, by, subject, summary}
//   document.addEventListener("live:presence" | "live:open" | "live:closed", …)
import { apply, applyAll, refetch } from "./live-swap.js";
import { show } from "./toast.js";
import { store } from "./store.js";

const BEAT_SILENCE = 25_000;
const LONGEST_WAIT = 20_000;

let socket = null;
let opened = false;
let tries = 0;
let timer = 0;
let heardAt = 0;
let received = 0;
let ended = false;
let pagesSaid = "";
let attention = {};
const streams = new Map(); // stream -> number of the last event, or null for "from now on"

export const isOpen = () => opened;
export const project = () => (document.body.dataset.liveProject ? `project:${document.body.dataset.liveProject}` : "");
export const me = () => Number(document.body.dataset.user);

/** A name for this tab that outlives its pages. A tab that was duplicated takes another one. */
function tab() {
  let name = "";
  try {
    name = sessionStorage.getItem("tab") ?? "";
    const isNew = performance.getEntriesByType("navigation")[0]?.type === "navigate" && window.opener === null;
    if (!name || (isNew && history.length === 1)) {
      name = crypto.randomUUID();
      sessionStorage.setItem("tab", name);
    }
  } catch {
    name ||= crypto.randomUUID();
  }
  return name;
}
const tabName = tab();

export function pages() {
  const found = new Set((document.body.dataset.livePages ?? "").split(/\s+/).filter(Boolean));
  for (const element of document.querySelectorAll("[data-live-page]"))
    for (const page of element.dataset.livePage.split(/\s+/)) if (page) found.add(page);
  for (const stream of streams.keys()) found.add(stream);
  return [...found].sort().slice(0, 40);
}

function say(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

/** Say something fleeting to who shows the same page. What has the same name and key replaces what has not gone out yet. */
export function send(name, data, { page = project(), key = "" } = {}) {
  if (opened && project() && page) say({ type: "say", stream: project(), page, name, key, data });
}

/** Where the reader's attention is; `change` goes over what was said before. */
export function attend(change) {
  const next = { ...attention, ...change };
  if (JSON.stringify(next) === JSON.stringify(attention)) return;
  attention = next;
  if (opened) say({ type: "attention", attention });
}

function hello() {
  const list = pages();
  pagesSaid = list.join(" ");
  say({ type: "hello", streams: Object.fromEntries(streams), pages: list, tab: tabName, attention });
}

function tellPages() {
  const list = pages();
  if (!opened || list.join(" ") === pagesSaid) return;
  pagesSaid = list.join(" ");
  say({ type: "pages", pages: list });
}

const tell = (name, detail) => document.dispatchEvent(new CustomEvent(`live:${name}`, { detail }));

function onEvents({ stream, events }) {
  received += 1;
  if (received % 32 === 0) say({ type: "confirm", count: received });
  for (const event of events) {
    const last = streams.get(stream);
    if (last !== null && event.seq <= last) continue;
    if (last !== null && event.seq !== last + 1) return void hello();
    streams.set(stream, event.seq);
    if (stream === project()) document.body.dataset.liveSeq = String(event.seq);
    applyAll(event.swaps, { stream, seq: event.seq, own: event.actor === me() });
    tell("event", { stream, ...event });
  }
  return undefined;
}

function onState(state) {
  if (state.type === "swap") apply(state.swap, { own: true });
  else if (state.type === "presence") tell("presence", state);
  else if (state.type === "say") tell(state.name, state);
}

const ANSWERS = {
  welcome: ({ stream, head, id }) => {
    if (streams.get(stream) === null) streams.set(stream, head);
    opened = true;
    tries = 0;
    document.body.dataset.liveState = "open";
    tell("open", { id });
  },
  events: onEvents,
  states: ({ states }) => states.forEach(onState),
  beat: ({ heads, sent }) => {
    say({ type: "beat", count: received });
    if (sent < received) received = sent;
    for (const [stream, head] of Object.entries(heads))
      if (streams.has(stream) && streams.get(stream) !== null && head > streams.get(stream)) return void hello();
    return undefined;
  },
  resync: () => hello(),
  rights: () => refetch(["content", "inspector-place"]),
  reset: ({ stream, head }) => {
    streams.set(stream, head);
    refetch(["content"]);
  },
};

function onClose({ code }) {
  const was = opened;
  socket = null;
  opened = false;
  document.body.dataset.liveState = "closed";
  if (was) tell("closed", { code });
  if (code === 4403 || code === 4401) {
    ended = true;
    const lost = code === 4403 && project();
    if (lost) show({ text: "You are no longer a member of this project.", kind: "problem", key: "live" });
    if (lost) setTimeout(() => location.assign("/projects/"), 2_500);
    return;
  }
  // Full jitter: a thousand pages that lost the same server do not all come back at the same moment.
  const wait = Math.random() * Math.min(LONGEST_WAIT, 500 * 2 ** tries);
  tries += 1;
  clearTimeout(timer);
  timer = setTimeout(connect, wait);
}

function connect() {
  clearTimeout(timer);
  if (socket || ended) return;
  received = 0;
  heardAt = Date.now();
  const mine = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live/`);
  socket = mine;
  mine.addEventListener("open", hello);
  mine.addEventListener("message", ({ data }) => {
    if (mine !== socket) return;
    heardAt = Date.now();
    const message = JSON.parse(data);
    ANSWERS[message.type]?.(message);
  });
  mine.addEventListener("close", (event) => mine === socket && onClose(event));
}

/** After sleep a dead connection looks alive: whoever has heard nothing for longer than a beat starts again. */
function check() {
  if (ended) return;
  if (socket && Date.now() - heardAt > BEAT_SILENCE) {
    const old = socket;
    onClose({ code: 1006 });
    old.close();
    tries = 0;
    connect();
  } else if (!socket) {
    tries = 0;
    connect();
  }
}

export function start() {
  const { live, liveProject, liveSeq, user } = document.body.dataset;
  if (live === undefined || store.get("live") === "off") return;
  const known = (text) => (text === "" || text === undefined ? null : Number(text));
  streams.set(`person:${user}`, known(live));
  if (liveProject) streams.set(`project:${liveProject}`, known(liveSeq));
  connect();
  setInterval(() => socket && Date.now() - heardAt > BEAT_SILENCE && check(), 5_000);
  window.addEventListener("online", check);
  window.addEventListener("pageshow", (event) => event.persisted && check());
  document.addEventListener("visibilitychange", () => document.hidden || check());
  document.addEventListener("htmx:load", tellPages);
}
