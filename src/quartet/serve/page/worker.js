/** Keeps the page itself, so that it opens as an installed program does; what it asks of the server is never kept. */

const CACHE = "quartet-page";
const FILES = ["", "page.css", "page.js", "api.js", "dom.js", "files.js", "languages.js", "speech.js", "state.js", "talk.js"];
FILES.push("text.js", "icon.svg", "down-light.svg", "down-dark.svg", "manifest.webmanifest");
const addresses = new Set(FILES.map((name) => new URL(name ? `page/${name}` : "./", self.registration.scope).href));

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll([...addresses])));
});
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const address = event.request.url.split(/[?#]/)[0];
  if (event.request.method === "GET" && addresses.has(address)) event.respondWith(newest(event.request));
});

/** The server's newest, and what was kept where it cannot be reached. */
async function newest(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch {
    const options = { ignoreSearch: true, ignoreVary: true }; // modules are asked for with an origin, here they were not
    return (await cache.match(request, options)) ?? Response.error();
  }
}
