// Before the first paint: what this browser remembers about how the room looks. Loaded without defer, kept tiny.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  try {
    root.dataset.surround = localStorage.getItem("surround") || root.dataset.surround;
    if (localStorage.getItem("rail") === "narrow") root.dataset.rail = "narrow";
  } catch {
    // Storage may be switched off; the defaults of the page then stand.
  }
})();
