// <button data-opens="id"> opens a dialog, a click on its backdrop closes it; <button data-hides="#selector"> hides something.
// A form in a dialog that was accepted (htmx, 2xx) closes it.
export function start() {
  document.addEventListener("click", (event) => {
    const opener = event.target.closest?.("[data-opens]");
    if (opener) {
      opener.closest("details[open]")?.removeAttribute("open");
      document.getElementById(opener.dataset.opens)?.showModal();
      return;
    }
    const hider = event.target.closest?.("[data-hides]");
    if (hider) {
      document.querySelector(hider.dataset.hides)?.setAttribute("hidden", "");
      return;
    }
    if (event.target instanceof HTMLDialogElement && event.target.matches("[data-dialog]")) {
      const box = event.target.getBoundingClientRect();
      const inside =
        event.clientX >= box.left &&
        event.clientX <= box.right &&
        event.clientY >= box.top &&
        event.clientY <= box.bottom;
      if (!inside) event.target.close();
    }
  });
  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    if (detail.successful && detail.requestConfig.verb !== "get")
      detail.requestConfig.elt.closest?.("dialog[data-dialog]")?.close();
  });
}
