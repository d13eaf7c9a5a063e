// The data of the page: sections are decompressed when they are first needed.
const data = JSON.parse(document.getElementById("data").textContent);
const buffers = new Map();
const TYPES = {u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i2: Int16Array, f4: Float32Array, f8: Float64Array};

function buffer(number) {
  if (!buffers.has(number)) buffers.set(number, inflated(document.getElementById("section" + number).textContent));
  return buffers.get(number);
}

async function inflated(text) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text), bytes = new Uint8Array(binary.length);
  for (let k = 0; k < binary.length; k++) bytes[k] = binary.charCodeAt(k);
  return bytes;
}

async function arraysOf(stored) {
  const bytes = await buffer(stored.section), arrays = {};
  for (const [name, [type, offset, length]] of Object.entries(stored.parts))
    arrays[name] = new TYPES[type](bytes, offset, length);
  return arrays;
}

function decoded(code, bits, low, high) {
  if (code === 0) return NaN;
  if (code === 1) return 0;
  const top = bits === 8 ? 253 : 65533, share = (code - 2) / top;
  return low * (1 - share) + high * share;
}

// Similarities as they are in the file: `codes` of all pairs and the `diagonal`, or of the k nearest neighbours of each
// input, `near`, n rows by k columns. `values` in place of these: a matrix of numbers.
const matrices = new Map();

function matrix(layer, measure) {
  const key = layer + "/" + measure;
  if (!matrices.has(key)) matrices.set(key, readMatrix(data.layers[layer].measures[measure]));
  return matrices.get(key);
}

async function readMatrix(stored) {
  if (!stored || stored.reason !== undefined) return {reason: stored ? stored.reason : ""};
  const {low, high, bits, symmetric} = stored;
  return {...await arraysOf(stored), known: true, low, high, bits, symmetric, step: (high - low) / (bits === 8 ? 253 : 65533)};
}

// The place of j among the stored neighbours of i, or -1.
function nearPlace(map, i, j) {
  const k = data.neighbours;
  return map.near.subarray(i * k, (i + 1) * k).indexOf(j);
}

// The place of the code of two different inputs.
function codePlace(map, i, j) {
  const n = data.count;
  if (!map.symmetric) return i * (n - 1) + (j > i ? j - 1 : j);
  const [a, b] = i < j ? [i, j] : [j, i];
  return a * (2 * n - a - 1) / 2 + b - a - 1;
}

// NaN if there is no value, null if the pair is not in the file.
function similarity(map, i, j) {
  if (map.values) return map.values[i * data.count + j];
  if (!map.known) return NaN;
  if (!map.near) return i === j ? map.diagonal[i] : decoded(map.codes[codePlace(map, i, j)], map.bits, map.low, map.high);
  for (const [one, other] of [[i, j], [j, i]]) {
    const place = nearPlace(map, one, other);
    if (place >= 0) return decoded(map.codes[one * data.neighbours + place], map.bits, map.low, map.high);
  }
  return null;
}

// Similarities of an input to all others.
function rowOf(map, i) {
  return Float64Array.from({length: data.count}, (_, j) => similarity(map, i, j));
}

// The matrix a minus b, and its largest absolute value off the diagonal.
function differenceOf(a, b) {
  const n = data.count, values = new Float64Array(n * n), symmetric = a.symmetric && b.symmetric;
  let most = 0;
  for (let i = 0; i < n; i++)
    for (let j = symmetric ? i : 0; j < n; j++) {
      const value = similarity(a, i, j) - similarity(b, i, j);
      values[i * n + j] = value;
      if (symmetric) values[j * n + i] = value;
      if (i !== j && Math.abs(value) > most) most = Math.abs(value);
    }
  return {values, most};
}

// Pairs whose matched positions are in the file.
const pairNumbers = new Map();
let pairCount = 0;

async function readPairs() {
  const {pairs} = await arraysOf(data.pairs);
  pairCount = pairs.length / 2;
  for (let p = 0; p < pairCount; p++) pairNumbers.set(pairs[2 * p] * data.count + pairs[2 * p + 1], p);
  firstOfPair = pairs;
}
let firstOfPair = null;

function sizeOf(layer, input) {
  const sizes = data.layers[layer].sizes;
  return Array.isArray(sizes) ? sizes[input] : sizes;
}

// {partners: of each position of i, or -1; contributions; value; step}, or {reason}.
async function matching(layer, measure, i, j) {
  const entry = data.layers[layer], kind = entry.measures[measure], name = data.measures[measure];
  if (kind.reason !== undefined) return {reason: name.name + " is not available for this layer: " + kind.reason};
  if (entry.sizes === null) return {reason: "Matched positions need the activations of this layer; only its RSM is in the file."};
  if (name.pairs === false) return {reason: name.name + " pairs no positions."};
  if (i === j) {
    const partners = Int32Array.from({length: sizeOf(layer, i)}, (_, p) => p);
    return {partners, contributions: null, value: NaN, self: true};
  }
  const [first, second] = i < j ? [i, j] : [j, i], p = pairNumbers.get(first * data.count + second);
  if (p === undefined || !kind.matchings)
    return {reason: "The matched positions of this pair are not in the file, which has those of " + grouped(pairCount) + " of " + grouped(data.count * (data.count - 1) / 2) + " pairs (nearest neighbours first). Add it by pairs=[(" + first + ", " + second + ")], or allow more megabytes, when you write the page."};
  const stored = await storedMatching(layer, kind.matchings, p, first, sizeOf(layer, second));
  return i < j ? stored : inverted(stored, sizeOf(layer, i));
}

async function storedMatching(layer, matchings, p, first, otherSize) {
  const chunks = matchings.chunks;
  let low = 0, high = chunks.length - 1;
  while (low < high) { const middle = (low + high + 1) >> 1; if (chunks[middle].first <= p) low = middle; else high = middle - 1; }
  const chunk = chunks[low], arrays = await arraysOf(chunk), size = sizeOf(layer, first);
  let offset = 0;
  for (let q = chunk.first; q < p; q++) offset += sizeOf(layer, firstOfPair[2 * q]);
  const place = p - chunk.first, from = arrays.ranges[2 * place], to = arrays.ranges[2 * place + 1];
  const partners = new Int32Array(size), contributions = new Float64Array(size);
  for (let s = 0; s < size; s++) {
    partners[s] = matchings.columns === "identity" ? s : arrays.columns[offset + s] - 1;
    contributions[s] = decoded(arrays.contributions[offset + s], matchings.bits, from, to);
  }
  return {partners, contributions, value: arrays.values[place], step: (to - from) / (matchings.bits === 8 ? 253 : 65533)};
}

function inverted(stored, size) {
  const partners = new Int32Array(size).fill(-1), contributions = new Float64Array(size);
  stored.partners.forEach((t, s) => { if (t >= 0) { partners[t] = s; contributions[t] = stored.contributions[s]; } });
  return {...stored, partners, contributions};
}

function nameOf(input) {
  return data.labels ? "#" + input + " " + data.labels[input] : "#" + input;
}

// Text in which a value is not more exact than its step.
function shown(value, step) {
  if (value === null) return "not in the file";
  if (Number.isNaN(value)) return "no value";
  if (value === 0) return "0 (exactly)";
  const digits = step > 0 ? Math.max(1, Math.min(5, Math.ceil(Math.log10(Math.abs(value) / step)))) : 5;
  return Number(value.toPrecision(digits)).toString();
}

function plain(value) {
  return Number(value.toPrecision(5)).toString();
}
