/** Service worker: keeps the page and its libraries for a start without a network. The model is kept by `js/web.js`. */

const CACHE = "quartet page";
const FILES = [
  "./",
  "page.js",
  "js/quartet.js",
  "js/web.js",
  "vendor/tokenizers.min.mjs",
  "vendor/ort.wasm.min.mjs",
  "vendor/ort-wasm-simd-threaded.mjs",
  "vendor/ort-wasm-simd-threaded.wasm",
];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

/** From the network, so that a new version is seen at once; what was kept where there is none. */
self.addEventListener("fetch", (event) => {
  const kept = () => caches.open(CACHE).then((cache) => cache.match(event.request, { ignoreSearch: true }));
  if (event.request.method === "GET")
    event.respondWith(fetch(event.request).catch(async () => (await kept()) ?? Response.error()));
});
