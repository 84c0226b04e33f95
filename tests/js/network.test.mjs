// Claims about network.js on numbers small enough to check by hand; test_explorer_js.py holds it
// against torch on the shipped weights.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as network from "../../vae_helpers/explorer/network.js";

// 16-bit floats, packed as live.py packs them.
function packed(halves) {
  return new DataView(Uint8Array.from([...halves.map((h) => h >> 8), ...halves.map((h) => h & 255)]).buffer);
}

const ONE = 0x3c00;

test("every finite 16-bit float is read as the number it is", () => {
  const known = { 0x0000: 0, 0x3c00: 1, 0xbc00: -1, 0x3555: 1365 / 4096, 0x7bff: 65504, 0x0001: 2 ** -24, 0x83ff: -1023 / 2 ** 24 };
  const halves = Object.keys(known).map(Number);
  const values = network.unpackFloats(packed(halves), halves.length);
  assert.deepEqual([...values], halves.map((half) => known[half]));
});

test("damaged bytes are refused with what was expected and found", () => {
  assert.throws(() => network.unpackFloats(packed([ONE]), 2), /expected 4 bytes, found 2/);
  assert.throws(() => network.unpackFloats(undefined, 1), /expected 2 bytes, found 0/);
  assert.throws(() => network.unpackFloats(packed([0x7c00]), 1), /not finite/);
});

test("layers are read as PyTorch keeps them: weight row by row, then bias", () => {
  const [first, second] = network.readLayers(packed([1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => ONE + i)), [2, 2, 1]);
  const values = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => 1 + i / 1024);
  assert.deepEqual([...first.weight, ...first.bias, ...second.weight, ...second.bias], values);
  assert.deepEqual([...network.linear({ ...first, weight: [1, 2, 3, 4], bias: [5, 6] }, [10, 1])], [17, 40]);
});

test("ReLU stands between the layers and not after the last", () => {
  const layer = (weight, bias) => ({ inputs: 1, outputs: 1, weight: [weight], bias: [bias] });
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  assert.deepEqual([...network.decode([layer(1, 0), layer(1, -1)], [-5])], [sigmoid(-1)]);
  assert.deepEqual([...network.decode([layer(1, 0), layer(1, -1)], [5])], [sigmoid(4)]);
  assert.deepEqual([...network.decode([layer(-1, 0), layer(1, -1)], [-5])], [sigmoid(4)]);
});

test("an encoder's outputs are mu and then logvar", () => {
  const layer = { inputs: 1, outputs: 4, weight: [1, 2, 3, 4], bias: [0, 0, 0, -9] };
  const { mu, logvar } = network.encode([layer], [1]);
  assert.deepEqual([[...mu], [...logvar]], [[1, 2], [3, -5]]);
});

test("the KL is zero where q is the prior, and else ½ Σ (μ² + σ² − 1 − log σ²)", () => {
  assert.equal(network.klDivergence([0, 0], [0, 0]), 0);
  assert.equal(network.klDivergence([3], [0]), 4.5);
  const [mu, logvar] = [[0.5, -1], [0.2, -0.7]];
  const expected = mu.reduce((s, m, i) => s + (m * m + Math.exp(logvar[i]) - 1 - logvar[i]) / 2, 0);
  assert.ok(Math.abs(network.klDivergence(mu, logvar) - expected) < 1e-15);
});

test("the log-likelihood is Gaussian, with its constant", () => {
  const [x, xMean] = [[1, 0], [0.5, 0.25]];
  assert.equal(network.summedSquaredError(x, xMean), 0.3125);
  const found = network.gaussianLogLikelihood(x, xMean, 2);
  assert.ok(Math.abs(found - (-0.3125 / 4 - Math.log(4 * Math.PI))) < 1e-15);
});
