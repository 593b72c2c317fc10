// The entry: one small module per behaviour. Each works when its element exists and leaves the page alone otherwise.
import * as annotate from "./annotate.js";
import * as compare from "./compare.js";
import * as copy from "./copy.js";
import * as cursors from "./cursors.js";
import * as days from "./days.js";
import * as dialog from "./dialog.js";
import * as draft from "./draft.js";
import * as editing from "./editing.js";
import * as fill from "./fill.js";
import * as grid from "./grid.js";
import * as follow from "./follow.js";
import * as idempotency from "./idempotency.js";
import * as keys from "./keys.js";
import * as live from "./live.js";
import * as liveSwap from "./live-swap.js";
import * as mentions from "./mentions.js";
import * as menu from "./menu.js";
import * as palette from "./palette.js";
import * as poll from "./poll.js";
import * as presence from "./presence.js";
import * as print from "./print.js";
import * as scrub from "./scrub.js";
import * as select from "./select.js";
import * as surround from "./surround.js";
import * as swap from "./swap.js";
import * as texts from "./texts.js";
import * as time from "./time.js";
import * as toast from "./toast.js";
import * as upload from "./upload.js";
import * as votes from "./votes.js";

const modules = [
  idempotency,
  swap,
  toast,
  dialog,
  menu,
  surround,
  select,
  palette,
  keys,
  compare,
  mentions,
  annotate,
  copy,
  upload,
  poll,
  days,
  texts,
  time,
  draft,
  editing,
  fill,
  liveSwap,
  live,
  presence,
  cursors,
  follow,
  grid,
  print,
  scrub,
  votes,
];

// `start` listens on the document, once; `mount` looks at elements that are new in the page.
for (const module of modules) module.start?.();
for (const module of modules) module.mount?.(document.body);
document.addEventListener("htmx:load", (event) => {
  if (event.detail.elt === document.body) return;
  for (const module of modules) module.mount?.(event.detail.elt);
});
