// One's own votes on the cells of a grid: asked for once for all cells that are new, and kept when the cells are pushed anew.
import { within } from "./within.js";

const known = new Map(); // "variation-<id>" -> {score, verdict}

function press(form) {
  const mine = known.get(form.dataset.quickVote);
  for (const button of form.querySelectorAll("button[name]")) {
    const value = button.name === "score" ? String(mine?.score ?? "") : (mine?.verdict ?? "");
    button.setAttribute("aria-pressed", String(value !== "" && value === button.value));
  }
}

function split(key) {
  const at = key.indexOf("-");
  return [key.slice(0, at), key.slice(at + 1)];
}

async function ask(forms) {
  const groups = new Map();
  for (const form of forms) {
    const [kind, id] = split(form.dataset.quickVote);
    const base = form.getAttribute("action").split("/votes/")[0];
    const group = `${base}/votes/mine/?kind=${kind}`;
    groups.set(group, [...(groups.get(group) ?? []), id]);
  }
  for (const [url, ids] of groups) {
    for (let from = 0; from < ids.length; from += 100) {
      const some = ids.slice(from, from + 100);
      try {
        const answer = await fetch(`${url}&${some.map((id) => `id=${id}`).join("&")}`);
        if (!answer.ok) return;
        const found = await answer.json();
        const kind = new URL(url, location.href).searchParams.get("kind");
        for (const id of some) known.set(`${kind}-${id}`, found[id] ?? {});
      } catch {
        return; // Away: what is pressed shows again with the next page.
      }
    }
  }
  forms.forEach(press);
}

export function start() {
  document.addEventListener("voted", ({ detail }) => {
    const said = detail.value ?? detail;
    known.set(said.key, { score: said.score, verdict: said.verdict });
    document.querySelectorAll(`[data-quick-vote="${CSS.escape(said.key)}"]`).forEach(press);
  });
}

export function mount(root) {
  const forms = within(root, "[data-quick-vote]");
  forms.filter((form) => known.has(form.dataset.quickVote)).forEach(press);
  const fresh = forms.filter((form) => !known.has(form.dataset.quickVote));
  if (fresh.length) ask(fresh);
}
