/** The page begins here: what the server has, then the views, their tabs and links. */

import * as api from "./api.js";
import { $ } from "./dom.js";
import { filesView } from "./files.js";
import { languageList } from "./languages.js";
import { inLink, onOtherLink, putInLink } from "./state.js";
import { talkView } from "./talk.js";
import { textView } from "./text.js";

const VIEWS = ["text", "files", "talk"];
let offered = VIEWS; // those that the server has models for

/** Show a view, and mark its tab. */
function open(view) {
  for (const name of VIEWS) {
    const isOpen = name === view;
    $(`${name}-view`).hidden = !isOpen;
    $(`tab-${name}`).setAttribute("aria-selected", String(isOpen));
    $(`tab-${name}`).tabIndex = isOpen ? 0 : -1;
  }
  $("languages").hidden = view === "talk" || !offered.includes("text"); // a conversation has its own
  dispatchEvent(new CustomEvent("viewopened", { detail: view }));
  putInLink({ view: view === offered[0] ? "" : view });
}

/** Tabs as https://www.w3.org/WAI/ARIA/apg/patterns/tabs/ has them. */
function setUpTabs() {
  VIEWS.forEach((view) => {
    const tab = $(`tab-${view}`);
    tab.addEventListener("click", () => open(view));
    tab.addEventListener("keydown", ({ key }) => {
      const place = offered.indexOf(view);
      const places = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: offered.length - 1 };
      if (!(key in places)) return;
      const next = offered.at(places[key] % offered.length);
      open(next);
      $(`tab-${next}`).focus();
    });
  });
}

function setUpKey(settings) {
  const ask = () => {
    $("key-form").hidden = $("key-open").hidden = false;
    $("key").value = api.apiKey.get();
  };
  $("key-open").hidden = !settings.keyRequired;
  $("key-open").addEventListener("click", () => {
    ask();
    $("key").focus();
  });
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    api.apiKey.set($("key").value.trim());
    location.reload(); // all that was refused is asked for again
  });
  addEventListener("keywanted", ask);
  if (settings.keyRequired && !api.apiKey.get()) ask();
}

function restoreView() {
  open(offered.includes(inLink("view")) ? inLink("view") : offered[0]);
}

/** Leave out views that no model of the server is for. */
function offer(list) {
  const isFor = { text: list.sources().length, files: true, talk: list.bothWays().length };
  offered = VIEWS.filter((view) => isFor[view]);
  for (const view of VIEWS) $(`tab-${view}`).hidden = !offered.includes(view);
}

async function start() {
  setUpTabs();
  restoreView();
  const [languages, settings, hearing] = await Promise.all([api.languages(), api.settings(), api.hearingModel()]);
  const server = { list: languageList(languages), settings, hearing };
  offer(server.list);
  const restores = [restoreView, textView(server), talkView(server)];
  filesView(server, () => open("files"));
  const restore = () => restores.forEach((one) => one());
  setUpKey(settings);
  restore();
  onOtherLink(restore);
  document.documentElement.dataset.ready = "";
}

start().catch((error) => {
  $("notice").textContent = `${error.message} Load the page again when it runs.`;
  $("notice").hidden = false;
});
if (globalThis.isSecureContext) navigator.serviceWorker?.register("page/worker.js", { scope: "./" }).catch(() => {});
