// Pictures against each other. Pointer: drag moves (or wipes), wheel zooms. Keys on the stage: S W F B D G modes, arrows move,
// + - 0 zoom, Space flips, [ ] wipe, Shift with R G B L C a channel. Every drag has a slider or a key that does the same.
import { within } from "./within.js";

const LIMITS = [1, 16];
const MODES = { s: "side", w: "wipe", f: "flip", b: "blend", d: "difference", g: "sheet" };
const CHANNELS = { r: "r", g: "g", b: "b", l: "l", c: "all" };

function attach(root) {
  if (root.dataset.ready !== undefined) return;
  root.dataset.ready = "";
  const stage = root.querySelector("[data-stage]");
  const pane = stage.querySelector("[data-pane]");
  const zoomWords = root.querySelector("[data-zoom-words]");
  const frontWords = root.querySelector("[data-front-words]");
  const wipe = root.querySelector("[data-wipe]");
  const blend = root.querySelector("[data-blend]");
  const view = { x: 0, y: 0, z: 1 };
  const pointers = new Map();

  const set = (name, value) => root.style.setProperty(name, value);

  function draw() {
    const box = pane.getBoundingClientRect();
    const [overX, overY] = [(box.width * (view.z - 1)) / 2, (box.height * (view.z - 1)) / 2];
    view.x = Math.min(overX, Math.max(-overX, view.x));
    view.y = Math.min(overY, Math.max(-overY, view.y));
    set("--x", `${view.x}px`);
    set("--y", `${view.y}px`);
    set("--z", String(view.z));
    zoomWords.textContent = `${Math.round(view.z * 100)} %`;
    root.dataset.zoomed = String(view.z > 1);
  }

  // The point under (cx, cy), in window coordinates, stays where it is.
  function zoom(factor, cx = null, cy = null) {
    const box =
      [...stage.querySelectorAll("[data-pane]")]
        .map((one) => one.getBoundingClientRect())
        .find((b) => cx !== null && cx >= b.left && cx <= b.right) ?? pane.getBoundingClientRect();
    const next = Math.min(LIMITS[1], Math.max(LIMITS[0], view.z * factor));
    const ratio = next / view.z;
    const [px, py] = cx === null ? [0, 0] : [cx - (box.left + box.width / 2), cy - (box.top + box.height / 2)];
    view.x = px - (px - view.x) * ratio;
    view.y = py - (py - view.y) * ratio;
    view.z = next;
    draw();
  }

  function fit() {
    Object.assign(view, { x: 0, y: 0, z: 1 });
    draw();
  }

  function mode(name) {
    root.dataset.mode = name;
    check("mode", name);
    draw();
  }

  function channel(name) {
    root.dataset.channel = name;
    check("channel", name);
  }

  function check(group, value) {
    const radio = root.querySelector(`input[name$="-${group}"][value="${value}"]`);
    if (radio) radio.checked = true;
  }

  function flip() {
    root.dataset.front = root.dataset.front === "a" ? "b" : "a";
    frontWords.textContent = root.dataset.front.toUpperCase();
  }

  function setWipe(percent) {
    wipe.value = String(Math.min(100, Math.max(0, percent)));
    set("--wipe", `${wipe.value}%`);
  }

  root.addEventListener("change", ({ target }) => {
    if (target.name?.endsWith("-mode")) mode(target.value);
    if (target.name?.endsWith("-channel")) channel(target.value);
  });
  wipe.addEventListener("input", () => setWipe(Number(wipe.value)));
  blend.addEventListener("input", () => set("--mix", String(blend.value / 100)));
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-zoom]");
    if (button) ({ in: () => zoom(1.5), out: () => zoom(1 / 1.5), fit })[button.dataset.zoom]();
  });

  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, startX: event.clientX, startY: event.clientY });
    if (root.dataset.mode === "wipe") wipeTo(event);
  });
  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const after = { ...before, x: event.clientX, y: event.clientY };
    if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
      const reach = (one) => Math.hypot(one.x - other.x, one.y - other.y) || 1;
      zoom(reach(after) / reach(before), (after.x + other.x) / 2, (after.y + other.y) / 2);
    } else if (root.dataset.mode === "wipe") {
      wipeTo(event);
    } else {
      view.x += after.x - before.x;
      view.y += after.y - before.y;
      draw();
    }
    pointers.set(event.pointerId, after);
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    stage.addEventListener(kind, (event) => {
      const one = pointers.get(event.pointerId);
      pointers.delete(event.pointerId);
      const still = one && Math.hypot(event.clientX - one.startX, event.clientY - one.startY) < 4;
      if (kind === "pointerup" && still && root.dataset.mode === "flip") flip();
    });
  }
  function wipeTo(event) {
    const box = stage.getBoundingClientRect();
    setWipe(((event.clientX - box.left) / box.width) * 100);
  }
  stage.addEventListener(
    "wheel",
    (event) => {
      // The page scrolls as usual unless the zoom is meant: with Ctrl (a pinch on a pad), or once it is zoomed.
      if (!event.ctrlKey && view.z === 1 && document.activeElement !== stage) return;
      event.preventDefault();
      zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.clientX, event.clientY);
    },
    { passive: false },
  );

  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const far = event.shiftKey ? 120 : 40;
    const actions = {
      ArrowLeft: () => ((view.x += far), draw()),
      ArrowRight: () => ((view.x -= far), draw()),
      ArrowUp: () => ((view.y += far), draw()),
      ArrowDown: () => ((view.y -= far), draw()),
      "+": () => zoom(1.25),
      "=": () => zoom(1.25),
      "-": () => zoom(1 / 1.25),
      0: fit,
      "[": () => setWipe(Number(wipe.value) - 2),
      "]": () => setWipe(Number(wipe.value) + 2),
      " ": () => (root.dataset.mode === "flip" ? flip() : mode("flip")),
    };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.shiftKey && CHANNELS[key]) channel(root.dataset.channel === CHANNELS[key] ? "all" : CHANNELS[key]);
    else if (key === "?" || key === "escape") return;
    else if (MODES[key]) {
      // F again flips, so that one finger is enough to go back and forth.
      if (key === "f" && root.dataset.mode === "flip") flip();
      else mode(MODES[key]);
    } else if (actions[key]) actions[key]();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

export function mount(root) {
  within(root, "[data-compare]").forEach(attach);
}
