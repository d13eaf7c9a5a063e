// Two inputs and their matched positions: as images with a grid, as tokens, or as numbered positions.
const pair = {i: 0, j: 0, match: null, patch: null, canvas: null, chips: null, boxes: [], base: document.createElement("canvas"), drawn: false};
let pairRequest = 0;

async function showPair() {
  const request = ++pairRequest, {layer, measure} = state.a, [i, j] = state.pair;
  const match = await matching(layer, measure, i, j);
  if (request !== pairRequest) return;
  Object.assign(pair, {i, j, match, patch: null, partners: match.partners || null, back: null});
  if (match.partners) {
    pair.back = new Int32Array(sizeOf(layer, j)).fill(-1);
    match.partners.forEach((t, s) => { if (t >= 0) pair.back[t] = s; });
    setRange(match);
  }
  const note = document.getElementById("pair-note");
  note.hidden = !match.reason;
  note.textContent = match.reason || "";
  document.getElementById("input-i").value = i;
  document.getElementById("input-j").value = j;
  showPairValues();
  buildPair();
  showPatch();
  showPairLegend();
}

function setRange(match) {
  pair.low = 0; pair.high = 0;
  if (!match.contributions) return;
  match.partners.forEach((t, s) => {
    if (t < 0) return;
    pair.low = Math.min(pair.low, match.contributions[s]); pair.high = Math.max(pair.high, match.contributions[s]);
  });
}

function usesCanvas() {
  const entry = data.layers[state.a.layer];
  return !data.tokens && (entry.grid !== null || (data.images && entry.sizes === null) || (data.images && entry.grid === null));
}

function buildPair() {
  const place = document.getElementById("pair"), entry = data.layers[state.a.layer];
  place.replaceChildren();
  Object.assign(pair, {canvas: null, chips: null, boxes: []});
  place.className = "";
  if (usesCanvas()) buildCanvas(place);
  if (entry.sizes !== null && (data.tokens || entry.grid === null)) buildChips(place);
  document.getElementById("overlay-label").hidden = !(usesCanvas() && pair.partners && entry.grid);
  drawPair();
}

function buildCanvas(place) {
  const names = element("div", {class: "sides"}, ...[pair.i, pair.j].map((input) => element("div", {class: "side name", title: nameOf(input)}, named(input))));
  pair.canvas = element("canvas", {"aria-hidden": "true"});
  pair.surface = element("div", {class: "surface", id: "pair-surface", tabindex: "0", role: "application", "aria-roledescription": "pair of inputs",
    "aria-label": nameOf(pair.i) + " and " + nameOf(pair.j) + ". Arrow keys move from position to position."}, pair.canvas);
  pair.surface.addEventListener("pointermove", (event) => { const box = pair.surface.getBoundingClientRect(); hoverPatch(patchAt(event.clientX - box.left, event.clientY - box.top)); });
  pair.surface.addEventListener("pointerdown", (event) => { const box = pair.surface.getBoundingClientRect(); hoverPatch(patchAt(event.clientX - box.left, event.clientY - box.top)); });
  pair.surface.addEventListener("pointerleave", leavePatch);
  pair.surface.addEventListener("keydown", patchKey);
  place.append(names, pair.surface);
  sizePair();
}

function aspect(input) {
  const image = imageOf(input), grid = data.layers[state.a.layer].grid;
  return image ? image.naturalHeight / image.naturalWidth : grid ? grid[0] / grid[1] : 1;
}

function sizePair() {
  if (!pair.canvas) return;
  const width = pair.surface.clientWidth, gap = Math.max(8, width * 0.03), most = Math.max(200, window.innerHeight * 0.62);
  let side = (width - gap) / 2;
  const tallest = Math.max(aspect(pair.i), aspect(pair.j));
  if (side * tallest > most) side = most / tallest;
  pair.boxes = [pair.i, pair.j].map((input, k) => ({x: k * ((width - gap) / 2 + gap), y: 0, width: side, height: side * aspect(input)}));
  pair.ratio = window.devicePixelRatio || 1;
  const height = Math.ceil(side * tallest);
  pair.surface.style.height = height + "px";
  pair.canvas.width = Math.round(width * pair.ratio); pair.canvas.height = Math.round(height * pair.ratio);
}

function patchBox(side, position) {
  const [rows, columns] = data.layers[state.a.layer].grid, box = pair.boxes[side];
  const width = box.width / columns, height = box.height / rows;
  return {x: box.x + (position % columns) * width, y: box.y + Math.floor(position / columns) * height, width, height};
}

function patchAt(x, y) {
  const grid = data.layers[state.a.layer].grid;
  if (!grid) return null;
  for (const side of [0, 1]) {
    const box = pair.boxes[side], column = Math.floor((x - box.x) / box.width * grid[1]), row = Math.floor((y - box.y) / box.height * grid[0]);
    if (row >= 0 && column >= 0 && row < grid[0] && column < grid[1]) {
      const position = row * grid[1] + column;
      if (side === 1 && rearranged()) return {side: 0, position};
      return {side, position};
    }
  }
  return null;
}

function rearranged() {
  return document.getElementById("overlay").value === "rearranged" && pair.partners && data.layers[state.a.layer].grid && !pair.match.self;
}

// Both ends of the patch under the pointer: positions in i and in j, -1 for none.
function ends() {
  if (!pair.patch || !pair.partners) return null;
  const {side, position} = pair.patch;
  return side === 0 ? [position, pair.partners[position]] : [pair.back[position], position];
}

function hoverPatch(patch) {
  if (JSON.stringify(patch) === JSON.stringify(pair.patch)) return;
  pair.patch = patch;
  drawEndsOfPair();
  showPatch();
}

// A finger that is lifted leaves what it pointed at in view.
function leavePatch(event) { if (event.pointerType !== "touch") hoverPatch(null); }

function placeColour(position) {
  const [rows, columns] = data.layers[state.a.layer].grid;
  const x = columns > 1 ? (position % columns) / (columns - 1) : 0.5, y = rows > 1 ? Math.floor(position / columns) / (rows - 1) : 0.5;
  const corners = [[0, 40, 120], [130, 200, 255], [110, 50, 0], [255, 215, 90]];
  return [0, 1, 2].map((k) => Math.round((corners[0][k] * (1 - x) + corners[1][k] * x) * (1 - y) + (corners[2][k] * (1 - x) + corners[3][k] * x) * y));
}

// After a change of anything but the position under the pointer.
function drawPair() {
  pair.drawn = false;
  drawEndsOfPair();
}

// The images and what lies over them are drawn once, and only the ends of a match with the pointer.
function drawEndsOfPair() {
  if (pair.chips) drawChips();
  if (!pair.canvas) return;
  if (!pair.drawn) drawBase();
  const context = pair.canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, pair.canvas.width, pair.canvas.height);
  if (pair.base.width && pair.base.height) context.drawImage(pair.base, 0, 0);
  context.setTransform(pair.ratio, 0, 0, pair.ratio, 0, 0);
  if (data.layers[state.a.layer].grid && pair.partners) drawEnds(context);
}

function drawBase() {
  const context = pair.base.getContext("2d"), grid = data.layers[state.a.layer].grid, kind = document.getElementById("overlay").value;
  pair.base.width = pair.canvas.width; pair.base.height = pair.canvas.height;
  pair.drawn = true;
  context.setTransform(pair.ratio, 0, 0, pair.ratio, 0, 0);
  for (const side of [0, 1]) drawInput(context, side);
  if (!grid || !pair.partners) return;
  if (rearranged()) drawRearranged(context);
  else if (kind !== "none") for (const side of [0, 1]) drawOverlay(context, side, kind);
}

function drawInput(context, side) {
  const box = pair.boxes[side], image = imageOf(side === 0 ? pair.i : pair.j);
  const kind = document.getElementById("overlay").value, covered = pair.partners && data.layers[state.a.layer].grid && pair.match.contributions;
  if (image) {
    if (covered && kind === "contribution") context.filter = "grayscale(1)";
    context.drawImage(image, box.x, box.y, box.width, box.height);
    context.filter = "none";
  } else { context.fillStyle = variable("--empty"); context.fillRect(box.x, box.y, box.width, box.height); }
}

function drawOverlay(context, side, kind) {
  const partners = side === 0 ? pair.partners : pair.back, blank = !data.images;
  for (let p = 0; p < partners.length; p++) {
    const box = patchBox(side, p), first = side === 0 ? p : partners[p];
    if (partners[p] < 0) { context.fillStyle = hatching(context); context.fillRect(box.x, box.y, box.width, box.height); continue; }
    if (kind === "position") context.fillStyle = css(placeColour(first), blank ? 1 : 0.75);
    else if (!pair.match.contributions) continue;
    else context.fillStyle = css(colour(state.palette, pair.match.contributions[first], pair.low, pair.high), blank ? 1 : 0.6);
    context.fillRect(box.x, box.y, box.width + 0.3, box.height + 0.3);
  }
}

function drawRearranged(context) {
  const image = imageOf(pair.j), box = pair.boxes[1], [rows, columns] = data.layers[state.a.layer].grid;
  context.fillStyle = hatching(context);
  context.fillRect(box.x, box.y, box.width, box.height);
  for (let p = 0; p < pair.partners.length; p++) {
    const t = pair.partners[p], to = patchBox(1, p);
    if (t < 0) continue;
    if (image) {
      const width = image.naturalWidth / columns, height = image.naturalHeight / rows;
      context.drawImage(image, (t % columns) * width, Math.floor(t / columns) * height, width, height, to.x, to.y, to.width + 0.3, to.height + 0.3);
    } else { context.fillStyle = css(placeColour(t)); context.fillRect(to.x, to.y, to.width + 0.3, to.height + 0.3); }
  }
}

function drawEnds(context) {
  const both = ends();
  if (!both) return;
  const boxes = both.map((position, side) => position < 0 ? null : patchBox(side, side === 1 && rearranged() ? both[0] : position));
  for (const [pen, extra] of [["#000", 3], ["#fff", 0]]) {
    context.strokeStyle = pen; context.lineWidth = 2 + extra;
    for (const box of boxes) if (box) context.strokeRect(box.x, box.y, box.width, box.height);
    if (boxes[0] && boxes[1]) {
      context.beginPath();
      context.moveTo(boxes[0].x + boxes[0].width / 2, boxes[0].y + boxes[0].height / 2);
      context.lineTo(boxes[1].x + boxes[1].width / 2, boxes[1].y + boxes[1].height / 2);
      context.stroke();
    }
  }
}

function patchKey(event) {
  const grid = data.layers[state.a.layer].grid, moves = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]};
  if (!grid || !(event.key in moves) || !pair.partners) return;
  event.preventDefault();
  event.stopPropagation();
  const position = pair.patch && pair.patch.side === 0 ? pair.patch.position : pair.patch && pair.back[pair.patch.position] >= 0 ? pair.back[pair.patch.position] : null;
  if (position === null) hoverPatch({side: 0, position: 0});
  else {
    const row = Math.max(0, Math.min(grid[0] - 1, Math.floor(position / grid[1]) + moves[event.key][0]));
    const column = Math.max(0, Math.min(grid[1] - 1, position % grid[1] + moves[event.key][1]));
    hoverPatch({side: 0, position: row * grid[1] + column});
  }
  announce(document.getElementById("patch").textContent);
}

function buildChips(place) {
  place.className = "texts";
  pair.chips = [[], []];
  const sides = [pair.i, pair.j].map((input, side) => {
    const box = element("div", {class: "chips", tabindex: "0", role: "application", "aria-label": "Positions of " + nameOf(input), dir: "auto"});
    for (let p = 0; p < sizeOf(state.a.layer, input); p++) {
      const text = data.tokens ? data.tokens[input][p] : String(p);
      const chip = element("bdi", {class: "chip", "data-side": side, "data-position": p}, text === "" ? "∅" : text);
      pair.chips[side].push(chip);
      box.append(chip, " ");
    }
    box.addEventListener("pointerover", (event) => { const chip = event.target.closest(".chip"); hoverPatch(chip ? {side, position: Number(chip.dataset.position)} : null); });
    box.addEventListener("pointerleave", leavePatch);
    box.addEventListener("keydown", (event) => chipKey(event, side));
    const name = pair.canvas ? "" : element("div", {class: "name"}, named(input));
    return element("div", {class: "side"}, name, box);
  });
  place.append(element("div", {class: "sides"}, ...sides));
}

function chipKey(event, side) {
  const step = {ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1}[event.key];
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  const last = pair.chips[side].length - 1, at = pair.patch && pair.patch.side === side ? pair.patch.position + step : 0;
  hoverPatch({side, position: Math.max(0, Math.min(last, at))});
  announce(document.getElementById("patch").textContent);
}

function drawChips() {
  const both = ends();
  for (const side of [0, 1]) {
    const partners = side === 0 ? pair.partners : pair.back;
    pair.chips[side].forEach((chip, p) => {
      const matched = partners && partners[p] >= 0, first = side === 0 ? p : matched ? partners[p] : -1;
      chip.classList.toggle("on", Boolean(both && both[side] === p));
      chip.classList.toggle("off", Boolean(partners && !matched));
      const shade = matched && pair.match.contributions ? colour(state.palette, pair.match.contributions[first], pair.low, pair.high) : null;
      chip.style.background = shade ? css(shade) : "";
      chip.style.color = shade ? textOn(shade) : "";
    });
  }
}

function positionName(side, position) {
  const grid = data.layers[state.a.layer].grid, input = side === 0 ? pair.i : pair.j;
  if (data.tokens) return "token " + position + " “" + data.tokens[input][position] + "” of #" + input;
  return grid ? "row " + Math.floor(position / grid[1]) + ", column " + position % grid[1] + " of #" + input : "position " + position + " of #" + input;
}

function showPatch() {
  const place = document.getElementById("patch"), both = ends();
  place.hidden = !pair.partners;
  if (!pair.partners) return;
  if (!both) { place.textContent = "Point at a position, or use the arrow keys, to see its partner and what they contribute."; return; }
  if (both[0] < 0 || both[1] < 0) {
    const side = both[0] < 0 ? 1 : 0;
    place.textContent = "The position at " + positionName(side, both[side]) + " has no partner.";
    return;
  }
  const names = positionName(0, both[0]) + " and " + positionName(1, both[1]);
  if (!pair.match.contributions) { place.textContent = names + ": an input with itself, position by position."; return; }
  const value = pair.match.contributions[both[0]], share = value / pair.match.value;
  const percent = pair.match.value > 0 && Number.isFinite(share) ? " (" + Number((100 * share).toPrecision(3)) + " %)" : "";
  place.textContent = names + " contribute " + shown(value, pair.match.step) + percent + " to the aligned inner product " + plain(pair.match.value) + ".";
}

function showPairLegend() {
  const place = document.getElementById("pair-legend"), kind = document.getElementById("overlay").value, grid = data.layers[state.a.layer].grid;
  place.replaceChildren();
  if (!pair.partners) return;
  const onCanvas = usesCanvas() && grid;
  if (pair.match.contributions && (kind === "contribution" || !onCanvas))
    place.append(bar(state.palette, plain(pair.low), plain(pair.high)), element("span", {}, "contribution of a pair of positions"));
  if (onCanvas && kind === "position") place.append("Positions of equal colour are matched.");
  if (onCanvas && kind === "rearranged" && !pair.match.self) place.append("On the right: the second input, each position moved to its partner’s place.");
  if (pair.partners.some((t) => t < 0) || pair.back.some((s) => s < 0))
    place.append(onCanvas ? element("span", {}, element("span", {class: "swatch hatched"}), "without a partner") : element("span", {}, "struck through: without a partner"));
}
