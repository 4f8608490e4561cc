/** Typing a text and seeing its translation appear. */

import * as api from "./api.js";
import { $, announce, copy, element, tell } from "./dom.js";
import { firstLanguages, keepLanguages, pair } from "./languages.js";
import { canRead, readAloud, recordButton, whenVoicesChange } from "./speech.js";
import { inLink, putInLink } from "./state.js";

const PAUSE = 350; // milliseconds without a key after which a text is translated
const PATIENCE = 300; // milliseconds after which it is shown that work is going on
const LONG = 240; // characters from which texts are set smaller
const MOST_OTHERS = 3;
const LONGEST_STREAM = 600; // characters; the sentences of longer texts are quicker together than one after the other

/** Set the view up; returns what brings back the state of a link. */
export function textView({ list, settings, hearing }) {
  const [text, source, target, shown] = [$("text"), $("source"), $("target"), $("translation")];
  const limit = settings.charLimit;
  let asking = new AbortController();
  let waiting = 0;
  let detected = null;

  const languages = pair(source, target, list, () => translateAfter(0));

  function restore() {
    const { from, to } = firstLanguages(list, settings);
    languages.set(from, to);
    text.value = inLink("text") ?? "";
    translateAfter(0);
  }

  function translateAfter(pause) {
    const length = lengthOf(text.value);
    $("count").textContent = limit > 0 ? `${length} / ${limit}` : length || "";
    $("count").classList.toggle("over", limit > 0 && length > limit);
    $("clear").hidden = !length;
    $("text-view").classList.toggle("long", length > LONG);
    showLanguage();
    clearTimeout(waiting);
    waiting = setTimeout(translate, pause);
  }

  async function translate() {
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    const asked = { q: text.value, source: source.value, target: target.value };
    putInLink({ from: asked.source, to: asked.target, text: asked.q });
    keepLanguages(asked.source, asked.target);
    tell($("text-message"), "");
    if (!asked.q.trim()) return show("", null);
    if (limit > 0 && lengthOf(asked.q) > limit) {
      return tell($("text-message"), `The text is ${lengthOf(asked.q) - limit} characters too long.`);
    }
    const patience = setTimeout(() => busy(!signal.aborted), PATIENCE);
    try {
      const grows = asked.q.length <= LONGEST_STREAM ? (answer) => showPart(answer) : undefined;
      const answer = await api.translate(asked, signal, grows);
      if (signal.aborted) return;
      show(answer.translatedText, answer.detectedLanguage ?? null);
      if (answer.detectedLanguage?.language === asked.target) {
        tell($("text-message"), `This seems to be in ${list.name(asked.target)} already.`, true);
      }
      if ($("others").open) await showOthers(asked, signal);
    } catch (error) {
      if (!signal.aborted) failed(error);
    } finally {
      clearTimeout(patience);
      if (!signal.aborted) busy(false);
    }
  }

  function failed(error) {
    if (!error.retryAfter) return tell($("text-message"), error.message);
    const why = error.status === 429 ? "That was too much for now." : "The server is busy.";
    tell($("text-message"), `${why} Trying again in ${error.retryAfter} s.`);
    waiting = setTimeout(translate, error.retryAfter * 1000);
  }

  function busy(works) {
    $("busy").hidden = !works;
    shown.classList.toggle("old", works);
    shown.setAttribute("aria-busy", String(works));
  }

  function showPart(answer) {
    shown.classList.remove("old");
    shown.setAttribute("aria-busy", "true");
    shown.textContent = answer.translatedText;
  }

  function show(translation, found) {
    busy(false);
    if (shown.textContent !== translation) shown.textContent = translation;
    shown.lang = target.value;
    detected = found?.confidence ? found.language : null;
    showLanguage();
    $("alternatives").replaceChildren();
    $("others").hidden = !translation;
    for (const name of ["copy", "link"]) $(name).disabled = !translation;
    showVoices();
  }

  function showLanguage(view = inLink("view")) {
    languages.detected(view === "files" ? null : detected); // each file has its own
    $("swap").disabled = source.value === "auto" && !detected;
  }

  function showVoices() {
    const from = source.value === "auto" ? detected : source.value;
    $("text-hear").hidden = !(text.value && from && canRead(from));
    $("translation-hear").hidden = !(shown.textContent && canRead(target.value));
  }

  async function showOthers(asked, signal) {
    const answer = await api.translate({ ...asked, alternatives: MOST_OTHERS }, signal);
    if (signal.aborted) return;
    const wordings = new Set([answer.translatedText, ...(answer.alternatives ?? [])]);
    wordings.delete(shown.textContent);
    const items = [...wordings].slice(0, MOST_OTHERS).map(otherWording);
    $("alternatives").replaceChildren(...(items.length ? items : [element("li", { class: "none" }, "There are none.")]));
  }

  function otherWording(wording) {
    const button = element("button", { type: "button", dir: "auto", lang: target.value }, wording);
    button.addEventListener("click", () => {
      const before = shown.textContent;
      shown.textContent = button.textContent;
      button.textContent = before;
    });
    return element("li", {}, button);
  }

  function swap() {
    const from = source.value === "auto" ? detected : source.value;
    if (!list.has(target.value, from)) {
      const names = `${list.name(target.value)} to ${list.name(from)}`;
      return tell($("text-message"), `The server has no model from ${names}.`, true);
    }
    const translation = shown.textContent;
    languages.set(target.value, from);
    if (translation) text.value = translation;
    announce(`${list.name(source.value)} to ${list.name(target.value)}`);
    translateAfter(0);
  }

  async function copied(value, button, said) {
    await copy(value, button);
    announce(said);
  }

  text.addEventListener("input", ({ inputType }) => translateAfter(inputType === "insertFromPaste" ? 0 : PAUSE));
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) translateAfter(0);
  });
  $("swap").addEventListener("click", swap);
  $("clear").addEventListener("click", () => {
    text.value = "";
    translateAfter(0);
    text.focus();
  });
  $("copy").addEventListener("click", () => copied(shown.textContent, $("copy"), "Copied"));
  $("link").addEventListener("click", () => {
    if (putInLink({ text: text.value })) return copied(location.href, $("link"), "The link is copied");
    tell($("text-message"), "The text is too long for a link.", true);
  });
  $("text-hear").addEventListener("click", () => readAloud(text.value, source.value === "auto" ? detected : source.value));
  $("translation-hear").addEventListener("click", () => readAloud(shown.textContent, target.value));
  $("others").addEventListener("toggle", () => {
    if ($("others").open && shown.textContent) translateAfter(0);
  });
  addEventListener("viewopened", ({ detail }) => showLanguage(detail));
  whenVoicesChange(showVoices);

  if (hearing) {
    $("text-mic").hidden = false;
    const heard = async (sound) => {
      tell($("text-message"), "Writing down what was said …", true);
      try {
        text.value = [text.value.trim(), await api.transcribe(sound, hearing, source.value)].filter(Boolean).join(" ");
        translateAfter(0);
      } catch (error) {
        tell($("text-message"), error.message);
      }
    };
    recordButton($("text-mic"), heard, (words) => tell($("text-message"), words));
  }
  return restore;
}

/** Characters as the server counts them: an emoji is one. */
function lengthOf(text) {
  return [...text].length;
}
