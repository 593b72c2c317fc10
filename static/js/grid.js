// <ul class="cards" data-grid="URL of segments">: a page of a list becomes a grid of all of it, however long it is.
//
// The list is cut into segments by count, each with the key behind which it begins, so the whole height is known at once and the
// scroll bar tells the truth. In the page are only the segments near what is seen; one that comes near is asked for, one that
// is far is let go (and asked for anew when it comes back, so nothing old is ever shown). Without scripts there are pages.
import { within } from "./within.js";

const TALLEST = 15_000_000; // px: browsers cap the height of a page
const NEAR = 1; // screens above and below what is seen

class Grid {
  constructor(list) {
    this.list = list;
    this.segments = [];
    this.metrics = { columns: 1, row: 1 };
    this.kept = new Map(); // value -> the checkbox of a selected card that is not in the page
    this.asked = new Map(); // segment -> AbortController
    this.quiet = false;
  }

  async begin() {
    const first = [...this.list.querySelectorAll(":scope > [data-item]")];
    this.measure();
    let listing;
    try {
      const answer = await fetch(this.list.dataset.grid, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(String(answer.status));
      listing = await answer.json();
    } catch {
      // Without the listing the pages are still there.
      this.list.parentElement?.querySelector("[data-pages]")?.classList.remove("no-js-only");
      return;
    }
    if (!this.list.isConnected || listing.total <= first.length) return;
    this.address = listing.cards;
    this.segments = listing.cursors.map((after, k) => ({
      after,
      until: listing.cursors[k + 1] ?? "",
      count: Math.min(listing.size, listing.total - k * listing.size),
      nodes: null,
    }));
    this.first = first;
    this.list.classList.add("windowed");
    this.list.setAttribute("aria-busy", "false");
    this.onScroll = () => this.soon();
    window.addEventListener("scroll", this.onScroll, { passive: true });
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(this.list);
    this.density = new MutationObserver(() => this.resize());
    this.density.observe(this.list, { attributes: true, attributeFilter: ["data-density"] });
    this.others = new MutationObserver((records) => this.adopt(records));
    this.draw();
    this.resume();
  }

  // The list as it is now; the cards in view stand until those that take their places are there.
  async renew() {
    if (!this.segments.length) return;
    let listing;
    try {
      listing = await (await fetch(this.list.dataset.grid, { headers: { Accept: "application/json" } })).json();
    } catch {
      return;
    }
    const before = this.segments;
    for (const asking of this.asked.values()) asking.abort();
    this.asked.clear();
    this.segments = listing.cursors.map((after, k) => ({
      after,
      until: listing.cursors[k + 1] ?? "",
      count: before[k]?.nodes?.length ?? Math.min(listing.size, listing.total - k * listing.size),
      nodes: before[k]?.nodes ?? null,
    }));
    this.draw();
  }

  end() {
    window.removeEventListener("scroll", this.onScroll);
    this.resized?.disconnect();
    this.density?.disconnect();
    this.others?.disconnect();
    for (const asking of this.asked.values()) asking.abort();
  }

  // ------------------------------------------------------------------------------------------------------- where
  measure() {
    const style = getComputedStyle(this.list);
    const cards = [...this.list.querySelectorAll(":scope > [data-item]")];
    const height = Math.max(...cards.slice(0, 40).map((card) => card.firstElementChild && card.scrollHeight), 1);
    const columns = style.gridTemplateColumns.split(" ").length;
    this.metrics = { columns, card: height, row: height + (parseFloat(style.rowGap) || 0) };
    this.width = this.list.clientWidth;
  }

  total() {
    return this.segments.reduce((sum, segment) => sum + segment.count, 0);
  }

  shown() {
    const rows = Math.floor(TALLEST / this.metrics.row);
    return Math.min(this.total(), rows * this.metrics.columns);
  }

  // Place of the first card of the topmost row in view, and how far that row is scrolled out.
  anchor() {
    const top = -this.list.getBoundingClientRect().top;
    const row = Math.max(0, Math.floor(top / this.metrics.row));
    return { place: row * this.metrics.columns, offset: Math.max(0, top) - row * this.metrics.row };
  }

  scrollTo({ place, offset }) {
    const top = this.list.getBoundingClientRect().top + window.scrollY;
    window.scrollTo(0, top + Math.floor(place / this.metrics.columns) * this.metrics.row + offset);
  }

  // ------------------------------------------------------------------------------------------------------- draw
  soon() {
    if (!this.list.isConnected) return this.end();
    if (this.frame) return undefined;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
    return undefined;
  }

  draw() {
    const { columns, row, card } = this.metrics;
    const box = this.list.getBoundingClientRect();
    const reach = window.innerHeight * NEAR;
    const from = Math.max(0, Math.floor((-box.top - reach) / row)) * columns;
    const to = Math.max(0, Math.ceil((-box.top + window.innerHeight + reach) / row)) * columns;
    const total = this.shown();
    let place = 0;
    let begin = 0;
    let end = 0;
    const wanted = new Set();
    for (const segment of this.segments) {
      const next = place + segment.count;
      if (next > from && place < to && place < total) {
        if (!wanted.size) begin = place;
        wanted.add(segment);
        end = Math.min(next, total);
      }
      place = next;
    }
    if (!wanted.size) return;
    this.mutate(() => {
      for (const segment of this.segments) if (!wanted.has(segment)) this.drop(segment);
      const nodes = [];
      for (const segment of wanted) {
        segment.nodes ??= this.bones(segment);
        nodes.push(...segment.nodes);
      }
      const keep = new Set(nodes);
      for (const child of [...this.list.children]) if (!keep.has(child)) child.remove();
      let before = null;
      for (const node of nodes) {
        const expected = before ? before.nextElementSibling : this.list.firstElementChild;
        if (expected !== node) this.list.insertBefore(node, expected);
        before = node;
      }
      nodes.forEach((node, k) => {
        node.style.gridColumnStart = k === 0 && begin % columns ? String((begin % columns) + 1) : "";
        node.setAttribute("aria-posinset", String(begin + k + 1));
        node.setAttribute("aria-setsize", String(total));
      });
    });
    const above = Math.floor(begin / columns) * row;
    const below = Math.max(0, Math.ceil(total / columns) - Math.ceil(end / columns)) * row;
    this.list.style.paddingTop = `${above}px`;
    this.list.style.paddingBottom = `${below}px`;
    this.list.style.gridAutoRows = `${card}px`;
    clearTimeout(this.timer);
    // Who drags the scroll bar through thousands asks only for where it comes to rest.
    this.timer = setTimeout(() => wanted.forEach((segment) => this.ask(segment)), this.settled() ? 0 : 60);
    this.place = { from: begin, to: end };
  }

  settled() {
    const now = window.scrollY;
    const still = Math.abs(now - (this.before ?? now)) < window.innerHeight;
    this.before = now;
    return still;
  }

  bones(segment) {
    // The cards that came with the page stand until their segment is there.
    const ready = segment === this.segments[0] && this.first ? this.first : [];
    this.first = null;
    return Array.from({ length: segment.count }, (_, k) => {
      if (ready[k]) return ready[k];
      const bone = document.createElement("li");
      bone.className = "card bone-card skeleton";
      bone.setAttribute("aria-hidden", "true");
      bone.innerHTML =
        '<div class="bone picture portrait"></div><div class="bone line half"></div><div class="bone line third"></div>';
      return bone;
    });
  }

  drop(segment) {
    this.asked.get(segment)?.abort();
    this.asked.delete(segment);
    if (!segment.nodes) return;
    for (const node of segment.nodes) {
      const pick = node.querySelector("[data-pick]:checked");
      if (pick) this.keep(pick);
      node.remove();
    }
    segment.nodes = null;
    segment.ready = false;
  }

  // A selected card that leaves the page stays selected.
  keep(pick) {
    const copy = pick.cloneNode();
    copy.checked = true;
    copy.hidden = true;
    this.kept.set(copy.value, copy);
    if (!this.shelf) {
      this.shelf = Object.assign(document.createElement("div"), { hidden: true });
      this.list.after(this.shelf);
    }
    this.shelf.append(copy);
  }

  async ask(segment) {
    if (segment.ready || this.asked.has(segment) || !segment.nodes) return;
    const asking = new AbortController();
    this.asked.set(segment, asking);
    const url = new URL(this.address, location.href);
    if (segment.after) url.searchParams.set("after", segment.after);
    if (segment.until) url.searchParams.set("until", segment.until);
    try {
      const answer = await fetch(url, { headers: { "HX-Request": "true" }, signal: asking.signal });
      if (!answer.ok) throw new Error(String(answer.status));
      const template = document.createElement("template");
      template.innerHTML = await answer.text();
      if (!segment.nodes) return;
      this.arrive(segment, [...template.content.children]);
    } catch {
      if (!asking.signal.aborted) setTimeout(() => this.soon(), 3000);
    } finally {
      if (this.asked.get(segment) === asking) this.asked.delete(segment);
    }
  }

  arrive(segment, cards) {
    const at = this.anchor();
    const moved = segment.count !== cards.length;
    const focus = document.activeElement?.closest?.("[data-item]")?.id;
    const checked = new Set(
      segment.nodes.flatMap((node) => [...(node.querySelectorAll?.("[data-pick]:checked") ?? [])]).map((pick) => pick.value),
    );
    const ids = new Set(cards.map((card) => card.id));
    for (const other of this.segments) {
      // A card that moved in the order since the list was cut is where it is now, once.
      if (other === segment || !other.nodes) continue;
      const rest = other.nodes.filter((node) => !node.id || !ids.has(node.id));
      if (rest.length !== other.nodes.length) {
        other.nodes = rest;
        other.count = rest.length;
      }
    }
    for (const card of cards) {
      const pick = card.querySelector("[data-pick]");
      const kept = pick && this.kept.get(pick.value);
      if (pick && (kept || checked.has(pick.value))) pick.checked = true;
      kept?.remove();
      if (pick) this.kept.delete(pick.value);
    }
    segment.nodes = cards;
    segment.count = cards.length;
    segment.ready = true;
    this.draw();
    if (moved && at.place > 0) this.scrollTo(at);
    for (const card of cards) {
      window.htmx?.process(card);
      card.dispatchEvent(new CustomEvent("htmx:load", { bubbles: true, detail: { elt: card } }));
    }
    if (focus && document.activeElement === document.body)
      document.getElementById(focus)?.querySelector("a[href]")?.focus({ preventScroll: true });
  }

  // ------------------------------------------------------------------------------------- what others do to the list
  mutate(change) {
    this.others.disconnect();
    change();
    this.others.observe(this.list, { childList: true });
  }

  // Live pushes put cards in front, replace them and take them away: what is counted follows.
  adopt() {
    if (!this.list.isConnected) return this.end();
    const places = new Map();
    for (const segment of this.segments) for (const node of segment.nodes ?? []) places.set(node, segment);
    const now = new Set(this.list.children);
    const byId = new Map([...places.keys()].filter((node) => node.id).map((node) => [node.id, node]));
    let head = this.segments[0];
    for (const node of [...this.list.children]) {
      if (places.has(node) || !node.matches("[data-item]")) continue;
      const old = byId.get(node.id);
      const isFirst = node === this.list.firstElementChild;
      if (old && !now.has(old) && !isFirst) {
        const segment = places.get(old);
        segment.nodes[segment.nodes.indexOf(old)] = node;
        places.set(node, segment);
        places.delete(old);
      } else if (head.nodes) {
        head.nodes.unshift(node);
        head.count += 1;
        places.set(node, head);
      } else {
        head.count += 1;
        node.remove();
      }
    }
    for (const segment of this.segments) {
      if (!segment.nodes) continue;
      const rest = segment.nodes.filter((node) => now.has(node) || this.list.contains(node));
      if (rest.length !== segment.nodes.length) {
        segment.count -= segment.nodes.length - rest.length;
        segment.nodes = rest;
      }
    }
    this.soon();
    return undefined;
  }

  resize() {
    if (!this.list.isConnected) return this.end();
    const { columns, row } = this.metrics;
    const at = this.anchor();
    const style = getComputedStyle(this.list);
    if (this.list.clientWidth === this.width && style.gridTemplateColumns.split(" ").length === columns) return undefined;
    this.list.style.gridAutoRows = "";
    this.measure();
    if (this.metrics.columns === columns && this.metrics.row === row) return void this.draw();
    this.draw();
    if (at.place > 0) this.scrollTo(at);
    this.draw();
    return undefined;
  }

  // -------------------------------------------------------------------------------------------- back where one was
  get key() {
    return `grid:${location.pathname}${location.search}`;
  }

  remember() {
    try {
      sessionStorage.setItem(this.key, JSON.stringify(this.anchor()));
    } catch {
      // Only the place is lost.
    }
  }

  resume() {
    const entry = performance.getEntriesByType("navigation")[0];
    if (!entry || !["back_forward", "reload"].includes(entry.type)) return;
    try {
      const at = JSON.parse(sessionStorage.getItem(this.key) ?? "null");
      if (at?.place) this.scrollTo(at);
    } catch {
      // As above.
    }
  }
}

const grids = new Set();

export function start() {
  // Who belongs into the list, or the order of it, has changed.
  document.addEventListener("live:stale", ({ target }) => {
    for (const grid of grids) if (target.contains(grid.list)) grid.renew();
  });
  window.addEventListener("pagehide", () => {
    for (const grid of grids) if (grid.list.isConnected && grid.segments.length) grid.remember();
  });
}

export function mount(root) {
  for (const grid of grids) {
    if (grid.list.isConnected) continue;
    grid.end();
    grids.delete(grid);
  }
  for (const list of within(root, "[data-grid]")) {
    if ([...grids].some((grid) => grid.list === list)) continue;
    const grid = new Grid(list);
    grids.add(grid);
    grid.begin();
  }
}
