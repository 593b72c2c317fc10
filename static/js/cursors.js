// [data-live-cursors="variation:…"]: where the others point on this picture, by shares of its width and height. Nothing is kept.
import { send } from "./live.js";

const SEND_MS = 50;
const GONE_MS = 6_000;
const marks = new Map(); // person -> {element, timer}
let last = 0;
let pending = 0;

const picture = (place) => place.querySelector("img, canvas") ?? place;

function layer(place) {
  let found = place.querySelector(":scope > .cursors");
  if (!found) {
    found = Object.assign(document.createElement("div"), { className: "cursors" });
    found.setAttribute("aria-hidden", "true");
    found.dataset.liveKeep = "always";
    place.append(found);
  }
  return found;
}

function show({ from, page, data }) {
  const place = document.querySelector(`[data-live-cursors="${CSS.escape(page)}"]`);
  const known = marks.get(from.id);
  if (!place || data?.gone) {
    known?.element.remove();
    marks.delete(from.id);
    return;
  }
  const [x, y] = [Number(data.x), Number(data.y)];
  if (!(x >= 0 && x <= 1 && y >= 0 && y <= 1)) return;
  let mark = known;
  if (!mark?.element.isConnected) {
    const element = Object.assign(document.createElement("div"), { className: `cursor hue-${Number(from.hue)}` });
    const arrow = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    arrow.setAttribute("viewBox", "0 0 16 16");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", "M2 1.5v11l3.2-3 2.1 4.6 2.2-1-2.1-4.5 4.4-.3z");
    arrow.append(path);
    element.append(arrow, Object.assign(document.createElement("span"), { textContent: from.name }));
    mark = { element, timer: 0 };
    marks.set(from.id, mark);
  }
  const [outer, inner] = [place.getBoundingClientRect(), picture(place).getBoundingClientRect()];
  mark.element.style.transform = `translate(${inner.left - outer.left + x * inner.width}px, ${inner.top - outer.top + y * inner.height}px)`;
  layer(place).append(mark.element);
  clearTimeout(mark.timer);
  mark.timer = setTimeout(() => {
    mark.element.remove();
    marks.delete(from.id);
  }, GONE_MS);
}

function point(event) {
  const place = event.target.closest?.("[data-live-cursors]");
  if (!place) return;
  const box = picture(place).getBoundingClientRect();
  const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  if (x < 0 || x > 1 || y < 0 || y > 1) return;
  const say = () => {
    last = performance.now();
    send("cursor", { x: Number(x.toFixed(4)), y: Number(y.toFixed(4)) }, { page: place.dataset.liveCursors });
  };
  clearTimeout(pending);
  const rest = SEND_MS - (performance.now() - last);
  if (rest <= 0) say();
  else pending = setTimeout(say, rest);
}

export function start() {
  document.addEventListener("live:cursor", ({ detail }) => show(detail));
  document.addEventListener("pointermove", point, { passive: true });
  document.addEventListener("pointerout", (event) => {
    const place = event.target.closest?.("[data-live-cursors]");
    if (!place || place.contains(event.relatedTarget)) return;
    clearTimeout(pending);
    send("cursor", { gone: true }, { page: place.dataset.liveCursors });
  });
  document.addEventListener("live:closed", () => {
    for (const { element } of marks.values()) element.remove();
    marks.clear();
  });
}
