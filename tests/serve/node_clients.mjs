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
const terms = new deepl.GlossaryEntries({ entries: { "train station": "Centrale" } });
const one = await client.createGlossary("Trains", "en", "fr", terms);
const several = await client.createMultilingualGlossary("Trains", [
  { sourceLangCode: "en", targetLangCode: "fr", entries: terms },
  { sourceLangCode: "en", targetLangCode: "de", entries: terms },
]);
const question = "Where is the train station?";
const withGlossary = [];
for (const glossary of [one, several]) withGlossary.push((await client.translateText(question, "en", "fr", { glossary })).text);
const kept = (await client.getGlossaryEntries(one)).entries();
const html = await client.translateText("<p>Good morning.</p>", "en", "fr", { tagHandling: "html" });
await client.deleteGlossary(one);
await client.deleteMultilingualGlossary(several);
console.log(
  JSON.stringify({
    libretranslate: await translate({ query: "Good morning.", source: "en", target: "fr", apiurl: url }),
    deepl: results.map(({ text }) => text),
    detected: results.map(({ detectedSourceLang }) => detectedSourceLang),
    billed: results.map(({ billedCharacters }) => billedCharacters),
    targets: (await client.getTargetLanguages()).map(({ code }) => code),
    used: usage.character.count,
    refused,
    glossary: kept,
    several: several.dictionaries.map((each) => [each.sourceLangCode, each.targetLangCode, each.entryCount]),
    with_glossary: withGlossary,
    html: html.text,
    left: (await client.listMultilingualGlossaries()).length,
    document: readFileSync(`${film}.fr`, "utf8"),
  }),
);
