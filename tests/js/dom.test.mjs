// Claims about the small helpers: numbers in words, elements, digits in grey, work once a frame.

import assert from "node:assert/strict";
import { test } from "node:test";
import { digitCanvas, drawDigit } from "../../vae_helpers/explorer/digit.js";
import * as dom from "../../vae_helpers/explorer/dom.js";
import { fakeBrowser } from "./fake_dom.mjs";

test("numbers have a minus of print, and zero has none", () => {
  assert.deepEqual([1, -1.234, -0.001, -0, 0.005].map((v) => dom.numberText(v)), ["1.00", "−1.23", "0.00", "0.00", "0.01"]);
  assert.equal(dom.numberText(-2.5, 0), "−3");
  assert.equal(dom.pointText([0.1, -1.2]), "(0.10, −1.20)");
  assert.equal(dom.latentName(16), "z₁₆");
});

test("a digit is dark ink on white paper, round(255 (1 − x))", () => {
  fakeBrowser();
  const canvas = digitCanvas(4);
  assert.deepEqual([canvas.width, canvas.height], [2, 2]);
  drawDigit(canvas, [0, 1, 0.25, 0.5], "A digit");
  const grey = [255, 0, 191, 128].flatMap((level) => [level, level, level, 255]);
  assert.deepEqual(Array.from(canvas.picture), grey);
  assert.deepEqual(["role", "aria-label"].map((name) => canvas.getAttribute(name)), ["img", "A digit"]);
});

test("work asked for many times is done once a frame, and again when asked again", () => {
  const { frame } = fakeBrowser();
  let done = 0;
  const ask = dom.oncePerFrame(() => (done += 1));
  ask();
  ask();
  assert.equal(done, 0);
  frame();
  frame();
  assert.equal(done, 1);
  ask();
  frame();
  assert.equal(done, 2);
});
