// Follow the presenter. Three modes: driver (presents; others may follow), follow (the page, and where it stands, are the driver's),
// free (looked around; one press leads back). Following outlives the pages of this tab.
import { attend, me, project, send } from "./live.js";
import { everybody, others } from "./presence.js";
import { show } from "./toast.js";

const SCROLL_MS = 120;
const PATH = /^\/projects\/[0-9A-Za-z/_.~?=&%+-]*$/;

const memory = {
  get(key) {
    try {
      return JSON.parse(sessionStorage.getItem(key));
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      if (value === null) sessionStorage.removeItem(key);
      else sessionStorage.setItem(key, JSON.stringify(value));
    } catch {
      // Without storage the mode ends with the page.
    }
  },
};

let following = null; // {user, name, free}
let presenting = false;
let moving = 0; // until when scrolling is the driver's, not the reader's
let lastPlace = null;

const person = (user) => everybody().find((one) => one.user === user);
const followers = () => others().filter((one) => one.following === me());

function bar() {
  const place = document.querySelector("[data-follow-bar]");
  if (!place) return;
  const button = (text, run, primary = false) => {
    const found = Object.assign(document.createElement("button"), { type: "button", textContent: text });
    found.className = `button small-button${primary ? " primary" : ""}`;
    found.addEventListener("click", run);
    return found;
  };
  const words = document.createElement("span");
  place.hidden = !following && !presenting;
  place.className = `follow-bar${following?.free ? " free" : ""}`;
  document.body.classList.toggle("is-following", Boolean(following && !following.free));
  if (following) {
    words.textContent = following.free ? `You look around. ${following.name} goes on.` : `You follow ${following.name}`;
    place.replaceChildren(words);
    if (following.free) place.append(button(`Back to ${following.name}`, rejoin, true));
    place.append(button("Stop following", stop));
  } else if (presenting) {
    const n = followers().length;
    words.textContent = `You present · ${n === 1 ? "1 person follows" : `${n} people follow`}`;
    place.replaceChildren(words, button("Stop presenting", () => present(false)));
  }
  const toggle = document.querySelector("[data-present]");
  if (toggle) toggle.setAttribute("aria-pressed", String(presenting));
}

function keep() {
  memory.set("follow", following);
  memory.set("present", presenting || null);
  attend({ presenting, following: following && !following.free ? following.user : 0 });
  bar();
}

export function follow(user) {
  const whom = person(user);
  if (!whom || user === me()) return;
  presenting = false;
  following = { user, name: whom.name, free: false };
  keep();
  mirror();
}

function stop() {
  following = null;
  keep();
}

function rejoin() {
  following.free = false;
  keep();
  mirror();
}

function present(on) {
  presenting = on;
  if (on) following = null;
  keep();
  if (on) tellPlace(true);
}

/** Be where the driver is. */
function mirror() {
  if (!following || following.free) return;
  const driver = person(following.user);
  if (!driver) return;
  if (driver.url && PATH.test(driver.url) && driver.url !== location.pathname + location.search) {
    // A step within the page (the next picture of a review) stays within it.
    const step = [...document.querySelectorAll("a[hx-get], [hx-boost=true] a")].find((link) => link.getAttribute("href") === driver.url);
    if (step && driver.url.split("?")[0] === location.pathname) step.click();
    else location.assign(driver.url);
    return;
  }
  if (lastPlace) stand(lastPlace);
}

function stand({ scroll, focus }) {
  moving = performance.now() + 600;
  const range = document.documentElement.scrollHeight - innerHeight;
  window.scrollTo({ top: scroll * range, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  const element = focus ? document.getElementById(focus) : null;
  for (const old of document.querySelectorAll(".drivers-focus")) if (old !== element) old.classList.remove("drivers-focus");
  element?.classList.add("drivers-focus");
}

let said = 0;
let waiting = 0;
function tellPlace(now = false) {
  if (!presenting && !followers().length) return;
  clearTimeout(waiting);
  const rest = now ? 0 : SCROLL_MS - (performance.now() - said);
  if (rest > 0) {
    waiting = setTimeout(tellPlace, rest);
    return;
  }
  said = performance.now();
  const range = document.documentElement.scrollHeight - innerHeight;
  const focus = document.activeElement?.closest("[data-item][id]")?.id ?? "";
  send("place", { scroll: range > 0 ? Math.min(1, scrollY / range) : 0, focus }, { page: project(), key: "place" });
}

function lookAround(event) {
  if (!following || following.free) return;
  if (event.target.closest?.("[data-follow-bar], #here")) return;
  if (event.type === "keydown" && ["Control", "Shift", "Alt", "Meta", "Tab"].includes(event.key)) return;
  following.free = true;
  keep();
}

export function start() {
  if (!document.body.dataset.liveProject) return;
  following = memory.get("follow");
  presenting = memory.get("present") === true;
  keep();
  document.addEventListener("live:presence", () => {
    const driver = following && person(following.user);
    if (driver) mirror();
    for (const one of others()) {
      if (!one.presenting || following?.user === one.user || memory.get(`invited:${one.user}`)) continue;
      memory.set(`invited:${one.user}`, true);
      show({ text: `${one.name} presents.`, kind: "", key: "present", action: { label: "Follow", run: () => follow(one.user) } });
    }
    for (const one of others()) if (!one.presenting) memory.set(`invited:${one.user}`, null);
    bar();
  });
  document.addEventListener("live:place", ({ detail }) => {
    if (following?.user !== detail.from.user) return;
    lastPlace = { scroll: Number(detail.data.scroll) || 0, focus: String(detail.data.focus ?? "") };
    if (!following.free) stand(lastPlace);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-follow]");
    if (button) follow(Number(button.dataset.follow));
    if (event.target.closest?.("[data-present]")) present(!presenting);
    if (button || event.target.closest?.("[data-present]")) document.getElementById("here")?.removeAttribute("open");
  });
  window.addEventListener("scroll", () => performance.now() > moving && tellPlace(), { passive: true });
  document.addEventListener("focusin", () => tellPlace());
  document.addEventListener("live:open", () => setTimeout(() => tellPlace(true), 400));
  for (const kind of ["wheel", "touchmove", "keydown", "pointerdown"])
    document.addEventListener(kind, lookAround, { passive: true, capture: true });
}
