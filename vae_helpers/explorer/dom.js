// Small helpers for elements, and the one way to write numbers and mistakes.

// A new element. Attributes with a false or missing value are left out; children are nodes or text.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export function button(text, onClick, attributes = {}) {
  const made = element("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", onClick);
  return made;
}

// A number as print shows it, with a minus and no negative zero: "−1.20".
export function numberText(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}

// A point as a reader says it: "(0.10, −1.20)".
export function pointText(values, digits = 2) {
  return `(${Array.from(values, (value) => numberText(value, digits)).join(", ")})`;
}

// z with its number set low: "z₁".
export function latentName(index) {
  return `z${String(index).replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit])}`;
}

// Draw a widget into el, or say there why it cannot be drawn. Returns what draw returns.
export function guarded(el, draw) {
  try {
    return draw();
  } catch (error) {
    const words = `This figure cannot be drawn. ${error.message}`;
    el.replaceChildren(element("p", { role: "alert", class: "live-error" }, words));
    return undefined;
  }
}

// Whether the reader asked the system for less motion.
export function reducedMotion() {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}

// A function that does its work once before the next frame, however often it is called.
export function oncePerFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}
