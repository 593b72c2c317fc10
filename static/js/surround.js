// How the room looks, remembered in this browser: the surround, the folded rail, the density of grids.
import { store } from "./store.js";
import { within } from "./within.js";

export function start() {
  document.addEventListener("change", (event) => {
    if (!event.target.matches?.("[data-surround-choice]")) return;
    document.documentElement.dataset.surround = event.target.value;
    store.set("surround", event.target.value);
  });
  document.addEventListener("input", (event) => {
    const grid = event.target.dataset?.densityFor && document.querySelector(event.target.dataset.densityFor);
    if (!grid) return;
    grid.dataset.density = event.target.value;
    store.set("density", event.target.value);
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("[data-rail-fold]")) return;
    const root = document.documentElement;
    if (root.dataset.rail === "narrow") delete root.dataset.rail;
    else root.dataset.rail = "narrow";
    store.set("rail", root.dataset.rail ?? "wide");
  });
}

export function mount(root) {
  for (const choice of within(root, "[data-surround-choice]"))
    choice.checked = choice.value === document.documentElement.dataset.surround;
  const density = store.get("density");
  if (!density) return;
  for (const slider of within(root, "[data-density-for]")) {
    slider.value = density;
    const grid = document.querySelector(slider.dataset.densityFor);
    if (grid) grid.dataset.density = density;
  }
}
