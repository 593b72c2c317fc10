// Many files, each on its own way: three at a time, with its own progress, key and retry. A row is replaced by the server's.
//
// <form data-upload action data-upload-list data-upload-parallel data-upload-max-mb> with one file input, and templates
// [data-upload-row] and [data-upload-veil]. Each file is POSTed under the input's name with the form's other fields and
// `HX-Request`, and the server answers with the row's HTML (whatever the status). `uploads:done` follows the last one.
import { csrfToken } from "./csrf.js";
import { sentence } from "./swap.js";
import { within } from "./within.js";

const UNITS = ["B", "kB", "MB", "GB"];

export function size(bytes) {
  const power = Math.min(UNITS.length - 1, bytes < 1 ? 0 : Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${value < 10 && power ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`;
}

class Uploads {
  constructor(form) {
    this.form = form;
    this.input = form.querySelector("input[type=file]");
    this.list = document.querySelector(form.dataset.uploadList);
    this.template = form.querySelector("template[data-upload-row]");
    this.sum = form.querySelector("[data-upload-sum]");
    this.parallel = Number(form.dataset.uploadParallel) || 3;
    this.limit = (Number(form.dataset.uploadMaxMb) || 50) * 1_000_000;
    this.items = [];
    this.input.addEventListener("change", () => {
      this.add([...this.input.files]);
      this.input.value = "";
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.querySelector("[data-upload-retry-all]")?.addEventListener("click", () => {
      for (const item of this.items) if (item.state === "failed" && item.canRetry) this.retry(item);
    });
  }

  add(files) {
    for (const file of files) {
      const row = this.template.content.firstElementChild.cloneNode(true);
      const item = { file, row, state: "waiting", sent: 0, key: crypto.randomUUID(), canRetry: true };
      row.querySelector("[data-row-name]").textContent = file.name;
      row.querySelector("[data-row-size]").textContent = size(file.size);
      this.thumbnail(item);
      row.querySelector("[data-row-retry]").addEventListener("click", () => this.retry(item));
      row.querySelector("[data-row-remove]").addEventListener("click", () => this.remove(item));
      this.list.append(row);
      this.items.push(item);
      if (file.size > this.limit)
        this.fail(item, `This file has ${size(file.size)}; at most ${size(this.limit)} can be taken.`, false);
      else if (file.size === 0) this.fail(item, "This file is empty.", false);
    }
    this.next();
  }

  thumbnail(item) {
    const image = item.row.querySelector("[data-row-thumb]");
    if (!item.file.type.startsWith("image/") || item.file.type.includes("svg") || item.file.size > this.limit)
      return image.remove();
    const url = URL.createObjectURL(item.file);
    image.addEventListener("load", () => URL.revokeObjectURL(url));
    image.addEventListener("error", () => (URL.revokeObjectURL(url), image.remove()));
    image.src = url;
    return undefined;
  }

  next() {
    const running = this.items.filter((item) => item.state === "sending").length;
    const waiting = this.items.filter((item) => item.state === "waiting");
    for (const item of waiting.slice(0, Math.max(0, this.parallel - running))) this.send(item);
    this.report();
  }

  send(item) {
    item.state = "sending";
    this.say(item, "Uploading");
    const body = new FormData(this.form);
    body.delete(this.input.name);
    body.append(this.input.name, item.file, item.file.name);
    const xhr = new XMLHttpRequest();
    item.xhr = xhr;
    xhr.open("POST", this.form.action);
    xhr.setRequestHeader("X-CSRFToken", csrfToken());
    xhr.setRequestHeader("Idempotency-Key", item.key);
    xhr.setRequestHeader("HX-Request", "true");
    xhr.setRequestHeader("Accept", "text/html");
    const bar = item.row.querySelector("[data-row-progress]");
    xhr.upload.addEventListener("progress", (event) => {
      item.sent = event.loaded;
      bar.value = event.total ? event.loaded / event.total : 0;
      if (event.loaded >= event.total) {
        // All is there; now the server looks at it, and nobody knows how long that takes.
        bar.removeAttribute("value");
        this.say(item, "Looking at it");
      }
      this.report();
    });
    xhr.addEventListener("load", () => this.answer(item, xhr));
    xhr.addEventListener("error", () => this.fail(item, "The studio could not be reached. The file is still here."));
    xhr.addEventListener("abort", () => this.next());
    xhr.send(body);
  }

  answer(item, xhr) {
    const html = (xhr.getResponseHeader("Content-Type") ?? "").includes("html");
    const parsed = html ? new DOMParser().parseFromString(`<ul>${xhr.responseText}</ul>`, "text/html") : null;
    const row = parsed?.querySelector("ul > li.upload");
    if (!row) return this.fail(item, sentence(xhr), xhr.status === 0 || xhr.status === 429 || xhr.status >= 500);
    const fresh = document.importNode(row, true);
    const focused = item.row.contains(document.activeElement);
    item.row.replaceWith(fresh);
    item.row = fresh;
    item.state = "done";
    item.sent = item.file.size;
    window.htmx?.process(fresh);
    fresh.dispatchEvent(new CustomEvent("htmx:load", { bubbles: true, detail: { elt: fresh } }));
    if (focused) fresh.querySelector("button, a")?.focus();
    return this.next();
  }

  say(item, words) {
    item.row.querySelector("[data-row-words]").textContent = words;
  }

  fail(item, words, canRetry = true) {
    item.state = "failed";
    item.canRetry = canRetry;
    item.row.classList.add("rejected");
    item.row.querySelector("[data-row-progress]").hidden = true;
    item.row.querySelector("[data-row-retry]").hidden = !canRetry;
    const place = item.row.querySelector("[data-row-words]");
    place.replaceChildren(Object.assign(document.createElement("b"), { textContent: "Not uploaded." }), ` ${words}`);
    this.next();
  }

  retry(item) {
    // The same file, the same key: if the first attempt did arrive, the server answers with its result.
    item.state = "waiting";
    item.sent = 0;
    item.row.classList.remove("rejected");
    const bar = item.row.querySelector("[data-row-progress]");
    bar.hidden = false;
    bar.value = 0;
    item.row.querySelector("[data-row-retry]").hidden = true;
    this.say(item, "Waiting");
    this.next();
  }

  remove(item) {
    this.items = this.items.filter((one) => one !== item);
    if (item.state === "sending") item.xhr.abort();
    const heir = item.row.nextElementSibling ?? item.row.previousElementSibling;
    item.row.remove();
    (heir?.querySelector("[data-row-remove], button") ?? this.input).focus();
    this.report();
  }

  report() {
    const { items, sum } = this;
    const settled = items.filter((item) => ["done", "failed"].includes(item.state));
    const failed = items.filter((item) => item.state === "failed" && item.canRetry);
    const open = items.length - settled.length;
    if (sum) {
      sum.hidden = items.length === 0;
      const total = items.reduce((all, item) => all + item.file.size, 0) || 1;
      sum.querySelector("progress").value =
        items.reduce(
          (all, item) => all + (item.state === "done" || item.state === "failed" ? item.file.size : item.sent),
          0,
        ) / total;
      sum.querySelector("progress").hidden = open === 0;
      const words = open
        ? `${settled.length} of ${items.length} uploaded`
        : `${items.length - failed.length} of ${items.length} uploaded`;
      const place = sum.querySelector("[data-upload-words]");
      if (place.textContent !== words) place.textContent = words;
      sum.querySelector("[data-upload-retry-all]").hidden = open > 0 || failed.length === 0;
    }
    if (items.length && !open && !this.announced) {
      this.announced = true;
      document.body.dispatchEvent(
        new CustomEvent("uploads:done", { detail: { sent: items.length - failed.length, failed: failed.length } }),
      );
    }
    if (open) this.announced = false;
  }
}

const known = new WeakMap();
let veil = null;
let depth = 0;

function first() {
  const form = document.querySelector("form[data-upload]");
  return form ? known.get(form) : undefined;
}

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

function lower() {
  depth = 0;
  veil?.remove();
  veil = null;
}

export function start() {
  document.addEventListener("dragenter", (event) => {
    const uploads = first();
    if (!uploads || !hasFiles(event)) return;
    event.preventDefault();
    depth += 1;
    if (veil) return;
    veil = uploads.form.querySelector("template[data-upload-veil]").content.firstElementChild.cloneNode(true);
    document.body.append(veil);
  });
  document.addEventListener("dragover", (event) => first() && hasFiles(event) && event.preventDefault());
  document.addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    depth -= 1;
    if (depth <= 0) lower();
  });
  document.addEventListener("drop", (event) => {
    if (!first() || !hasFiles(event)) return;
    event.preventDefault();
    lower();
    const own = event.target.closest?.("form[data-upload]");
    (own ? known.get(own) : first()).add([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length || !first()) return;
    event.preventDefault();
    first().add(files);
  });
  window.addEventListener("beforeunload", (event) => {
    const open = [...document.querySelectorAll("form[data-upload]")].some((form) =>
      known.get(form)?.items.some((item) => ["waiting", "sending"].includes(item.state)),
    );
    if (open) event.preventDefault();
  });
}

export function mount(root) {
  for (const form of within(root, "form[data-upload]")) if (!known.has(form)) known.set(form, new Uploads(form));
}
