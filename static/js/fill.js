// <button data-fills="#form" data-fill-login="…" data-fill-password="…"> writes into the fields of a form and focuses its button.
export function start() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-fills]");
    const form = button && document.querySelector(button.dataset.fills);
    if (!form) return;
    for (const { name, value } of button.attributes) {
      const field = name.startsWith("data-fill-") && form.elements[name.slice("data-fill-".length)];
      if (!field) continue;
      field.value = value;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    form.querySelector("[type=submit]")?.focus();
  });
}
