"use strict";

// Tables: a press on a column's name sorts by it; names upwards first, numbers downwards; what is missing stays last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const isNumber = head.classList.contains("number");
    const before = head.getAttribute("aria-sort");
    const upwards = before ? before === "descending" : !isNumber;
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", upwards ? "ascending" : "descending");
    const valueOf = (row) => row.cells[column].dataset.value;
    const compare = (one, other) => isNumber ? one - other : one.localeCompare(other);
    const rows = [...table.tBodies[0].rows].sort((one, other) => {
      const [a, b] = [valueOf(one), valueOf(other)];
      if (a === "" || b === "") return (a === "") - (b === "");
      return upwards ? compare(a, b) : compare(b, a);
    });
    table.tBodies[0].append(...rows);
  }));
}

// Pictures: of each, two views lie on each other, and a slider says how far the right one reaches. Without this script,
// and on paper, all four stand side by side.
const wipers = [...document.querySelectorAll(".wiper")];
if (wipers.length) {
  const left = document.getElementById("left-view");
  const right = document.getElementById("right-view");
  const wipe = (wiper) => {
    const range = wiper.querySelector("input");
    wiper.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${left.value} on the left ${range.value} %, ${right.value} on the right`);
  };
  const choose = () => wipers.forEach((wiper) => {
    for (const image of wiper.querySelectorAll("img")) {
      image.classList.toggle("left", image.dataset.view === left.value);
      image.classList.toggle("right", image.dataset.view === right.value);
    }
    wipe(wiper);
  });
  document.documentElement.classList.add("wiping");
  left.addEventListener("change", choose);
  right.addEventListener("change", choose);
  wipers.forEach((wiper) => wiper.querySelector("input").addEventListener("input", () => wipe(wiper)));
  choose();
}
