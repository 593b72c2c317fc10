// <button data-copy="#field"> puts the value of a field (or the text of an element) on the clipboard and says so on the button.
export function start() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    const source = button && document.querySelector(button.dataset.copy);
    if (!source) return;
    const text = source.value ?? source.textContent.trim();
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without the right to the clipboard (plain HTTP): select it, so that one keystroke copies it.
      done = false;
      source.focus();
      source.select?.();
    }
    const words = [...button.childNodes].find((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!words) return;
    const before = words.data;
    words.data = done ? "Copied" : "Press Ctrl C";
    setTimeout(() => (words.data = before), 2000);
  });
}
