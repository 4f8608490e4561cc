/** What the page asks of the server. Addresses are relative, so that it also works behind a path of a proxy. */

import { keep, kept } from "./state.js";

const WORDS = {
  404: "The server does not offer this.",
  413: "That is more than the server takes at once.",
  500: "Something went wrong in the server.",
  504: "The server took too long.",
};

/** What went wrong, in words; `retryAfter` in seconds where trying again will help. */
export class ServerError extends Error {
  constructor(message, status = 0, retryAfter = 0) {
    super(message);
    Object.assign(this, { status, retryAfter });
  }
}

export const apiKey = {
  get: () => kept("key") ?? "",
  set: (key) => keep("key", key),
};

export const languages = () => request("languages");
export const settings = () => request("frontend/settings");

/** The name of a model that transcribes, or null where the server has none. */
export async function hearingModel() {
  const found = await request("v1/models").catch(() => null);
  const hears = (model) => model.task === "automatic-speech-recognition";
  return found?.data?.find(hears)?.id ?? null;
}

/** LibreTranslate's answer to `{q, source, target, alternatives}`. `grown` gets each answer so far, where the server streams. */
export async function translate(asked, signal, grown) {
  const body = JSON.stringify({ ...asked, stream: Boolean(grown), api_key: apiKey.get() || undefined });
  const options = { method: "POST", body, signal, headers: { "Content-Type": "application/json" } };
  const response = await answer("translate", options);
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return response.json();
  let last = {};
  for await (const event of events(response)) {
    if (event.error) throw new ServerError(inWords(0, event));
    last = event;
    grown?.(last);
  }
  return last;
}

/** Upload a file to be translated. `progress` gets the share that is sent, 0 to 1. Returns the translation's address. */
export async function translateFile(file, source, target, progress) {
  const form = formOf({ file, source, target, api_key: apiKey.get() });
  const found = JSON.parse(await upload("translate_file", form, progress));
  return `download_file/${new URL(found.translatedFileUrl).pathname.split("/").pop()}`;
}

/** What is said in a recording. */
export async function transcribe(sound, model, language) {
  const found = await upload("v1/audio/transcriptions", formOf({ file: sound, model, language: short(language) }));
  return JSON.parse(found).text.trim();
}

/** A recording as subtitles. `progress` gets the share that is sent, `heard` the subtitles so far, each time there are more. */
export async function subtitles(sound, model, language, progress, heard) {
  const form = formOf({ file: sound, model, language: short(language), response_format: "srt", stream: "true" });
  const read = (text) => eventsIn(text.slice(0, text.lastIndexOf("\n\n") + 2).split("\n\n"));
  const events = read(await upload("v1/audio/transcriptions", form, progress, (text) => heard(joined(read(text)))));
  const failed = events.find(({ error }) => error);
  if (failed) throw new ServerError(inWords(0, failed));
  if (events.at(-1)?.type !== "transcript.text.done") throw new ServerError("The server stopped before the end.");
  return joined(events);
}

const joined = (events) => events.map(({ delta }) => delta ?? "").join("");
const short = (language) => (language === "auto" ? "" : language.split("-")[0]);

function formOf(fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value) form.append(name, value);
  return form;
}

async function request(path) {
  return (await answer(path, { headers: authorization() })).json();
}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    throw error.name === "AbortError" ? error : unreachable();
  }
  if (response.ok) return response;
  throw failure(response.status, await response.text(), response.headers.get("retry-after"));
}

/** `fetch` does not tell how much was sent; this does. `grown` gets what has come so far. */
function upload(path, form, progress, grown) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", path);
    for (const [name, value] of Object.entries(authorization())) sending.setRequestHeader(name, value);
    sending.upload.onprogress = ({ loaded, total }) => progress?.(total ? loaded / total : 1);
    sending.onprogress = () => sending.status < 300 && grown?.(sending.responseText);
    sending.onerror = () => reject(unreachable());
    sending.onload = () => {
      if (sending.status < 300) resolve(sending.responseText);
      else reject(failure(sending.status, sending.responseText, sending.getResponseHeader("retry-after")));
    };
    sending.send(form);
  });
}

function authorization() {
  return apiKey.get() ? { Authorization: `Bearer ${apiKey.get()}` } : {};
}

function unreachable() {
  return new ServerError("The server cannot be reached.");
}

function failure(status, text, retryAfter) {
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    // a proxy's page: the status has to do
  }
  const error = new ServerError(inWords(status, body), status, [429, 503].includes(status) ? Number(retryAfter) || 5 : 0);
  if ([401, 403].includes(status) || /API key/i.test(error.message)) dispatchEvent(new CustomEvent("keywanted"));
  return error;
}

/** Every interface has its own shape of an error. */
function inWords(status, body) {
  if (WORDS[status]) return WORDS[status];
  const said = String(body.error?.message ?? body.error ?? body.message ?? `The server answered ${status}.`);
  const plain = said.replace(/^Invalid request: /, "");
  return plain[0].toUpperCase() + plain.slice(1) + (/[.!?]$/.test(plain) ? "" : ".");
}

async function* events(response) {
  const lines = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await lines.read();
    rest += value ?? "";
    const blocks = rest.split("\n\n");
    rest = done ? "" : blocks.pop();
    yield* eventsIn(blocks);
    if (done) return;
  }
}

function eventsIn(blocks) {
  const data = (block) => block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
  const texts = blocks.map((block) => data(block).join("\n"));
  return texts.filter((text) => text && text !== "[DONE]").map((text) => JSON.parse(text));
}
