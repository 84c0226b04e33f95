// Claims about the small helpers: numbers in words, and work once a frame.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as dom from "../../vae_helpers/explorer/dom.js";
import { fakeBrowser } from "./fake_dom.mjs";

test("numbers have a minus of print, and zero has none", () => {
  assert.deepEqual([1, -1.234, -0.001, -0, 0.005].map((v) => dom.numberText(v)), ["1.00", "−1.23", "0.00", "0.00", "0.01"]);
  assert.equal(dom.numberText(-2.5, 0), "−3");
  assert.equal(dom.pointText([0.1, -1.2]), "(0.10, −1.20)");
  assert.equal(dom.latentName(16), "z₁₆");
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
