// Claims about the divergence from a Gaussian to the prior, and about what its figure draws.

import assert from "node:assert/strict";
import { test } from "node:test";

import { gaussianDensity, klCurves, klIntegrand, klTerms } from "../../vae_helpers/explorer/kl.js";
import { sum, trapezoids } from "../../vae_helpers/explorer/kl.js";
import { klDivergence } from "../../vae_helpers/explorer/network.js";

// The corners of the sliders, and some places between.
const MEANS = [-3, -0.7, 0, 0.05, 1, 3];
const WIDTHS = [0.1, 0.35, 0.5, 1, 1.05, 3];
const EVERY_Q = MEANS.flatMap((mu) => WIDTHS.map((sigma) => [mu, sigma]));

const close = (found, expected, tolerance, what) =>
  assert.ok(Math.abs(found - expected) <= tolerance, `${what}: ${found} is not ${expected}`);

test("the drawn area is the closed form, wherever the sliders stand", () => {
  for (const [mu, sigma] of EVERY_Q) {
    const { z, above, below } = klCurves(mu, sigma);
    // The axis ends six standard deviations from the mean: less than 10⁻⁶ nats lies beyond.
    const area = trapezoids(z, above) + trapezoids(z, below);
    close(area, sum(klTerms(mu, sigma)), 1e-6, `KL at (${mu}, ${sigma})`);
  }
});

test("the three terms add to what the VAE's own formula gives", () => {
  for (const [mu, sigma] of EVERY_Q) {
    const expected = klDivergence([mu], [2 * Math.log(sigma)]);
    close(sum(klTerms(mu, sigma)), expected, 1e-13, `KL at (${mu}, ${sigma})`);
  }
});

test("the drawn densities have the area one", () => {
  assert.equal(trapezoids([0, 2, 4], [1, 2, 5]), 10); // both ends count by half
  for (const [mu, sigma] of EVERY_Q) {
    const { z, q, p } = klCurves(mu, sigma);
    close(trapezoids(z, q), 1, 1e-8, `q at (${mu}, ${sigma})`);
    close(trapezoids(z, p), 1, 1e-6, "p"); // the axis ends at ±5 at the least
  }
});

test("what adds is above zero, what takes is below, and together they are the integrand", () => {
  const { z, above, below } = klCurves(1, 0.5);
  assert.ok(above.every((value) => value >= 0) && below.every((value) => value <= 0));
  assert.ok(above.some((value) => value > 0.1) && below.some((value) => value < -0.1));
  z.forEach((value, k) => assert.equal(above[k] + below[k], klIntegrand(value, 1, 0.5)));
});

test("the integrand is q (log q − log p), and stays a number where the densities vanish", () => {
  const logRatio = Math.log(gaussianDensity(1.7, 1, 0.5) / gaussianDensity(1.7, 0, 1));
  close(klIntegrand(1.7, 1, 0.5), gaussianDensity(1.7, 1, 0.5) * logRatio, 1e-15, "integrand");
  assert.equal(Math.abs(klIntegrand(60, 0, 0.1)), 0);
});
