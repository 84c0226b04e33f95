// The VAE of vae_helpers/networks.py and the objectives of vae_helpers/objectives.py, in
// JavaScript: the same names, one image at a time.

// The 16-bit floats that live.py packed: the high bytes of all numbers, then the low bytes.
export function unpackFloats(bytes, count) {
  const [expected, found] = [2 * count, bytes?.byteLength ?? 0];
  if (found !== expected) {
    throw new Error(`Its numbers are damaged: expected ${expected} bytes, found ${found}. Run the cell again.`);
  }
  return Float32Array.from({ length: count }, (_, i) => {
    const high = bytes.getUint8(i);
    const exponent = (high >> 2) & 31;
    if (exponent === 31) {
      throw new Error("Its numbers are damaged: found one that is not finite. Run the cell again.");
    }
    const fraction = (((high & 3) << 8) | bytes.getUint8(count + i)) / 1024;
    const size = exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14;
    return high & 128 ? -size : size;
  });
}

// The layers of an encoder or a decoder of these widths, such as [4, 32, 64, 784]: of each layer
// the weight (outputs × inputs, row by row) and the bias (outputs), as PyTorch keeps them.
export function readLayers(bytes, sizes) {
  const pairs = sizes.slice(1).map((outputs, i) => [sizes[i], outputs]);
  const values = unpackFloats(bytes, pairs.reduce((sum, [i, o]) => sum + (i + 1) * o, 0));
  let place = 0;
  return pairs.map(([inputs, outputs]) => {
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
export function gaussianLogLikelihood(x, xMean, sigma2) {
  const constant = 0.5 * xMean.length * Math.log(2 * Math.PI * sigma2);
  return -summedSquaredError(x, xMean) / (2 * sigma2) - constant;
}
