// Claims about what the pad refuses. What it computes is held against torch, and its drawing driven
// in a browser, by the tests in Python.

import assert from "node:assert/strict";
import { test } from "node:test";

import { passThrough, readDigits, readImage, readVae } from "../../vae_helpers/explorer/pad.js";

const model = (state) => ({ get: (name) => state[name] });
const bytes = (count) => new DataView(new ArrayBuffer(count));

test("a blank pad is no image, and no mistake either", () => {
  assert.equal(readImage(model({ image: [] })), undefined);
  const image = Array(784).fill(7);
  assert.equal(readImage(model({ image })), image);
});

test("a damaged image is refused in words", () => {
  for (const image of [undefined, [1, 2, 3], Array(785).fill(0)]) {
    assert.throws(() => readImage(model({ image })), /image is damaged: expected 784 greys, found/);
  }
});

test("test digits of another size than their labels say are refused in words", () => {
  assert.equal(readDigits(model({ digits: bytes(1568), digit_labels: "47" })).length, 2);
  for (const state of [
    { digits: bytes(1567), digit_labels: "47" },
    { digits: bytes(784), digit_labels: "" },
    { digit_labels: "4" },
    { digits: bytes(784) },
  ]) {
    assert.throws(() => readDigits(model(state)), /set of test digits is damaged: expected 784 bytes each/);
  }
});

test("a damaged network, σ² or noise is refused in words", () => {
  const state = { sigma2: 0.5, encoder_sizes: [784, 2], decoder_sizes: [1, 784] };
  assert.throws(() => readVae(model(state)), /numbers are damaged/);
  assert.throws(() => readVae(model({ ...state, sigma2: -1 })), /σ² is damaged: expected a positive number, found -1/);
  const layer = (inputs, outputs) => ({
    inputs,
    outputs,
    weight: new Float32Array(inputs * outputs),
    bias: new Float32Array(outputs),
  });
  const vae = { encoder: [layer(784, 2)], decoder: [layer(1, 784)], sigma2: 0.5 };
  const blank = Array(784).fill(0);
  assert.equal(passThrough(vae, blank, [0.3]).z[0], 0.3);
  assert.throws(() => passThrough(vae, blank, []), /noise is damaged: expected 1 numbers, found 0/);
});
