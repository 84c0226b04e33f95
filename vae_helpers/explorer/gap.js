// The gap of the derivation: log p(x) = ELBO + KL(q ‖ p(z|x)), for the linear-Gaussian model with
// one latent variable, z ~ N(0, 1), x | z ~ N(wz + b, σ²I), and q = N(μ, s²).

import { button, numberText } from "./dom.js";
import { Panel, evenly, liveFigure, roundUp } from "./curves.js";
import { across, densityLabel, densityPanel, gaussianDensity, klTerms, sum } from "./kl.js";

// Mean and standard deviation of the exact posterior p(z|x), and log p(x) = log N(x; b, wwᵀ + σ²I),
// by the matrix inversion lemma.
export function exactAnswers({ w, b, sigma2, x }) {
  const precision = 1 + sum(w.map((value) => value ** 2)) / sigma2;
  const projected = sum(w.map((value, d) => value * (x[d] - b[d]))) / sigma2;
  const squares = sum(x.map((value, d) => (value - b[d]) ** 2)) / sigma2;
  const mean = projected / precision;
  const logDet = Math.log(precision) + x.length * Math.log(2 * Math.PI * sigma2);
  const logMarginal = -0.5 * (squares - projected * mean + logDet);
  return { mean, width: precision ** -0.5, logMarginal };
}

// E_q[log p(x|z)]: the mean of a square is the squared mean plus the variance.
export function expectedLogLikelihood({ w, b, sigma2, x }, mu, s) {
  const squares = sum(x.map((value, d) => (value - b[d] - w[d] * mu) ** 2 + (w[d] * s) ** 2));
  return -squares / (2 * sigma2) - 0.5 * x.length * Math.log(2 * Math.PI * sigma2);
}

// The parts of the equation, each from its own formula: none is got from the others.
export function gapParts(camera, mu, s) {
  const logLikelihood = expectedLogLikelihood(camera, mu, s);
  const klToPrior = sum(klTerms(mu, s));
  const { mean, width, logMarginal } = exactAnswers(camera);
  // A divergence does not change with the unit of z: in that of the posterior, that is N(0, 1).
  const gap = sum(klTerms((mu - mean) / width, s / width));
  const elbo = logLikelihood - klToPrior;
  return { logLikelihood, klToPrior, elbo, gap, mean, width, logMarginal };
}

export function renderGap(widget) {
  const { model, el } = widget;
  const [w, b, sigma2, x] = ["w", "b", "sigma2", "x"].map((name) => model.get(name));
  const camera = { w, b, sigma2, x };
  const set = button("Set q to the posterior", () => {
    const { mean, width } = exactAnswers(camera);
    model.set("mu", mean);
    model.set("sigma", width);
    model.save_changes();
  });
  el.append(set);
  return liveFigure(widget, ["mu", "sigma"], (width, mu, s) => drawGap(width, camera, mu, s));
}

function drawGap(width, camera, mu, s) {
  const parts = gapParts(camera, mu, s);
  const { elbo, gap, logMarginal, mean, width: spread } = parts;
  const [low, high] = [mean - 5 * spread, mean + 5 * spread];
  const z = evenly(Math.min(low, mu - 4 * s), Math.max(high, mu + 4 * s), 601);
  const q = z.map((value) => gaussianDensity(value, mu, s));
  const p = z.map((value) => gaussianDensity(value, mean, spread));
  const densities = densityPanel(width, z, q, p, "posterior p(z | x)");
  densities.axisBelow("z");
  const equation = `${inNats(elbo)} + ${inNats(gap)} = ${inNats(elbo + gap)} nats`;
  return {
    height: 342,
    label:
      `${densityLabel(mu, s, "posterior")} Below, ELBO and gap in one bar that ends at ` +
      `log p(x) = ${inNats(logMarginal)}: ${equation}.`,
    children: [densities.node, drawBar(width, parts)],
    result: `ELBO + gap = ${equation}`,
    digits: 4,
    rows: [
      ["E[log p(x | z)]", "likelihood under q", parts.logLikelihood],
      ["−KL(q ‖ p(z))", "q and the prior", -parts.klToPrior],
      ["ELBO", "their sum", elbo, true],
      ["KL(q ‖ p(z | x))", "gap: q and the posterior", gap],
      ["ELBO + gap", "their sum", elbo + gap, true],
      ["log p(x)", "its own formula", logMarginal, true],
    ],
  };
}

function inNats(value) {
  return numberText(value, 4);
}

// ELBO and gap end to end on a line of nats. The ELBO comes from far left: its end is torn off.
function drawBar(width, { elbo, gap, logMarginal: end }) {
  const span = roundUp(Math.max(1, 1.6 * gap));
  const x = [end - span, end + 0.08 * span];
  const bar = new Panel({ ...across(width), top: 208, height: 98, x, y: [0, 1] });
  const meet = bar.across(elbo);
  const stop = bar.across(elbo + gap);
  const line = bar.across(end);
  bar.path("elbo", `M${bar.left} 260H${meet}v30H${bar.left}l4 -7.5l-4 -7.5l4 -7.5Z`);
  let strokes = "";
  for (let place = meet + 2.5; place < stop; place += 5) strokes += `M${place} 260v30`;
  bar.path("gap", `M${meet} 260H${stop}v30H${meet}Z${strokes}`);
  bar.path("end", `M${line} 216V306`);
  bar.text("name", line - 6, 226, `log p(x) = ${inNats(end)}`, "end");
  bar.text("name", line - 6, 250, `gap ${inNats(gap)}`, "end");
  bar.text("name", bar.left + 12, 280, `ELBO ${inNats(elbo)}`, "start");
  bar.axisBelow("nats");
  return bar.node;
}
