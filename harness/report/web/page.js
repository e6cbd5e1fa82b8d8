// Draws the charts as they come into sight, and makes long tables sortable and searchable.
const { config, specs } = JSON.parse(document.getElementById("specs").textContent);
const waiting = new Map([...document.querySelectorAll("[data-chart]")].map((place) => [place, specs[place.dataset.chart]]));

async function draw(place) {
  const spec = waiting.get(place);
  if (!spec) return;
  waiting.delete(place);
  const narrow = place.clientWidth < 500;
  const labels = { ...config.axis, labelLimit: narrow ? 130 : 320 };
  const options = { config: { ...config, axis: labels }, renderer: "svg", actions: false, ast: true, tooltip: { theme: "custom" } };
  if (narrow) options.config = { ...options.config, legend: { ...config.legend, columns: 2 } };
  await window.vegaEmbed(place, spec, options);
  place.style.minHeight = "";
  place.dataset.drawn = "";
}

const sight = new IntersectionObserver((seen) => {
  for (const one of seen) if (one.isIntersecting) { sight.unobserve(one.target); draw(one.target); }
}, { rootMargin: "600px" });
for (const place of waiting.keys()) sight.observe(place);

async function drawAll() { for (const place of [...waiting.keys()]) await draw(place); document.body.dataset.drawn = ""; }
(window.requestIdleCallback ?? ((later) => setTimeout(later, 200)))(drawAll);
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
  drawAll();
});

const PREFIXES = { n: 1e-9, "µ": 1e-6, m: 1e-3, k: 1e3, K: 2 ** 10, M: 1e6, G: 1e9, T: 1e12, P: 1e15 };
// A number with its prefix; "0.61 memory" has none, so a unit must follow, or nothing.
function key(text) {
  const found = /^[±\s]*([+-]?[\d.]+)\s*(?:([nµmkKMGTP])(i?)(?=(?:s|B|FLOP|Hz|W|J)(?![A-Za-z])|$))?/.exec(text);
  if (!found) return text ? text.toLowerCase() : null;
  const factor = found[2] ? PREFIXES[found[2]] : 1;
  return Number(found[1]) * (found[3] && factor > 2000 ? 2 ** (10 * Math.round(Math.log10(factor) / 3)) : factor);
}
function sort(table, column, header) {
  const up = header.getAttribute("aria-sort") !== "ascending";
  for (const one of table.tHead.rows[0].cells) one.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows].map((row) => [key(row.cells[column].textContent), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return up ? order : -order;
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}
for (const table of document.querySelectorAll("table[data-long]")) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.textContent = header.textContent;
    button.addEventListener("click", () => sort(table, column, header));
    header.replaceChildren(button);
  });
  const search = document.createElement("input");
  search.type = "search";
  search.placeholder = "only rows that contain …";
  search.setAttribute("aria-label", "Only rows that contain");
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase();
    for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
  table.parentElement.before(search);
}
