// Claims about normal.js; the density is held against the KL's area in kl.test.mjs.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as normal from "../../vae_helpers/explorer/normal.js";

const close = (found, expected, tolerance) => {
  assert.ok(Math.abs(found - expected) <= tolerance, `found ${found}, expected ${expected}`);
};

test("draws have mean 0 and variance 1, and are finite where the source gives 0", () => {
  let seed = 1;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647; // Lehmer 1951
  const draws = Array.from({ length: 20000 }, () => normal.normalDraw(random));
  const mean = draws.reduce((a, b) => a + b) / draws.length;
  close(mean, 0, 0.03); // four standard errors of 0.007
  close(draws.reduce((a, b) => a + b * b, 0) / draws.length, 1, 0.04);
  assert.ok(Number.isFinite(normal.normalDraw(() => 0)));
});
