// As much of a browser's document as the widgets use, so that Node can try them: elements with
// attributes, children and listeners, canvases to draw on, and frames that come when a test says so.

class Element {
  constructor(tag) {
    this.tagName = tag;
    this.attributes = new Map();
    this.childNodes = [];
    this.listeners = {};
    this.style = {};
    this.hidden = false;
    this.value = "";
    const names = () => new Set((this.getAttribute("class") ?? "").split(" ").filter(Boolean));
    this.classList = {
      add: (...added) => this.setAttribute("class", [...names(), ...added].join(" ")),
      contains: (name) => names().has(name),
    };
  }

  setAttribute(name, value) {
    this.attributes.set(name, String(value));
    if (["value", "width", "height"].includes(name)) this[name] = value;
  }

  getAttribute(name) {
    return this.attributes.get(name) ?? null;
  }

  append(...nodes) {
    for (const node of nodes) if (node instanceof Element) node.parent = this;
    this.childNodes.push(...nodes);
  }

  replaceChildren(...nodes) {
    this.childNodes = [];
    this.append(...nodes);
  }

  after(node) {
    const siblings = this.parent.childNodes;
    siblings.splice(siblings.indexOf(this) + 1, 0, node);
    node.parent = this.parent;
  }

  get textContent() {
    return this.childNodes.map((node) => node.textContent ?? node).join("");
  }

  set textContent(text) {
    this.childNodes = [text];
  }

  addEventListener(type, listener) {
    (this.listeners[type] ??= []).push(listener);
  }

  // Tell the listeners here and, as events bubble, above.
  dispatch(type, details = {}) {
    const event = { target: this, preventDefault() {}, button: 0, ...details };
    for (let el = this; el; el = el.parent) for (const f of el.listeners[type] ?? []) f(event);
  }

  *all() {
    yield this;
    for (const node of this.childNodes) if (node instanceof Element) yield* node.all();
  }

  // Elements by a tag, a .class or an [attribute="value"].
  querySelectorAll(selector) {
    const [, tag, className, name, value] = /^([\w-]*)(?:\.([\w-]+))?(?:\[([\w-]+)="([^"]+)"\])?$/.exec(selector);
    return [...this.all()].filter(
      (el) =>
        (!tag || el.tagName === tag) &&
        (!className || el.classList.contains(className)) &&
        (!name || el.getAttribute(name) === value),
    );
  }

  querySelector(selector) {
    return this.querySelectorAll(selector)[0] ?? null;
  }

  getContext() {
    return (this.context ??= {
      createImageData: (width, height) => ({ data: new Uint8ClampedArray(4 * width * height) }),
      ...Object.fromEntries(
        ["putImageData", "clearRect", "beginPath", "arc", "stroke", "fillRect", "fillText"].map((f) => [f, () => {}]),
      ),
    });
  }
}

// Make the globals anew. Returns the document's body, what advances time by one frame, and what
// says whether the reader wants less motion.
export function fakeBrowser({ lessMotion = false } = {}) {
  let frames = [];
  let now = 0;
  const body = new Element("body");
  globalThis.document = { createElement: (tag) => new Element(tag), body };
  globalThis.window = { matchMedia: () => ({ matches: lessMotion }) };
  globalThis.requestAnimationFrame = (f) => frames.push(f);
  globalThis.cancelAnimationFrame = () => (frames = []);
  const frame = (milliseconds = 16) => {
    now += milliseconds;
    const due = frames;
    frames = [];
    for (const f of due) f(now);
  };
  return { body, frame };
}
