// <form data-editing="character:…" data-values-url data-revision>: a form that hears what others change while it is filled in.
// A field left alone takes over what they made of it. A field in dispute keeps what was typed and shows theirs beside it, with one
// click to keep either. The form sends along what it has seen (data-base), so that the server merges field by field.
import { isOpen } from "./live.js";
import { within } from "./within.js";

const SECONDS = 8; // between questions where there is no socket
const forms = new Map(); // form -> { agreed: field -> value that both sides had last, asking }

const parse = (text) => {
  try {
    return JSON.parse(text || "{}");
  } catch {
    return {};
  }
};

function controls(form, field) {
  return [...form.querySelectorAll(`[name="${field}"]:not([type=hidden])`)].filter((control) => control.tagName !== "BUTTON");
}

function read(form, field) {
  const all = controls(form, field);
  if (!all.length) return undefined;
  if (all[0].type === "checkbox") return all[0].checked;
  if (all[0].type === "radio") return all.find((radio) => radio.checked)?.value ?? "";
  return all[0].value;
}

function write(form, field, value) {
  const all = controls(form, field);
  if (!all.length) return;
  const shown = Array.isArray(value) ? value.join(", ") : value;
  if (all[0].type === "checkbox") all[0].checked = Boolean(shown);
  else if (all[0].type === "radio") for (const radio of all) radio.checked = radio.value === String(shown);
  else all[0].value = String(shown);
  all[0].dispatchEvent(new Event("input", { bubbles: true }));
}

function words(value) {
  if (value === true) return "on";
  if (value === false) return "off";
  return Array.isArray(value) ? value.join(", ") : String(value);
}

function same(control, value) {
  const one = Array.isArray(value) ? value.join(", ") : value;
  return typeof control === "boolean" ? control === Boolean(one) : String(control) === String(one) || Number(control) === one;
}

function clear(form, field) {
  form.querySelector(`[data-changed="${field}"]`)?.remove();
}

function base(form) {
  return form.querySelector("input[data-base]");
}

function agree(form, state, field, value) {
  const seen = parse(base(form).value);
  seen[field] = value;
  base(form).value = JSON.stringify(seen);
  state.agreed[field] = value;
}

function dispute(form, state, field, value, by) {
  clear(form, field);
  const place = form.querySelector(`[data-field="${field}"]`);
  const template = form.querySelector("template[data-changed-template]");
  if (!place || !template) return;
  const note = template.content.firstElementChild.cloneNode(true);
  note.dataset.changed = field;
  note.querySelector("[data-changed-by]").textContent = by || "Somebody";
  note.querySelector("[data-changed-to]").textContent = words(value);
  const [keep, take] = [note.querySelector("[data-changed-keep]"), note.querySelector("[data-changed-take]")];
  for (const button of [keep, take]) {
    button.type = "button";
    button.removeAttribute("name");
  }
  keep.addEventListener("click", () => {
    agree(form, state, field, value);
    clear(form, field);
    controls(form, field)[0]?.focus();
  });
  take.addEventListener("click", () => {
    write(form, field, value);
    agree(form, state, field, value);
    clear(form, field);
    controls(form, field)[0]?.focus();
  });
  place.append(note);
}

function mark(form, field, by) {
  const place = form.querySelector(`[data-field="${field}"]`);
  if (!place) return;
  place.querySelector(".merged-note")?.remove();
  const line = Object.assign(document.createElement("p"), { className: "merged-note", textContent: `${by || "Somebody"} changed this just now.` });
  line.setAttribute("role", "status");
  place.append(line);
  setTimeout(() => line.remove(), 12_000);
}

async function ask(form) {
  const state = forms.get(form);
  if (!state || state.asking || !form.isConnected) return;
  state.asking = true;
  try {
    const url = new URL(form.dataset.valuesUrl, location.href);
    url.searchParams.set("since", form.dataset.revision);
    const answer = await fetch(url, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const { revision, values, changed } = await answer.json();
    form.dataset.revision = String(revision);
    for (const [field, value] of Object.entries(values)) {
      const mine = read(form, field);
      if (mine === undefined || !(field in state.agreed) || same(state.agreed[field], value)) continue;
      const by = changed[field]?.by;
      if (same(mine, value)) {
        agree(form, state, field, value);
        clear(form, field);
      } else if (same(mine, state.agreed[field])) {
        write(form, field, value);
        agree(form, state, field, value);
        mark(form, field, by);
      } else if (field === "tags" || field === "description") {
        // Both are merged when the form is saved: nothing to decide.
        mark(form, field, by);
      } else dispute(form, state, field, value, by);
    }
  } catch {
    // Asked again with the next change.
  } finally {
    state.asking = false;
  }
}

export function start() {
  document.addEventListener("live:event", ({ detail }) => {
    for (const form of forms.keys()) if (form.dataset.editing === detail.subject.join(":")) ask(form);
  });
  setInterval(() => {
    for (const form of forms.keys()) {
      if (!form.isConnected) forms.delete(form);
      else if (!isOpen() && !document.hidden) ask(form);
    }
  }, SECONDS * 1000);
}

export function mount(root) {
  for (const form of within(root, "form[data-editing]")) {
    if (forms.has(form)) continue;
    forms.set(form, { agreed: parse(base(form)?.value), asking: false });
    ask(form);
  }
}
