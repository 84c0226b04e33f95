// A pad to draw a digit on, and what the VAE makes of it.

import { centre } from "./centre.js";
import { Panel, liveFigure, svg } from "./curves.js";
import { digitCanvas, drawDigit } from "./digit.js";
import { button, element, guarded, latentName, numberText, oncePerFrame, pointText } from "./dom.js";
import { latentMap, readCloud } from "./map.js";
import { decode, encode, gaussianLogLikelihood } from "./network.js";
import { klDivergence, readLayers, summedSquaredError } from "./network.js";
import { normalDraw } from "./normal.js";

const PIXELS = 784;
const SIDE = 28;
const ZOOM = 16;
const PAPER = ZOOM * SIDE; // pixels of the pad's canvas on each side
const PEN = PAPER / 10; // 2.7 of 20 pixels in a digit of three quarters of the pad, as in MNIST
const LIMIT = 3; // of the map, in standard deviations of the prior

// What the VAE has for an image of 784 greys from 0 to 255: q(z|x), the sample z = μ + σ ε, its
// decoded image, and SSE, log p(x|z), KL and ELBO.
export function passThrough({ encoder, decoder, sigma2 }, image, epsilon) {
  const x = Float64Array.from(image, (grey) => grey / 255);
  const { mu, logvar } = encode(encoder, x);
  const sigma = logvar.map((value) => Math.exp(value / 2));
  const z = mu.map((mean, i) => mean + sigma[i] * epsilon[i]);
  const xMean = decode(decoder, z);
  const sse = summedSquaredError(x, xMean);
  const logLikelihood = gaussianLogLikelihood(x, xMean, sigma2);
  const kl = klDivergence(mu, logvar);
  return { x, mu, sigma, sigma2, z, xMean, sse, logLikelihood, kl, elbo: logLikelihood - kl };
}

// The two networks, and σ² of a pixel.
export function readVae(model) {
  const encoder = readLayers(model.get("encoder"), model.get("encoder_sizes"));
  const decoder = readLayers(model.get("decoder"), model.get("decoder_sizes"));
  return { encoder, decoder, sigma2: model.get("sigma2") };
}

export function renderPad({ model, el }) {
  return guarded(el, () => {
    const vae = readVae(model);
    const latents = model.get("decoder_sizes")[0];
    const cloud = readCloud(model, latents);
    const map = latents > 1 ? latentMap({ cloud, latents, limit: LIMIT }) : undefined;
    const seen = digitCanvas(PIXELS);
    const decoded = digitCanvas(PIXELS);
    const again = button("New sample", () => {
      model.set("epsilon", Array.from({ length: latents }, () => normalDraw()));
      model.save_changes();
    });
    const pictures = [captioned("The encoder sees", seen), captioned("Decoded from z", decoded)];
    const pair = element("div", { class: "live-pair" }, ...pictures, again);
    const paper = makePaper(model);
    const drawing = element("div", {}, captioned("Draw a digit here", paper.canvas), imageButtons(model));
    const results = element("div", { class: "live-results" }, pair);
    const latentsPart = captioned("q(z|x), and the sample z from it");
    const pad = element("div", { class: "live-pad" }, drawing, results, latentsPart);
    if (map) pad.append(captioned("The mean of q(z|x), ± 2σ, among encoded test digits", map.el));
    el.classList.add("live");
    el.append(pad);
    const traits = ["image", "epsilon"];
    return liveFigure({ model, el: latentsPart, beside: results }, traits, (width, image, epsilon) => {
      const isBlank = image.length === 0;
      paper.show();
      pad.classList.toggle("live-blank", isBlank);
      again.disabled = isBlank;
      if (isBlank) {
        for (const canvas of [seen, decoded]) drawDigit(canvas, new Uint8Array(PIXELS), "Blank");
        return drawPass(width, latents);
      }
      const pass = passThrough(vae, image, epsilon);
      drawDigit(seen, pass.x, "The drawing in 28 × 28 pixels");
      drawDigit(decoded, pass.xMean, `Digit decoded at z = ${pointText(pass.z)}`);
      map?.show(pass.mu, pass.sigma);
      return drawPass(width, latents, pass);
    });
  });
}

// No figure and figcaption: the book has its own look for those.
function captioned(words, ...children) {
  return element("div", {}, element("div", { class: "live-caption" }, words), ...children);
}

// The paper, and the pen. What the pen leaves is written to the trait `image`. When that is set by
// anything else, `show` puts it on the paper, and the pen then starts on a clean one.
function makePaper(model) {
  const size = { width: PAPER, height: PAPER };
  const role = { role: "img", "aria-label": "Pad to draw a digit on, with a pointer" };
  const canvas = element("canvas", { class: "live-paper", ...size, ...role });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let written; // the image of the pen's ink; none where the paper shows another
  let last; // where the pen is, while it is down
  const isPens = () => {
    const image = model.get("image");
    return image.length === written?.length && image.every((grey, i) => grey === written[i]);
  };
  const clear = () => context.clearRect(0, 0, PAPER, PAPER);
  const readSoon = oncePerFrame(() => {
    const { data } = context.getImageData(0, 0, PAPER, PAPER);
    const ink = new Uint8Array(PAPER * PAPER);
    for (let i = 0; i < ink.length; i += 1) ink[i] = data[4 * i + 3]; // the opacity
    written = Array.from(centre(ink, PAPER, PAPER) ?? []);
    model.set("image", written);
    if (!last) model.save_changes(); // the kernel hears of it when the pen is lifted
  });
  const lineTo = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) * PAPER) / box.width;
    const y = ((event.clientY - box.top) * PAPER) / box.height;
    context.beginPath();
    context.moveTo(...(last ?? [x, y]));
    context.lineTo(x, y + 0.01); // a line of no length would leave no dot
    context.stroke();
    last = [x, y];
    readSoon();
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || last) return; // another button, or a second finger
    event.preventDefault(); // no text is marked
    canvas.setPointerCapture(event.pointerId);
    if (!isPens()) clear();
    Object.assign(context, { lineWidth: PEN, lineCap: "round", strokeStyle: "#000" });
    lineTo(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (last && canvas.hasPointerCapture(event.pointerId)) lineTo(event);
  });
  canvas.addEventListener("lostpointercapture", () => {
    last = undefined;
    readSoon();
  });
  const show = () => {
    if (last || isPens()) return;
    written = undefined;
    clear();
    model.get("image").forEach((grey, i) => {
      context.fillStyle = `rgb(0 0 0 / ${grey / 255})`;
      context.fillRect(ZOOM * (i % SIDE), ZOOM * Math.floor(i / SIDE), ZOOM, ZOOM);
    });
  };
  return { canvas, show };
}

// The test images, an array of 784 greys each.
export function readDigits(model) {
  const bytes = model.get("digits");
  return Array.from(model.get("digit_labels"), (_, k) =>
    Array.from({ length: PIXELS }, (_, i) => bytes.getUint8(PIXELS * k + i)),
  );
}

// Buttons that clear the pad, or put a test digit on it: the way for those who cannot draw.
function imageButtons(model) {
  const put = (words, label, image) => {
    const onClick = () => {
      model.set("image", image);
      model.save_changes();
    };
    return button(words, onClick, { "aria-label": label });
  };
  const digits = readDigits(model).map((image, k) => {
    const label = model.get("digit_labels")[k];
    return put(label, `Test digit ${label}`, image);
  });
  const clear = element("p", {}, put("Clear", "Clear the pad", []), " or take a test digit:");
  return element("div", { class: "live-tests" }, clear, element("div", {}, ...digits));
}

const ROW = 26;

// q(z|x) and the sample from it, one latent a row, on the scale of the prior; only the axis where
// there is no image.
function drawPass(width, latents, pass) {
  const { mu = [], sigma = [], z = [] } = pass ?? {};
  const reach = Math.max(3, ...mu.map((mean, i) => Math.abs(mean) + sigma[i]));
  const place = { left: 26, top: 30, width: width - 126, height: ROW * latents };
  const panel = new Panel({ ...place, x: [-reach, reach], y: [0, 1] });
  const [from, to] = [panel.across(-1), panel.across(1)];
  panel.path("band", `M${from} ${panel.top}H${to}v${panel.height}H${from}Z`);
  panel.legend(["band", "m0 -5h22v10h-22Z", "prior ± 1"], ["sample", "m11 -7v14", "sample z"]);
  panel.text("name", width, 20, "μ ± σ", "end");
  panel.axisBelow("z");
  const said = Array.from(mu, (mean, i) => {
    const y = panel.top + ROW * (i + 0.5);
    const x = panel.across(mean);
    const words = `${numberText(mean)} ± ${numberText(sigma[i])}`;
    panel.text("name", 0, y + 4, latentName(i + 1), "start");
    panel.path("bar", `M${panel.across(mean - sigma[i])} ${y}H${panel.across(mean + sigma[i])}`);
    panel.node.append(svg("circle", { class: "live-dot", cx: x, cy: y, r: 3.5 }));
    panel.path("sample", `M${panel.across(z[i])} ${y - 8}v16`);
    panel.text("name", width, y + 4, words, "end");
    return `${latentName(i + 1)} ${words}, sample ${numberText(z[i])}`;
  });
  return {
    height: panel.top + panel.height + 40,
    label: pass ? `Mean and width of q(z|x): ${said.join("; ")}` : "No image, no q(z|x)",
    children: [panel.node],
    result: pass ? `ELBO = ${numberText(pass.elbo)} nats` : "Draw a digit, or take a test digit.",
    digits: 2,
    rows: pass ? passRows(pass) : [],
  };
}

function passRows({ sse, sigma2, logLikelihood, kl, elbo: bound }) {
  const scale = 1 / (2 * sigma2);
  const constant = logLikelihood + scale * sse;
  const factor = scale === 1 ? "" : `${numberText(scale)} `;
  const sign = constant < 0 ? "−" : "+";
  return [
    ["SSE", "squared error at z", sse],
    ["log p(x|z)", `−${factor}SSE ${sign} ${numberText(Math.abs(constant))}`, logLikelihood],
    ["KL(q ‖ p)", "q and the prior", kl],
    ["ELBO", "log p(x|z) − KL", bound, true],
  ];
}
