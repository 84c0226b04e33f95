// The divergence from q = N(μ, σ²) to the prior N(0, 1): densities, integrand and value.

import { numberText } from "./dom.js";
import { normalDensity } from "./normal.js";
import { Panel, evenly, liveFigure, roundUp } from "./curves.js";

const POINTS = 801;

// The three terms of KL(N(μ, σ²) ‖ N(0, 1)) = ½ (μ² + σ² − 1 − log σ²), in nats.
export function klTerms(mu, sigma) {
  return [0.5 * mu ** 2, 0.5 * (sigma ** 2 - 1), -Math.log(sigma)];
}

// The density of N(μ, σ²) at z.
export function gaussianDensity(z, mu, sigma) {
  return normalDensity((z - mu) / sigma) / sigma;
}

// q(z) log(q(z) / p(z)), in nats per unit of z. The quotient is taken as a difference of
// logarithms: far out both densities are zero in the computer's numbers.
export function klIntegrand(z, mu, sigma) {
  const logRatio = -Math.log(sigma) - 0.5 * ((z - mu) / sigma) ** 2 + 0.5 * z ** 2;
  return gaussianDensity(z, mu, sigma) * logRatio;
}

// The integral of a curve over evenly spaced points, by trapezoids.
export function trapezoids(xs, ys) {
  const inner = ys.reduce((sum, y) => sum + y, 0) - 0.5 * (ys[0] + ys[ys.length - 1]);
  return inner * (xs[1] - xs[0]);
}

// The curves of the figure, on an axis that leaves out less than 10⁻⁶ nats of the integrand.
export function klCurves(mu, sigma) {
  const reach = Math.max(5, Math.abs(mu) + 6 * sigma);
  const z = evenly(-reach, reach, POINTS);
  const integrand = z.map((value) => klIntegrand(value, mu, sigma));
  return {
    z,
    q: z.map((value) => gaussianDensity(value, mu, sigma)),
    p: z.map(normalDensity),
    above: integrand.map((value) => Math.max(0, value)),
    below: integrand.map((value) => Math.min(0, value)),
  };
}

export function renderKl(widget) {
  return liveFigure(widget, ["mu", "sigma"], drawKl);
}

// Where a panel of this width stands: the numbers of its axis are left of it.
export function across(width) {
  return { left: 38, width: width - 46 };
}

// The densities of q, filled and solid, and of what it is held against, dashed: where the two
// agree, q shows between the dashes. The scale goes in round steps: while q grows it holds still.
export function densityPanel(width, z, q, p, name) {
  const [x, y] = [[z[0], z[z.length - 1]], [0, roundUp(Math.max(...q, ...p))]];
  const panel = new Panel({ ...across(width), top: 30, height: 120, x, y });
  panel.axisLeft();
  panel.area("q-fill", z, q);
  panel.curve("q", z, q);
  panel.curve("p", z, p);
  panel.legend(["q", "h22", "q(z)"], ["p", "h22", name]);
  return panel;
}

// What is seen there, in words.
export function densityLabel(mu, sigma, name) {
  return `Densities of q, with mean ${numberText(mu)} and width ${numberText(sigma)}, and of the ${name}.`;
}

function drawKl(width, mu, sigma) {
  const { z, q, p, above, below } = klCurves(mu, sigma);
  const densities = densityPanel(width, z, q, p, "prior p(z)");
  const highest = roundUp(Math.max(0.5, ...above));
  const y = [-0.3 * highest, highest];
  const integrand = new Panel({ ...across(width), top: 218, height: 130, x: densities.x, y });
  integrand.axisLeft();
  integrand.strokes("adds", z, above);
  integrand.curve("q", z, above);
  integrand.area("takes", z, below);
  integrand.text("name", integrand.left, 184, "q(z) log(q(z) / p(z)), nats per unit of z", "start");
  integrand.legend(
    ["adds", "m1 5v-10m5 0v10m5 -10v10m5 -10v10m5 -10v10", "adds to KL"],
    ["takes", "m0 5h22v-10h-22Z", "takes from KL"],
  );
  integrand.axisBelow("z");

  const terms = klTerms(mu, sigma);
  const value = numberText(sum(terms), 4);
  const [added, taken] = [trapezoids(z, above), -trapezoids(z, below)];
  return {
    height: 386,
    label: `${densityLabel(mu, sigma, "prior")} Below, q log(q / p): its area is ${value} nats.`,
    children: [densities.node, integrand.node],
    result: `KL(q ‖ p) = ½ (μ² + σ² − 1 − log σ²) = ${value} nats`,
    digits: 4,
    rows: [
      ["½ μ²", "for the mean", terms[0]],
      ["½ (σ² − 1)", "for the width", terms[1]],
      ["−½ log σ²", "for the width", terms[2]],
      ["Sum", "the closed form", sum(terms), true],
      ["Area", `${numberText(added, 4)} − ${numberText(taken, 4)}`, added - taken, true],
    ],
  };
}

export function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
