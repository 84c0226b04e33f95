// A drawing becomes 28 × 28 pixels as MNIST's digits did: the box around the ink is scaled to
// 20 × 20 with its aspect kept, each pixel the average of the area it covers, and placed so that
// the ink's centre of mass falls on pixel (14, 14). All 10,000 test images have
// their centre of mass at most half a pixel from (14, 14); in all but three the longer side is 20.

const FIELD = 28;
const BOX = 20;
const MIDDLE = 14;

// Scale and place a drawing.
//
// @param ink amounts of ink, 0 to 255, row by row, `width * height` of them
// @returns Uint8Array of 784 pixels, 255 is ink, or null where there is no ink
export function centre(ink, width, height) {
  let left = width;
  let right = -1;
  let top = height;
  let bottom = -1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (ink[y * width + x] > 0) {
        left = Math.min(left, x);
        right = Math.max(right, x);
        top = Math.min(top, y);
        bottom = y;
      }
    }
  }
  if (right < 0) return null;
  const wide = right - left + 1;
  const high = bottom - top + 1;
  const longer = Math.max(wide, high);
  const step = longer / BOX; // pixels of the drawing in one of the 28 × 28
  const columns = Math.ceil((wide * BOX) / longer); // not wide / step: 21 / 1.4 is not quite 15
  const rows = Math.ceil((high * BOX) / longer);
  // The shorter side seldom fills whole pixels: what is left over goes to both ends alike.
  const turned = averageRows(ink, width, height, left + (wide - columns * step) / 2, step, columns);
  const box = averageRows(turned, height, columns, top + (high - rows * step) / 2, step, rows);
  return intoField(box, columns, rows);
}

// Cut each row from `start` into cells of `step` pixels, average each, and transpose the result.
function averageRows(source, width, height, start, step, cells) {
  const out = new Float64Array(cells * height);
  for (let y = 0; y < height; y++) {
    for (let cell = 0; cell < cells; cell++) {
      const from = Math.max(0, start + cell * step);
      const to = Math.min(width, start + (cell + 1) * step);
      let sum = 0;
      for (let x = Math.floor(from); x < to; x++) {
        sum += source[y * width + x] * (Math.min(x + 1, to) - Math.max(x, from));
      }
      out[cell * height + y] = sum / step;
    }
  }
  return out;
}

// Put the box into the field, by whole pixels, its centre of mass nearest to the middle.
function intoField(box, columns, rows) {
  let mass = 0;
  let massX = 0;
  let massY = 0;
  for (let index = 0; index < box.length; index++) {
    mass += box[index];
    massX += box[index] * (index % columns);
    massY += box[index] * Math.floor(index / columns);
  }
  // A box whose mass lies all at one end would leave the field: it stops at the edge.
  const shift = (sum, cells) =>
    Math.min(Math.max(Math.round(MIDDLE - sum / mass), 0), FIELD - cells);
  const dx = shift(massX, columns);
  const dy = shift(massY, rows);
  const pixels = new Uint8Array(FIELD * FIELD);
  for (let index = 0; index < box.length; index++) {
    const x = dx + (index % columns);
    const y = dy + Math.floor(index / columns);
    pixels[y * FIELD + x] = Math.round(box[index]);
  }
  return pixels;
}
