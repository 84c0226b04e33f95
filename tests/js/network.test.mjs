// Claims about how network.js reads numbers; what it computes from them is held against torch, in
// test_explorer_js.py and test_explorer_figures.py.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as network from "../../vae_helpers/explorer/network.js";

// 16-bit floats, packed as live.py packs them.
function packed(halves) {
  return new DataView(Uint8Array.from([...halves.map((h) => h >> 8), ...halves.map((h) => h & 255)]).buffer);
}

const ONE = 0x3c00;

test("every finite 16-bit float is read as the number it is", () => {
  const known = { 0x0000: 0, 0x3c00: 1, 0xbc00: -1, 0x3555: 1365 / 4096, 0x7bff: 65504, 0x0001: 2 ** -24, 0x83ff: -1023 / 2 ** 24 };
  const halves = Object.keys(known).map(Number);
  const values = network.unpackFloats(packed(halves), halves.length);
  assert.deepEqual([...values], halves.map((half) => known[half]));
});

test("damaged bytes are refused with what was expected and found", () => {
  assert.throws(() => network.unpackFloats(packed([ONE]), 2), /expected 4 bytes, found 2/);
  assert.throws(() => network.unpackFloats(undefined, 1), /expected 2 bytes, found 0/);
  assert.throws(() => network.unpackFloats(packed([0x7c00]), 1), /not finite/);
});
