// Claims about the way from a drawing to 28 × 28 pixels.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";

import { centre } from "../../vae_helpers/explorer/centre.js";

const SIZE = 280;

/** A drawing of SIZE × SIZE with ink where `inside(x, y)` holds. */
function drawing(inside) {
  return Uint8Array.from({ length: SIZE * SIZE }, (_, index) =>
    inside(index % SIZE, Math.floor(index / SIZE)) ? 255 : 0,
  );
}

/** Box and centre of mass of the ink. */
function measure(pixels) {
  let [left, right, top, bottom] = [28, -1, 28, -1];
  let [mass, massX, massY] = [0, 0, 0];
  pixels.forEach((value, index) => {
    if (value === 0) return;
    const [x, y] = [index % 28, Math.floor(index / 28)];
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), y];
    [mass, massX, massY] = [mass + value, massX + value * x, massY + value * y];
  });
  const box = [right - left + 1, bottom - top + 1];
  return { box, x: massX / mass, y: massY / mass };
}

/** Round blots along a curve, as a pen leaves them. */
const stroke = (points, radius) =>
  drawing((x, y) => points.some(([px, py]) => (x - px) ** 2 + (y - py) ** 2 <= radius ** 2));

const hook = Array.from({ length: 60 }, (_, i) => [40 + 1.3 * i, 60 + i + 30 * Math.sin(i / 9)]);

test("a blank pad gives nothing", () => {
  assert.equal(centre(drawing(() => false), SIZE, SIZE), null);
});

test("the longer side of the box becomes 20 pixels, the shorter one in proportion", () => {
  const tall = drawing((x, y) => x >= 31 && x < 71 && y >= 17 && y < 217); // 40 × 200
  const broad = drawing((x, y) => x >= 9 && x < 30 && y >= 9 && y < 37); // 21 × 28
  const flat = drawing((x, y) => x >= 3 && x < 273 && y >= 100 && y < 127); // 270 × 27
  assert.deepEqual(measure(centre(tall, SIZE, SIZE)).box, [4, 20]);
  assert.deepEqual(measure(centre(broad, SIZE, SIZE)).box, [15, 20]);
  assert.deepEqual(measure(centre(flat, SIZE, SIZE)).box, [20, 2]);
});

test("the centre of mass is at most half a pixel from pixel (14, 14)", () => {
  for (const radius of [3, 9, 15]) {
    const { x, y } = measure(centre(stroke(hook, radius), SIZE, SIZE));
    // The placing sees exact averages, this test whole greys: a hundredth of a pixel between.
    assert.ok(Math.abs(x - 14) < 0.51 && Math.abs(y - 14) < 0.51, `(${x}, ${y})`);
  }
});

test("a mark whose mass lies at one end stays in the field", () => {
  const lollipop = drawing((x, y) => (x < 40 && y < 40) || (x < 200 && y === 20));
  const { box, x } = measure(centre(lollipop, SIZE, SIZE));
  assert.equal(box[0], 20);
  assert.ok(x < 13.5, "the centre of mass cannot reach the middle");
});

test("a digit of MNIST, enlarged and moved, comes back as it was", () => {
  const archive = new URL("../../data/mnist/t10k-images-idx3-ubyte.gz", import.meta.url);
  const images = gunzipSync(readFileSync(archive)).subarray(16);
  for (let n = 0; n < 200; n++) {
    const image = images.subarray(784 * n, 784 * (n + 1));
    const ink = new Uint8Array(SIZE * SIZE);
    const shift = (n % 7) * 3 - 9;
    image.forEach((value, index) => {
      if (value === 0) return;
      for (let k = 0; k < 81; k++) {
        const x = 9 * (index % 28) + (k % 9) + 10 + shift;
        const y = 9 * Math.floor(index / 28) + Math.floor(k / 9) + 10;
        ink[y * SIZE + x] = value;
      }
    });
    assert.deepEqual(centre(ink, SIZE, SIZE), new Uint8Array(image), `test image ${n}`);
  }
});
