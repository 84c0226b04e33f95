// Claims about axes: their marks, and the way from numbers to places.

import assert from "node:assert/strict";
import { test } from "node:test";

import { axisTicks, roundUp } from "../../vae_helpers/explorer/curves.js";

test("a scale is rounded up to 1, 2 or 5 times a power of ten", () => {
  const pairs = [[0.0499, 0.05], [0.5, 0.5], [0.51, 1], [1, 1], [1.001, 2], [3.99, 5], [26, 50], [51, 100]];
  for (const [value, expected] of pairs) assert.equal(roundUp(value), expected);
});

test("marks are round numbers within the axis, at most so many steps apart, with a true minus", () => {
  const texts = (...axis) => axisTicks(...axis).map(({ text }) => text);
  assert.deepEqual(texts(-5, 5, 10), ["−5", "−4", "−3", "−2", "−1", "0", "1", "2", "3", "4", "5"]);
  assert.deepEqual(texts(-0.3, 0.5, 4), ["−0.2", "0.0", "0.2", "0.4"]);
  assert.deepEqual(texts(0, 1, 4), ["0.0", "0.5", "1.0"]);
  for (let top = 0.11; top < 60; top *= 1.37) {
    const ticks = axisTicks(-0.3 * top, top, 4);
    assert.ok(ticks.length >= 2 && ticks.length <= 5);
    assert.ok(ticks.some(({ value }) => value === 0));
  }
});
