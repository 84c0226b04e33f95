// The explorer: the digit that the decoder draws at a latent point, a map on which the point moves,
// and buttons that move it. The sliders are ipywidgets', linked to the traits z1 … zL.

import { digitCanvas, drawDigit } from "./digit.js";
import { button, element, guarded, oncePerFrame, pointText, reducedMotion } from "./dom.js";
import { clamp, latentMap, readCloud } from "./map.js";
import { decode, readLayers, unpackFloats } from "./network.js";
import { normalDraw } from "./normal.js";

const WALK = 3000; // milliseconds from one digit to the other
const STEPS = 8; // of a walk for a reader who wants less motion

// The latent point in the traits z1 … zL of a model. What is written is rounded as the sliders show
// it, so that the picture is that of the numbers one reads.
export function latentPoint(model, latents) {
  const names = Array.from({ length: latents }, (_, i) => `z${i + 1}`);
  const read = () => names.map((name) => model.get(name));
  const write = (z) => {
    names.forEach((name, i) => model.set(name, Math.round(100 * clamp(z[i], model.get("limit"))) / 100));
    model.save_changes();
  };
  return { names, read, write };
}

// The point on the straight line from one to another: at time 0 the one, at time 1 the other.
export function between(from, to, time) {
  return from.map((value, i) => (1 - time) * value + time * to[i]);
}

export function renderLatent({ model, el }) {
  return guarded(el, () => {
    const sizes = model.get("sizes");
    const decoder = readLayers(model.get("decoder"), sizes);
    const [latents, limit] = [sizes[0], model.get("limit")];
    const cloud = readCloud(model, latents);
    const means = readMeans(model, latents);
    const point = latentPoint(model, latents);
    const canvas = digitCanvas(sizes.at(-1));
    const said = element("p", { class: "live-said", "aria-live": "polite" });
    const onMove = (i, x, j, y) => {
      const z = point.read();
      [z[i], z[j]] = [x, y];
      point.write(z);
    };
    const map = latents > 1 ? latentMap({ cloud, latents, limit, onMove }) : undefined;
    const draw = () => {
      const z = point.read();
      drawDigit(canvas, decode(decoder, z), `Digit decoded at z = ${pointText(z)}`);
      map?.show(z);
    };
    const go = (z, name) => {
      point.write(z);
      said.textContent = `${name}: z = ${pointText(point.read())}`;
    };
    const walk = walker(point, (name) => go(point.read(), name));

    const parts = [canvas, map?.el, ...meanButtons(means, go), priorButtons(latents, go)];
    parts.push(...walkButtons(means, walk), said);
    const grid = element("div", { class: "live-latent" }, ...parts.filter(Boolean));
    el.classList.add("live");
    el.append(grid);
    const redraw = oncePerFrame(draw);
    for (const name of point.names) model.on(`change:${name}`, redraw);
    draw();
    return () => {
      walk.stop();
      for (const name of point.names) model.off(`change:${name}`, redraw);
    };
  });
}

// The mean of each class by its digit.
function readMeans(model, latents) {
  const digits = Array.from(model.get("mean_labels"));
  const values = Array.from(unpackFloats(model.get("means"), digits.length * latents));
  return new Map(digits.map((digit, c) => [digit, values.slice(c * latents, (c + 1) * latents)]));
}

function buttonGroup(name, className, ...parts) {
  const attributes = { class: `live-buttons ${className}`, role: "group", "aria-label": name };
  return element("div", attributes, ...parts);
}

// One button a class of digits: they move the point to its mean.
function meanButtons(means, go) {
  if (!means.size) return [];
  const buttons = Array.from(means, ([digit, z]) => {
    const name = `Mean of the digit ${digit}`;
    return button(digit, () => go(z, name), { class: "live-key", "aria-label": name });
  });
  const label = element("span", { "aria-hidden": "true" }, "Mean of");
  return [buttonGroup("Means of the digits", "live-means", label, ...buttons)];
}

function priorButtons(latents, go) {
  const draw = () => go(Array.from({ length: latents }, () => normalDraw()), "Draw from the prior");
  const back = () => go(Array(latents).fill(0), "Mean of the prior");
  const parts = [button("Random draw", draw), button("Back to z = 0", back)];
  return buttonGroup("The prior", "live-prior", ...parts);
}

// Moves the point from one place to another, unless something else moves it meanwhile.
function walker(point, onEnd) {
  let frame = 0;
  let end;
  const stop = () => {
    cancelAnimationFrame(frame);
    end?.();
    end = undefined;
  };
  const start = (from, to, name, whenOver) => {
    stop();
    end = whenOver;
    let started;
    let written;
    const step = (now) => {
      if (written && point.read().some((value, i) => Math.abs(value - written[i]) > 1e-6)) {
        stop(); // a hand took the point
        return;
      }
      started ??= now;
      const time = Math.min(1, (now - started) / WALK);
      point.write(between(from, to, reducedMotion() ? Math.floor(STEPS * time) / STEPS : time));
      written = point.read();
      if (time < 1) {
        frame = requestAnimationFrame(step);
      } else {
        stop();
        onEnd(name);
      }
    };
    frame = requestAnimationFrame(step);
  };
  return { start, stop, isGoing: () => end !== undefined };
}

// The choice of two digits, and the button that walks from one to the other.
function walkButtons(means, walk) {
  if (means.size < 2) return [];
  const digits = [...means.keys()];
  const choice = (name, wanted, otherwise) => {
    const select = element("select", { "aria-label": name });
    for (const digit of digits) select.append(element("option", { value: digit }, digit));
    select.value = digits.includes(wanted) ? wanted : otherwise;
    return select;
  };
  const from = choice("Walk from the digit", "3", digits[0]);
  const to = choice("to the digit", "8", digits.at(-1));
  const play = button("Play", () => {
    if (walk.isGoing()) {
      walk.stop();
      return;
    }
    const name = `Walked from ${from.value} to ${to.value}`;
    walk.start(means.get(from.value), means.get(to.value), name, () => {
      play.textContent = "Play";
    });
    play.textContent = "Stop";
  });
  return [buttonGroup("Walk", "live-walk", "Walk from", from, "to", to, play)];
}
