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
  const heard = [];
  const listen = () => heard.push(model.get("a"));
  model.on("change:a", listen);
  for (const value of [1, 2, 2]) model.set("a", value);
  model.set("b", 3);
  model.off("change:a", listen);
  model.set("a", 4);
  assert.deepEqual(heard, [2]);
});

test("jslink ties both ways, and starts at the source's value", () => {
  const tied = readModels({ state: { a: slider(1), b: slider(2), c: link("a", "b") } });
  assert.equal(tied.get("b").get("value"), 1);
  tied.get("b").set("value", 2.5);
  assert.equal(tied.get("a").get("value"), 2.5);
  tied.get("a").set("value", -1);
  assert.equal(tied.get("b").get("value"), -1);
});

test("two sliders of one page never share an id, and linked ones move together", () => {
  page({ a: slider(0), b: slider(1), c: link("a", "b") }, "a", "b", "a");
  const inputs = body.querySelectorAll('input[type="range"]');
  assert.equal(new Set(inputs.map((input) => input.getAttribute("id"))).size, 3);
  inputs[1].value = "2";
  inputs[1].dispatch("input");
  assert.deepEqual(inputs.map((input) => Number(input.value)), [2, 2, 2]);
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
  assert.equal(body.querySelectorAll('input[type="range"]').length, 1);
});
