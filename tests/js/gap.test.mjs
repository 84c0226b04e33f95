// Claims about ELBO, gap and log p(x) of the linear-Gaussian model with one latent variable.
// Their values are held against those of linear_gaussian.py in tests/test_explorer_figures.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { evenly } from "../../vae_helpers/explorer/curves.js";
import { exactAnswers, expectedLogLikelihood, gapParts } from "../../vae_helpers/explorer/gap.js";
import { gaussianDensity, trapezoids } from "../../vae_helpers/explorer/kl.js";

const camera = { w: [1.5, -0.4, 0], b: [0.5, 0, 1], sigma2: 0.5, x: [3, 0.2, 0.7] };
const z = evenly(-12, 12, 6001);
const logLikelihood = (value) =>
  camera.x
    .map((x, d) => Math.log(gaussianDensity(x, camera.w[d] * value + camera.b[d], 0.5 ** 0.5)))
    .reduce((a, b) => a + b);

test("ELBO and gap add to log p(x) for every q, and the gap is never negative", () => {
  for (const mu of evenly(-3, 3, 25)) {
    for (const s of evenly(0.05, 2, 14)) {
      const { elbo, gap, logMarginal } = gapParts(camera, mu, s);
      assert.ok(gap >= 0);
      // The largest numbers here are of the order 10³, and rounding takes 10⁻¹⁶ of them.
      assert.ok(Math.abs(elbo + gap - logMarginal) < 1e-11, `at (${mu}, ${s})`);
    }
  }
});

test("the gap closes at the posterior", () => {
  const { mean, width } = exactAnswers(camera);
  const { elbo, gap, logMarginal } = gapParts(camera, mean, width);
  assert.ok(Math.abs(gap) < 1e-14 && Math.abs(elbo - logMarginal) < 1e-13);
});

test("each closed form is the integral that it stands for", () => {
  const [mu, s] = [0.9, 0.7];
  const joint = z.map((value) => gaussianDensity(value, 0, 1) * Math.exp(logLikelihood(value)));
  const parts = gapParts(camera, mu, s);
  assert.ok(Math.abs(Math.log(trapezoids(z, joint)) - parts.logMarginal) < 1e-10);
  const expected = z.map((value) => gaussianDensity(value, mu, s) * logLikelihood(value));
  assert.ok(Math.abs(trapezoids(z, expected) - expectedLogLikelihood(camera, mu, s)) < 1e-10);
  const { mean, width } = exactAnswers(camera);
  const evidence = Math.exp(parts.logMarginal);
  z.forEach((value, k) =>
    assert.ok(Math.abs(joint[k] / evidence - gaussianDensity(value, mean, width)) < 1e-12),
  );
});
