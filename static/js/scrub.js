// Hovering over a picture with data-scrub="url url …" runs through them, left to right; leaving shows the first again.
import { within } from "./within.js";

export function mount(root) {
  if (!matchMedia("(hover: hover)").matches) return;
  for (const frame of within(root, "[data-scrub]")) {
    const image = frame.querySelector("img:not(.blur)");
    const urls = [image.src, ...frame.dataset.scrub.split(/\s+/).filter(Boolean)];
    const own = { src: image.src, srcset: image.srcset };
    let loaded = false;
    frame.addEventListener("pointermove", (event) => {
      if (event.pointerType === "touch") return;
      if (!loaded) for (const url of urls) new Image().src = url;
      loaded = true;
      const box = frame.getBoundingClientRect();
      const at = Math.min(
        urls.length - 1,
        Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * urls.length)),
      );
      image.srcset = "";
      if (image.src !== urls[at]) image.src = urls[at];
    });
    frame.addEventListener("pointerleave", () => {
      image.src = own.src;
      image.srcset = own.srcset;
    });
  }
}
