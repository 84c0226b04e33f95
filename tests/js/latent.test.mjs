// Claims about latent.js: buttons, map and walk move the point, and the digit follows.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { between, latentPoint, renderLatent } from "../../vae_helpers/explorer/latent.js";
import { Model } from "../../vae_helpers/explorer/page.js";
import { fakeBrowser } from "./fake_dom.mjs";

const ZEROS = new DataView(new ArrayBuffer(24)); // [2, 4] has 12 numbers: 9 and 15 bytes, all zero
// (1, −1) and (0, 0): the heads 001111 101111 000000 000000, and fractions that are all zero.
const MEANS = new DataView(Uint8Array.from([0x3e, 0xf0, 0, 0, 0, 0, 0, 0]).buffer);

let frame;
let el;
beforeEach(() => {
  ({ frame } = fakeBrowser());
  el = document.createElement("div");
});
afterEach(() => mock.restoreAll());

// An explorer of two latents and four pixels, whose means are those of the digits 3 and 7.
function explorer(state = {}) {
  const model = new Model("x", {
    sizes: [2, 4],
    decoder: ZEROS,
    units: "sd",
    limit: 3,
    means: MEANS,
    mean_labels: "37",
    cloud_labels: "",
    z1: 0.5,
    z2: -1,
    ...state,
  });
  const stop = renderLatent({ model, el });
  return { model, stop, z: () => [model.get("z1"), model.get("z2")] };
}

const button = (name) =>
  el.querySelectorAll("button").find((b) => (b.getAttribute("aria-label") ?? b.textContent) === name);

test("the straight line starts at the one and ends at the other", () => {
  assert.deepEqual([0, 0.25, 1].map((time) => between([0, 4], [4, -4], time)), [[0, 4], [1, 2], [4, -4]]);
});

test("a point in quantiles is read and written as z, within the limits, in the sliders' steps", () => {
  const model = new Model("x", { units: "quantile", limit: 2.326, u1: 0.5, u2: 0.841344746 });
  const point = latentPoint(model, 2);
  assert.deepEqual(point.read().map((value) => value.toFixed(6)), ["0.000000", "1.000000"]);
  point.write([-9, 0.12345]);
  assert.deepEqual([model.get("u1"), model.get("u2")], [0.01, 0.549]);
  const plain = new Model("x", { units: "sd", limit: 3, z1: 0, z2: 0 });
  latentPoint(plain, 2).write([-9, 0.12345]);
  assert.deepEqual([plain.get("z1"), plain.get("z2")], [-3, 0.12]);
});

test("the canvas shows grey levels of the decoder, and says where it is", () => {
  explorer();
  const canvas = el.querySelector(".live-digit");
  assert.equal(canvas.getAttribute("aria-label"), "Digit decoded at z = (0.50, −1.00)");
  assert.deepEqual(Array.from(canvas.picture.subarray(0, 5)), [128, 128, 128, 255, 128]); // sigmoid(0) is ½
});

test("a change of a trait draws again with the next frame, until the widget is gone", () => {
  const { model, stop } = explorer();
  const canvas = el.querySelector(".live-digit");
  model.set("z1", 2);
  assert.equal(canvas.getAttribute("aria-label"), "Digit decoded at z = (0.50, −1.00)");
  frame();
  assert.equal(canvas.getAttribute("aria-label"), "Digit decoded at z = (2.00, −1.00)");
  stop();
  model.set("z1", 1);
  frame();
  assert.equal(canvas.getAttribute("aria-label"), "Digit decoded at z = (2.00, −1.00)");
});

test("a preset moves the point to the mean of its class, and says it politely", () => {
  const { z } = explorer();
  button("Mean of the digit 3").dispatch("click");
  assert.deepEqual(z(), [1, -1]);
  const said = el.querySelector('p[aria-live="polite"]');
  assert.equal(said.textContent, "Mean of the digit 3: z = (1.00, −1.00)");
});

test("a random draw is the prior's, and the way back is 0", () => {
  const { z } = explorer();
  mock.method(Math, "random", () => 0.5);
  button("Random draw").dispatch("click");
  const draw = -Math.sqrt(2 * Math.log(2)); // the cosine of π is −1
  assert.deepEqual(z(), [draw, draw].map((value) => Number(value.toFixed(2))));
  button("Back to z = 0").dispatch("click");
  assert.deepEqual(z(), [0, 0]);
});

test("the map moves two latents", () => {
  const { z } = explorer();
  el.querySelector(".live-point").dispatch("keydown", { key: "ArrowUp" });
  assert.deepEqual(z(), [0.5, -0.95]);
});

test("a walk starts at one mean, is half-way after half its time, and ends at the other", () => {
  const { z } = explorer();
  button("Play").dispatch("click");
  frame();
  assert.deepEqual(z(), [1, -1]);
  frame(1500);
  assert.deepEqual(z(), [0.5, -0.5]);
  assert.ok(button("Stop"));
  frame(1500);
  assert.deepEqual(z(), [0, 0]);
  assert.ok(button("Play"));
});

test("a walk stops by its button, and when a hand takes the point", () => {
  const { model, z } = explorer();
  button("Play").dispatch("click");
  frame();
  button("Stop").dispatch("click");
  frame(1500);
  assert.deepEqual(z(), [1, -1]);
  button("Play").dispatch("click");
  frame();
  model.set("z1", -2);
  frame(1500);
  assert.deepEqual(z(), [-2, -1]);
  assert.ok(button("Play"));
});

test("a reader who wants less motion gets steps", () => {
  fakeBrowser({ lessMotion: true });
  mock.timers.enable({ apis: ["setTimeout"] });
  const { z } = explorer();
  button("Play").dispatch("click");
  assert.deepEqual(z(), [1, -1]);
  mock.timers.tick(374);
  assert.deepEqual(z(), [1, -1]);
  mock.timers.tick(1);
  assert.deepEqual(z(), [0.88, -0.87]); // an eighth of the way
  for (let step = 0; step < 8; step += 1) mock.timers.tick(375);
  assert.deepEqual(z(), [0, 0]);
  mock.timers.reset();
});

test("without images there are no presets and no walk", () => {
  explorer({ means: undefined, mean_labels: "" });
  assert.deepEqual(el.querySelectorAll("button").map((b) => b.textContent), ["Random draw", "Back to z = 0"]);
});

test("one latent has no map", () => {
  explorer({ sizes: [1, 4], decoder: new DataView(new ArrayBuffer(16)), mean_labels: "" });
  assert.equal(el.querySelector(".live-map"), null);
});

test("damaged weights show a message in place of the explorer", () => {
  explorer({ decoder: new DataView(new ArrayBuffer(3)) });
  assert.match(el.querySelector('p[role="alert"]').textContent, /cannot be drawn\. .*expected 24 bytes, found 3/);
});

test("a point that is missing or beyond all numbers shows a message too", () => {
  for (const wrong of [{ z2: undefined }, { z1: null }, { z1: "0.5" }, { limit: 0 }, { units: "quantile", u1: 1, u2: 0.5 }]) {
    el = document.createElement("div");
    explorer(wrong);
    assert.match(el.querySelector('p[role="alert"]').textContent, /Its point is damaged/);
  }
});
