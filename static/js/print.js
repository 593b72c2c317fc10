// <button data-print> prints the page.
export function start() {
  document.addEventListener("click", (event) => event.target.closest?.("[data-print]") && window.print());
}
