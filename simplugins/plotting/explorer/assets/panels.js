// The name of an input, its label isolated from the direction of the text around it.
function named(input) {
  const node = element("span", {}, "#" + input);
  if (data.labels) node.append(" ", element("bdi", {}, data.labels[input]));
  return node;
}

// A name that may break after its punctuation, as names of layers and measures do.
function breaking(name) {
  const parts = name.split(/(?<=[._/-])/);
  return parts.flatMap((part, k) => k ? [element("wbr"), part] : [part]);
}

// The panels next to the map: the pair under the pointer, legends, neighbours, and the table of comparisons.
function inputFigure(input) {
  const figure = element("figure", {}), name = nameOf(input);
  if (data.images) figure.append(element("img", {src: data.images[input], alt: name}));
  else if (data.tokens) figure.append(element("div", {class: "excerpt", dir: "auto"}, data.tokens[input].slice(0, 40).join(" ")));
  figure.append(element("figcaption", {title: name}, named(input)));
  return figure;
}

function rankOf(map, i, j) {
  if (i === j || !map.known) return "";
  if (map.near) { const place = nearPlace(map, i, j); return place < 0 ? "beyond " + data.neighbours : String(place + 1); }
  const row = rowOf(map, i), value = row[j];
  if (Number.isNaN(value)) return "";
  let rank = 1;
  for (let k = 0; k < data.count; k++) if (k !== i && (row[k] > value || (row[k] === value && k < j))) rank++;
  return rank + " of " + (data.count - 1);
}

function valueTable(i, j) {
  const table = element("table", {class: "values"}), head = element("tr", {});
  for (const text of ["", "similarity", "rank"]) head.append(element("th", {scope: "col"}, text));
  table.append(head);
  const values = [];
  data.measures.forEach((measure, k) => {
    const map = current[k], chosen = k === state.a.measure;
    if (!map) return;
    const value = map.known ? similarity(map, i, j) : NaN;
    if (map.known && value !== null && !Number.isNaN(value)) values.push([value, measure.name]);
    const row = element("tr", {class: chosen ? "chosen" : ""}, element("th", {scope: "row", title: measure.note}, measure.name));
    row.append(element("td", {"data-measure": measure.name}, map.known ? shown(value, map.step) : "–"), element("td", {}, rankOf(map, i, j)));
    table.append(row);
  });
  if (state.mode !== "single" && mapB.map && mapB.map.known && state.b.layer !== state.a.layer) {
    const value = similarity(mapB.map, i, j), label = data.layers[state.b.layer].name + ", " + data.measures[state.b.measure].name;
    table.append(element("tr", {}, element("th", {scope: "row"}, label), element("td", {"data-measure": "compared"}, shown(value, mapB.map.step)), element("td", {}, rankOf(mapB.map, i, j))));
  }
  return [table, difference(values)];
}

function difference(values) {
  if (values.length < 2 || data.measures.some((one) => !one.name.endsWith("-cosine"))) return "";
  const sorted = values.slice().sort((one, two) => two[0] - one[0]), most = sorted[0], least = sorted[sorted.length - 1];
  return element("p", {class: "name"}, "Measures differ by up to " + Number((most[0] - least[0]).toPrecision(3)) + ": " + most[1] + " is largest, " + least[1] + " smallest.");
}

function showCell() {
  const place = document.getElementById("cell"), inputs = view.hover || view.cursor || state.pair;
  if (!inputs) { place.replaceChildren("Point at a cell to see its two inputs; click it to see their matched positions."); return; }
  const [i, j] = inputs, [table, text] = valueTable(i, j);
  place.replaceChildren(element("div", {class: "both"}, inputFigure(i), inputFigure(j), table), text);
  place.dataset.i = i; place.dataset.j = j;
}

function showPairValues() {
  const [i, j] = state.pair, map = current[state.a.measure], place = document.getElementById("pair-values");
  const measure = data.measures[state.a.measure], value = map && map.known ? shown(similarity(map, i, j), map.step) : "–";
  place.replaceChildren(element("strong", {}, measure.name + " " + value), " in " + data.layers[state.a.layer].name + " (" + measure.note + ")");
}

function showLegend() {
  const place = document.getElementById("legend");
  place.replaceChildren();
  for (const one of maps) {
    place.append(bar(one.colours, plain(one.low), plain(one.high)));
  }
  const missing = element("span", {}, element("span", {class: "swatch hatched"}), "no value (NaN)");
  place.append(missing);
  if (state.mode !== "difference") place.append(element("span", {}, element("span", {class: "swatch white"}), "exactly 0"));
  if (state.range === "own" && state.mode !== "difference") place.append(data.neighbours ? "Rows are inputs, and columns their nearest neighbours, most similar first. " : "", "Colours range over the values " + (data.neighbours ? "" : "off the diagonal ") + "of this map; values beyond have the colour of the nearer end, and other layers other ranges.");
  if (state.mode === "difference") place.append(nameOfMap(state.a) + " minus " + nameOfMap(state.b));
}

function nameOfMap({layer, measure}) {
  return data.layers[layer].name + ", " + data.measures[measure].name;
}

function neighboursOf(map, input, k = 12) {
  if (!map || !map.known) return [];
  if (map.near) return [...map.near.subarray(input * data.neighbours, (input + 1) * data.neighbours)];
  const row = rowOf(map, input), order = [...row.keys()].filter((j) => j !== input && !Number.isNaN(row[j]));
  order.sort((one, two) => row[two] - row[one] || one - two);
  return order.slice(0, k);
}

function showNeighbours() {
  const place = document.getElementById("neighbours"), lists = [[state.a, current[state.a.measure]]];
  if (state.mode !== "single") lists.push([state.b, mapB.map]);
  document.getElementById("input-of").value = state.neighbour;
  place.replaceChildren(element("p", {class: "name"}, named(state.neighbour)));
  const found = lists.map(([, map]) => neighboursOf(map, state.neighbour));
  lists.forEach(([which, map], side) => {
    const list = element("ol", {class: "list"}), other = found.length > 1 ? new Set(found[1 - side]) : null;
    for (const j of found[side]) {
      const shared = other && other.has(j), value = shown(similarity(map, state.neighbour, j), map.step);
      const button = element("button", {type: "button", class: shared ? "shared" : "", "data-input": j, onclick: () => { state.pair = [state.neighbour, j]; openPair(); }});
      if (data.images) button.append(element("img", {src: data.images[j], alt: ""}));
      else if (data.tokens) button.append(element("div", {class: "excerpt", dir: "auto"}, data.tokens[j].slice(0, 25).join(" ")));
      button.append(element("span", {class: "name", title: nameOf(j)}, named(j)), element("span", {class: "number"}, value));
      list.append(element("li", {}, button));
    }
    place.append(element("h3", {}, nameOfMap(which) + (other ? " (dashed: in both lists)" : "")), list);
  });
}

// The table is built when its rows or columns change; otherwise only its values are, or the open cell.
let tableKey = null, tableValues = null;

function showTable() {
  const kind = document.getElementById("table-kind").value, measures = ["table-rows", "table-columns"].map((id) => Number(document.getElementById(id).value));
  const [rows, columns] = kind === "layers"
    ? measures.map((measure) => data.layers.map((layer, k) => [layer.name, {layer: k, measure}]))
    : [0, 1].map(() => data.measures.map((measure, k) => [measure.name, {layer: state.a.layer, measure: k}]));
  const key = kind === "layers" ? measures.join() : "layer " + state.a.layer;
  if (kind !== tableKey) { tableKey = kind; tableValues = null; buildTable(kind, rows, columns); }
  if (key !== tableValues) { tableValues = key; fillTable(rows, columns); }
  markOpenCell();
}

function buildTable(kind, rows, columns) {
  document.querySelectorAll(".by-layer").forEach((node) => { node.hidden = kind !== "layers"; });
  const head = element("tr", {}, element("th", {}), ...columns.map(([name]) => element("th", {scope: "col", dir: "auto"}, ...breaking(name))));
  const body = rows.map(([name]) => element("tr", {}, element("th", {scope: "row", dir: "auto"}, ...breaking(name)), ...columns.map(() => element("td", {}, element("button", {type: "button"})))));
  document.getElementById("table").replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
  const {values, method, larger} = data.table, beyond = values.some((row) => row.some((value) => value !== null && (value < 0 || value > 1)));
  document.getElementById("table-note").textContent = method + (larger ? "" : " (smaller is more similar)") + "; colours from 0 to 1" + (beyond ? " (values beyond have the colour of the nearer end)" : "") + ". Click a cell to open both maps.";
}

function fillTable(rows, columns) {
  const buttons = document.querySelectorAll("#table td button"), kinds = data.measures.length;
  rows.forEach(([name, a], r) => columns.forEach(([other, b], c) => {
    const value = data.table.values[a.layer * kinds + a.measure][b.layer * kinds + b.measure], known = value !== null;
    const button = buttons[r * columns.length + c], shade = known ? colour("cividis", value, 0, 1) : null;
    button.className = known ? "" : "hatched";
    button.style.cssText = shade ? "background:" + css(shade) + ";color:" + textOn(shade) : "";
    button.textContent = known ? value.toFixed(2) : "–";
    button.setAttribute("aria-label", name + " and " + other + ": " + (known ? value.toFixed(3) : "no value") + ", open");
    button.dataset.cell = cellName(a, b);
    button.onclick = () => openLayers(a, b);
  }));
}

function cellName(a, b) { return [a.layer, a.measure, b.layer, b.measure].join(); }

function markOpenCell() {
  const table = document.getElementById("table"), open = state.mode === "single" ? null : table.querySelector("[data-cell='" + cellName(state.a, state.b) + "']");
  for (const one of table.querySelectorAll(".open")) if (one !== open) one.classList.remove("open");
  if (open) open.classList.add("open");
}
