// The widgets of a page without a kernel. Jupyter stores the widgets' state in the notebook, the
// build puts it into the page, and this reads it: each model becomes a Model, each link listens,
// and each view is drawn where it stands in the text.

import { element, errorMessage, guarded, numberText } from "./dom.js";

// The models of ipywidgets: how each is drawn, or null where there is nothing to see. Our own widgets
// join them by the names of their Python classes, in bundle.py; a page with any other model fails
// the build.
const MODELS = {
  VBoxModel: renderBox,
  HBoxModel: renderBox,
  FloatSliderModel: renderSlider,
  IntSliderModel: renderSlider,
  LinkModel: null,
  DirectionalLinkModel: null,
  LayoutModel: null,
  SliderStyleModel: null,
};

const REFERENCE = "IPY_MODEL_";
const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';
const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';

// What anywidget gives a widget: get, set, on, off, save_changes. There is no kernel to save to.
export class Model {
  constructor(name, state) {
    this.name = name;
    this.state = state;
    this.listeners = new Map();
  }

  get(name) {
    return this.state[name];
  }

  set(name, value) {
    if (this.state[name] === value) return;
    this.state[name] = value;
    for (const listener of this.listeners.get(`change:${name}`) ?? []) listener();
  }

  on(event, listener) {
    if (!this.listeners.has(event)) this.listeners.set(event, new Set());
    this.listeners.get(event).add(listener);
  }

  off(event, listener) {
    this.listeners.get(event)?.delete(listener);
  }

  save_changes() {}
}

// The models of a page by their ids, with their links tied.
export function readModels(stored) {
  const models = new Map();
  for (const [id, { model_name: name, state, buffers = [] }] of Object.entries(stored.state)) {
    for (const { path, data } of buffers) state[path[0]] = bytesOf(data);
    models.set(id, new Model(state._anywidget_id ?? name, state));
  }
  for (const model of models.values()) tie(model, models);
  return models;
}

function bytesOf(base64) {
  const text = atob(base64);
  return new DataView(Uint8Array.from(text, (letter) => letter.charCodeAt(0)).buffer);
}

// jslink ties two traits in both directions, jsdlink in one.
function tie(link, models) {
  if (link.name !== "LinkModel" && link.name !== "DirectionalLinkModel") return;
  const [source, from] = [find(models, link.get("source")[0]), link.get("source")[1]];
  const [target, to] = [find(models, link.get("target")[0]), link.get("target")[1]];
  const follow = () => target.set(to, source.get(from));
  source.on(`change:${from}`, follow);
  if (link.name === "LinkModel") target.on(`change:${to}`, () => source.set(from, target.get(to)));
  follow();
}

function find(models, reference) {
  const model = models.get(reference.replace(REFERENCE, ""));
  if (!model) throw new Error("A part of it is missing from the page. Build the page again.");
  return model;
}

// Draw the widget of this id into el.
export function renderModel(model, el, models) {
  guarded(el, () => {
    if (!model) throw new Error("Its state is missing from the page. Build the page again.");
    const render = MODELS[model.name];
    if (!render) throw new Error(`The page has no widget ${model.name}. Build the page again.`);
    render({ model, el, models });
  });
}

function renderBox({ model, el, models }) {
  el.classList.add("live-box", model.name === "HBoxModel" ? "live-row" : "live-column");
  for (const reference of model.get("children")) {
    const child = element("div");
    el.append(child);
    renderModel(models.get(reference.replace(REFERENCE, "")), child, models);
  }
}

let sliders = 0;

function renderSlider({ model, el }) {
  const id = `live-slider-${(sliders += 1)}`;
  const isWhole = model.name === "IntSliderModel";
  const digits = isWhole ? 0 : Number(/\.(\d+)f/.exec(model.get("readout_format"))?.[1] ?? 2);
  const input = element("input", {
    type: "range",
    id,
    min: model.get("min"),
    max: model.get("max"),
    step: model.get("step"),
    disabled: model.get("disabled"),
  });
  const output = element("output", { for: id });
  const show = () => {
    const text = numberText(model.get("value"), digits);
    input.value = model.get("value");
    input.setAttribute("aria-valuetext", text);
    output.textContent = text;
  };
  input.addEventListener(model.get("continuous_update") === false ? "change" : "input", () => {
    model.set("value", Number(input.value));
    model.save_changes();
  });
  model.on("change:value", show);
  el.classList.add("live-slider");
  el.append(element("label", { for: id }, model.get("description")), input, output);
  show();
}

// Draw every widget of the document, each in the place where the build left a mark for it. `widgets`
// are the functions that draw our own.
export function startPage(doc, widgets) {
  Object.assign(MODELS, widgets);
  const stored = doc.querySelector(STATE);
  let models = new Map();
  let mistake = "";
  if (stored) {
    try {
      models = readModels(JSON.parse(stored.textContent));
    } catch (error) {
      mistake = `The figures' state is damaged. ${error.message}`;
    }
  }
  for (const view of doc.querySelectorAll(VIEW)) {
    const el = element("div", { class: "live" });
    view.after(el);
    if (mistake) el.append(errorMessage(mistake));
    else guarded(el, () => renderModel(models.get(JSON.parse(view.textContent).model_id), el, models));
  }
}
