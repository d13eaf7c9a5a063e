// Colour maps, and the legend of a map.
function palette(name) {
  const hex = data.colours[name], colours = new Uint8Array(768);
  for (let k = 0; k < 768; k++) colours[k] = parseInt(hex.slice(2 * k, 2 * k + 2), 16);
  return colours;
}
const palettes = Object.fromEntries(Object.keys(data.colours).map((name) => [name, palette(name)]));

function level(value, low, high) {
  if (high <= low) return 128;
  return Math.max(0, Math.min(255, Math.round((value - low) / (high - low) * 255)));
}

function colour(name, value, low, high) {
  const k = 3 * level(value, low, high), colours = palettes[name];
  return [colours[k], colours[k + 1], colours[k + 2]];
}

// A pixel of a canvas as one number: red is the first byte.
function pixelOf(name, value, low, high) {
  if (value !== value) return 0;  // stays transparent: hatched
  if (value === 0 && name !== "PuOr_r") return 0xffffffff;
  const [r, g, b] = colour(name, value, low, high);
  return (255 << 24 | b << 16 | g << 8 | r) >>> 0;
}

function css([r, g, b], alpha = 1) {
  return "rgba(" + r + "," + g + "," + b + "," + alpha + ")";
}

function textOn([r, g, b]) {
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000" : "#fff";
}

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

function bar(name, low, high) {
  const canvas = element("canvas", {width: 256, height: 1, "aria-hidden": "true"}), context = canvas.getContext("2d");
  for (let k = 0; k < 256; k++) { context.fillStyle = css(palettes[name].subarray(3 * k, 3 * k + 3)); context.fillRect(k, 0, 1, 1); }
  return element("span", {class: "bar"}, element("span", {class: "number"}, low), canvas, element("span", {class: "number"}, high));
}

// The colours of the theme, read once: asking for a style makes the browser lay out the page.
const theme = {};

function readTheme() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["--text", "--soft", "--back", "--empty", "--hatch"]) theme[name] = style.getPropertyValue(name).trim();
  theme.hatching = null;
}

function variable(name) { return theme[name]; }

function hatching(context) {
  if (theme.hatching) return theme.hatching;
  const tile = document.createElement("canvas"), size = 8;
  tile.width = tile.height = size;
  const pen = tile.getContext("2d");
  pen.fillStyle = theme["--empty"];
  pen.fillRect(0, 0, size, size);
  pen.strokeStyle = theme["--hatch"];
  pen.lineWidth = 2;
  for (const shift of [-size, 0, size]) { pen.beginPath(); pen.moveTo(shift, size); pen.lineTo(shift + size, 0); pen.stroke(); }
  return theme.hatching = context.createPattern(tile, "repeat");
}
