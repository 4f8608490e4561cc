#!/usr/bin/env node
/** node build.mjs MODEL_DIR OUT_DIR: the page, its libraries and a model as a folder of static files for any web server. */

import { cpSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const JS = join(HERE, "..", "js");
const LIBRARIES = {
  "@huggingface/tokenizers": ["tokenizers.min.mjs"],
  "onnxruntime-web": ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"],
};

function build(model, out) {
  if (!existsSync(join(model, "quartet.json"))) throw new Error(`${model} has no quartet.json: name a converted model`);
  for (const folder of ["js", "vendor"]) mkdirSync(join(out, folder), { recursive: true });
  for (const name of ["index.html", "page.js", "offline.js"]) cpSync(join(HERE, name), join(out, name));
  for (const name of ["quartet.js", "web.js"]) cpSync(join(JS, name), join(out, "js", name));
  for (const [library, names] of Object.entries(LIBRARIES))
    for (const name of names) cpSync(join(JS, "node_modules", library, "dist", name), join(out, "vendor", name));
  mkdirSync(join(out, "model"), { recursive: true });
  for (const name of readdirSync(model)) cpSync(join(model, name), join(out, "model", name));
}

const [model, out] = process.argv.slice(2);
try {
  if (!out) throw new Error("usage: node build.mjs MODEL_DIR OUT_DIR");
  build(model, out);
} catch (error) {
  console.error(`build.mjs: ${error.message}`);
  process.exitCode = 1;
}
