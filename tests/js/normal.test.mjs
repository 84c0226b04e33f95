// Claims about normal.js; the reference values are those of Python's statistics.NormalDist.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as normal from "../../vae_helpers/explorer/normal.js";

const close = (found, expected, tolerance) => {
  assert.ok(Math.abs(found - expected) <= tolerance, `found ${found}, expected ${expected}`);
};

test("the density is that of the standard normal", () => {
  close(normal.normalDensity(0), 0.3989422804014327, 1e-16);
  close(normal.normalDensity(-2), 0.05399096651318806, 1e-16);
});

test("the cdf is right in the middle and in the tails", () => {
  const known = { 0: 0.5, 1: 0.8413447460685429, "-1.96": 0.024997895148220435, 4.9: 0.9999995208167234, "-6": 9.865876450376981e-10, 8: 1 };
  for (const [z, u] of Object.entries(known)) close(normal.normalCdf(Number(z)), u, 1e-15);
  close(normal.normalCdf(-10) / 7.619853024160495e-24, 1, 1e-12);
});

test("the cdf rises and is symmetric", () => {
  for (let z = -8; z < 8; z += 0.01) {
    assert.ok(normal.normalCdf(z + 0.01) >= normal.normalCdf(z));
    close(normal.normalCdf(z) + normal.normalCdf(-z), 1, 1e-14);
  }
});

test("the quantile undoes the cdf", () => {
  for (let z = -5; z <= 5; z += 0.01) {
    // u is right to 1e-15, as claimed above, and moves z by 1 / density(z) times that.
    close(normal.normalQuantile(normal.normalCdf(z)), z, 1e-12 + 2e-15 / normal.normalDensity(z));
  }
  close(normal.normalQuantile(0.99), 2.3263478740408408, 1e-12);
  close(normal.normalQuantile(1e-12), -7.034483825301131, 1e-9);
  assert.equal(normal.normalQuantile(0.5), 0);
});

test("the ends have no finite quantile, and what is no probability none", () => {
  assert.equal(normal.normalQuantile(0), -Infinity);
  assert.equal(normal.normalQuantile(1), Infinity);
  for (const u of [-0.1, 1.1, NaN]) assert.ok(Number.isNaN(normal.normalQuantile(u)));
});

test("draws have mean 0 and variance 1, and are finite where the source gives 0", () => {
  let seed = 1;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647; // Lehmer 1951
  const draws = Array.from({ length: 20000 }, () => normal.normalDraw(random));
  const mean = draws.reduce((a, b) => a + b) / draws.length;
  close(mean, 0, 0.03); // four standard errors of 0.007
  close(draws.reduce((a, b) => a + b * b, 0) / draws.length, 1, 0.04);
  assert.ok(Number.isFinite(normal.normalDraw(() => 0)));
});
