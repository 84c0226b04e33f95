// Two latent variables as a plane: the cloud of encoded images behind, and a point to drag.

import { element, latentName, numberText } from "./dom.js";

// A colour for each digit, seen on white (4:1) as on the dark page. Digits stand on the map too, so
// that nothing is told by colour alone.
const COLOURS = [
  "#2878c8", "#cf5a10", "#0e8f68", "#c4479b", "#8467d7",
  "#a9770a", "#008a9e", "#d1435b", "#6a8a1f", "#857263",
];
const GREY = "rgba(128, 128, 128, 0.5)";
const RESOLUTION = 640; // canvas pixels a side, two for each of the screen's
const STEP = 0.05; // how far an arrow key goes; with Shift ten times as far
const DIGITS_A_CLASS = 9; // points of a class that are drawn as the digit

// The points that cloud.py packed: of point k the latents are points[k * latents + l] * scale.
export function readCloud(model, latents) {
  const [bytes, scale, labels] = ["cloud", "cloud_scale", "cloud_labels"].map((name) => model.get(name));
  if (!labels) return undefined;
  const at = (point, latent) => bytes.getInt8(point * latents + latent) * scale;
  return { labels, at };
}

// Where a value lies between −limit and limit: 0 at the left end, 1 at the right.
export function fractionOf(value, limit) {
  return (value + limit) / (2 * limit);
}

export function clamp(value, limit) {
  return Math.max(-limit, Math.min(limit, value));
}

// The latents (x, y) under a place on the screen, given the plane's rectangle there.
export function valuesAt(clientX, clientY, box, limit) {
  const across = (clientX - box.left) / box.width;
  const up = 1 - (clientY - box.top) / box.height;
  return [across, up].map((fraction) => clamp((2 * fraction - 1) * limit, limit));
}

// How far an arrow key moves (x, y), or undefined for another key.
export function stepOf({ key, shiftKey }) {
  const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key] ?? [];
  const size = shiftKey ? 10 * STEP : STEP;
  return x === undefined ? undefined : [x * size, y * size];
}

// A map of `latents` latent variables, two at a time. `onMove(latent, x, otherLatent, y)` is called
// while a hand moves the point; without it the point stays where `show` puts it. Returns the map's
// element, and show(z, sigma): the point at z and, where sigma is given, the widths ±2σ about it.
export function latentMap({ cloud, latents, limit, onMove }) {
  const canvas = element("canvas", { role: "img", width: RESOLUTION, height: RESOLUTION });
  const spread = element("div", { class: "live-spread", hidden: "" });
  const point = element("div", { class: "live-point" });
  const plane = element("div", { class: "live-plane" }, canvas, spread, point);
  const axes = [0, 1];
  let z = Array(latents).fill(0);
  let sigma;

  const show = (newZ, newSigma) => {
    [z, sigma] = [newZ, newSigma];
    const [x, y] = axes.map((latent) => fractionOf(clamp(z[latent], limit), limit));
    place(point, x, y);
    place(spread, x, y);
    spread.hidden = !sigma;
    if (sigma) {
      spread.style.width = `${(200 * sigma[axes[0]]) / limit}%`;
      spread.style.height = `${(200 * sigma[axes[1]]) / limit}%`;
    }
    if (onMove) {
      const said = axes.map((latent) => `${latentName(latent + 1)} = ${numberText(z[latent])}`);
      point.setAttribute("aria-valuenow", z[axes[0]].toFixed(2));
      point.setAttribute("aria-valuetext", said.join(", "));
    }
  };
  const draw = () => {
    drawCloud(canvas, cloud, axes, limit);
    const names = axes.map((latent) => latentName(latent + 1));
    const count = cloud ? `${cloud.labels.length} encoded digits and ` : "";
    canvas.setAttribute(
      "aria-label",
      `Map of latent space with ${count}the point: ${names[0]} across, ${names[1]} up`,
    );
    show(z, sigma);
  };
  if (onMove) makeMovable({ plane, point, limit, here: () => axes.map((latent) => z[latent]), move });

  function move(x, y) {
    onMove(axes[0], clamp(x, limit), axes[1], clamp(y, limit));
  }

  const el = element("div", { class: "live-map" }, plane);
  if (latents > 2) el.append(axisChoice(axes, latents, draw));
  draw();
  return { el, show };
}

function place(el, x, y) {
  el.style.left = `${100 * x}%`;
  el.style.top = `${100 * (1 - y)}%`;
}

// The point follows the mouse from anywhere on the plane. A finger has to take the point itself, or
// to tap: elsewhere it scrolls the page.
function makeMovable({ plane, point, limit, here, move }) {
  const attributes = {
    role: "slider",
    tabindex: 0,
    "aria-label": "Point on the map",
    "aria-roledescription": "point on a plane",
    "aria-valuemin": (-limit).toFixed(2),
    "aria-valuemax": limit.toFixed(2),
  };
  for (const [name, value] of Object.entries(attributes)) point.setAttribute(name, value);
  point.classList.add("live-movable");
  const follow = (event) => {
    move(...valuesAt(event.clientX, event.clientY, plane.getBoundingClientRect(), limit));
  };
  plane.addEventListener("pointerdown", (event) => {
    if (event.button || (event.pointerType === "touch" && event.target !== point)) return;
    event.preventDefault(); // no text is marked
    point.focus();
    point.setPointerCapture(event.pointerId);
    if (event.target !== point) follow(event);
  });
  point.addEventListener("pointermove", (event) => {
    if (point.hasPointerCapture(event.pointerId)) follow(event);
  });
  plane.addEventListener("click", (event) => {
    if (event.target !== point) follow(event);
  });
  point.addEventListener("keydown", (event) => {
    const step = stepOf(event);
    if (!step) return;
    event.preventDefault();
    const [x, y] = here();
    move(x + step[0], y + step[1]);
  });
}

// Two selects that say which latents the plane shows. They are never the same two: choosing the
// other's latent exchanges them.
function axisChoice(axes, latents, draw) {
  const selects = ["across", "up"].map((name, axis) => {
    const select = element("select", { "aria-label": `Latent variable ${name}` });
    for (let latent = 0; latent < latents; latent += 1) {
      select.append(element("option", { value: latent }, latentName(latent + 1)));
    }
    select.addEventListener("change", () => {
      const chosen = Number(select.value);
      if (chosen === axes[1 - axis]) axes[1 - axis] = axes[axis];
      axes[axis] = chosen;
      showAxes();
      draw();
    });
    return select;
  });
  const showAxes = () => selects.forEach((select, axis) => (select.value = axes[axis]));
  showAxes();
  return element("div", { class: "live-axes" }, selects[0], " across, ", selects[1], " up");
}

function drawCloud(canvas, cloud, [across, up], limit) {
  const context = canvas.getContext("2d");
  const size = canvas.width;
  const at = (value) => fractionOf(value, limit) * size;
  context.clearRect(0, 0, size, size);
  context.strokeStyle = GREY;
  context.lineWidth = 1.5;
  // Circles of 1, 2, … standard deviations of the prior.
  for (let radius = 1; radius <= limit; radius += 1) {
    context.beginPath();
    context.arc(size / 2, size / 2, at(radius) - size / 2, 0, 2 * Math.PI);
    context.stroke();
  }
  if (!cloud) return;
  context.font = "bold 26px sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  const drawn = Array(10).fill(0);
  const digits = [];
  context.globalAlpha = 0.7;
  for (let k = 0; k < cloud.labels.length; k += 1) {
    const digit = cloud.labels[k];
    const [x, y] = [at(cloud.at(k, across)), size - at(cloud.at(k, up))];
    context.fillStyle = COLOURS[digit];
    if ((drawn[digit] += 1) <= DIGITS_A_CLASS) {
      digits.push([digit, x, y]);
    } else {
      context.fillRect(x - 3, y - 3, 6, 6);
    }
  }
  context.globalAlpha = 1;
  for (const [digit, x, y] of digits) {
    context.fillStyle = COLOURS[digit];
    context.fillText(digit, x, y);
  }
}
