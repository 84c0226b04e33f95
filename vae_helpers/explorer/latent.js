// The digit that the decoder draws at the latent point of the sliders.

import { digitCanvas, drawDigit } from "./digit.js";
import { guarded, oncePerFrame, pointText } from "./dom.js";
import { decode, readLayers } from "./network.js";

export function renderLatent({ model, el }) {
  guarded(el, () => {
    const sizes = model.get("sizes");
    const decoder = readLayers(model.get("decoder"), sizes);
    const canvas = digitCanvas(sizes.at(-1));
    el.classList.add("live");
    el.append(canvas);
    const names = Array.from({ length: sizes[0] }, (_, i) => `z${i + 1}`);
    const draw = () => {
      const z = names.map((name) => model.get(name));
      drawDigit(canvas, decode(decoder, z), `Digit decoded at z = ${pointText(z)}`);
    };
    const redraw = oncePerFrame(draw);
    for (const name of names) model.on(`change:${name}`, redraw);
    draw();
  });
}
