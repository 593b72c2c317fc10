// <form data-draft="key">: what is typed is kept in this browser until the server has it. Nothing typed is lost to a closed tab.
// Kept per person; passwords, files and hidden fields never.
import { store } from "./store.js";
import { within } from "./within.js";

const KEEP_DAYS = 30;
const name = (form) => `draft:${document.body.dataset.user ?? ""}:${form.dataset.draft}`;
const sent = (form) => `${name(form)}:sent`;

function fields(form) {
  return [...form.elements].filter(
    (field) => field.name && !["password", "file", "hidden", "submit", "button", "reset", "image"].includes(field.type),
  );
}

function read(form) {
  const values = {};
  for (const field of fields(form)) {
    if (field.type === "checkbox" || field.type === "radio") {
      values[field.name] ??= [];
      if (field.checked) values[field.name].push(field.value);
    } else if (field instanceof HTMLSelectElement && field.multiple) {
      values[field.name] = [...field.selectedOptions].map((option) => option.value);
    } else {
      (values[field.name] ??= []).push(field.value);
    }
  }
  return values;
}

function write(form, values, only = () => true) {
  const turn = {};
  for (const field of fields(form)) {
    const kept = values[field.name];
    if (!kept || !only(field.name)) continue;
    if (field.type === "checkbox" || field.type === "radio") field.checked = kept.includes(field.value);
    else if (field instanceof HTMLSelectElement && field.multiple)
      for (const option of field.options) option.selected = kept.includes(option.value);
    else {
      const at = (turn[field.name] ??= 0);
      turn[field.name] += 1;
      if (kept[at] !== undefined) field.value = kept[at];
    }
    field.dispatchEvent(new Event("draft:restored", { bubbles: true }));
  }
}

// A form that says what it has seen (data-base: JSON by field) is merged with what others saved. What is restored was typed on
// what the form showed then, so for a field that was touched that stays its base.
const base = (form) => form.querySelector("input[data-base]");

function parse(text) {
  try {
    return JSON.parse(text || "{}");
  } catch {
    return {};
  }
}

function rebase(form, kept, touched) {
  const field = base(form);
  if (!field || !kept.base) return;
  const [now, then] = [parse(field.value), parse(kept.base)];
  for (const key of Object.keys(now)) if (touched(key) && key in then) now[key] = then[key];
  field.value = JSON.stringify(now);
}

const begun = new WeakMap(); // form -> what it showed before anything was typed

function forget(form) {
  store.remove(name(form));
  store.remove(sent(form));
}

function note(form, initial) {
  const line = document.createElement("p");
  line.className = "draft-note";
  line.setAttribute("role", "status");
  const words = document.createElement("span");
  words.textContent = "What you typed before is back.";
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Discard it" });
  button.addEventListener("click", () => {
    write(form, initial);
    forget(form);
    line.remove();
  });
  line.append(words, button);
  form.prepend(line);
}

function restore(form) {
  const refused = form.querySelector("[aria-invalid=true], .errors, [role=alert]") !== null;
  if (store.get(sent(form)) && !refused) return forget(form);
  store.remove(sent(form));
  let kept = null;
  try {
    kept = JSON.parse(store.get(name(form)));
  } catch {
    forget(form);
  }
  if (!kept || refused) return undefined;
  const initial = read(form);
  const touched = (key) =>
    !kept.initial || JSON.stringify(kept.values[key]) !== JSON.stringify(kept.initial[key]);
  const differs = (key) => JSON.stringify(kept.values[key]) !== JSON.stringify(initial[key]);
  if (
    Date.now() - kept.at > KEEP_DAYS * 86_400_000 ||
    !Object.keys(kept.values).some((key) => touched(key) && differs(key))
  )
    return forget(form);
  rebase(form, kept, touched);
  write(form, kept.values, touched);
  return note(form, initial);
}

const waiting = new WeakMap();
function save(form) {
  clearTimeout(waiting.get(form));
  waiting.delete(form);
  store.set(
    name(form),
    JSON.stringify({ at: Date.now(), values: read(form), initial: begun.get(form), base: base(form)?.value }),
  );
}

export function start() {
  for (const kind of ["input", "change"]) {
    document.addEventListener(kind, (event) => {
      const form = event.target.form?.matches?.("[data-draft]") ? event.target.form : null;
      if (!form) return;
      clearTimeout(waiting.get(form));
      waiting.set(
        form,
        setTimeout(() => save(form), 250),
      );
    });
  }
  window.addEventListener("pagehide", () => {
    for (const form of document.querySelectorAll("form[data-draft]")) if (waiting.has(form)) save(form);
  });
  window.addEventListener("submit", (event) => {
    if (!event.target.matches?.("form[data-draft]") || event.defaultPrevented) return;
    save(event.target);
    store.set(sent(event.target), "1");
  });
  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    const form = detail.requestConfig.elt.closest?.("form[data-draft]");
    if (form && detail.successful && detail.requestConfig.verb !== "get") {
      clearTimeout(waiting.get(form));
      waiting.delete(form);
      forget(form);
    }
  });
  // The next page after an accepted submit does not show the form any more: the draft has done its work.
  for (const key of store.keys()) {
    if (!key.startsWith("draft:") || !key.endsWith(":sent")) continue;
    const draft = key.slice(0, -":sent".length);
    if (![...document.querySelectorAll("form[data-draft]")].some((form) => name(form) === draft)) {
      store.remove(draft);
      store.remove(key);
    }
  }
}

export function mount(root) {
  for (const form of within(root, "form[data-draft]")) {
    begun.set(form, read(form));
    restore(form);
  }
}
