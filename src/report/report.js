"use strict";
{
  // Tables sort by a click on a column's head: once up, twice down, a third time back to the order they came in.
  const bytes = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };
  const seconds = { s: 1, m: 60, h: 3600, d: 86400 };
  // What a cell is sorted by: bytes, a duration, the number that it begins with, or its words. Nothing comes last.
  const key = (cell) => {
    const text = cell.textContent.trim().replace(/[−\u00a0]/g, (c) => (c === "−" ? "-" : " ")).replace(/(\d),(?=\d{3})/g, "$1");
    if (text === "" || text === "–" || text.startsWith("not ")) return null;
    const size = /^([\d.]+) ([KMGT]?i?B)$/.exec(text);
    if (size && bytes[size[2]]) return size[1] * bytes[size[2]];
    const mean = text.split(" ± ")[0];
    if (/^([\d.]+ ?[smhd] ?)+$/.test(mean)) {
      return [...mean.matchAll(/([\d.]+) ?([smhd])/g)].reduce((sum, part) => sum + part[1] * seconds[part[2]], 0);
    }
    const number = /^[+-]?\d+(\.\d+)?(e[+-]?\d+)?(?![\w-])/.exec(text);
    return number ? Number(number[0]) : text.toLowerCase();
  };
  const compare = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b, "en"));
  };
  // A head stays a head without a button in it: browsers repeat heads with buttons on no further page of a print.
  const sortable = (table) => {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    if (rows.length < 2) return;
    heads.forEach((head, column) => {
      const sort = () => {
        const next = { ascending: "descending", descending: null }[head.ariaSort ?? ""];
        const order = next === undefined ? "ascending" : next;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (order) head.setAttribute("aria-sort", order);
        const keyed = rows.map((row) => [key(row.cells[column]), row]);
        if (order) keyed.sort((a, b) => compare(a[0], b[0], order === "descending" ? -1 : 1));
        body.append(...keyed.map((pair) => pair[1]));
      };
      head.dataset.sort = "";
      head.tabIndex = 0;
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (e) => {
        if (e.key === "Enter" || e.key === " ") (e.preventDefault(), sort());
      });
    });
  };

  const make = (tag, words, act) => {
    const element = document.createElement(tag);
    element.textContent = words;
    if (act) (element.type = "button"), element.addEventListener("click", act);
    return element;
  };
  const save = (name, type, content) => {
    const link = make("a", "");
    link.href = content instanceof Blob ? URL.createObjectURL(content) : `data:${type},${encodeURIComponent(content)}`;
    link.download = name;
    link.click();
  };
  const tools = (place, label, buttons) => {
    const bar = make("div", "");
    bar.className = "tools";
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", label);
    bar.append(...buttons);
    place.append(bar);
  };

  // Downloads of a table.
  const quoted = (cell) => `"${cell.textContent.trim().replace(/\u00a0/g, " ").replace(/"/g, '""')}"`;
  const asCsv = (table) => [...table.rows].map((row) => [...row.cells].map(quoted).join(",")).join("\n") + "\n";
  for (const table of document.querySelectorAll("table")) {
    sortable(table);
    const name = table.id.replace(/-table$/, "");
    tools(table.closest(".wide").parentElement, `${name}: download`, [make("button", "CSV", () => save(`${name}.csv`, "text/csv", asCsv(table)))]);
  }

  // Downloads of a drawing, and a closer look at it by buttons, the wheel with Ctrl, and dragging.
  const asPng = (svg, name) => {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [3 * svg.width.baseVal.value, 3 * svg.height.baseVal.value];
      const context = canvas.getContext("2d");
      context.fillStyle = "#fff";
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => save(`${name}.png`, "image/png", blob));
    };
    image.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(svg))}`;
  };
  for (const panel of document.querySelectorAll(".panel")) {
    const svg = panel.querySelector("svg");
    const box = svg.viewBox.baseVal;
    const whole = [box.x, box.y, box.width, box.height];
    const look = (x, y, width, height) => svg.setAttribute("viewBox", [x, y, width, height].join(" "));
    const zoom = (by, at = [0.5, 0.5]) => {
      const [width, height] = [Math.min(box.width / by, whole[2]), Math.min(box.height / by, whole[3])];
      const clamp = (from, size, least, room) => Math.max(least, Math.min(from, least + room - size));
      look(clamp(box.x + (box.width - width) * at[0], width, whole[0], whole[2]), clamp(box.y + (box.height - height) * at[1], height, whole[1], whole[3]), width, height);
    };
    svg.addEventListener("wheel", (e) => {
      if (!e.ctrlKey) return;
      e.preventDefault();
      const r = svg.getBoundingClientRect();
      zoom(e.deltaY < 0 ? 1.25 : 0.8, [(e.clientX - r.left) / r.width, (e.clientY - r.top) / r.height]);
    }, { passive: false });
    let from = null;
    svg.addEventListener("pointerdown", (e) => (from = box.width < whole[2] ? [e.clientX, e.clientY, box.x, box.y] : null));
    addEventListener("pointerup", () => (from = null));
    svg.addEventListener("pointermove", (e) => {
      if (!from) return;
      const unit = box.width / svg.getBoundingClientRect().width;
      look(from[2] - (e.clientX - from[0]) * unit, from[3] - (e.clientY - from[1]) * unit, box.width, box.height);
    });
    const name = panel.dataset.name;
    tools(panel, `${name}: zoom and download`, [
      make("button", "+", () => zoom(1.5)),
      make("button", "−", () => zoom(1 / 1.5)),
      make("button", "whole", () => look(...whole)),
      make("button", "SVG", () => save(`${name}.svg`, "image/svg+xml", svg.outerHTML.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" '))),
      make("button", "PNG", () => asPng(svg, name)),
    ]);
  }

  // What a mark stands for, under the pointer and by the arrow keys; a click leads to the cell that was found.
  const tip = document.getElementById("tip");
  const tell = (mark) => {
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.dataset.tip;
    const r = mark.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(r.left, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${r.top > tip.offsetHeight + 8 ? r.top - tip.offsetHeight - 6 : r.bottom + 6}px`;
  };
  const marked = (e) => e.target.closest?.("[data-tip]");
  document.addEventListener("pointerover", (e) => tell(marked(e)));
  document.addEventListener("focusin", (e) => tell(marked(e)));
  document.addEventListener("focusout", () => tell(null));
  const follow = (mark) => {
    const cell = mark?.dataset.cell && document.getElementById(mark.dataset.cell);
    if (!cell) return;
    for (let at = cell; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    cell.scrollIntoView({ block: "center" });
  };
  document.addEventListener("click", (e) => follow(marked(e)));
  for (const svg of document.querySelectorAll(".panel svg")) {
    // One stop of the tab key per drawing; the arrow keys go from mark to mark.
    const marks = [...svg.querySelectorAll("[data-tip]")];
    svg.querySelectorAll("title").forEach((title) => title.parentElement !== svg && title.remove());
    marks.forEach((mark, i) => {
      mark.setAttribute("tabindex", i ? -1 : 0);
      mark.setAttribute("role", "img");
      mark.setAttribute("aria-label", mark.dataset.tip);
      mark.addEventListener("keydown", (e) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
        const next = step && marks[i + step];
        if (next) {
          e.preventDefault();
          [mark.tabIndex, next.tabIndex] = [-1, 0];
          next.focus();
        }
        if (e.key === "Enter") follow(mark);
      });
    });
  }

  // A click on a method, here or in a legend, hides and shows it in all figures and tables.
  const filter = document.getElementById("filter");
  const firstOf = (row) => row.cells[0].childNodes[0]?.textContent.trim();
  const drawn = new Set([...document.querySelectorAll("svg [data-series]")].map((mark) => mark.dataset.series));
  const names = [...new Set([...document.querySelectorAll("tbody tr")].map(firstOf))].filter((name) => drawn.has(name));
  const toggle = (name) => {
    const button = [...filter.children].find((b) => b.textContent === name);
    if (!button) return;
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", shown);
    document.querySelectorAll("svg [data-series]").forEach((mark) => mark.dataset.series === name && mark.classList.toggle("gone", !shown));
    document.querySelectorAll("tbody tr").forEach((row) => firstOf(row) === name && row.classList.toggle("gone", !shown));
  };
  for (const name of names) {
    const button = make("button", name, () => toggle(name));
    button.setAttribute("aria-pressed", "true");
    filter.append(button);
  }
  filter.hidden = names.length < 2;
  document.querySelectorAll("svg .entry[data-series]").forEach((entry) => entry.addEventListener("click", () => toggle(entry.dataset.series)));

  // A link into a folded part opens it.
  const reveal = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target?.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();
}
