// The VAE of vae_helpers/networks.py and the objectives of vae_helpers/objectives.py, in
// JavaScript: the same names, one image at a time.

// The numbers that live.py packed: 16-bit floats, first of all numbers the sign and the exponent
// (6 bits, a letter of base64 each, so that gzip finds what repeats), then the fractions (10 bits).
export function unpackFloats(bytes, count) {
  const heads = 3 * Math.ceil(count / 4);
  const expected = heads + Math.ceil((10 * count) / 8);
  if (!bytes || bytes.byteLength !== expected) {
    const found = bytes ? bytes.byteLength : 0;
    throw new Error(
      `Its numbers are damaged: expected ${expected} bytes, found ${found}. ` +
        "Run the cell again, or build the page again.",
    );
  }
  const readHead = bitReader(bytes, 0, 6);
  const readFraction = bitReader(bytes, heads, 10);
  const values = new Float32Array(count);
  for (let i = 0; i < count; i += 1) {
    const head = readHead();
    const exponent = head & 31;
    const fraction = readFraction() / 1024;
    if (exponent === 31) {
      throw new Error("Its numbers are damaged: found one that is not finite. Run the cell again.");
    }
    const size = exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14;
    values[i] = head & 32 ? -size : size;
  }
  return values;
}

// A function that returns the next `width` bits, the highest first.
function bitReader(bytes, start, width) {
  let place = start;
  let held = 0;
  let bits = 0;
  return () => {
    while (bits < width) {
      held = (held << 8) | bytes.getUint8(place);
      place += 1;
      bits += 8;
    }
    bits -= width;
    const value = held >>> bits;
    held &= (1 << bits) - 1;
    return value;
  };
}

// The layers of an encoder or a decoder of these widths, such as [4, 32, 64, 784]: of each layer
// the weight (outputs × inputs, row by row) and the bias (outputs), as PyTorch keeps them.
export function readLayers(bytes, sizes) {
  if (!Array.isArray(sizes) || sizes.length < 2 || !sizes.every((size) => size >= 1)) {
    throw new Error(`Its layers are damaged: found the widths ${sizes}. Run the cell again.`);
  }
  let count = 0;
  for (let i = 1; i < sizes.length; i += 1) count += (sizes[i - 1] + 1) * sizes[i];
  const values = unpackFloats(bytes, count);
  let place = 0;
  return sizes.slice(1).map((outputs, i) => {
    const inputs = sizes[i];
    const weight = values.subarray(place, (place += inputs * outputs));
    const bias = values.subarray(place, (place += outputs));
    return { inputs, outputs, weight, bias };
  });
}

// W x + b
export function linear({ inputs, outputs, weight, bias }, x) {
  const y = new Float64Array(outputs);
  for (let row = 0, place = 0; row < outputs; row += 1) {
    let sum = bias[row];
    for (let column = 0; column < inputs; column += 1, place += 1) sum += weight[place] * x[column];
    y[row] = sum;
  }
  return y;
}

export function relu(x) {
  return x.map((value) => Math.max(0, value));
}

export function sigmoid(x) {
  return x.map((value) => 1 / (1 + Math.exp(-value)));
}

// ReLU between the layers, none after the last.
function reluLayers(layers, x) {
  return layers.reduce((y, layer, i) => linear(layer, i ? relu(y) : y), x);
}

// x_mean (D), the mean of p(x|z), for z (L).
export function decode(decoder, z) {
  return sigmoid(reluLayers(decoder, z));
}

// mu and logvar (L each) of q(z|x), for an image x (D) in [0, 1].
export function encode(encoder, x) {
  const both = reluLayers(encoder, x);
  const latents = both.length / 2;
  return { mu: both.slice(0, latents), logvar: both.slice(latents) };
}

// KL(q(z|x) ‖ p(z)) = ½ Σ (μ² + e^ℓ − 1 − ℓ), in nats.
export function klDivergence(mu, logvar) {
  return mu.reduce((sum, m, i) => sum + 0.5 * (m * m + Math.expm1(logvar[i]) - logvar[i]), 0);
}

// ‖x − x̂‖²
export function summedSquaredError(x, xMean) {
  return xMean.reduce((sum, mean, i) => sum + (x[i] - mean) ** 2, 0);
}

// log N(x; x̂, σ²I), in nats.
export function gaussianLogLikelihood(x, xMean, sigma2 = 0.5) {
  const constant = 0.5 * xMean.length * Math.log(2 * Math.PI * sigma2);
  return -summedSquaredError(x, xMean) / (2 * sigma2) - constant;
}

// ELBO with x̂ = decode(z), in nats.
export function elbo(x, xMean, mu, logvar, sigma2 = 0.5) {
  return gaussianLogLikelihood(x, xMean, sigma2) - klDivergence(mu, logvar);
}
