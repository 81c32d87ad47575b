// Tables sort by a click on a column's head: once up, twice down, a third time back to the order they came in.
(() => {
  const bytes = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };
  const seconds = { s: 1, m: 60, h: 3600, d: 86400 };
  // What a cell is sorted by: bytes, a duration, the number that it begins with, or its words. Nothing comes last.
  const key = (cell) => {
    const text = cell.textContent.trim().replace(/−/g, "-").replace(/(\d),(?=\d{3})/g, "$1");
    if (text === "" || text === "–" || text.startsWith("not ")) return null;
    const size = /^([\d.]+) ([KMGT]?i?B)$/.exec(text);
    if (size && bytes[size[2]]) return size[1] * bytes[size[2]];
    if (/^([\d.]+ ?[smhd] ?)+$/.test(text)) {
      return [...text.matchAll(/([\d.]+) ?([smhd])/g)].reduce((sum, part) => sum + part[1] * seconds[part[2]], 0);
    }
    const number = /^[+-]?\d+(\.\d+)?(e[+-]?\d+)?(?![\w-])/.exec(text);
    return number ? Number(number[0]) : text.toLowerCase();
  };
  const compare = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b, "en"));
  };
  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    if (rows.length < 2) continue;
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: null }[head.ariaSort ?? ""];
        const order = next === undefined ? "ascending" : next;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (order) head.setAttribute("aria-sort", order);
        const sign = order === "descending" ? -1 : 1;
        const keyed = rows.map((row) => [key(row.cells[column]), row]);
        if (order) keyed.sort((a, b) => compare(a[0], b[0], sign));
        body.append(...keyed.map((pair) => pair[1]));
      });
    });
  }
})();
