"use strict";
// Sorting, filtering and the compare view. Text only ever becomes text: no markup is made from data.

function sortKey(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.sort !== undefined ? cell.dataset.sort : cell.textContent.trim();
  if (text === "" || text === "–") return null;
  const number = Number(text);
  return Number.isNaN(number) ? text.toLowerCase() : number;
}

function order(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortBy(table, column, descending) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row, place) => ({ row, place, key: sortKey(row, column) }));
  rows.sort((a, b) => {
    // What is missing comes last, both ways.
    if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.place - b.place;
    return (descending ? -1 : 1) * order(a.key, b.key) || a.place - b.place;
  });
  body.append(...rows.map((each) => each.row));
  const headers = table.tHead.rows[table.tHead.rows.length - 1].cells;
  Array.from(headers).forEach((header, place) => {
    if (place === column) header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else header.removeAttribute("aria-sort");
  });
}

function makeSortable(table) {
  const headers = table.tHead.rows[table.tHead.rows.length - 1].cells;
  Array.from(headers).forEach((header, column) => {
    if (!header.textContent.trim() || Array.from(table.tBodies[0].rows).every((row) => sortKey(row, column) === null)) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    header.replaceChildren(button);
    button.addEventListener("click", () => sortBy(table, column, header.getAttribute("aria-sort") === "ascending"));
  });
}

function makeFilter(form, table) {
  const rows = Array.from(table.tBodies[0].rows, (row) => ({ row, key: JSON.parse(row.dataset.key) }));
  const fields = Array.from(form.querySelectorAll("[data-column]"));
  const said = form.querySelector("output");
  const apply = () => {
    let shown = 0;
    for (const { row, key } of rows) {
      row.hidden = !fields.every((field) => {
        const text = key[Number(field.dataset.column)];
        return field.tagName === "SELECT"
          ? field.value === "" || text === field.value
          : text.toLowerCase().includes(field.value.trim().toLowerCase());
      });
      shown += row.hidden ? 0 : 1;
    }
    said.textContent = `${shown} of ${rows.length} shown`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}

function printed(value, style, signed) {
  const scale = style === "share" ? 100 : 1;
  const digits = style === "count" ? (Number.isInteger(value) ? 0 : 1) : style === "share" ? 2 : 3;
  const text = Math.abs(scale * value).toFixed(digits);
  const zero = Number(text) === 0;
  return (value < 0 && !zero ? "−" : signed && !zero ? "+" : "") + text;
}

function numberText(numbers, style) {
  if (!numbers) return "–";
  const [mean, spread] = numbers;
  return printed(mean, style, false) + (spread === null ? "" : ` ± ${printed(spread, style, false)}`);
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function bar(value, end) {
  const space = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(space, "svg");
  const attributes = { class: "bar", viewBox: "0 0 120 14", "aria-hidden": "true" };
  for (const [name, text] of Object.entries(attributes)) drawing.setAttribute(name, text);
  const length = end > 0 ? (60 * Math.abs(value)) / end : 0;
  const shape = document.createElementNS(space, "rect");
  const zero = document.createElementNS(space, "path");
  zero.setAttribute("class", "zero");
  zero.setAttribute("d", "M60 0V14");
  const places = { class: value > 0 ? "rise" : "fall", x: value > 0 ? 60 : 60 - length, y: 2, width: length, height: 10 };
  for (const [name, text] of Object.entries(places)) shape.setAttribute(name, text);
  drawing.append(zero, shape);
  return drawing;
}

function comparedRow([, name, style, values], a, b, end) {
  const row = document.createElement("tr");
  const lead = element("th", name);
  lead.scope = "row";
  lead.title = name;
  row.append(lead);
  for (const side of [a, b]) row.append(element("td", numberText(values[side], style), "number"));
  const both = values[a] && values[b];
  const moved = both ? values[b][0] - values[a][0] : null;
  row.append(element("td", both ? printed(moved, style, true) : "–", "number"));
  const last = document.createElement("td");
  if (both) last.append(bar(moved, end));
  row.append(last);
  return row;
}

function comparedTable(title, rows, names, a, b) {
  const box = element("div", undefined, "scroll");
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", title);
  const table = document.createElement("table");
  const head = document.createElement("tr");
  for (const [text, className] of [["Number"], [`A: ${names[0]}`, "number"], [`B: ${names[1]}`, "number"], ["B − A", "number"], [""]]) {
    const header = element(text ? "th" : "td", text, className);
    if (text) header.scope = "col";
    head.append(header);
  }
  const ends = {};
  for (const [, , style, values] of rows) {
    if (values[a] && values[b]) ends[style] = Math.max(ends[style] || 0, Math.abs(values[b][0] - values[a][0]));
  }
  table.append(element("caption", title));
  table.createTHead().append(head);
  table.createTBody().append(...rows.map((row) => comparedRow(row, a, b, ends[row[2]] || 0)));
  box.append(table);
  return box;
}

function difference(row, a, b) {
  const values = row[3];
  return values[a] && values[b] ? Math.abs(values[b][0] - values[a][0]) : -1;
}

function makeCompare(form, data) {
  const [first, second] = ["side-a", "side-b"].map((id) => document.getElementById(id));
  const sorting = document.getElementById("order");
  const place = document.getElementById("versus-tables");
  const names = data.groups.map(([dataset, model, label]) => `${label} (${model}, ${dataset})`);
  for (const select of [first, second]) names.forEach((name, k) => select.append(new Option(name, k)));

  const show = () => {
    const [a, b] = [Number(first.value), Number(second.value)];
    const rows = data.rows.filter((row) => row[3][a] || row[3][b]);
    const sections = [...new Set(rows.map((row) => row[0]))];
    const titles = [data.groups[a][2], data.groups[b][2]];
    place.replaceChildren(
      ...sections.map((section) => {
        const mine = rows.filter((row) => row[0] === section);
        if (sorting.value) mine.sort((x, y) => difference(y, a, b) - difference(x, a, b));
        return comparedTable(section, mine, titles, a, b);
      }),
    );
    form.querySelector("output").textContent = `${rows.length} numbers`;
  };
  const fromAddress = () => {
    const chosen = (location.hash.slice(1).match(/^(\d+)-(\d+)$/) || []).slice(1).map(Number);
    const known = chosen.length === 2 && chosen.every((k) => k < names.length);
    [first.value, second.value] = known ? chosen : [0, Math.min(1, names.length - 1)];
    show();
  };
  form.addEventListener("input", () => {
    history.replaceState(null, "", `#${first.value}-${second.value}`);
    show();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", fromAddress);
  form.hidden = false;
  fromAddress();
}

document.querySelectorAll("table.sortable").forEach(makeSortable);
const filterForm = document.getElementById("filter");
if (filterForm) makeFilter(filterForm, document.getElementById("leaderboard"));
const compareForm = document.getElementById("versus");
if (compareForm) {
  const data = JSON.parse(document.getElementById("versus-data").textContent);
  if (data.groups.length) makeCompare(compareForm, data);
}
