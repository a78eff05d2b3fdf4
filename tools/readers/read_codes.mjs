// Reads pictures (PGM) with a package of Node.js: node read_codes.mjs FOLDER PACKAGE PICTURE...
// Prints a line for each: the code's bytes and its text, both in base64, or - for what there is none of.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const [folder, name, ...pictures] = process.argv.slice(2);
const require = createRequire(join(resolve(folder), "package.json"));

function load(path) {
  const file = readFileSync(path);
  const [head, width, height] = file.toString("latin1", 0, 64).match(/^P5\n(\d+) (\d+)\n255\n/);
  return { grey: new Uint8ClampedArray(file.subarray(head.length)), width: Number(width), height: Number(height) };
}

function join_bytes(parts) {
  return parts && parts.length ? Buffer.concat(parts.map((part) => Buffer.from(part))) : null;
}

function zxing(library) {
  return ({ grey, width, height }) => {
    const source = new library.RGBLuminanceSource(grey, width, height);
    const bitmap = new library.BinaryBitmap(new library.HybridBinarizer(source));
    const hints = new Map([[library.DecodeHintType.TRY_HARDER, true]]);
    const result = new library.QRCodeReader().decode(bitmap, hints);
    const segments = result.getResultMetadata()?.get(library.ResultMetadataType.BYTE_SEGMENTS);
    return { bytes: join_bytes(segments), text: result.getText() };
  };
}

const readers = {
  "@zxing/library": () => zxing(require("@zxing/library")),
  // Its own scanner hands out the text alone.
  "html5-qrcode": () => {
    const read = zxing(require("html5-qrcode/third_party/zxing-js.umd.js"));
    return (picture) => ({ bytes: null, text: read(picture).text });
  },
  jsqr: () => {
    const jsqr = require("jsqr");
    return ({ grey, width, height }) => {
      const colours = new Uint8ClampedArray(4 * grey.length);
      for (let i = 0; i < grey.length; ++i) colours.fill(grey[i], 4 * i, 4 * i + 3), (colours[4 * i + 3] = 255);
      const code = jsqr(colours, width, height);
      return code && { bytes: Buffer.from(code.binaryData), text: code.data };
    };
  },
};

const word = (bytes) => (bytes === null || bytes === undefined ? "-" : Buffer.from(bytes).toString("base64") || "=");
const read = readers[name]();
for (const path of pictures) {
  let code = null;
  try {
    code = read(load(path));
  } catch {
    // no code, or one that cannot be read
  }
  console.log(word(code?.bytes), word(code?.text === undefined ? null : code?.text && Buffer.from(code.text, "utf8")));
}
