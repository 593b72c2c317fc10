// The small things of the character pages: sliders that show their number, a dice for the seed, counts of ticked values, and
// the wish of a freshly uploaded row to be watched.
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

document.addEventListener("input", (event) => {
  const slider = event.target;
  if (!slider.matches?.("input[type=range][data-output]")) return;
  const output = slider.closest(".slider")?.querySelector("output");
  if (output) output.value = number.format(Number(slider.value));
});

document.addEventListener("click", (event) => {
  const dice = event.target.closest?.("[data-dice]");
  const field = dice && document.querySelector(dice.dataset.dice);
  if (!field) return;
  field.value = String(crypto.getRandomValues(new Uint32Array(1))[0]);
  field.dispatchEvent(new Event("input", { bubbles: true }));
});

function count(axis) {
  const more = axis.querySelector("input[type=text]")?.value.split(",").filter((word) => word.trim()).length ?? 0;
  const chosen = axis.querySelectorAll("input[type=checkbox]:checked").length + more;
  axis.querySelector("[data-axis-count]").textContent = chosen ? String(chosen) : "";
}

for (const kind of ["input", "change", "draft:restored"]) {
  document.addEventListener(kind, (event) => {
    const axis = event.target.closest?.("[data-axis]");
    if (axis) count(axis);
  });
}

// upload.js announces each row that the server answered with; the summary then looks after it until it is checked.
document.addEventListener("htmx:load", ({ detail }) => {
  if (detail.elt.matches?.("#uploads > li.upload.checking")) document.body.dispatchEvent(new CustomEvent("references:changed"));
});
