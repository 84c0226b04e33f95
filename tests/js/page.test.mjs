// Claims about page.js: what the build put into a page becomes widgets that move together, and
// what is damaged says so.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { renderLatent } from "../../vae_helpers/explorer/latent.js";
import { Model, readModels, startPage } from "../../vae_helpers/explorer/page.js";
import { fakeBrowser } from "./fake_dom.mjs";

const VIEW = "application/vnd.jupyter.widget-view+json";
const STATE = "application/vnd.jupyter.widget-state+json";

const slider = (value, more = {}) => ({
  model_name: "FloatSliderModel",
  state: { value, min: -3, max: 3, step: 0.01, description: "z₁", readout_format: ".2f", ...more },
});
const link = (source, target) => ({
  model_name: "LinkModel",
  state: { source: [`IPY_MODEL_${source}`, "value"], target: [`IPY_MODEL_${target}`, "value"] },
});

let body;
beforeEach(() => {
  ({ body } = fakeBrowser());
});

function script(type, content) {
  const made = document.createElement("script");
  made.setAttribute("type", type);
  made.textContent = content;
  body.append(made);
}

function page(state, ...shown) {
  for (const id of shown) script(VIEW, JSON.stringify({ model_id: id }));
  script(STATE, typeof state === "string" ? state : JSON.stringify({ state }));
  startPage(body, { Latent: renderLatent });
  return body;
}

test("a model tells its listeners of a change, and of nothing else", () => {
  const model = new Model("x", { a: 1 });
  let heard = 0;
  const listen = () => (heard += 1);
  model.on("change:a", listen);
  model.set("a", 1);
  model.set("b", 2);
  assert.equal(heard, 0);
  model.set("a", 2);
  assert.deepEqual([heard, model.get("a")], [1, 2]);
  model.off("change:a", listen);
  model.off("change:never", listen);
  model.set("a", 3);
  assert.equal(heard, 1);
  model.save_changes();
});

test("jslink ties both ways, and starts at the source's value", () => {
  const tied = readModels({ state: { a: slider(1), b: slider(2), c: link("a", "b") } });
  assert.equal(tied.get("b").get("value"), 1);
  tied.get("b").set("value", 2.5);
  assert.equal(tied.get("a").get("value"), 2.5);
  tied.get("a").set("value", -1);
  assert.equal(tied.get("b").get("value"), -1);
});

test("bytes arrive as a DataView, and our widgets are known by their Python class", () => {
  const state = { _anywidget_id: "vae_helpers.explorer.latent.LatentCanvas" };
  const buffers = [{ path: ["decoder"], data: "AP8=" }];
  const model = readModels({ state: { a: { model_name: "AnyModel", state, buffers } } }).get("a");
  assert.equal(model.name, "vae_helpers.explorer.latent.LatentCanvas");
  assert.deepEqual([model.get("decoder").getUint8(0), model.get("decoder").getUint8(1)], [0, 255]);
});

test("a slider has a label, a range and a value in words, and moves its model", () => {
  page({ a: slider(-1.234) }, "a");
  const [label, input, output] = ["label", "input", "output"].map((tag) => body.querySelector(tag));
  assert.equal(label.textContent, "z₁");
  assert.equal(label.getAttribute("for"), input.getAttribute("id"));
  assert.deepEqual(["type", "min", "max", "step"].map((name) => input.getAttribute(name)), ["range", "-3", "3", "0.01"]);
  assert.deepEqual([input.value, input.getAttribute("aria-valuetext"), output.textContent], [-1.234, "−1.23", "−1.23"]);
  input.value = "0.5";
  input.dispatch("input");
  assert.deepEqual([input.getAttribute("aria-valuetext"), output.textContent], ["0.50", "0.50"]);
});

test("two sliders of one page never share an id, and linked ones move together", () => {
  page({ a: slider(0), b: slider(1), c: link("a", "b") }, "a", "b", "a");
  const inputs = body.querySelectorAll("input");
  assert.equal(new Set(inputs.map((input) => input.getAttribute("id"))).size, 3);
  inputs[1].value = "2";
  inputs[1].dispatch("input");
  assert.deepEqual(inputs.map((input) => Number(input.value)), [2, 2, 2]);
});

test("boxes hold their children in order, each view after its mark", () => {
  const box = { model_name: "VBoxModel", state: { children: ["IPY_MODEL_a", "IPY_MODEL_b"] } };
  page({ a: slider(0, { description: "first" }), b: slider(0, { description: "second" }), c: box }, "c");
  assert.deepEqual(body.querySelectorAll("label").map((label) => label.textContent), ["first", "second"]);
  assert.ok(body.childNodes[1].classList.contains("live-column"));
});

const DAMAGED = {
  "no JSON": ["{", "a", /cannot be drawn/],
  "no such model": [{ b: slider(0) }, "a", /state is missing/],
  "a model of another library": [{ a: { model_name: "TextModel", state: {} } }, "a", /no widget TextModel/],
  "a link to nothing": [{ a: slider(0), l: link("a", "gone") }, "a", /state is missing/],
  "an explorer without weights": [
    { a: { model_name: "AnyModel", state: { _anywidget_id: "Latent", sizes: [4, 9] } } },
    "a",
    /numbers are damaged: expected 90 bytes, found 0/,
  ],
};

for (const [what, [state, shown, said]] of Object.entries(DAMAGED)) {
  test(`in place of a widget with ${what} stands a message`, () => {
    page(state, shown);
    const message = body.querySelector('p[role="alert"]');
    assert.match(message.textContent, said);
    assert.ok(message.classList.contains("live-error"));
  });
}

test("one damaged widget leaves the others alive", () => {
  page({ a: slider(0), b: { model_name: "TextModel", state: {} } }, "b", "a");
  assert.equal(body.querySelectorAll('p[role="alert"]').length, 1);
  assert.equal(body.querySelectorAll("input").length, 1);
});
