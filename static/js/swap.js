// What htmx does with answers that are not what was asked for, and where the focus goes afterwards.
//
// A partial is swapped whatever its status: the server meant it. A whole page (an error page) is reduced: where something was
// to be read (GET), to its [data-error-panel]; where something was to be written, to a toast, so that nothing typed is lost.
import { show } from "./toast.js";
import { within } from "./within.js";

const WORDS = {
  0: "The studio cannot be reached. What you typed is still here.",
  timeout: "The studio takes too long to answer.",
  413: "This is too large to be sent.",
  429: "Too many requests. Wait a moment, then try again.",
};

function isPage(text) {
  return /^\s*(<!--[\s\S]*?-->\s*)?<(!doctype|html)/i.test(text);
}

function parsePanel(text) {
  return new DOMParser().parseFromString(text, "text/html").querySelector("[data-error-panel]");
}

/** Return one sentence from an error answer: an error page, a problem document, or the status alone. */
export function sentence(xhr) {
  const type = xhr.getResponseHeader("Content-Type") ?? "";
  if (type.includes("json")) {
    try {
      const problem = JSON.parse(xhr.responseText);
      if (problem.detail || problem.title) return String(problem.detail || problem.title);
    } catch {
      // Fall through to the words we have.
    }
  }
  if (WORDS[xhr.status]) return WORDS[xhr.status];
  const panel = type.includes("html") ? parsePanel(xhr.responseText) : null;
  if (panel) {
    const [title, text] = ["title", "text"].map((part) =>
      panel.querySelector(`[data-error-${part}]`)?.textContent.trim(),
    );
    return [title && !/[.!?]$/.test(title) ? `${title}.` : title, text].filter(Boolean).join(" ");
  }
  return xhr.status >= 500
    ? "Something broke on our side. Try again in a moment."
    : `This was refused (${xhr.status}).`;
}

function again(config) {
  const element = config.elt;
  if (!element.isConnected) return;
  if (element instanceof HTMLFormElement) element.requestSubmit();
  else window.htmx.trigger(element, config.triggeringEvent?.type ?? "click");
}

function isPoll(element) {
  return element.hasAttribute?.("data-refresh-url");
}

function unreachable(words) {
  return ({ detail }) => {
    const config = detail.requestConfig;
    if (isPoll(config.elt)) return;
    show({
      text: words,
      kind: "problem",
      key: "network",
      action: { label: "Try again", run: () => again(config) },
    });
  };
}

let pending = 0;
let timer = 0;
function count(step) {
  pending = Math.max(0, pending + step);
  clearTimeout(timer);
  if (pending) timer = setTimeout(() => document.body.classList.add("is-busy"), 250);
  else document.body.classList.remove("is-busy");
}

let focused = null;

export function start() {
  document.addEventListener("htmx:sendError", unreachable(WORDS[0]));
  document.addEventListener("htmx:timeout", unreachable(WORDS.timeout));

  document.addEventListener("htmx:beforeSend", ({ detail }) => isPoll(detail.requestConfig.elt) || count(1));
  document.addEventListener("htmx:afterRequest", ({ detail }) => isPoll(detail.requestConfig.elt) || count(-1));

  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const { xhr } = detail;
    focused = document.activeElement;
    if (xhr.status < 400) {
      // A sign-in page that arrives where a fragment was expected: the session has ended.
      if (
        isPage(detail.serverResponse) &&
        xhr.responseURL &&
        new URL(xhr.responseURL).pathname.includes("/login") &&
        !detail.boosted
      ) {
        detail.shouldSwap = false;
        const signIn = xhr.responseURL;
        if (detail.requestConfig.verb === "get") location.reload();
        else
          show({
            text: "You have been signed out. Sign in again in another tab; what you typed stays here.",
            kind: "problem",
            key: "session",
            action: { label: "Sign in", run: () => window.open(signIn, "_blank", "noopener") },
          });
      }
      return;
    }
    const html = (xhr.getResponseHeader("Content-Type") ?? "").includes("html");
    if (html && xhr.responseText && !isPage(xhr.responseText)) return;
    // The event comes from the target; the one who asked is in the request.
    if (isPoll(detail.requestConfig.elt)) {
      detail.shouldSwap = false;
      return;
    }
    const panel = html && detail.requestConfig.verb === "get" ? parsePanel(xhr.responseText) : null;
    if (panel && detail.target !== document.body) {
      detail.serverResponse = panel.outerHTML;
      detail.swapOverride = "innerHTML";
      return;
    }
    detail.shouldSwap = false;
    const retry = xhr.status === 429 || xhr.status >= 500;
    show({
      text: sentence(xhr),
      kind: "problem",
      action: retry ? { label: "Try again", run: () => again(detail.requestConfig) } : null,
    });
  });

  // Focus: kept where it was when that still exists; otherwise to what the answer points at.
  document.addEventListener("htmx:afterSettle", ({ detail }) => {
    const wanted = within(detail.elt, "[data-focus], [autofocus]")[0] ?? within(detail.elt, "[aria-invalid=true]")[0];
    if (wanted && !isPoll(detail.requestConfig.elt)) {
      wanted.focus();
      return;
    }
    if (!focused || focused === document.body || focused.isConnected || document.activeElement !== document.body)
      return;
    const heir = focused.id ? document.getElementById(focused.id) : null;
    const place = heir ?? (detail.elt.isConnected ? detail.elt : document.getElementById("content"));
    const target = place?.matches?.("a[href], button, input, select, textarea, [tabindex]")
      ? place
      : (place?.querySelector?.("a[href], button, [tabindex]") ?? place);
    if (target && !target.matches("a[href], button, input, select, textarea, [tabindex]"))
      target.setAttribute("tabindex", "-1");
    target?.focus({ preventScroll: true });
  });
}
