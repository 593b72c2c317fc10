// One intent, one effect. Every POST carries an idempotency key; a retry of the same submit carries the same one, a changed or
// a new submit gets another. While an answer is on its way, the form cannot be sent again.
//
// htmx: header `Idempotency-Key`. Plain forms: hidden field `idempotency_key`.
import { csrfToken } from "./csrf.js";

const FIELD = "idempotency_key";
const intents = new WeakMap(); // element -> { key, body }

function describe(value) {
  return value instanceof File ? [value.name, value.size, value.lastModified] : value;
}

function signature(path, entries) {
  const body = [...entries].filter(([name]) => name !== FIELD && name !== "csrfmiddlewaretoken");
  return JSON.stringify([path, body.map(([name, value]) => [name, describe(value)])]);
}

/** Return the key of this intent: the one used before while the body is the same, a new one otherwise. */
export function keyFor(element, path, entries) {
  const body = signature(path, entries);
  const known = intents.get(element);
  if (known?.body === body) return known.key;
  const key = crypto.randomUUID();
  intents.set(element, { key, body });
  return key;
}

/** Forget the intent: the server has given its final answer. */
export function settle(element) {
  intents.delete(element);
}

function busy(element, on) {
  const buttons =
    element instanceof HTMLFormElement ? [...element.elements].filter((e) => e.type === "submit") : [element];
  for (const button of buttons) {
    // aria-disabled, not disabled: the focus stays where it is.
    if (on) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
  }
  if (on) element.dataset.inFlight = "";
  else delete element.dataset.inFlight;
}

function onSubmit(event) {
  const form = event.target;
  if (form.dataset.inFlight !== undefined) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }
}

function onClick(event) {
  const element = event.target.closest?.("[aria-disabled=true], [data-in-flight]");
  if (!element || element instanceof HTMLFormElement) return;
  event.preventDefault();
  event.stopImmediatePropagation();
}

function onPlainSubmit(event) {
  const form = event.target;
  if (event.defaultPrevented || form.hasAttribute("data-upload")) return;
  const method = (event.submitter?.getAttribute("formmethod") || form.getAttribute("method") || "get").toLowerCase();
  if (method !== "post") return;
  const path = event.submitter?.getAttribute("formaction") || form.action;
  let field = form.querySelector(`input[name=${FIELD}]`);
  if (!field) {
    field = Object.assign(document.createElement("input"), { type: "hidden", name: FIELD });
    form.append(field);
  }
  field.value = keyFor(form, path, new FormData(form, event.submitter));
  if (!form.elements.csrfmiddlewaretoken) {
    form.append(
      Object.assign(document.createElement("input"), {
        type: "hidden",
        name: "csrfmiddlewaretoken",
        value: csrfToken(),
      }),
    );
  }
  busy(form, true);
  // An answer that is a download leaves the page as it is.
  setTimeout(() => busy(form, false), 15_000);
}

export function start() {
  document.addEventListener("submit", onSubmit, true);
  document.addEventListener("click", onClick, true);
  // On the window, so that htmx and every other listener have had their say.
  window.addEventListener("submit", onPlainSubmit);
  // A page that comes back from the browser's memory is ready to be sent again.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) for (const form of document.querySelectorAll("[data-in-flight]")) busy(form, false);
  });

  document.addEventListener("htmx:configRequest", ({ detail }) => {
    if (detail.verb === "get") return;
    const entries = detail.formData ?? Object.entries(detail.parameters);
    detail.headers["Idempotency-Key"] = keyFor(detail.elt, `${detail.verb} ${detail.path}`, entries);
  });
  document.addEventListener("htmx:beforeSend", ({ detail }) => {
    if (detail.requestConfig.verb !== "get") busy(detail.elt, true);
  });
  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    // The element that asked: by now it may have been replaced, and the event then comes from its parent.
    const { elt, verb } = detail.requestConfig;
    if (verb === "get") return;
    busy(elt, false);
    const status = detail.xhr?.status ?? 0;
    // 409: the first one is still being carried out, unless the answer is a repetition.
    const running = status === 409 && !detail.xhr.getResponseHeader("Idempotent-Replayed");
    const undecided = status === 0 || running || status === 425 || status === 429 || status >= 500;
    if (!undecided) settle(elt);
  });
}
