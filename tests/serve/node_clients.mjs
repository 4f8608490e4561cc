/** node node_clients.mjs URL FILM: asks a server through deepl-node and libretranslate, and prints what they say as JSON. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [url, film] = process.argv.slice(2);
const require = createRequire(new URL("../../clients/js/", import.meta.url));
const deepl = require("deepl-node");
const { translate } = require("libretranslate");

const client = new deepl.DeepLClient("any", { serverUrl: url });
const results = await client.translateText(["Good morning.", "Thank you."], null, "fr");
const refused = await client.translateText("Good morning.", "en", "fr", { glossary: "g" }).catch((error) => error.message);
const handle = await client.uploadDocument(film, "en", "fr");
let status = await client.getDocumentStatus(handle);
while (status.ok() && !status.done()) status = await client.getDocumentStatus(handle);
await client.downloadDocument(handle, `${film}.fr`);
const usage = await client.getUsage();
console.log(
  JSON.stringify({
    libretranslate: await translate({ query: "Good morning.", source: "en", target: "fr", apiurl: url }),
    deepl: results.map(({ text }) => text),
    detected: results.map(({ detectedSourceLang }) => detectedSourceLang),
    billed: results.map(({ billedCharacters }) => billedCharacters),
    targets: (await client.getTargetLanguages()).map(({ code }) => code),
    used: usage.character.count,
    refused,
    document: readFileSync(`${film}.fr`, "utf8"),
  }),
);
