// Messages that rise and leave. From the server: the `HX-Trigger` event `toast`, {text, kind, undo_url, undo_label}, or a list of
// them in `toasts`. From here: show({text, kind, action: {label, run}, key}).
// kind: "good", "attention", "problem", "working" or nothing. A problem stays until it is dismissed.
const SECONDS = { plain: 6, undo: 12 };

function region() {
  return document.getElementById("toasts");
}

function leave(toast) {
  toast.classList.add("leaving");
  setTimeout(() => toast.remove(), 200);
}

function arm(toast) {
  if (toast.classList.contains("problem")) return;
  const seconds = toast.querySelector("form, [data-action]") ? SECONDS.undo : SECONDS.plain;
  let timer = setTimeout(() => leave(toast), seconds * 1000);
  // Nobody is hurried: the clock stands while it is pointed at or focused.
  for (const event of ["pointerenter", "focusin"]) toast.addEventListener(event, () => clearTimeout(timer));
  for (const event of ["pointerleave", "focusout"]) {
    toast.addEventListener(event, () => {
      clearTimeout(timer);
      timer = setTimeout(() => leave(toast), seconds * 1000);
    });
  }
}

/** Show a message. Returns its element, or null on a page without a place for it. */
export function show({ text, kind = "", undo_url: undoUrl = "", undo_label: undoLabel = "", action = null, key = "" }) {
  const place = region();
  const template = document.getElementById(`toast-${["good", "attention", "problem"].includes(kind) ? kind : "plain"}`);
  if (!place || !template) return null;
  if (key) for (const old of place.children) if (old.dataset.key === key) old.remove();
  const toast = template.content.firstElementChild.cloneNode(true);
  if (key) toast.dataset.key = key;
  toast.querySelector("span").textContent = text;
  const form = toast.querySelector("form");
  const button = form.querySelector("button");
  if (undoUrl) {
    form.action = undoUrl;
    form.setAttribute("hx-post", undoUrl);
    button.textContent = undoLabel || "Undo";
  } else if (action) {
    button.type = "button";
    button.textContent = action.label;
    button.dataset.action = "";
    button.addEventListener("click", () => {
      leave(toast);
      action.run();
    });
    form.replaceWith(button);
  } else {
    form.remove();
  }
  place.append(toast);
  window.htmx?.process(toast);
  arm(toast);
  return toast;
}

export function start() {
  document.addEventListener("toast", ({ detail }) => show(detail));
  document.addEventListener("toasts", ({ detail }) =>
    (Array.isArray(detail) ? detail : (detail.value ?? [])).forEach(show),
  );
  document.addEventListener("click", (event) => {
    const toast = event.target.closest?.("[data-dismiss]")?.closest("[data-toast]");
    if (toast) leave(toast);
  });
  // An undo that was accepted takes its own message away.
  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    const toast = detail.requestConfig.elt.closest?.("[data-toast]");
    if (toast && detail.successful) leave(toast);
  });
}

export function mount(root) {
  for (const toast of root.querySelectorAll("#toasts > [data-toast]")) arm(toast);
}
