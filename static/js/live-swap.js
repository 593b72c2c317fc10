// Putting live HTML into the page without taking anything out of the reader's hands: elements that stay are changed in place, so
// focus, what is typed, what is ticked, open menus and loaded pictures survive. Slots of the reader's own (#mine-…) are left alone.
import { csrfToken } from "./csrf.js";
import * as poll from "./poll.js";
import * as time from "./time.js";
import { within } from "./within.js";

const KEPT_MS = 30_000;
const recent = new Map(); // target -> {swap, stream, seq, at}: to be put back over an answer that is older

const isKept = (node) => node.id?.startsWith("mine-") || node.hasAttribute?.("data-live-keep");
const staysPut = (node) =>
  isKept(node) && (node.dataset.liveKeep === "always" || node.contains(document.activeElement));
const STAYS = { DETAILS: ["open"], DIALOG: ["open"], INPUT: ["hidden"], FORM: ["hidden", "data-in-flight"] };

function attributes(from, to) {
  const stays = STAYS[from.nodeName] ?? [];
  for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  for (const { name } of [...from.attributes])
    if (!to.hasAttribute(name) && !stays.includes(name) && name !== "style") from.removeAttribute(name);
}

/** Make `from` what `to` is. Returns the element that stands there now; `fresh` collects what is new. */
function morph(from, to, fresh) {
  if (from.nodeName !== to.nodeName || (to.id || from.id) !== from.id || from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeType === to.nodeType && from.nodeType !== Node.ELEMENT_NODE) {
      if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
      return from;
    }
    from.replaceWith(to);
    if (to.nodeType === Node.ELEMENT_NODE) fresh.push(to);
    return to;
  }
  if (isKept(from) || from.isEqualNode(to)) return from;
  attributes(from, to);
  if (from === document.activeElement && from.matches("textarea, select, [contenteditable]")) return from;
  children(from, to, fresh);
  return from;
}

function children(from, to, fresh) {
  const byId = new Map([...from.children].filter((child) => child.id).map((child) => [child.id, child]));
  const coming = new Set([...to.children].map((child) => child.id).filter(Boolean));
  let here = from.firstChild;
  for (const child of [...to.childNodes]) {
    const same = child.id ? byId.get(child.id) : null;
    if (same) {
      if (same === here) here = here.nextSibling;
      else from.insertBefore(same, here);
      morph(same, child, fresh);
      continue;
    }
    // Elements with a name of their own are not made into others.
    while (here?.id && !coming.has(here.id) && !staysPut(here)) {
      const gone = here;
      here = here.nextSibling;
      gone.remove();
    }
    if (here && !here.id && !child.id && here.nodeName === child.nodeName) {
      const next = here.nextSibling;
      morph(here, child, fresh);
      here = next;
    } else {
      from.insertBefore(child, here);
      if (child.nodeType === Node.ELEMENT_NODE) fresh.push(child);
    }
  }
  while (here) {
    const next = here.nextSibling;
    // What is the reader's own goes with its place, but never from under their hands.
    if (!staysPut(here)) here.remove();
    here = next;
  }
}

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const token = csrfToken();
  // What is pushed is the same for everybody; a form in it gets the token of this page.
  for (const form of template.content.querySelectorAll("form[method=post i]")) {
    if (form.elements.csrfmiddlewaretoken) continue;
    const field = Object.assign(document.createElement("input"), { type: "hidden", name: "csrfmiddlewaretoken" });
    field.setAttribute("value", token);
    form.prepend(field);
  }
  return document.importNode(template.content, true);
}

function settle(root, fresh) {
  // An id stands once: a row that was somewhere else (among those just uploaded) has moved here.
  for (const element of fresh)
    for (const named of within(element, "[id]"))
      for (const other of document.querySelectorAll(`[id="${CSS.escape(named.id)}"]`)) if (other !== named) other.remove();
  window.htmx?.process(root);
  for (const element of fresh) window.htmx?.process(element);
  for (const element of fresh) window.htmx?.trigger(element, "htmx:load", { elt: element });
  poll.mount(root);
  time.mount(root);
}

function put(target, swap) {
  const fresh = [];
  const content = parse(swap.html);
  const one = content.firstElementChild;
  if (swap.how === "delete" || (swap.how === "outerHTML" && !one)) {
    target?.remove();
    return null;
  }
  if (swap.how === "beforeend" || swap.how === "afterbegin") {
    if (!one) return null;
    const known = one.id ? document.getElementById(one.id) : null;
    if (known) {
      if (swap.how === "afterbegin" && target && known.parentElement === target && target.firstElementChild !== known)
        target.prepend(known);
      const now = morph(known, one, fresh);
      settle(now, fresh);
      return now;
    }
    if (!target) return null;
    const last = swap.how === "beforeend" ? target.querySelector(":scope > [data-more], :scope > .more") : null;
    if (last) last.before(one);
    else if (swap.how === "beforeend") target.append(one);
    else target.prepend(one);
    settle(one, [one]);
    return one;
  }
  if (!target) return null;
  if (swap.how === "innerHTML") {
    const shell = target.cloneNode(false);
    shell.append(content);
    children(target, shell, fresh);
    settle(target, fresh);
    return target;
  }
  const now = morph(target, one, fresh);
  // What else is rendered beside the element stands for itself, by its id.
  for (const beside of [...content.children].filter((child) => child !== one)) {
    const there = beside.id ? document.getElementById(beside.id) : null;
    if (there) settle(morph(there, beside, fresh), []);
  }
  settle(now, fresh);
  return now;
}

/** Carry out one swap. `source`: {stream, seq, own}. */
export function apply(swap, source = {}) {
  const target = swap.target === "*" ? null : document.getElementById(swap.target);
  if (swap.how === "refetch") return void (target && refetch([swap.target]));
  if (swap.how === "refresh") {
    const regions = swap.target === "*" ? document.querySelectorAll("[data-live][data-refresh-url]") : [target];
    for (const region of regions) if (region) poll.ask(region);
    return undefined;
  }
  if (source.seq) recent.set(swap.target, { swap, ...source, at: performance.now() });
  const element = put(target, swap);
  if (element && !source.own) news(element);
  document.dispatchEvent(new CustomEvent("live:swapped", { detail: { element, target: swap.target } }));
  return undefined;
}

export function applyAll(swaps, source) {
  for (const swap of swaps) {
    try {
      apply(swap, source);
    } catch (error) {
      console.error("A live piece of the page did not fit", swap.target, error);
      refetch([swap.target]);
    }
  }
}

function news(element) {
  element.classList.remove("is-news");
  requestAnimationFrame(() => element.classList.add("is-news"));
  setTimeout(() => element.classList.remove("is-news"), 1_600);
}

// ------------------------------------------------------------------------------------- taking parts of the page anew
const wanted = new Set();
let crowd = 1;
let fetching = false;
let again = 0;
let fetchedAt = -Infinity;

/** Load the page once more, soon, and take these elements from it. Several wishes are one request. */
export function refetch(ids, wait = crowd > 20 ? Math.random() * crowd * 20 : 20) {
  for (const id of ids) wanted.add(id);
  if (fetching || again) return;
  // Who has just asked waits longer, and the longer the more people may ask.
  const rest = Math.max(wait, Math.max(1_200, crowd * 250) - (performance.now() - fetchedAt));
  again = setTimeout(run, rest);
}

async function run() {
  again = 0;
  fetching = true;
  fetchedAt = performance.now();
  const ids = [...wanted];
  wanted.clear();
  try {
    const response = await fetch(location.href, { headers: { "X-Live": "refetch" }, credentials: "same-origin" });
    if (response.ok && !response.redirected) {
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      document.title = page.title;
      for (const id of ids) {
        const [old, next] = [document.getElementById(id), page.getElementById(id)];
        if (!old) continue;
        const ticked = [...old.querySelectorAll("[data-pick]:checked")];
        if (ticked.length && !ticked.some((pick) => next?.querySelector(`[data-pick][value="${CSS.escape(pick.value)}"]`))) {
          // All that is chosen here would go: it waits until the choice is made.
          setTimeout(() => refetch([id]), 3_000);
          continue;
        }
        if (old.querySelector(".windowed")) {
          // A grid that holds only what is near looks after itself.
          old.dispatchEvent(new CustomEvent("live:stale", { bubbles: true, detail: { page } }));
          continue;
        }
        if (!next) old.remove();
        else {
          const fresh = [];
          const now = morph(old, document.importNode(next, true), fresh);
          settle(now, fresh);
          document.dispatchEvent(new CustomEvent("live:swapped", { detail: { element: now, target: id } }));
        }
      }
    }
  } catch {
    // The connection is gone; what was missed comes when it is back.
    for (const id of ids) wanted.add(id);
  }
  fetching = false;
  if (wanted.size && navigator.onLine) refetch([], 2_000);
}

// ------------------------------------------------------------------------------------------------------ own edits
// An own edit shows at once, with the answer. News that came while the answer was on its way are newer than it, unless the answer
// tells (Live-Seq) that it has written a later event: they are put back over it.
const began = new WeakMap();

function written(xhr) {
  const found = {};
  for (const part of (xhr?.getResponseHeader("Live-Seq") ?? "").split(",")) {
    const [stream, seq] = part.split("=");
    if (seq) found[stream] = Number(seq);
  }
  return found;
}

export function start() {
  document.addEventListener("live:presence", ({ detail }) => (crowd = detail.count));
  document.addEventListener("htmx:beforeSend", ({ detail }) => began.set(detail.xhr, performance.now()));
  document.addEventListener("htmx:afterSettle", ({ detail }) => {
    const since = began.get(detail.xhr);
    if (since === undefined) return;
    const own = written(detail.xhr);
    for (const [target, one] of recent) {
      if (performance.now() - one.at > KEPT_MS) recent.delete(target);
      else if (one.at >= since && one.seq > (own[one.stream] ?? 0)) put(document.getElementById(target), one.swap);
    }
  });
}
