// The state of the page, its controls, and its keys.
const state = {a: {layer: 0, measure: 0}, b: {layer: 0, measure: 0}, mode: "single", order: "input", palette: "viridis", range: "own", pair: [0, 1], neighbour: 0};
const mapA = new MapView("map-a"), mapB = new MapView("map-b");
let current = [], mapRequest = 0;
const control = (id) => document.getElementById(id);

function announce(text) { control("live").textContent = text; }

function options(select, names, chosen) {
  select.replaceChildren(...names.map((name, k) => element("option", {value: k}, name)));
  select.value = chosen;
}

// What is under way, for `settled`.
const work = new Set();

function tracked(promise) {
  work.add(promise);
  promise.finally(() => work.delete(promise));
  return promise;
}

function update() { return tracked(updated()); }

async function updated() {
  const request = ++mapRequest, second = state.mode === "single" ? null : matrix(state.b.layer, state.b.measure);
  const [a, b] = await Promise.all([matrix(state.a.layer, state.a.measure), second]);
  if (request !== mapRequest) return;
  mapB.map = b;
  setOrder(a);
  showMaps(a, b);
  syncControls();
  showLegend();
  const all = await Promise.all(data.measures.map((_, k) => matrix(state.a.layer, k)));
  if (request !== mapRequest) return;
  current = all;
  showCell(); showNeighbours(); showTable();
  await showPair();
  prefetch();
}

// After a change of order, colours or range, which concerns the maps alone.
async function repainted() {
  const second = state.mode === "single" ? null : matrix(state.b.layer, state.b.measure);
  const [a, b] = await Promise.all([matrix(state.a.layer, state.a.measure), second]);
  setOrder(a);
  showMaps(a, b);
  showLegend(); drawPair(); showPairLegend();
}

function setOrder(map) {
  const n = data.count, order = Array.from({length: n}, (_, k) => k);
  view.groups = [];
  if (state.order === "cluster" && map.order) order.splice(0, n, ...map.order);
  if (state.order === "label" && data.labels) {
    const collator = new Intl.Collator(undefined, {numeric: true});
    order.sort((i, j) => collator.compare(data.labels[i], data.labels[j]) || (data.labels[i] < data.labels[j] ? -1 : data.labels[i] > data.labels[j] ? 1 : i - j));
    order.forEach((input, k) => { if (k && data.labels[input] !== data.labels[order[k - 1]]) view.groups.push(k); });
    view.groups.unshift(0);
  }
  view.order = order;
  view.hover = view.cursor = null;
  const where = new Int32Array(n);
  order.forEach((input, k) => { where[input] = k; });
  view.where = where;
}

function rangeOf(which, map) {
  if (state.range === "unit") return [0, 1];
  if (state.range === "own") return [map.low, map.high];
  const known = data.layers.map((layer) => layer.measures[which.measure]).filter((one) => one && one.reason === undefined);
  return [Math.min(...known.map((one) => one.low)), Math.max(...known.map((one) => one.high))];
}

function showMaps(a, b) {
  const place = control("maps"), note = control("map-note"), reasons = [[state.a, a]];
  if (state.mode !== "single") reasons.push([state.b, b]);
  const missing = reasons.filter(([, map]) => !map.known);
  note.hidden = !missing.length;
  note.textContent = missing.map(([which, map]) => nameOfMap(which) + " is not available: " + map.reason + ".").join(" ");
  maps = [];
  if (state.mode === "difference" && a.known && b.known) {
    const {values, most} = differenceOf(a, b);
    maps = [mapA];
    mapA.show("difference: " + nameOfMap(state.a) + " minus " + nameOfMap(state.b), {values}, -(most || 1), most || 1, "PuOr_r");
  } else for (const [one, which, map] of [[mapA, state.a, a], [mapB, state.b, b]]) {
    if (!map || !map.known || (one === mapB && state.mode !== "side")) continue;
    maps.push(one);
    one.show(nameOfMap(which), map, ...rangeOf(which, map), state.palette);
  }
  const nodes = maps.map((one) => one.node);  // a node that stays keeps the focus
  if (nodes.length !== place.children.length || nodes.some((node, k) => place.children[k] !== node)) place.replaceChildren(...nodes);
  clampView();
  maps.forEach((one) => one.resize());
}

function syncControls() {
  for (const side of ["a", "b"]) { control("measure-" + side).value = state[side].measure; control("layer-" + side).value = state[side].layer; }
  control("slider-a").value = state.a.layer;
  control("slider-a").setAttribute("aria-valuetext", data.layers[state.a.layer].name);
  control("map-section").classList.toggle("wide", state.mode === "side"); control("view").value = state.mode; control("order").value = state.order; control("palette").value = state.palette; control("range").value = state.range;
  document.querySelectorAll(".second").forEach((node) => { node.hidden = state.mode === "single"; });
}

// All layers are decompressed while nothing else happens, the nearest ones first, one matrix at a time.
function prefetch() {
  const {layer} = state.a, request = mapRequest, waiting = [];
  for (const [k] of data.layers.entries()) for (const [measure] of data.measures.entries()) if (!matrices.has(k + "/" + measure)) waiting.push([k, measure]);
  waiting.sort(([one], [other]) => Math.abs(one - layer) - Math.abs(other - layer));
  const later = window.requestIdleCallback || ((call) => setTimeout(call, 50));
  const step = () => { if (request === mapRequest && waiting.length) matrix(...waiting.shift()).then(() => later(step)); };
  later(step);
}

function hoverPair(inputs) {
  const same = inputs && view.hover ? inputs[0] === view.hover[0] && inputs[1] === view.hover[1] : !inputs && !view.hover;
  if (same) return;
  view.hover = inputs;
  redraw(); showCell();
}

function openPair() {
  const last = data.count - 1;
  state.pair = state.pair.map((input) => Math.max(0, Math.min(last, Math.round(input) || 0)));
  state.neighbour = state.pair[0];
  redraw(); showCell(); showNeighbours();
  return tracked(showPair());
}

function openLayers(a, b) {
  state.a = {...a}; state.b = {...b};
  state.mode = a.layer === b.layer && a.measure === b.measure ? "single" : "side";
  update();
  control("map-section").scrollIntoView({block: "start"});
}

function mapKey(event, map) {
  const n = data.count, moves = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [-n, -n], End: [n, n]};
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in moves) {
    const start = map.cellOf(view.cursor || state.pair) || [view.where[state.pair[0]], 0], move = view.cursor || event.key === "Home" || event.key === "End" ? moves[event.key] : [0, 0];
    const cell = [n, columnCount].map((size, k) => Math.max(0, Math.min(size - 1, start[k] + move[k])));
    view.cursor = map.pairOf(cell);
    view.hover = null;
    reveal(cell); redraw(); showCell();
    const [i, j] = view.cursor, one = current[state.a.measure];
    announce(nameOf(i) + " and " + nameOf(j) + ": " + shown(similarity(one, i, j), one.step));
  } else if (event.key === "Enter" || event.key === " ") { if (view.cursor) state.pair = view.cursor; openPair(); }
  else if (event.key === "+" || event.key === "=") zoomBy(1.5);
  else if (event.key === "-") zoomBy(1 / 1.5);
  else if (event.key === "0") fit();
  else return;
  event.preventDefault();
}

function zoomBy(factor) {
  if (!maps.length) return;
  const [map] = maps, cell = view.cursor && map.cellOf(view.cursor);
  if (cell) map.zoomAt(factor, Math.max(map.gutter, map.left(cell[1] + 0.5)), Math.max(map.gutter, map.top(cell[0] + 0.5)));
  else map.zoomAt(factor);
}

function fit() { Object.assign(view, {zoom: 1, x: 0, y: 0}); clampView(); redraw(); }

function pageKey(event) {
  if (event.target.closest("input, select, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
  const layers = data.layers.length, orders = [...control("order").options].map((one) => one.value);
  if (event.key === "PageDown" || event.key === "PageUp") state.a.layer = Math.max(0, Math.min(layers - 1, state.a.layer + (event.key === "PageDown" ? 1 : -1)));
  else if (event.key === "m") state.a.measure = (state.a.measure + 1) % data.measures.length;
  else if (event.key === "o") state.order = orders[(orders.indexOf(state.order) + 1) % orders.length];
  else if (event.key === "s") { swap(); return; } else if (event.key === "?") { control("help").showModal(); return; } else return;
  event.preventDefault();
  update();
  announce(nameOfMap(state.a) + ", order " + state.order);
}

function swap() { state.pair.reverse(); openPair(); }

function setTheme() {
  const chosen = control("theme").value, dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.toggleAttribute("data-dark", dark);
  readTheme();
  redraw(); drawPair();
}

function connect() {
  const set = (id, change, show = update) => control(id).addEventListener("input", (event) => { change(event.target.value); show(); });
  const repaint = () => tracked(repainted());
  for (const side of ["a", "b"]) {
    options(control("measure-" + side), data.measures.map((one) => one.name), 0);
    options(control("layer-" + side), data.layers.map((one) => one.name), 0);
    set("measure-" + side, (value) => { state[side].measure = Number(value); });
    set("layer-" + side, (value) => { state[side].layer = Number(value); });
  }
  control("slider-a").max = data.layers.length - 1;
  control("slider-a").hidden = data.layers.length < 2;
  set("slider-a", (value) => { state.a.layer = Number(value); });
  set("view", (value) => { state.mode = value; });
  set("order", (value) => { state.order = value; }, repaint);
  set("palette", (value) => { state.palette = value; }, repaint);
  set("range", (value) => { state.range = value; }, repaint);
  for (const id of ["table-rows", "table-columns"]) { options(control(id), data.measures.map((one) => one.name), 0); control(id).addEventListener("input", showTable); }
  control("table-kind").value = data.layers.length > 1 ? "layers" : "measures";
  control("table-kind").addEventListener("input", showTable);
  control("zoom-in").addEventListener("click", () => zoomBy(1.5));
  control("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
  control("zoom-fit").addEventListener("click", fit);
  control("swap").addEventListener("click", swap);
  for (const [id, side] of [["input-i", 0], ["input-j", 1]]) { control(id).max = data.count - 1; control(id).addEventListener("change", (event) => { state.pair[side] = Number(event.target.value); openPair(); }); }
  control("input-of").max = data.count - 1;
  control("input-of").addEventListener("change", (event) => { state.neighbour = Math.max(0, Math.min(data.count - 1, Math.round(event.target.value) || 0)); showNeighbours(); });
  control("overlay").addEventListener("input", () => { drawPair(); showPairLegend(); });
  control("theme").addEventListener("input", setTheme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", setTheme);
  control("help-button").addEventListener("click", () => control("help").showModal());
  if (data.neighbours) { control("order").querySelector("[value=cluster]").remove(); control("view").querySelector("[value=difference]").remove(); }
  if (!data.labels) control("order").querySelector("[value=label]").remove();
  document.addEventListener("keydown", pageKey);
  window.addEventListener("resize", () => { sizePair(); drawPair(); });
}

function grouped(number) { return number.toLocaleString("en-US"); }

function summary() {
  const labels = data.labels ? ", " + new Set(data.labels).size + " labels" : "", pairs = data.count * (data.count - 1) / 2;
  const stored = pairCount === pairs ? "matched positions of all pairs" : pairCount ? "matched positions of " + grouped(pairCount) + " of " + grouped(pairs) + " pairs, nearest neighbours first" : "no matched positions";
  return grouped(data.count) + " inputs" + labels + "; " + data.layers.length + (data.layers.length === 1 ? " layer; " : " layers; ") + stored + "; similarities " + (data.neighbours ? "of the " + data.neighbours + " nearest neighbours of each input, " : "") + "to " + data.bits + " bits; simplugins " + data.version;
}

async function start() {
  try {
    if (typeof DecompressionStream === "undefined") throw new Error("this browser lacks DecompressionStream: use one from 2023 or later");
    setTheme();
    connect();
    await readPairs();
    control("summary").textContent = summary();
    const first = await matrix(0, 0), near = neighboursOf(first, 0, 1);
    state.pair = [0, near.length ? near[0] : Math.min(1, data.count - 1)];
    await update();
    document.documentElement.dataset.ready = "true";
  } catch (error) {
    control("failure").hidden = false;
    control("failure").textContent = "The page could not be shown: " + error.message;
    throw error;
  }
}

// For scripts and tests: where things are drawn, in CSS pixels of the window.
window.explorer = {
  state, view,
  cell(i, j) { const box = mapA.surface.getBoundingClientRect(); return [box.left + mapA.left(mapA.cellOf([i, j])[1] + 0.5), box.top + mapA.top(view.where[i] + 0.5)]; },
  patch(side, position) { const box = pair.surface.getBoundingClientRect(), at = patchBox(side, position); return [box.left + at.x + at.width / 2, box.top + at.y + at.height / 2]; },
  pixels() { return mapA.pixels.getContext("2d").getImageData(0, 0, data.count, data.count).data; },
  stored(i, j) { return pairNumbers.has(Math.min(i, j) * data.count + Math.max(i, j)); },
  async settled() { await Promise.all(work); await this.redrawn(); },
  redrawn() { return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))); },
};
