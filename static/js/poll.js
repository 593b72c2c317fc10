// An element with data-refresh-url and data-refresh-seconds asks for itself again while the page is looked at. It stops when the
// server answers 286, or when what arrives has no data-refresh-url or carries data-done. Nothing is replaced under
// somebody's hands: while a field inside is being edited or a menu is open, it waits.
const LIVE_FACTOR = 12;
const timers = new WeakMap();
const refused = new WeakSet(); // regions whose answer came while they were in use
let ending = null; // the address of a region whose last version is being swapped in

function inUse(element) {
  const active = document.activeElement;
  const editing =
    element.contains(active) &&
    active.matches("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
  return editing || element.querySelector("details[data-menu][open], dialog[open]") !== null;
}

function arm(element, failures = 0) {
  clearTimeout(timers.get(element));
  if (!element.dataset.refreshUrl || element.hasAttribute("data-done")) return;
  if (element.dataset.refreshUrl === ending) {
    ending = null;
    element.dataset.done = "";
    return;
  }
  // While live news come, asking is only a net under them.
  const isLive = document.body.dataset.liveState === "open" && element.hasAttribute("data-live");
  const seconds = (Number(element.dataset.refreshSeconds) || 5) * (isLive ? LIVE_FACTOR : 1);
  // A server in trouble is asked less and less often, up to once a minute.
  const wait = Math.min(60, seconds * 2 ** failures) * 1000;
  timers.set(
    element,
    setTimeout(() => refresh(element, failures), wait),
  );
}

function refresh(element, failures) {
  if (!element.isConnected) return;
  if (document.hidden || inUse(element)) return void arm(element, failures);
  let status = 0;
  const onDone = (event) => {
    if (event.detail.requestConfig?.elt === element) status = event.detail.xhr?.status ?? 0;
  };
  document.addEventListener("htmx:afterRequest", onDone);
  window.htmx
    .ajax("GET", element.dataset.refreshUrl, {
      source: element,
      target: element,
      swap: element.dataset.refreshSwap || "outerHTML",
    })
    .catch(() => undefined)
    .finally(() => {
      document.removeEventListener("htmx:afterRequest", onDone);
      if (refused.delete(element)) return void arm(element, failures);
      if (!element.isConnected || status === 286) return;
      arm(element, status >= 200 && status < 400 ? 0 : failures + 1);
    });
}

function elements(root) {
  return root.matches?.("[data-refresh-url]")
    ? [root, ...root.querySelectorAll("[data-refresh-url]")]
    : [...root.querySelectorAll("[data-refresh-url]")];
}

const asked = new WeakMap(); // when a region was asked for by live news
const ASK_MS = 400;

/** Live news: the region asks for itself now; several news in a moment are one request. */
export function ask(element) {
  if (!element.dataset.refreshUrl || timers.get(element) === undefined) return;
  const rest = ASK_MS - (performance.now() - (asked.get(element) ?? -ASK_MS));
  clearTimeout(timers.get(element));
  timers.set(
    element,
    setTimeout(
      () => {
        asked.set(element, performance.now());
        refresh(element, 0);
      },
      Math.max(0, rest),
    ),
  );
}

export function start() {
  for (const state of ["live:open", "live:closed"])
    document.addEventListener(state, () => {
      for (const element of elements(document.body)) if (timers.has(element)) arm(element);
    });
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const region = detail.requestConfig.elt;
    const asking = region.dataset?.refreshUrl;
    if (asking && inUse(region)) {
      // Somebody began while the answer was on its way.
      refused.add(region);
      detail.shouldSwap = false;
      return;
    }
    if (asking) ending = detail.xhr.status === 286 ? asking : null;
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) for (const element of elements(document.body)) if (timers.has(element)) refresh(element, 0);
  });
}

export function mount(root) {
  if (window.htmx) for (const element of elements(root)) arm(element);
}
