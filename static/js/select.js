// Several at once: checkboxes [data-pick] anywhere, belonging to a form [data-selection] through their `form` attribute.
// Shift selects a range, X toggles the focused item, Ctrl-A takes all (while something is selected), Escape lets go.
let last = null;

function picks(form) {
  return [...document.querySelectorAll(`[data-pick][form="${CSS.escape(form.id)}"]`)];
}

function refresh() {
  for (const form of document.querySelectorAll("form[data-selection]")) {
    const chosen = picks(form).filter((pick) => pick.checked);
    form.hidden = chosen.length === 0;
    const figure = form.querySelector("[data-selection-count]");
    if (figure) figure.textContent = String(chosen.length);
    form.dispatchEvent(
      new CustomEvent("selection:changed", { bubbles: true, detail: { values: chosen.map((pick) => pick.value) } }),
    );
  }
}

function clear() {
  for (const form of document.querySelectorAll("form[data-selection]"))
    for (const pick of picks(form)) pick.checked = false;
  refresh();
}

export function start() {
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-selection-clear]")) return clear();
    const pick = event.target.closest?.("input[data-pick]");
    if (!pick) return undefined;
    const all = picks(pick.form);
    if (event.shiftKey && last && all.includes(last)) {
      const [from, to] = [all.indexOf(last), all.indexOf(pick)].sort((a, b) => a - b);
      for (const one of all.slice(from, to + 1)) one.checked = pick.checked;
    }
    last = pick;
    return refresh();
  });
  document.addEventListener("change", (event) => event.target.matches?.("[data-pick]") && refresh());
  document.addEventListener("keydown", (event) => {
    if (
      event.target.matches?.("input:not([data-pick]), textarea, select, [contenteditable]") ||
      document.querySelector("dialog[open]")
    )
      return;
    const form = document.querySelector("form[data-selection]:not([hidden])");
    if (event.key === "Escape" && form) clear();
    if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey) && form) {
      event.preventDefault();
      for (const pick of picks(form)) pick.checked = true;
      refresh();
    }
  });
  // A page that comes back keeps its checkboxes; the bar follows them.
  window.addEventListener("pageshow", refresh);
}

export function mount() {
  refresh();
}
