// <details data-menu>: arrows move, Escape and a click elsewhere close, one is open at a time.
function items(menu) {
  return [...menu.querySelectorAll(".sheet :is(a[href], button, input):not([hidden])")].filter(
    (item) => item.offsetParent,
  );
}

function close(menu, focus = false) {
  if (!menu.open) return;
  menu.open = false;
  if (focus) menu.querySelector("summary").focus();
}

export function start() {
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details[data-menu][open]"))
      if (!menu.contains(event.target)) close(menu);
  });
  document.addEventListener("focusin", (event) => {
    for (const menu of document.querySelectorAll("details[data-menu][open]"))
      if (!menu.contains(event.target)) close(menu);
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.target.closest?.("details[data-menu]");
    if (!menu) return;
    if (event.key === "Escape" && menu.open) {
      event.preventDefault();
      event.stopPropagation();
      close(menu, true);
      return;
    }
    if (event.target.type === "radio" || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
    event.preventDefault();
    menu.open = true;
    const all = items(menu);
    const step = event.key === "ArrowDown" ? 1 : -1;
    const at = all.indexOf(document.activeElement);
    all[(at + step + all.length + (at < 0 && step < 0 ? 1 : 0)) % all.length]?.focus();
  });
}
