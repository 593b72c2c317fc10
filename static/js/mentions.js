// Picking people in a text: after @ a list of those who can be mentioned, narrowed by what follows. Arrows choose, Enter or Tab
// takes, Escape closes; so does a click. Without JavaScript the name is simply written.
const AT = /(^|[^\w])@([^@\n]{0,40})$/;

const list = (field) => field.form?.querySelector("[data-people]");
const shown = (people) => [...people.children].filter((one) => !one.hidden);

function close(field) {
  const people = list(field);
  if (!people || people.hidden) return;
  people.hidden = true;
  field.removeAttribute("aria-activedescendant");
}

function mark(field, people, chosen) {
  for (const one of people.children) one.setAttribute("aria-selected", String(one === chosen));
  if (chosen) {
    field.setAttribute("aria-activedescendant", chosen.id);
    chosen.scrollIntoView({ block: "nearest" });
  }
}

function narrow(field) {
  const people = list(field);
  if (!people) return;
  const found = AT.exec(field.value.slice(0, field.selectionStart));
  const typed = found?.[2].toLowerCase() ?? null;
  let any = 0;
  for (const one of people.children) {
    const name = one.dataset.name.toLowerCase();
    const fits = typed !== null && (name.startsWith(typed) || name.split(/\s+/).some((word) => word.startsWith(typed)));
    one.hidden = !fits || any >= 8;
    any += fits ? 1 : 0;
  }
  people.hidden = any === 0;
  if (any) mark(field, people, shown(people)[0]);
  else field.removeAttribute("aria-activedescendant");
}

function take(field, one) {
  const end = field.selectionStart;
  const found = AT.exec(field.value.slice(0, end));
  if (!found) return;
  const start = end - found[2].length;
  field.setRangeText(`${one.dataset.handle} `, start, end, "end");
  close(field);
  field.focus();
}

export function start() {
  document.addEventListener("input", (event) => event.target.matches?.("[data-mentions]") && narrow(event.target));
  document.addEventListener(
    "keydown",
    (event) => {
      const field = event.target;
      if (!field.matches?.("[data-mentions]")) return;
      const people = list(field);
      if (!people || people.hidden) return;
      const all = shown(people);
      const at = all.findIndex((one) => one.getAttribute("aria-selected") === "true");
      if (event.key === "ArrowDown" || event.key === "ArrowUp")
        mark(field, people, all[(at + (event.key === "ArrowDown" ? 1 : -1) + all.length) % all.length]);
      else if ((event.key === "Enter" && !event.ctrlKey && !event.metaKey) || event.key === "Tab") take(field, all[at]);
      else if (event.key === "Escape") close(field);
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
    true,
  );
  document.addEventListener("pointerdown", (event) => {
    const one = event.target.closest?.("[data-people] [role=option]");
    if (!one) return;
    event.preventDefault();
    take(one.closest("form").querySelector("[data-mentions]"), one);
  });
  document.addEventListener("focusout", (event) => event.target.matches?.("[data-mentions]") && close(event.target));
}
