// Decode and encode what test_explorer_js.py wrote, and write what comes out for it to compare.

import { readFileSync, writeFileSync } from "node:fs";
import * as network from "../../vae_helpers/explorer/network.js";

const [, , folder] = process.argv;
const file = (name) => {
  const { buffer, byteOffset, byteLength } = readFileSync(`${folder}/${name}`);
  return buffer.slice(byteOffset, byteOffset + byteLength);
};
const sizes = JSON.parse(readFileSync(`${folder}/sizes.json`, "utf-8"));
const read = (name) => network.readLayers(new DataView(file(name)), sizes[name]);
const [decoder, encoder] = [read("decoder"), read("encoder")];

// The rows of a file of 64-bit floats.
function rows(name, width) {
  const values = new Float64Array(file(name));
  return Array.from({ length: values.length / width }, (_, i) => values.subarray(i * width, (i + 1) * width));
}

function write(name, numbers) {
  writeFileSync(`${folder}/${name}`, Buffer.from(Float64Array.from(numbers).buffer));
}

write("decoded", rows("z", sizes.decoder[0]).flatMap((z) => [...network.decode(decoder, z)]));
const encoded = rows("x", sizes.encoder[0]).flatMap((x) => {
  const { mu, logvar } = network.encode(encoder, x);
  return [...mu, ...logvar];
});
write("encoded", encoded);
