/** Models at a URL, for the browser. Files are checked and kept by the Cache API: the second time needs no network. */

import * as ort from "onnxruntime-web/wasm";

import { FILES, TOKENIZER, checkManifest, openModel } from "./quartet.js";

/**
 * Load the model in the folder `url` (with a slash at its end).
 *
 * @param wasm where the .wasm file of onnxruntime-web is
 * @param onProgress called with the bytes that are there, and with all that are needed
 */
export async function open(url, { wasm, onProgress = () => {} } = {}) {
  if (wasm) ort.env.wasm.wasmPaths = wasm;
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  const base = new URL(url, globalThis.location.href).href;
  const cache = await caches.open(`quartet ${base}`);
  const manifest = await latestManifest(cache, base);
  checkManifest(manifest);
  const files = await fetchAll(cache, base, manifest.files, onProgress);
  return openModel(ort, {
    text: (name) => (name in files ? new TextDecoder().decode(files[name]) : JSON.stringify(manifest)),
    session: (name) => createSession(files, name),
  });
}

/** Graph and data as bytes; each is let go of once ONNX Runtime has it. */
async function createSession(files, name) {
  const graph = `${name}.onnx`;
  const data = `${graph}.data`;
  const options = { graphOptimizationLevel: "disabled", externalData: [{ path: data, data: files[data] }] };
  const session = await ort.InferenceSession.create(files[graph], options);
  delete files[data];
  return session;
}

/** `quartet.json` from the network, or the kept one without a network. */
async function latestManifest(cache, base) {
  const url = base + "quartet.json";
  const response = await fetch(url, { cache: "no-cache" }).catch(() => null);
  if (response?.ok) await cache.put(url, response.clone());
  const found = response?.ok ? response : await cache.match(url);
  if (!found) throw new Error(`${url} cannot be loaded, and no copy of it was kept`);
  return found.json();
}

/** The bytes of the files that this reader needs, by name; what is kept of older versions of the model is deleted. */
async function fetchAll(cache, base, entries, onProgress) {
  const wanted = Object.entries(entries).filter(([name]) => isRead(name));
  const total = wanted.reduce((sum, [, entry]) => sum + entry.bytes, 0);
  let done = 0;
  const advance = (count) => onProgress((done += count), total);
  const files = {};
  for (const [name, entry] of wanted) files[name] = await fetchOne(cache, base + name, entry, advance);
  const current = new Set([base + "quartet.json", ...wanted.map(([name, entry]) => keyOf(base + name, entry))]);
  for (const request of await cache.keys()) if (!current.has(request.url)) await cache.delete(request);
  return files;
}

const isRead = (name) => name === TOKENIZER || FILES.some((file) => [`${file}.onnx`, `${file}.onnx.data`].includes(name));

const keyOf = (url, entry) => `${url}?sha256=${entry.sha256}`;

async function fetchOne(cache, url, entry, advance) {
  const kept = await cache.match(keyOf(url, entry));
  const response = kept ?? (await fetch(url));
  if (!response.ok) throw new Error(`${url} cannot be loaded: ${response.status} ${response.statusText}`);
  const bytes = await readBody(response, entry.bytes, advance);
  if (!kept) {
    if ((await sha256(bytes)) !== entry.sha256) throw new Error(`${url} is damaged: its SHA-256 differs from quartet.json`);
    await cache.put(keyOf(url, entry), new Response(bytes));
  }
  return bytes;
}

async function readBody(response, size, advance) {
  const bytes = new Uint8Array(size);
  let length = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    if (length + value.length > size) throw new Error(`${response.url} is longer than the ${size} bytes of quartet.json`);
    bytes.set(value, length);
    length += value.length;
    advance(value.length);
  }
  if (length < size) throw new Error(`${response.url} has ${length} bytes instead of the ${size} of quartet.json`);
  return bytes;
}

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
