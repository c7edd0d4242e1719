"use strict";
const table = document.getElementById("table"), filter = document.getElementById("filter");

// The table of grades: sorted by its headings, and only the students that are looked for.
if (table) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, i) => head.firstElementChild.addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === (i ? "descending" : "ascending") ? -1 : 1;
    heads.forEach((h) => h.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", (sign === 1) === (i > 0) ? "descending" : "ascending");
    const by = i ? (a, b) => b.cells[i].dataset.v - a.cells[i].dataset.v
                 : (a, b) => a.cells[0].textContent.localeCompare(b.cells[0].textContent);
    body.append(...[...body.rows].sort((a, b) => sign * by(a, b)));
  }));
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    const hide = (element, name) => { element.hidden = !name.toLowerCase().includes(wanted); };
    for (const row of body.rows) hide(row, row.cells[0].textContent);
    for (const own of document.querySelectorAll("details.student")) hide(own, own.querySelector("bdi").textContent);
  });
}

// A link leads to what is folded away, too.
const unfold = () => {
  const target = document.getElementById(location.hash.slice(1));
  for (let above = target; above; above = above.parentElement) if (above.tagName === "DETAILS") above.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", unfold);
unfold();

// In print everything is open.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const one of folded) one.open = true;
});
addEventListener("afterprint", () => { for (const one of folded) one.open = false; });

// Overrides: decided beside the answer, collected as TOML below.
const overrides = new Map(), pane = document.getElementById("overrides");
const quoted = (text) => JSON.stringify(text.toWellFormed()).replaceAll("\u007f", "\\u007f");
const list = () => {
  pane.hidden = !overrides.size;
  document.getElementById("count").textContent = `${overrides.size} override${overrides.size === 1 ? "" : "s"}`;
  document.getElementById("toml").textContent = [...overrides.values()].join("\n");
  document.getElementById("copied").textContent = "";
};
const decide = (exercise, button) => {
  const { student, exercise: number, of, points } = exercise.dataset;
  const form = document.getElementById("override").content.cloneNode(true).firstElementChild;
  const field = (name) => form.querySelector(`[name=${name}]`);
  const close = () => { form.remove(); button.hidden = false; button.focus(); };
  field("points").max = of;
  field("points").value = points === of ? 0 : of;
  field("add").addEventListener("click", () => {
    const given = field("points").valueAsNumber, reason = field("reason").value.trim();
    if (!(given >= 0 && given <= Number(of))) return field("points").focus();
    if (!reason) return field("reason").focus();
    overrides.set(exercise.id, "[[override]]\n" +
      `student = ${student}\nexercise = "${number}"\npoints = ${given}\nreason = ${quoted(reason)}\n`);
    button.textContent = `override: ${given} of ${of}`;
    list();
    close();
  });
  field("drop").addEventListener("click", () => {
    overrides.delete(exercise.id);
    button.textContent = "Override";
    list();
    close();
  });
  button.hidden = true;
  exercise.append(form);
  field("reason").focus();
};
// The buttons are made where they can be seen: a class has thousands of answers.
document.addEventListener("toggle", ({ target }) => {
  if (!target.open || !target.matches("details.student") || target.dataset.made) return;
  target.dataset.made = "yes";
  for (const exercise of target.querySelectorAll(".exercise")) {
    const button = document.createElement("button");
    button.textContent = "Override";
    button.className = "decide";
    button.addEventListener("click", () => decide(exercise, button));
    exercise.firstElementChild.append(button);
  }
}, true);
document.getElementById("copy").addEventListener("click", async (event) => {
  event.preventDefault();
  const text = document.getElementById("toml"), said = document.getElementById("copied");
  try {
    await navigator.clipboard.writeText(text.textContent);
    said.textContent = "copied: paste it into rules.toml and grade again";
  } catch {
    getSelection().selectAllChildren(text);
    said.textContent = "selected: copy it with Ctrl+C";
  }
});
addEventListener("beforeunload", (event) => { if (overrides.size) event.preventDefault(); });
