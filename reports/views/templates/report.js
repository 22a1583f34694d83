(() => {
  const verdicts = ["agrees", "undecided", "suspect", "unanswered", "wrong"];
  for (const cell of document.querySelectorAll("td")) if (verdicts.includes(cell.textContent.trim())) cell.classList.add("verdict", cell.textContent.trim());
  const value = (row, k) => { const text = row.cells[k].textContent.replaceAll(",", ""); const x = parseFloat(text.replace("< ", "")); return Number.isNaN(x) ? text : x; };
  for (const filter of document.querySelectorAll("input[data-rows]")) {
    const table = document.getElementById(filter.dataset.rows).querySelector("table"), rows = [...table.tBodies[0].rows];
    [...table.tHead.rows[0].cells].forEach((cell, k) => {
      const button = document.createElement("button");
      button.textContent = cell.textContent; cell.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = cell.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", down ? "descending" : "ascending");
        rows.sort((a, b) => { const x = value(a, k), y = value(b, k); return (typeof x === typeof y ? (x > y) - (x < y) : typeof x === "number" ? -1 : 1) * (down ? -1 : 1); });
        table.tBodies[0].append(...rows);
      });
    });
    filter.closest("p").hidden = false;
    filter.addEventListener("input", () => { const words = filter.value.toLowerCase().split(/\s+/); for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word)); });
  }
})();
