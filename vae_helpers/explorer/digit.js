// A picture of a digit: ink dark on white paper, one canvas pixel a pixel.

import { element } from "./dom.js";

// A canvas for images of `pixels` values, a square number.
export function digitCanvas(pixels) {
  const side = Math.sqrt(pixels);
  return element("canvas", { class: "live-digit", role: "img", width: side, height: side });
}

// Draw an image, with ink in [0, 1], and say what it is.
export function drawDigit(canvas, image, label) {
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  image.forEach((ink, i) => {
    picture.data.fill(Math.round(255 * (1 - ink)), 4 * i, 4 * i + 3);
    picture.data[4 * i + 3] = 255;
  });
  context.putImageData(picture, 0, 0);
  canvas.setAttribute("aria-label", label);
}
