// Claims about latent.js: buttons, map and walk move the point, and the digit follows.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { renderLatent } from "../../vae_helpers/explorer/latent.js";
import { Model } from "../../vae_helpers/explorer/page.js";
import { fakeBrowser } from "./fake_dom.mjs";

const ZEROS = new DataView(new ArrayBuffer(24)); // [2, 4] has 12 numbers
const MEANS = new DataView(Uint8Array.from([0x3c, 0xbc, 0, 0, 0, 0, 0, 0]).buffer); // (1, −1), (0, 0)

let frame;
let el;
const start = (options) => {
  ({ frame } = fakeBrowser(options));
  el = document.createElement("div");
};
beforeEach(() => start());
afterEach(() => mock.restoreAll());

// An explorer of two latents and four pixels, whose means are those of the digits 3 and 7.
function explorer(state = {}) {
  const model = new Model("x", {
    sizes: [2, 4],
    decoder: ZEROS,
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

test("a random draw is the prior's, and the way back is 0", () => {
  const { z } = explorer();
  mock.method(Math, "random", () => 0.5);
  button("Random draw").dispatch("click");
  const draw = -Math.sqrt(2 * Math.log(2)); // the cosine of π is −1
  assert.deepEqual(z(), [draw, draw].map((value) => Number(value.toFixed(2))));
  button("Back to z = 0").dispatch("click");
  assert.deepEqual(z(), [0, 0]);
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
  start({ lessMotion: true });
  const { z } = explorer();
  button("Play").dispatch("click");
  frame();
  frame(374);
  assert.deepEqual(z(), [1, -1]);
  frame(1);
  assert.deepEqual(z(), [0.88, -0.87]); // an eighth of the way
  frame(2625);
  assert.deepEqual(z(), [0, 0]);
});

test("one latent has no map", () => {
  explorer({ sizes: [1, 4], decoder: new DataView(new ArrayBuffer(16)), mean_labels: "", means: undefined });
  assert.equal(el.querySelector(".live-map"), null);
});

test("without images there are no presets and no walk", () => {
  explorer({ means: undefined, mean_labels: "" });
  assert.deepEqual(el.querySelectorAll("button").map((b) => b.textContent), ["Random draw", "Back to z = 0"]);
});
