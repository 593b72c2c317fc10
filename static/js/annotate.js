// Drawing on an image (templates/annotations/). Three ways for every shape: drag; click one place after the other; or, with the
// stage focused, arrows move a cross and Enter sets a point. What is drawn waits in the form until it is sent; while somebody
// draws, who looks at the same image sees it grow (live:draft).
import { send } from "./live.js";
import { within } from "./within.js";

const SVG = "http://www.w3.org/2000/svg";
const NAMES = {
  pin: "Pin",
  rectangle: "Rectangle",
  ellipse: "Ellipse",
  arrow: "Arrow",
  freehand: "Freehand line",
  text: "Text",
};
const HINTS = {
  pin: "Click a place.",
  text: "Click where the words begin.",
  rectangle: "Drag, or click two corners.",
  ellipse: "Drag, or click two corners.",
  arrow: "Drag, or click its tail and its head.",
  freehand: "Drag, or click point after point; Enter ends.",
};
const SLIP = 5; // pixels: less is a click
const MOST_POINTS = 2000;

const clamp = (value) => Math.min(1, Math.max(0, value));
const round = (value) => Math.round(value * 1e5) / 1e5;
const percent = (value) => `${value * 100}%`;

function element(name, attributes = {}) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** From points that were set to the geometry of a shape; null while it is none yet. */
export function geometryOf(shape, points) {
  if (!points.length) return null;
  const [first, last] = [points[0], points[points.length - 1]].map(([x, y]) => [round(clamp(x)), round(clamp(y))]);
  if (shape === "pin" || shape === "text") return { x: last[0], y: last[1] };
  if (points.length < 2) return null;
  if (shape === "freehand") return { points: points.map(([x, y]) => [round(clamp(x)), round(clamp(y))]) };
  if (shape === "arrow") return { x1: first[0], y1: first[1], x2: last[0], y2: last[1] };
  const [x, y] = [Math.min(first[0], last[0]), Math.min(first[1], last[1])];
  return { x, y, w: round(Math.abs(last[0] - first[0])), h: round(Math.abs(last[1] - first[1])) };
}

function draw(place, shape, geometry, className = "") {
  const svg = element("svg", { width: "100%", height: "100%", class: className });
  const group = element("g", { class: "shape on" });
  const g = geometry;
  const add = (name, attributes) => {
    group.append(element(name, { ...attributes, class: "under" }));
    group.append(element(name, { ...attributes, class: shape === "arrow" ? "over head" : "over" }));
  };
  if (shape === "rectangle")
    add("rect", { x: percent(g.x), y: percent(g.y), width: percent(g.w), height: percent(g.h), rx: 2 });
  else if (shape === "ellipse")
    add("ellipse", {
      cx: percent(g.x + g.w / 2),
      cy: percent(g.y + g.h / 2),
      rx: percent(g.w / 2),
      ry: percent(g.h / 2),
    });
  else if (shape === "arrow") add("line", { x1: percent(g.x1), y1: percent(g.y1), x2: percent(g.x2), y2: percent(g.y2) });
  else if (shape === "freehand") {
    const inner = element("svg", { width: "100%", height: "100%", viewBox: "0 0 1 1", preserveAspectRatio: "none" });
    for (const kind of ["under", "over"])
      inner.append(element("polyline", { points: g.points.map((p) => p.join(",")).join(" "), class: kind }));
    group.append(inner);
  } else if (shape === "pin" || shape === "text") {
    const mark = element("svg", { class: "mark", x: percent(g.x), y: percent(g.y) });
    mark.append(element("circle", { r: 11 }));
    group.append(mark);
  }
  svg.append(group);
  place.append(svg);
  return svg;
}

// ------------------------------------------------------------------------------------------------------------ the form
const form = () => document.querySelector("[data-compose]");

function hidden(target, name, value) {
  let field = target.querySelector(`input[type=hidden][name=${name}]`);
  if (!field) {
    field = Object.assign(document.createElement("input"), { type: "hidden", name });
    target.append(field);
  }
  field.value = value;
}

/** Make the form ready: fields of the drawing instead of numbers. */
function prepare(compose) {
  const select = compose.querySelector("select[name=shape]");
  if (!select) return;
  select.disabled = true;
  for (const field of compose.querySelectorAll(".by-numbers input")) field.disabled = true;
  hidden(compose, "shape", compose.dataset.shape || "picture");
  hidden(compose, "geometry", compose.dataset.geometry || "{}");
  if (compose.dataset.mode === "new") hidden(compose, "id", crypto.randomUUID());
}

function setDrawn(compose, shape, geometry) {
  hidden(compose, "shape", shape);
  hidden(compose, "geometry", JSON.stringify(geometry));
  compose.dataset.shape = shape;
  compose.dataset.geometry = JSON.stringify(geometry);
}

function open(compose, title, { focus = true } = {}) {
  compose.classList.add("open");
  if (title) compose.querySelector("[data-compose-title]").textContent = title;
  if (!focus) return;
  compose.querySelector("textarea").focus({ preventScroll: true });
  compose.scrollIntoView({ block: "nearest" });
}

/** Turn the form to something: `new`, an `answer`, or a `change`. What was typed for something else goes. */
function turn(mode, { action, title, label, text = "", kind = "" }) {
  const compose = form();
  if (!compose) return null;
  const writing = compose.querySelector("textarea");
  if (compose.dataset.mode !== mode || compose.getAttribute("action") !== action) writing.value = text;
  compose.dataset.mode = mode;
  compose.setAttribute("action", action);
  const kinds = compose.querySelector("[data-kinds]");
  if (kinds) {
    kinds.hidden = mode === "answer";
    kinds.disabled = mode === "answer";
    if (kind) kinds.querySelector(`[value=${CSS.escape(kind)}]`)?.click();
  }
  compose.querySelector("[data-compose-send]").textContent = label;
  hidden(compose, "id", mode === "change" ? "" : crypto.randomUUID());
  open(compose, title);
  return compose;
}

function close() {
  const compose = form();
  if (!compose) return;
  compose.classList.remove("open");
  compose.querySelector("textarea").value = "";
  compose.querySelector("[role=alert]")?.remove();
  setDrawn(compose, "picture", {});
  compose.dataset.mode = "closed";
  for (const one of surfaces) one.clear();
}

// ------------------------------------------------------------------------------------------------------------ surfaces
const surfaces = new Set();

function attach(root) {
  if (root.dataset.ready !== undefined) return;
  root.dataset.ready = "";
  const stage = root.querySelector("[data-stage]");
  const place = root.querySelector("[data-draft]");
  const view = root.querySelector("[data-window]");
  if (!place) return;
  const hint = root.querySelector("[data-tool-hint]");
  const tools = [...root.querySelectorAll("button[data-tool]")];
  const state = { tool: "look", last: "rectangle", points: [], pointer: null, cross: [0.5, 0.5], keys: false };
  const guests = new Map();

  const canDraw = tools.length > 0;

  function paint(ghost = null) {
    place.querySelectorAll("svg:not(.guest)").forEach((old) => old.remove());
    const points = ghost ? [...state.points, ghost] : state.points;
    const compose = form();
    const kept = !points.length && compose?.classList.contains("open") ? compose.dataset : null;
    const shape = kept ? kept.shape : state.tool;
    const geometry = kept ? JSON.parse(kept.geometry || "{}") : geometryOf(shape, points);
    if (geometry && shape !== "picture" && shape !== "look" && Object.keys(geometry).length)
      draw(place, shape, geometry, "own");
    if (state.tool !== "look" && state.keys) {
      const cross = element("svg", { class: "cross", x: percent(state.cross[0]), y: percent(state.cross[1]) });
      cross.append(element("path", { d: "M-14 0H14M0 -14V14" }), element("path", { d: "M-14 0H14M0 -14V14" }));
      const holder = element("svg", { width: "100%", height: "100%" });
      holder.append(cross);
      place.append(holder);
    }
    return geometry;
  }

  function share() {
    const geometry = geometryOf(state.tool, state.points);
    if (geometry && JSON.stringify(geometry).length < 4000)
      send("draft", { shape: state.tool, geometry }, { page: root.dataset.page, key: "draft" });
  }

  function finish() {
    const shape = state.tool;
    const geometry = geometryOf(shape, state.points);
    state.points = [];
    if (!geometry || (geometry.w !== undefined && (geometry.w < 0.002 || geometry.h < 0.002))) return void paint();
    let compose = form();
    if (!compose) return;
    if (compose.dataset.mode !== "change")
      compose = turn("new", { action: compose.dataset.create, title: NAMES[shape], label: "Add" });
    setDrawn(compose, shape, geometry);
    open(compose, compose.dataset.mode === "change" ? null : NAMES[shape]);
    choose("look", { keep: true });
    send("draft", { shape: "", geometry: {} }, { page: root.dataset.page, key: "draft" });
    paint();
  }

  function choose(tool, { keep = false } = {}) {
    if (!canDraw) return;
    state.tool = tool;
    state.points = [];
    state.keys = false;
    if (tool !== "look") state.last = tool;
    root.dataset.tool = tool;
    for (const button of tools) {
      button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
      button.tabIndex = button.dataset.tool === tool ? 0 : -1;
    }
    if (hint) hint.textContent = HINTS[tool] ?? "";
    if (!keep) paint();
  }

  // A point was set, by a click or by Enter.
  function set(point) {
    state.points.push(point);
    const done = { pin: 1, text: 1, rectangle: 2, ellipse: 2, arrow: 2 }[state.tool];
    if (state.points.length === done || state.points.length >= MOST_POINTS) finish();
    else {
      paint();
      share();
    }
  }

  const at = (event) => {
    const box = stage.getBoundingClientRect();
    return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
  };

  stage.addEventListener("pointerdown", (event) => {
    if (state.tool === "look" || event.button !== 0 || state.pointer !== null) return;
    event.preventDefault();
    stage.setPointerCapture(event.pointerId);
    stage.focus({ preventScroll: true });
    state.pointer = { id: event.pointerId, from: at(event), x: event.clientX, y: event.clientY, dragged: false };
    state.keys = false;
  });
  stage.addEventListener("pointermove", (event) => {
    const pointer = state.pointer;
    if (!pointer || event.pointerId !== pointer.id) {
      // Between two clicks the shape follows the pointer.
      if (state.points.length) paint(at(event));
      return;
    }
    if (!pointer.dragged && Math.hypot(event.clientX - pointer.x, event.clientY - pointer.y) < SLIP) return;
    if (!pointer.dragged) {
      pointer.dragged = true;
      if (state.tool !== "freehand" || !state.points.length) state.points = [pointer.from];
    }
    if (state.tool === "freehand") {
      const events = event.getCoalescedEvents?.() ?? [event];
      for (const one of events.length ? events : [event])
        if (state.points.length < MOST_POINTS) state.points.push(at(one));
    } else if (["pin", "text"].includes(state.tool)) state.points = [at(event)];
    else state.points = [pointer.from, at(event)];
    paint();
    share();
  });
  stage.addEventListener("pointerup", (event) => {
    const pointer = state.pointer;
    if (!pointer || event.pointerId !== pointer.id) return;
    state.pointer = null;
    if (pointer.dragged) finish();
    else set(at(event));
  });
  stage.addEventListener("pointercancel", () => {
    state.pointer = null;
    state.points = [];
    paint();
  });
  stage.addEventListener("dblclick", () => state.tool === "freehand" && finish());
  // While drawing, a shape under the pointer is no link.
  stage.addEventListener("click", (event) => state.tool !== "look" && event.preventDefault(), true);

  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== stage) return;
    const step = event.shiftKey ? 0.05 : 0.01;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const tool = tools.find((button) => button.dataset.toolKey === key);
    if (tool) choose(tool.dataset.tool);
    else if (key === "v") choose("look");
    else if (key === "d") choose(state.tool === "look" ? state.last : "look");
    else if (key === "h") root.querySelector("[data-hide-shapes]").click();
    else if (key === "e") root.querySelector("[data-loupe]").click();
    else if (key === "?") return void document.getElementById("keys-sheet")?.showModal();
    else if (state.tool === "look") return;
    else if (moves[key]) {
      const box = stage.getBoundingClientRect();
      state.cross = [
        clamp(state.cross[0] + moves[key][0]),
        clamp(state.cross[1] + (moves[key][1] * box.width) / box.height),
      ];
      state.keys = true;
      paint(state.points.length ? state.cross : null);
    } else if (key === "Enter" && state.tool === "freehand" && state.points.length > 1) finish();
    else if (key === "Enter" || key === " ") {
      state.keys = true;
      set([...state.cross]);
    } else if (key === "Backspace" && state.points.length) {
      state.points.pop();
      paint();
    } else if (key === "Escape") {
      if (state.points.length) {
        state.points = [];
        paint();
      } else choose("look");
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  root.addEventListener("click", (event) => {
    const button = event.target.closest("button:is([data-tool], [data-draw], [data-hide-shapes], [data-loupe])");
    if (!button) return;
    if (button.dataset.tool) {
      choose(button.dataset.tool);
      if (button.dataset.tool !== "look") stage.focus({ preventScroll: true });
    } else if (button.dataset.draw !== undefined) {
      choose(state.tool === "look" ? state.last : "look");
      stage.focus({ preventScroll: true });
      state.keys = state.tool !== "look";
      paint();
    } else if (button.dataset.hideShapes !== undefined) {
      const hide = root.classList.toggle("bare");
      button.setAttribute("aria-pressed", String(hide));
    } else loupe(button);
  });
  // A toolbar: one stop for Tab, arrows inside.
  root.querySelector("[role=toolbar]")?.addEventListener("keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const all = [...event.currentTarget.querySelectorAll(".tool")];
    const next = all[all.indexOf(document.activeElement) + (event.key === "ArrowRight" ? 1 : -1)];
    if (next) {
      event.preventDefault();
      event.stopPropagation();
      next.focus();
    }
  });

  // The loupe: twice as large, the place under the pointer (or the cross) in the middle of the window.
  function loupe(button) {
    const on = root.classList.toggle("loupe");
    button.setAttribute("aria-pressed", String(on));
    if (!on) return;
    const [x, y] = state.seen ?? state.cross;
    view.scrollLeft = x * view.scrollWidth - view.clientWidth / 2;
    view.scrollTop = y * view.scrollHeight - view.clientHeight / 2;
  }
  stage.addEventListener("pointermove", (event) => (state.seen = at(event)));

  if (canDraw) choose("look");
  const surface = {
    root,
    page: root.dataset.page,
    clear() {
      state.points = [];
      paint();
    },
    paint,
    guest(from, { shape, geometry }) {
      guests.get(from.id)?.remove();
      guests.delete(from.id);
      if (!NAMES[shape] || !valid(shape, geometry)) return;
      const drawn = draw(place, shape, geometry, "guest");
      guests.set(from.id, drawn);
      setTimeout(() => guests.get(from.id) === drawn && drawn.remove(), 8_000);
    },
  };
  surfaces.add(surface);
  const compose = form();
  if (compose?.classList.contains("open")) paint();
}

// What comes from others is drawn only where it is what it should be.
function valid(shape, geometry) {
  const share = (value) => typeof value === "number" && value >= 0 && value <= 1;
  if (typeof geometry !== "object" || geometry === null) return false;
  if (shape === "freehand")
    return (
      Array.isArray(geometry.points) &&
      geometry.points.length <= MOST_POINTS &&
      geometry.points.every((p) => Array.isArray(p) && p.length === 2 && p.every(share))
    );
  const fields = { pin: "x y", text: "x y", rectangle: "x y w h", ellipse: "x y w h", arrow: "x1 y1 x2 y2" }[shape];
  return fields.split(" ").every((name) => share(geometry[name]));
}

// ------------------------------------------------------------------------------------------------------------ together
function select(id, { scroll = false } = {}) {
  for (const one of document.querySelectorAll(".thread.on, .shape.on:not(g)")) one.classList.remove("on");
  const thread = document.getElementById(`annotation-${id}`);
  thread?.classList.add("on");
  document.getElementById(`shape-${id}`)?.classList.add("on");
  if (thread && scroll) thread.scrollIntoView({ block: "nearest" });
}

function own(root) {
  const me = document.body.dataset.user;
  for (const one of within(root, "[data-only-for]")) one.hidden = one.dataset.onlyFor !== me;
}

function onClick(event) {
  const shape = event.target.closest?.("[data-shape]:not(form)");
  if (shape) {
    event.preventDefault();
    select(shape.dataset.shape, { scroll: true });
    document.getElementById(`annotation-${shape.dataset.shape}`)?.focus({ preventScroll: true });
    return;
  }
  const finder = event.target.closest?.("[data-find-shape]");
  if (finder) {
    event.preventDefault();
    select(finder.dataset.findShape);
    document.getElementById(`shape-${finder.dataset.findShape}`)?.scrollIntoView({ block: "center" });
    return;
  }
  const reply = event.target.closest?.("[data-reply]");
  if (reply && form()) {
    event.preventDefault();
    select(reply.closest("[data-annotation]").dataset.annotation);
    turn("answer", { action: reply.dataset.reply, title: `Answer ${reply.dataset.number}`, label: "Answer" });
    return;
  }
  const edit = event.target.closest?.("[data-edit]");
  if (edit && form()) {
    event.preventDefault();
    const { number, kind, text, geometry, shapeKind } = edit.dataset;
    const title = `Change ${number}: draw anew to move it`;
    const compose = turn("change", { action: edit.dataset.edit, title, label: "Save", text, kind });
    setDrawn(compose, shapeKind, JSON.parse(geometry));
    for (const one of surfaces) one.paint();
    return;
  }
  if (event.target.closest?.("[data-compose-open]") && form()) {
    const compose = form();
    setDrawn(compose, "picture", {});
    turn("new", { action: compose.dataset.create, title: "About the whole image", label: "Add" });
    return;
  }
  if (event.target.closest?.("[data-compose-cancel]")) {
    event.preventDefault();
    close();
    return;
  }
  const thread = event.target.closest?.("[data-annotation]");
  if (thread && !event.target.closest("a, button, form")) select(thread.dataset.annotation);
}

export function start() {
  document.addEventListener("click", onClick);
  document.addEventListener("focusin", (event) => {
    const thread = event.target.closest?.("[data-annotation]");
    if (thread) select(thread.dataset.annotation);
  });
  document.addEventListener("keydown", (event) => {
    if (!event.target.closest?.("[data-compose]")) return;
    if (event.key === "Escape" && !event.defaultPrevented) close();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form().requestSubmit();
    }
  });
  // The form leads where it was turned to.
  document.addEventListener("htmx:configRequest", ({ detail }) => {
    if (detail.elt.matches("[data-compose]")) detail.path = detail.elt.getAttribute("action");
  });
  document.addEventListener("live:draft", ({ detail }) => {
    for (const one of surfaces) if (one.page === detail.page) one.guest(detail.from, detail.data ?? {});
  });
  for (const name of ["live:swapped", "htmx:oobAfterSwap"])
    document.addEventListener(name, () => {
      const on = document.querySelector(".thread.on")?.dataset.annotation;
      own(document.body);
      if (on) select(on);
    });
}

export function mount(root) {
  for (const one of surfaces) if (!one.root.isConnected) surfaces.delete(one);
  within(root, "[data-surface]").forEach(attach);
  for (const compose of within(root, "[data-compose]")) {
    prepare(compose);
    if (!compose.classList.contains("open")) for (const one of surfaces) one.clear();
  }
  own(root);
  const named = /^#annotation-([0-9a-f-]{36})$/.exec(location.hash);
  if (named && root === document.body) select(named[1], { scroll: true });
}
