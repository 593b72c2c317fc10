// <textarea data-shared="URL" data-shared-page="character:…">: a text that several people write at once. What is typed is a Yjs
// update that goes to the server in a moment; what others typed comes back with the answer, without moving the cursor. What the
// server has not confirmed is kept in this browser. Others are nudged over the socket; without one they ask now and then.
import { csrfToken } from "./csrf.js";
import { isOpen, send } from "./live.js";
import { sentence } from "./texts-words.js";
import { store } from "./store.js";
import { show } from "./toast.js";
import { within } from "./within.js";

const WAIT = 250; // ms of typing that go out together
const ASK = 4_000; // ms between questions without a socket
const shared = new Map(); // textarea -> Shared

const toText = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
const toBytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

class Shared {
  constructor(area, Y) {
    this.area = area;
    this.Y = Y;
    this.url = area.dataset.shared;
    this.key = `text:${document.body.dataset.user ?? ""}:${this.url}`;
    this.doc = new Y.Doc();
    this.text = this.doc.getText("text");
    this.unsent = [];
    this.status = area.closest("[data-field]")?.querySelector("[data-shared-status]");
  }

  async begin() {
    const kept = store.get(this.key);
    const [{ area }, was] = [this, this.area.defaultValue];
    if (!(await this.exchange(new Uint8Array()))) return false;
    const typed = area.value;
    // A draft of another day stands there, and the text has changed since: both are merged when the form is saved.
    if (typed !== was && this.text.toString() !== was) return false;
    // From here on the text is saved by itself; the form has no part in it.
    area.removeAttribute("name");
    if (kept) {
      try {
        this.Y.applyUpdate(this.doc, toBytes(kept), "kept");
        this.unsent.push(toBytes(kept));
      } catch {
        store.remove(this.key);
      }
    }
    this.doc.on("update", (update, origin) => {
      if (origin === "remote") return;
      this.unsent.push(update);
      this.keep();
      this.soon();
    });
    if (typed !== was) this.take(typed); // somebody was quicker than the network
    this.show();
    this.undo = new this.Y.UndoManager(this.text, { trackedOrigins: new Set(["typed"]) });
    this.area.addEventListener("input", () => this.take(this.area.value));
    this.area.addEventListener("blur", () => this.flush(true));
    this.area.addEventListener("keydown", (event) => this.keys(event));
    if (this.unsent.length) this.soon();
    this.say("Saved as you write, together with others.");
    return true;
  }

  keys(event) {
    if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
    const key = event.key.toLowerCase();
    const again = key === "y" || (key === "z" && event.shiftKey);
    if (key !== "z" && !again) return;
    event.preventDefault();
    // Takes back one's own words only.
    if (again) this.undo.redo();
    else this.undo.undo();
    this.show();
  }

  // What was typed, as the smallest change that ends at the cursor.
  take(now) {
    const old = this.text.toString();
    if (now === old) return;
    const most = Math.min(now.length, old.length);
    const cursor = this.area.selectionEnd ?? now.length;
    let head = 0;
    while (head < most && head < cursor && now[head] === old[head]) head += 1;
    let tail = 0;
    while (tail < most - head && now[now.length - 1 - tail] === old[old.length - 1 - tail]) tail += 1;
    // Never half of a pair of surrogates.
    const low = (letter) => letter >= "\uDC00" && letter <= "\uDFFF";
    if (head && (low(now[head] ?? "") || low(old[head] ?? ""))) head -= 1;
    if (tail && low(now[now.length - tail])) tail -= 1;
    this.doc.transact(() => {
      this.text.delete(head, old.length - tail - head);
      this.text.insert(head, now.slice(head, now.length - tail));
    }, "typed");
  }

  show() {
    const now = this.text.toString();
    if (this.area.value === now) return;
    this.area.value = now;
    this.area.dispatchEvent(new Event("shared:changed", { bubbles: true }));
  }

  receive(update) {
    const { Y, area } = this;
    if (!this.undo) return void Y.applyUpdate(this.doc, update, "remote");
    if (area.value !== this.text.toString()) this.take(area.value);
    const place = (index) => Y.createRelativePositionFromTypeIndex(this.text, index);
    const [start, end] = [place(area.selectionStart), place(area.selectionEnd)];
    const [top, focused] = [area.scrollTop, document.activeElement === area];
    Y.applyUpdate(this.doc, update, "remote");
    this.show();
    const index = (position) => Y.createAbsolutePositionFromRelativePosition(position, this.doc)?.index ?? 0;
    if (focused) area.setSelectionRange(index(start), index(end));
    area.scrollTop = top;
    return undefined;
  }

  keep() {
    if (this.unsent.length) store.set(this.key, toText(this.Y.mergeUpdates(this.unsent)));
    else store.remove(this.key);
  }

  soon(wait = WAIT) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), wait);
  }

  async flush(pause = false) {
    if (this.busy) {
      this.again = true;
      this.pause ||= pause;
      return;
    }
    if (!this.area.isConnected && !this.unsent.length) return;
    clearTimeout(this.timer);
    this.busy = true;
    const going = this.unsent;
    this.unsent = [];
    const update = going.length ? this.Y.mergeUpdates(going) : new Uint8Array();
    const done = await this.exchange(update, pause);
    if (!done) this.unsent = [...going, ...this.unsent];
    this.keep();
    this.busy = false;
    if (done && going.length) {
      this.say("Saved.");
      send("text", {}, { page: this.area.dataset.sharedPage, key: this.url });
    }
    if (this.again || this.unsent.length) {
      const wasPause = this.pause;
      this.again = false;
      this.pause = false;
      if (done) this.flush(wasPause);
      else this.soon(3_000);
    }
  }

  async exchange(update, pause = false) {
    const body = JSON.stringify({
      update: toText(update),
      vector: toText(this.Y.encodeStateVector(this.doc)),
      pause,
    });
    try {
      const answer = await fetch(this.url, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken() },
        body,
        keepalive: body.length < 60_000,
      });
      if (!answer.ok) {
        const words = await sentence(answer);
        this.say(words, true);
        if (answer.status === 422) show({ text: words, kind: "problem", key: this.key });
        return false;
      }
      const lacking = toBytes((await answer.json()).update);
      if (lacking.length) this.receive(lacking);
      return true;
    } catch {
      this.say("Not saved yet: the studio cannot be reached. What you wrote is kept here.", true);
      return false;
    }
  }

  say(words, problem = false) {
    if (!this.status) return;
    this.status.textContent = words;
    this.status.classList.toggle("problem-words", problem);
  }
}

async function attach(area) {
  if (shared.has(area)) return;
  shared.set(area, null);
  const Y = await import("../vendor/yjs/yjs.js");
  const one = new Shared(area, Y);
  if (await one.begin()) shared.set(area, one);
  else shared.delete(area); // the plain field of the form, merged when it is saved
}

export function start() {
  document.addEventListener("live:text", ({ detail }) => {
    for (const one of shared.values()) if (one && one.url === detail.key) one.flush();
  });
  document.addEventListener("live:event", ({ detail }) => {
    for (const one of shared.values()) if (one && one.area.dataset.sharedPage === detail.subject.join(":")) one.flush();
  });
  setInterval(() => {
    for (const [area, one] of shared) {
      if (!area.isConnected) {
        shared.delete(area);
        one?.flush(true);
      } else if (one && !isOpen() && !document.hidden) one.flush();
    }
  }, ASK);
  window.addEventListener("pagehide", () => {
    for (const one of shared.values()) one?.flush(true);
  });
  window.addEventListener("online", () => {
    for (const one of shared.values()) one?.flush();
  });
}

export function mount(root) {
  for (const area of within(root, "textarea[data-shared]")) attach(area);
}
