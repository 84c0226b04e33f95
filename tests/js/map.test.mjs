// Claims about map.js: places and values fit together, and the point moves by mouse and by key.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import * as map from "../../vae_helpers/explorer/map.js";
import { Model } from "../../vae_helpers/explorer/page.js";
import { fakeBrowser } from "./fake_dom.mjs";

beforeEach(() => fakeBrowser());

const BOX = { left: 100, top: 200, width: 60, height: 60 }; // as the fake plane lies on the screen
const close = (found, expected) => {
  assert.deepEqual(found.map((v) => v.toFixed(9)), expected.map((v) => v.toFixed(9)));
};

test("the plane's corners are the limits, up is positive, and its middle is 0", () => {
  close(map.valuesAt(100, 260, BOX, 3), [-3, -3]);
  close(map.valuesAt(160, 200, BOX, 3), [3, 3]);
  close(map.valuesAt(130, 230, BOX, 3), [0, 0]);
  close(map.valuesAt(0, 1000, BOX, 2.5), [-2.5, -2.5]); // beyond is the edge
});

const model = (state) => new Model("x", state);

test("a cloud's bytes are signed numbers times the scale", () => {
  const cloud = new DataView(Uint8Array.from([127, 128, 0, 255]).buffer);
  const read = map.readCloud(model({ cloud, cloud_scale: 0.5, cloud_labels: "73" }), 2);
  assert.deepEqual([read.at(0, 0), read.at(0, 1), read.at(1, 0), read.at(1, 1)], [63.5, -64, 0, -0.5]);
  assert.equal(read.labels, "73");
});

test("no labels is no cloud", () => {
  assert.equal(map.readCloud(model({ cloud_labels: "" }), 2), undefined);
});

function movable(latents, z) {
  const moves = [];
  const made = map.latentMap({ latents, limit: 3, onMove: (...move) => moves.push(move) });
  made.show(z);
  return { ...made, moves, point: made.el.querySelector(".live-point") };
}

test("keys move it from where it is, and not over the edge", () => {
  const { point, moves } = movable(2, [2.98, 0]);
  point.dispatch("keydown", { key: "ArrowRight" });
  point.dispatch("keydown", { key: "ArrowDown" });
  point.dispatch("keydown", { key: "ArrowLeft", shiftKey: true });
  point.dispatch("keydown", { key: "Enter" });
  assert.deepEqual(moves, [[0, 3, 1, 0], [0, 2.98, 1, -0.05], [0, 2.48, 1, 0]]);
});

test("with more than two latents two selects say which, and never the same twice", () => {
  const { el, point, moves } = movable(4, [0, 1, 2, 3]);
  const [across, up] = el.querySelectorAll("select");
  assert.deepEqual([across.value, up.value], [0, 1]);
  across.value = "2";
  across.dispatch("change");
  assert.equal(point.getAttribute("aria-valuetext"), "z₃ = 2.00, z₂ = 1.00");
  point.dispatch("keydown", { key: "ArrowLeft" });
  assert.deepEqual(moves, [[2, 1.95, 1, 1]]);
  up.value = "2";
  up.dispatch("change");
  assert.deepEqual([across.value, up.value], [1, 2]);
  assert.equal(movable(2, [0, 0]).el.querySelectorAll("select").length, 0);
});

test("a map to look at has no handle, and shows widths of ±2σ", () => {
  const { el, show } = map.latentMap({ latents: 2, limit: 3 });
  const [point, spread] = [".live-point", ".live-spread"].map((name) => el.querySelector(name));
  assert.equal(point.getAttribute("role"), null);
  show([0, 0], [0.75, 0.3]);
  assert.deepEqual([spread.hidden, spread.style.width, spread.style.height], [false, "50%", "20%"]);
  show([0, 0]);
  assert.equal(spread.hidden, true);
});
