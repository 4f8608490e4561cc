/**
 * node node_clients.mjs URL URL_WITH_SPEECH FILM TALK: asks servers through deepl-node, libretranslate, openai and translate,
 * and prints what they say as JSON.
 */

import { createReadStream, readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [url, urlWithSpeech, film, talk] = process.argv.slice(2);
const require = createRequire(new URL("../../clients/js/", import.meta.url));
const message = (error) => error.message;

async function deepl() {
  const { DeepLClient, GlossaryEntries } = require("deepl-node");
  const client = new DeepLClient("any", { serverUrl: url });
  const results = await client.translateText(["Good morning.", "Thank you."], null, "fr");
  const refused = await client.translateText("Good morning.", "en", "fr", { glossary: "g" }).catch(message);
  const handle = await client.uploadDocument(film, "en", "fr");
  let status = await client.getDocumentStatus(handle);
  while (status.ok() && !status.done()) status = await client.getDocumentStatus(handle);
  await client.downloadDocument(handle, `${film}.fr`);
  const terms = new GlossaryEntries({ entries: { "train station": "Centrale" } });
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
  return {
    texts: results.map(({ text }) => text),
    detected: results.map(({ detectedSourceLang }) => detectedSourceLang),
    billed: results.map(({ billedCharacters }) => billedCharacters),
    targets: (await client.getTargetLanguages()).map(({ code }) => code),
    used: (await client.getUsage()).character.count,
    refused,
    glossary: kept,
    several: several.dictionaries.map((each) => [each.sourceLangCode, each.targetLangCode, each.entryCount]),
    with_glossary: withGlossary,
    html: html.text,
    left: (await client.listMultilingualGlossaries()).length,
    document: readFileSync(`${film}.fr`, "utf8"),
  };
}

async function libretranslate() {
  const { translate } = require("libretranslate");
  return translate({ query: "Good morning.", source: "en", target: "fr", apiurl: url });
}

/** Of the package `translate`, which knows DeepL's and LibreTranslate's own servers only: their names lead here. */
async function translate() {
  const far = globalThis.fetch;
  const here = (address) => String(address).replace(/^https:\/\/(api-free\.deepl|libretranslate)\.com/, url);
  globalThis.fetch = (address, options) => far(here(address), options);
  const { Translate } = await import(require.resolve("translate"));
  const by = (engine) => Translate({ engine, key: "any:fx" });
  const found = {
    libre: await by("libre")("Good morning.", { from: "en", to: "fr" }),
    deepl: await by("deepl")("Good morning.", { from: "en", to: "fr" }),
    error: await by("libre")("Good morning.", { from: "en", to: "it" }).catch(message),
  };
  globalThis.fetch = far;
  return found;
}

async function openai() {
  const { default: OpenAI } = require("openai");
  const client = new OpenAI({ baseURL: `${urlWithSpeech}/v1`, apiKey: "none" });
  const ask = (more) =>
    client.audio.transcriptions.create({ file: createReadStream(talk), model: "whisper-1", language: "en", ...more });
  let [streamed, done] = ["", ""];
  for await (const event of await ask({ stream: true })) {
    if (event.type === "transcript.text.delta") streamed += event.delta;
    else if (event.type === "transcript.text.done") done = event.text;
  }
  const verbose = await ask({ response_format: "verbose_json", timestamp_granularities: ["word", "segment"] });
  const refused = await ask({ response_format: "diarized_json" }).catch((error) => error);
  const french = { file: createReadStream(talk), model: "whisper-1", to_language: "fr" };
  const models = await client.models.list();
  return {
    text: (await ask()).text,
    streamed,
    done,
    words: verbose.words.length,
    translated: (await client.audio.translations.create(french)).text,
    models: models.data.map(({ id }) => id),
    status: refused.status,
    param: refused.param,
  };
}

const found = { deepl: await deepl(), libretranslate: await libretranslate(), translate: await translate() };
console.log(JSON.stringify({ ...found, openai: await openai() }));
