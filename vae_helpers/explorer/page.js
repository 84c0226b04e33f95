// The widgets of a page without a kernel. Jupyter stores the widgets' state in the notebook, the
// build puts it into the page, and this reads it: each model becomes a Model, each link listens,
// and each view is drawn where it stands in the text.

import { element, guarded, numberText } from "./dom.js";

// The models of ipywidgets: how each is drawn, or null where there is nothing to see. Our own widgets
// join them by the names of their Python classes, in bundle.py; a page with any other model fails
// the build.
export const MODELS = {
  VBoxModel: renderBox,
  FloatSliderModel: renderSlider,
  LinkModel: null,
  LayoutModel: null,
  SliderStyleModel: null,
};

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
  for (const model of models.values()) if (model.name === "LinkModel") tie(model, models);
  return models;
}

function bytesOf(base64) {
  return new DataView(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer);
}

// jslink ties two traits in both directions.
function tie(link, models) {
  const [[source, from], [target, to]] = [link.get("source"), link.get("target")].map(
    ([reference, trait]) => [find(reference, models), trait],
  );
  const follow = () => target.set(to, source.get(from));
  source.on(`change:${from}`, follow);
  target.on(`change:${to}`, () => source.set(from, target.get(to)));
  follow();
}

function find(reference, models) {
  const model = models.get(reference.replace("IPY_MODEL_", ""));
  if (!model) throw new Error("A part of its state is missing. Build the page again.");
  return model;
}

// Draw the model that is referred to into el.
export function renderModel(reference, el, models) {
  guarded(el, () => {
    const model = find(reference, models);
    const render = MODELS[model.name];
    if (!render) throw new Error(`The page has no widget ${model.name}. Build the page again.`);
    render({ model, el, models });
  });
}

function renderBox({ model, el, models }) {
  el.classList.add("live-column");
  for (const reference of model.get("children")) {
    const child = element("div");
    el.append(child);
    renderModel(reference, child, models);
  }
}

let sliders = 0;

function renderSlider({ model, el }) {
  const id = `live-slider-${(sliders += 1)}`;
  const [min, max, step] = ["min", "max", "step"].map((name) => model.get(name));
  const digits = Number(/\d+/.exec(model.get("readout_format")));
  const input = element("input", { type: "range", id, min, max, step });
  const name = model.get("description");
  const field = element("input", { type: "number", min, max, step, "aria-label": `${name} in digits` });
  const show = () => {
    input.value = model.get("value");
    input.setAttribute("aria-valuetext", numberText(model.get("value"), digits));
    field.value = model.get("value").toFixed(digits);
  };
  input.addEventListener("input", () => model.set("value", Number(input.value)));
  field.addEventListener("change", () => {
    const typed = Math.min(max, Math.max(min, Number(field.value)));
    if (field.value !== "") model.set("value", Number(typed.toFixed(digits)));
    show(); // also where nothing moved: what is no number goes, and what lies outside is clamped
  });
  model.on("change:value", show);
  el.classList.add("live-slider");
  el.append(element("label", { for: id }, name), input, field);
  show();
}

// Draw every widget of the document, each in the place where the build left a mark for it. `widgets`
// are the functions that draw our own.
export function startPage(doc, widgets) {
  Object.assign(MODELS, widgets);
  let models;
  for (const view of doc.querySelectorAll(VIEW)) {
    const el = element("div", { class: "live" });
    view.after(el);
    guarded(el, () => {
      models ??= readModels(JSON.parse(doc.querySelector(STATE).textContent));
      renderModel(JSON.parse(view.textContent).model_id, el, models);
    });
  }
}
