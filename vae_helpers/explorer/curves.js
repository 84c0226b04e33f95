// Axes, curves and shaded areas as SVG. One unit of a drawing is one CSS pixel at the width that
// the figure has on the page: its text is as large on a phone as on a wide screen.

import { element, guarded, numberText, oncePerFrame } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";

// An element of SVG with its attributes and its children (elements or text).
export function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// The smallest of 1, 2 and 5 times a power of ten that is at least `value` > 0.
export function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= value);
}

// Round numbers from `low` to `high`, at most `most` steps apart, as { value, text }.
export function axisTicks(low, high, most) {
  const step = roundUp((high - low) / most);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) {
    ticks.push({ value: k * step, text: numberText(k * step, digits) });
  }
  return ticks;
}

// `count` numbers from `low` to `high`, evenly spaced, both ends included.
export function evenly(low, high, count) {
  return Array.from({ length: count }, (_, k) => low + ((high - low) * k) / (count - 1));
}

// A rectangle of a drawing with an axis each way: `x` and `y` are [lowest, highest].
export class Panel {
  constructor({ left, top, width, height, x, y }) {
    Object.assign(this, { left, top, width, height, x, y });
    this.node = svg("g");
  }

  // Horizontal place of a number, in units of the drawing.
  across(value) {
    return this.left + (this.width * (value - this.x[0])) / (this.x[1] - this.x[0]);
  }

  // Vertical place of a number.
  down(value) {
    return this.top + (this.height * (this.y[1] - value)) / (this.y[1] - this.y[0]);
  }

  // Add a path in SVG's language, of a class that says how it looks.
  path(look, d) {
    this.node.append(svg("path", { class: `live-${look}`, d }));
  }

  text(look, x, y, words, anchor = "middle") {
    this.node.append(svg("text", { class: `live-${look}`, x, y, "text-anchor": anchor }, words));
  }

  axisBelow(name) {
    const y = this.top + this.height;
    this.path("axis", `M${this.left} ${y}h${this.width}`);
    for (const { value, text } of axisTicks(...this.x, this.width / 40)) {
      this.path("axis", `M${this.across(value)} ${y}v4`);
      this.text("tick", this.across(value), y + 17, text);
    }
    this.text("name", this.left + this.width, y + 33, name, "end");
  }

  axisLeft() {
    for (const { value, text } of axisTicks(...this.y, this.height / 30)) {
      this.path(value === 0 ? "axis" : "grid", `M${this.left} ${this.down(value)}h${this.width}`);
      this.text("tick", this.left - 6, this.down(value) + 4, text, "end");
    }
  }

  // Samples of looks with their names, side by side above the panel: look, path and name of each.
  legend(...samples) {
    const y = this.top - 10;
    samples.forEach(([look, d, words], k) => {
      const x = this.left + (k * this.width) / samples.length;
      this.path(look, `M${x} ${y - 4}${d}`);
      this.text("name", x + 28, y, words, "start");
    });
  }

  curve(look, xs, ys) {
    this.path(look, "M" + this.points(xs, ys).join("L"));
  }

  // Fill between a curve and zero.
  area(look, xs, ys) {
    const zero = this.down(0);
    const [first, last] = [this.across(xs[0]), this.across(xs[xs.length - 1])];
    this.path(look, `M${first} ${zero}L${this.points(xs, ys).join("L")}L${last} ${zero}Z`);
  }

  // Upright strokes between a curve and zero, about every five pixels.
  strokes(look, xs, ys) {
    const zero = this.down(0).toFixed(1);
    const every = Math.ceil((5 * xs.length) / this.width);
    const tips = this.points(xs, ys).filter((_, k) => k % every === 0);
    this.path(look, tips.map((tip) => `M${tip}V${zero}`).join(""));
  }

  points(xs, ys) {
    return xs.map((x, k) => `${this.across(x).toFixed(1)} ${this.down(ys[k]).toFixed(1)}`);
  }
}

// Keep a figure up to date with some of the model's traits: a drawing in `el`, and its result in a
// line and a table of its numbers in `beside`. `draw`, called with the width and the traits, returns
//   height, children: the drawing;
//   label: what the drawing says, for those who do not see it;
//   result: the line;
//   rows: name, meaning and number of each row of the table; a fourth entry makes it a sum;
//   digits: of the numbers.
// Returns a function that ends it.
export function liveFigure({ model, el, beside = el }, traits, draw) {
  const drawing = svg("svg", { class: "live-figure", role: "img" });
  const result = element("p", { class: "live-result", "aria-live": "polite" });
  const table = element("table", { class: "live-numbers" });
  el.classList.add("live");
  el.append(drawing);
  beside.append(result, table);
  const update = oncePerFrame(() => {
    const width = Math.round(drawing.clientWidth);
    if (width === 0) return; // not on the page yet, or hidden: the observer calls again
    guarded(el, () => {
      const now = draw(width, ...traits.map((name) => model.get(name)));
      drawing.setAttribute("viewBox", `0 0 ${width} ${now.height}`);
      drawing.setAttribute("aria-label", now.label);
      drawing.replaceChildren(...now.children);
      result.textContent = now.result;
      table.replaceChildren(...now.rows.map((row) => numberRow(now.digits, ...row)));
    });
  });
  const observer = new ResizeObserver(update);
  observer.observe(drawing);
  for (const name of traits) model.on(`change:${name}`, update);
  return () => {
    observer.disconnect();
    for (const name of traits) model.off(`change:${name}`, update);
  };
}

function numberRow(digits, name, meaning, number, isSum) {
  return element(
    "tr",
    { class: isSum && "live-sum" },
    element("th", { scope: "row" }, name),
    element("td", {}, meaning),
    element("td", {}, numberText(number, digits)),
  );
}
