/** The page: loads the model in `model/`, then translates what is typed. */

import { translate } from "./js/quartet.js";
import { open } from "./js/web.js";

const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "none" });
const element = (id) => document.getElementById(id);
const say = (text) => (element("status").textContent = text);
const megabytes = (count) => (count / 1e6).toFixed(1);

/** `French (fra_Latn)`: the model's own code behind the name, where the browser knows one. */
function label(code) {
  const name = names.of(code.split("_")[0]);
  return name ? `${name} (${code})` : code;
}

function offer(select, languages, chosen) {
  for (const { code } of languages) select.add(new Option(label(code), code, false, code === chosen));
}

async function load() {
  if ("serviceWorker" in navigator) await navigator.serviceWorker.register("offline.js");
  const onProgress = (done, total) => {
    element("progress").value = done / total;
    say(`Loading the model: ${megabytes(done)} of ${megabytes(total)} MB`);
  };
  const model = await open("model/", { wasm: new URL("vendor/", location.href).href, onProgress });
  const { languages, name, precision, license } = model.manifest;
  offer(element("source"), languages.filter((entry) => entry.source), "eng_Latn");
  offer(element("target"), languages.filter((entry) => entry.target), "fra_Latn");
  if ("serviceWorker" in navigator) await navigator.serviceWorker.ready;
  for (const id of ["source", "target", "text", "translate"]) element(id).disabled = false;
  element("progress").hidden = true;
  say(`Ready, also without a network: ${name}, ${precision}, licence ${license ?? "not stated"}`);
  return model;
}

async function run(model) {
  element("translate").disabled = true;
  const show = (text) => {
    element("translation").textContent = text;
    return new Promise(requestAnimationFrame); // let the tab draw between two tokens
  };
  const [text, source, target] = ["text", "source", "target"].map((id) => element(id).value);
  try {
    await show(await translate(model, text, source, target, show));
  } finally {
    element("translate").disabled = false;
  }
}

const fail = (error) => say(`It failed: ${error.message}`);

load().then((model) => {
  element("form").addEventListener("submit", (event) => {
    event.preventDefault();
    run(model).catch(fail);
  });
}, fail);
