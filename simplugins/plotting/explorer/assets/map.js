// A matrix on a canvas: it zooms, moves, and reports the pair under the pointer. Several share one view. Its rows are
// inputs; its columns are inputs too, or the nearest neighbours of each row.
const view = {zoom: 1, x: 0, y: 0, order: null, hover: null, cursor: null, groups: []};
const columnCount = data.neighbours || data.count;
const images = [];

function imageOf(input) {
  if (!data.images) return null;
  if (!images[input]) { images[input] = new Image(); images[input].onload = () => imageLoaded(input); images[input].src = data.images[input]; }
  return images[input].complete && images[input].naturalWidth ? images[input] : null;
}

function imageLoaded(input) {
  redraw();
  if (input === pair.i || input === pair.j) { sizePair(); drawPair(); }
}

class MapView {
  constructor(name) {
    this.title = element("p", {class: "map-name"});
    this.canvas = element("canvas", {"aria-hidden": "true"});
    this.surface = element("div", {class: "surface", tabindex: "0", role: "application", "aria-roledescription": "similarity map", id: name}, this.canvas);
    this.node = element("div", {class: "map"}, this.title, this.surface);
    this.pixels = document.createElement("canvas");
    this.pointers = new Map();
    this.listen();
    new ResizeObserver(() => this.resize()).observe(this.surface);
  }

  show(title, map, low, high, colours) {
    Object.assign(this, {map, near: map.near, low, high, colours});
    this.title.textContent = title;
    this.surface.setAttribute("aria-label", title + ", " + data.count + " inputs by " + columnCount + (data.neighbours ? " nearest neighbours" : " inputs") + ". Arrow keys move, Enter opens a pair, question mark for help.");
    this.paint();
  }

  paint() {
    const n = data.count, image = new ImageData(columnCount, n), pixels = new Uint32Array(image.data.buffer), {map} = this;
    const pixel = (value) => pixelOf(this.colours, value, this.low, this.high);
    if (map.values) this.paintValues(pixels, pixel);
    else {
      const shades = Uint32Array.from({length: 1 << map.bits}, (_, code) => pixel(decoded(code, map.bits, map.low, map.high)));
      if (map.near) this.paintNeighbours(pixels, shades); else this.paintCodes(pixels, shades, pixel);
    }
    this.pixels.width = columnCount; this.pixels.height = n;
    this.pixels.getContext("2d").putImageData(image, 0, 0);
  }

  paintValues(pixels, pixel) {
    const n = data.count, {order} = view, {values} = this.map, {low, high} = this;
    const shades = Uint32Array.from({length: 256}, (_, k) => pixel(low + (high - low) * k / 255));
    for (let r = 0, k = 0; r < n; r++)
      for (let c = 0; c < n; c++, k++) {
        const value = values[order[r] * n + order[c]];
        if (value === value) pixels[k] = shades[level(value, low, high)];
      }
  }

  paintNeighbours(pixels, shades) {
    const {codes} = this.map;
    for (let r = 0, k = 0; r < data.count; r++) for (let c = 0; c < columnCount; c++) pixels[k++] = shades[codes[view.order[r] * columnCount + c]];
  }

  paintCodes(pixels, shades, pixel) {
    const n = data.count, {order} = view, {codes, diagonal, symmetric} = this.map;
    for (let r = 0; r < n; r++) {
      const i = order[r];
      pixels[r * n + r] = pixel(diagonal[i]);
      for (let c = symmetric ? r + 1 : 0; c < n; c++) {
        const j = order[c], low = i < j ? i : j, high = i < j ? j : i;
        if (symmetric) pixels[r * n + c] = pixels[c * n + r] = shades[codes[low * (2 * n - low - 1) / 2 + high - low - 1]];
        else if (c !== r) pixels[r * n + c] = shades[codes[i * (n - 1) + (j > i ? j - 1 : j)]];
      }
    }
  }

  resize() {
    const width = this.surface.clientWidth;
    if (!width) return;
    const most = Math.max(260, window.innerHeight * 0.78), side = Math.floor(Math.min(width, most));
    this.surface.style.height = side + "px";
    this.ratio = window.devicePixelRatio || 1;
    this.width = width; this.side = side;
    this.gutter = Math.round(Math.max(24, Math.min(64, side * 0.06)));
    const [across, down] = [width, side].map((length) => Math.round(length * this.ratio));
    if (this.canvas.width !== across || this.canvas.height !== down) Object.assign(this.canvas, {width: across, height: down});
    redraw();
  }

  get plot() { return this.side - this.gutter; }
  get cellHeight() { return this.plot / data.count * view.zoom; }
  get cellWidth() { return data.neighbours ? this.plot / columnCount : this.cellHeight; }
  left(column) { return this.gutter + (column - view.x) * this.cellWidth; }
  top(row) { return this.gutter + (row - view.y) * this.cellHeight; }

  pairOf([row, column]) {
    const i = view.order[row];
    return [i, this.near ? this.near[i * columnCount + column] : view.order[column]];
  }

  // The row and column of a pair, or null if it is no cell of this map.
  cellOf([i, j]) {
    const column = this.near ? this.near.subarray(i * columnCount, (i + 1) * columnCount).indexOf(j) : view.where[j];
    return column < 0 ? null : [view.where[i], column];
  }

  cellAt(x, y) {
    const column = Math.floor((x - this.gutter) / this.cellWidth + view.x), row = Math.floor((y - this.gutter) / this.cellHeight + view.y);
    const inside = x >= this.gutter && y >= this.gutter && x < this.side && y < this.side;
    return inside && row >= 0 && column >= 0 && row < data.count && column < columnCount ? [row, column] : null;
  }

  pairAt(x, y) {
    const cell = this.cellAt(x, y);
    return cell && this.pairOf(cell);
  }

  draw() {
    if (!this.map || !this.side) return;
    const context = this.canvas.getContext("2d"), {gutter, side, cellWidth, cellHeight} = this;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, side);
    context.save();
    context.beginPath(); context.rect(gutter, gutter, this.plot, this.plot); context.clip();
    context.fillStyle = hatching(context);
    context.fillRect(gutter, gutter, this.plot, this.plot);
    context.imageSmoothingEnabled = cellHeight * this.ratio < 1;
    context.drawImage(this.pixels, this.left(0), this.top(0), columnCount * cellWidth, data.count * cellHeight);
    if (view.groups.length > 1) this.drawGroups(context);
    for (const [inputs, width] of [[state.pair, 3], [view.cursor, 2], [view.hover, 2]]) {
      const cell = inputs && this.cellOf(inputs);
      if (cell) this.frame(context, cell, width);
    }
    context.restore();
    this.drawEdges(context);
  }

  drawGroups(context) {
    context.strokeStyle = variable("--back"); context.lineWidth = 1;
    context.beginPath();
    for (const start of view.groups) {
      if (!this.near) { context.moveTo(this.left(start), this.gutter); context.lineTo(this.left(start), this.side); }
      context.moveTo(this.gutter, this.top(start)); context.lineTo(this.side, this.top(start));
    }
    context.stroke();
  }

  frame(context, [row, column], width) {
    const across = Math.max(this.cellWidth, 5), down = Math.max(this.cellHeight, 5);
    const x = this.left(column) - (across - this.cellWidth) / 2, y = this.top(row) - (down - this.cellHeight) / 2;
    for (const [pen, extra] of [["#000", 2], ["#fff", 0]]) {
      context.strokeStyle = pen; context.lineWidth = width + extra;
      context.strokeRect(x, y, across, down);
    }
  }

  drawEdges(context) {
    const {gutter} = this;
    context.fillStyle = variable("--soft"); context.textBaseline = "middle";
    const letter = Math.max(9, Math.min(16, gutter * 0.3));
    context.font = letter + "px system-ui, sans-serif";
    const widest = context.measureText(String(data.count - 1)).width;
    for (const [horizontal, size, start, last] of [[false, this.cellHeight, view.y, data.count], [true, this.cellWidth, view.x, columnCount]]) {
      const numbers = horizontal && Boolean(this.near), pictures = data.images && size >= 14 && !numbers;
      const every = pictures ? 1 : roundStep((horizontal ? widest + 8 : 1.6 * letter) / size), stop = Math.min(last, start + this.plot / size + 1);
      context.save();
      context.beginPath();
      if (horizontal) context.rect(gutter - letter / 2, 0, this.plot + letter / 2, gutter); else context.rect(0, gutter - letter / 2, gutter, this.plot + letter / 2);
      context.clip();
      for (let k = Math.floor(start / every) * every; k < stop; k += every) {
        const middle = (horizontal ? this.left(k) : this.top(k)) + size / 2, image = pictures ? imageOf(view.order[k]) : null;
        const text = numbers ? k + 1 : view.order[k], edge = Math.min(size - 1, gutter - 3);
        if (image) context.drawImage(image, horizontal ? middle - edge / 2 : gutter - edge - 2, horizontal ? gutter - edge - 2 : middle - edge / 2, edge, edge);
        else if (horizontal) { context.textAlign = "center"; context.fillText(text, middle, gutter - 9); }
        else { context.textAlign = "right"; context.fillText(text, gutter - 4, middle); }
      }
      context.restore();
    }
  }

  listen() {
    const surface = this.surface, place = (event) => { const box = surface.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    surface.addEventListener("pointermove", (event) => {
      const [x, y] = place(event), held = this.pointers.get(event.pointerId);
      if (held && this.pointers.size === 2) return this.pinch(event, x, y);
      if (held && (held.moved || Math.hypot(x - held.x, y - held.y) > 4)) {
        held.moved = true;
        surface.classList.add("dragging");
        view.x -= (x - held.lastX) / this.cellWidth; view.y -= (y - held.lastY) / this.cellHeight;
        held.lastX = x; held.lastY = y;
        clampView(); redraw();
        return;
      }
      hoverPair(this.pairAt(x, y));
    });
    surface.addEventListener("pointerdown", (event) => {
      const [x, y] = place(event);
      this.pointers.set(event.pointerId, {x, y, lastX: x, lastY: y, moved: false});
      if (view.zoom > 1) surface.setPointerCapture(event.pointerId);
    });
    const release = (event) => { this.pointers.delete(event.pointerId); this.spread = 0; surface.classList.remove("dragging"); };
    surface.addEventListener("pointerup", (event) => {
      const held = this.pointers.get(event.pointerId), inputs = this.pairAt(...place(event));
      release(event);
      if (held && !held.moved && inputs) { hoverPair(inputs); state.pair = inputs; openPair(); }
    });
    surface.addEventListener("pointercancel", release);
    surface.addEventListener("pointerleave", (event) => { if (!this.pointers.has(event.pointerId)) hoverPair(null); });
    surface.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && document.activeElement !== surface) return;
      event.preventDefault();
      this.zoomAt(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), ...place(event));
    }, {passive: false});
    surface.addEventListener("keydown", (event) => mapKey(event, this));
    surface.addEventListener("blur", () => { view.cursor = null; redraw(); });
  }

  pinch(event, x, y) {
    Object.assign(this.pointers.get(event.pointerId), {lastX: x, lastY: y, moved: true});
    const [a, b] = [...this.pointers.values()], spread = Math.hypot(a.lastX - b.lastX, a.lastY - b.lastY);
    if (this.spread) this.zoomAt(spread / this.spread, (a.lastX + b.lastX) / 2, (a.lastY + b.lastY) / 2);
    this.spread = spread;
  }

  zoomAt(factor, x = this.gutter + this.plot / 2, y = this.gutter + this.plot / 2) {
    const column = (x - this.gutter) / this.cellWidth + view.x, row = (y - this.gutter) / this.cellHeight + view.y;
    view.zoom = Math.max(1, Math.min(Math.max(1, data.count / 3), view.zoom * factor));
    view.x = column - (x - this.gutter) / this.cellWidth; view.y = row - (y - this.gutter) / this.cellHeight;
    clampView(); redraw();
  }
}

// The least of 1, 2, 5, 10, 20 … that is not below a number.
function roundStep(least) {
  const power = 10 ** Math.max(0, Math.floor(Math.log10(least)));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= least);
}

function clampView() {
  const most = data.count * (1 - 1 / view.zoom);
  view.x = data.neighbours ? 0 : Math.max(0, Math.min(most, view.x)); view.y = Math.max(0, Math.min(most, view.y));
  for (const one of maps) one.surface.style.touchAction = view.zoom > 1 ? "none" : "pan-y";
}

function reveal([row, column]) {
  const visible = data.count / view.zoom;
  if (data.neighbours) column = view.x;
  if (row < view.y) view.y = row;
  if (column < view.x) view.x = column;
  if (row + 1 > view.y + visible) view.y = row + 1 - visible;
  if (column + 1 > view.x + visible) view.x = column + 1 - visible;
  clampView();
}

let maps = [], drawing = false;

function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; for (const one of maps) if (one.node.isConnected) one.draw(); });
}
