// A matrix on a canvas: it zooms, moves, and reports the cell under the pointer. Several share one view.
const view = {zoom: 1, x: 0, y: 0, order: null, hover: null, cursor: null, groups: []};
const images = [];

function imageOf(input) {
  if (!data.images) return null;
  if (!images[input]) { images[input] = new Image(); images[input].onload = redraw; images[input].src = data.images[input]; }
  return images[input].complete && images[input].naturalWidth ? images[input] : null;
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

  show(title, values, low, high, colours) {
    Object.assign(this, {values, low, high, colours});
    this.title.textContent = title;
    this.surface.setAttribute("aria-label", title + ", " + data.count + " by " + data.count + " inputs. Arrow keys move, Enter opens a pair, question mark for help.");
    this.paint();
    this.resize();
  }

  paint() {
    const n = data.count, image = new ImageData(n, n), bytes = image.data, colours = palettes[this.colours], diverging = this.colours === "PuOr_r";
    for (let r = 0, k = 0; r < n; r++) {
      const i = view.order[r];
      for (let c = 0; c < n; c++, k += 4) {
        const value = this.values[i * n + view.order[c]];
        if (value !== value) continue;  // stays transparent: hatched
        bytes[k + 3] = 255;
        if (value === 0 && !diverging) { bytes[k] = bytes[k + 1] = bytes[k + 2] = 255; continue; }
        const at = 3 * level(value, this.low, this.high);
        bytes[k] = colours[at]; bytes[k + 1] = colours[at + 1]; bytes[k + 2] = colours[at + 2];
      }
    }
    this.pixels.width = this.pixels.height = n;
    this.pixels.getContext("2d").putImageData(image, 0, 0);
  }

  resize() {
    const width = this.surface.clientWidth;
    if (!width) return;
    const most = Math.max(260, window.innerHeight * 0.78), side = Math.floor(Math.min(width, most));
    this.surface.style.height = side + "px";
    this.ratio = window.devicePixelRatio || 1;
    this.width = width; this.side = side;
    this.gutter = Math.round(Math.max(24, Math.min(64, side * 0.09)));
    this.canvas.width = Math.round(width * this.ratio); this.canvas.height = Math.round(side * this.ratio);
    this.draw();
  }

  get plot() { return this.side - this.gutter; }
  get cellSize() { return this.plot / data.count * view.zoom; }
  left(column) { return this.gutter + (column - view.x) * this.cellSize; }
  top(row) { return this.gutter + (row - view.y) * this.cellSize; }

  cellAt(x, y) {
    const column = Math.floor((x - this.gutter) / this.cellSize + view.x), row = Math.floor((y - this.gutter) / this.cellSize + view.y);
    const inside = x >= this.gutter && y >= this.gutter && x < this.side && y < this.side;
    return inside && row >= 0 && column >= 0 && row < data.count && column < data.count ? [row, column] : null;
  }

  draw() {
    if (!this.values || !this.side) return;
    const context = this.canvas.getContext("2d"), {gutter, side, cellSize} = this, n = data.count;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, side);
    context.save();
    context.beginPath(); context.rect(gutter, gutter, this.plot, this.plot); context.clip();
    context.fillStyle = hatching(context);
    context.fillRect(gutter, gutter, this.plot, this.plot);
    context.imageSmoothingEnabled = cellSize * this.ratio < 1;
    context.drawImage(this.pixels, this.left(0), this.top(0), n * cellSize, n * cellSize);
    if (view.groups.length > 1) this.drawGroups(context);
    for (const [cell, width] of [[view.open, 3], [view.cursor, 2], [view.hover, 2]]) if (cell) this.frame(context, cell, width);
    context.restore();
    this.drawEdges(context);
  }

  drawGroups(context) {
    context.strokeStyle = variable("--back"); context.lineWidth = 1;
    context.beginPath();
    for (const start of view.groups) {
      context.moveTo(this.left(start), this.gutter); context.lineTo(this.left(start), this.side);
      context.moveTo(this.gutter, this.top(start)); context.lineTo(this.side, this.top(start));
    }
    context.stroke();
  }

  frame(context, [row, column], width) {
    const size = Math.max(this.cellSize, 5), shift = (size - this.cellSize) / 2;
    for (const [pen, extra] of [["#000", 2], ["#fff", 0]]) {
      context.strokeStyle = pen; context.lineWidth = width + extra;
      context.strokeRect(this.left(column) - shift, this.top(row) - shift, size, size);
    }
  }

  drawEdges(context) {
    const {gutter, cellSize} = this, n = data.count, first = Math.max(0, Math.floor(view.y)), firstColumn = Math.max(0, Math.floor(view.x));
    const every = data.images && cellSize >= 14 ? 1 : Math.ceil(22 / cellSize), count = Math.ceil(this.plot / cellSize) + 1;
    context.fillStyle = variable("--soft"); context.textBaseline = "middle";
    context.font = Math.max(9, Math.min(13, gutter * 0.3)) + "px system-ui, sans-serif";
    for (const [start, horizontal] of [[first, false], [firstColumn, true]]) {
      context.save();
      context.beginPath();
      if (horizontal) context.rect(gutter, 0, this.plot, gutter); else context.rect(0, gutter, gutter, this.plot);
      context.clip();
      for (let k = Math.ceil(start / every) * every; k < Math.min(n, start + count); k += every) {
        const at = horizontal ? this.left(k) : this.top(k), image = every === 1 && cellSize >= 14 ? imageOf(view.order[k]) : null;
        const size = Math.min(cellSize - 1, gutter - 3);
        if (image) context.drawImage(image, horizontal ? at + (cellSize - size) / 2 : gutter - size - 2, horizontal ? gutter - size - 2 : at + (cellSize - size) / 2, size, size);
        else if (horizontal) { context.textAlign = "center"; context.fillText(view.order[k], at + cellSize / 2, gutter - 9); }
        else { context.textAlign = "right"; context.fillText(view.order[k], gutter - 4, at + cellSize / 2); }
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
        view.x -= (x - held.lastX) / this.cellSize; view.y -= (y - held.lastY) / this.cellSize;
        held.lastX = x; held.lastY = y;
        clampView(); redraw();
        return;
      }
      hoverCell(this.cellAt(x, y));
    });
    surface.addEventListener("pointerdown", (event) => {
      const [x, y] = place(event);
      this.pointers.set(event.pointerId, {x, y, lastX: x, lastY: y, moved: false});
      if (view.zoom > 1) surface.setPointerCapture(event.pointerId);
    });
    const release = (event) => { this.pointers.delete(event.pointerId); this.spread = 0; surface.classList.remove("dragging"); };
    surface.addEventListener("pointerup", (event) => {
      const held = this.pointers.get(event.pointerId), cell = this.cellAt(...place(event));
      release(event);
      if (held && !held.moved && cell) { hoverCell(cell); openCell(cell); }
    });
    surface.addEventListener("pointercancel", release);
    surface.addEventListener("pointerleave", (event) => { if (!this.pointers.has(event.pointerId)) hoverCell(null); });
    surface.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && document.activeElement !== surface) return;
      event.preventDefault();
      this.zoomAt(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), ...place(event));
    }, {passive: false});
    surface.addEventListener("keydown", (event) => mapKey(event));
    surface.addEventListener("blur", () => { view.cursor = null; redraw(); });
  }

  pinch(event, x, y) {
    Object.assign(this.pointers.get(event.pointerId), {lastX: x, lastY: y, moved: true});
    const [a, b] = [...this.pointers.values()], spread = Math.hypot(a.lastX - b.lastX, a.lastY - b.lastY);
    if (this.spread) this.zoomAt(spread / this.spread, (a.lastX + b.lastX) / 2, (a.lastY + b.lastY) / 2);
    this.spread = spread;
  }

  zoomAt(factor, x = this.gutter + this.plot / 2, y = this.gutter + this.plot / 2) {
    const column = (x - this.gutter) / this.cellSize + view.x, row = (y - this.gutter) / this.cellSize + view.y;
    view.zoom = Math.max(1, Math.min(Math.max(1, data.count / 3), view.zoom * factor));
    view.x = column - (x - this.gutter) / this.cellSize; view.y = row - (y - this.gutter) / this.cellSize;
    clampView(); redraw();
  }
}

function clampView() {
  const most = data.count * (1 - 1 / view.zoom);
  view.x = Math.max(0, Math.min(most, view.x)); view.y = Math.max(0, Math.min(most, view.y));
  for (const one of maps) one.surface.style.touchAction = view.zoom > 1 ? "none" : "pan-y";
}

function reveal([row, column]) {
  const visible = data.count / view.zoom;
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
