/** A conversation of two people with two languages. */

import * as api from "./api.js";
import { $, element, icon, tell } from "./dom.js";
import { choose, fill, firstLanguages } from "./languages.js";
import { canRead, canReadAny, readAloud, recordButton, whenVoicesChange } from "./speech.js";
import { inLink, keep, kept, putInLink } from "./state.js";

const NAMES = ["a", "b"]; // of the two languages, in links
const PEOPLE = ["first", "second"];

/** Set the view up; returns what brings back the state of a link. */
export function talkView({ list, settings, hearing }) {
  $("sides").replaceChildren(...[0, 1].map(sideOf));
  const selects = [0, 1].map((side) => $(`talk-language-${side}`));
  const spoken = list.bothWays();

  function restore() {
    const { to } = firstLanguages(list, settings);
    const others = spoken.map(({ code }) => code).filter((code) => code !== to && list.has(code, to) && list.has(to, code));
    const own = settings.language.source.code;
    selects.forEach((select, side) => {
      fill(select, spoken, side ? [others.includes(own) ? own : others[0]] : [to]);
      choose(select, kept(NAMES[side]) ?? "");
      choose(select, inLink(NAMES[side]) ?? "");
    });
  }

  function chosen() {
    selects.forEach((select, side) => keep(NAMES[side], select.value));
    putInLink(Object.fromEntries(selects.map((select, side) => [NAMES[side], select.value])));
  }

  async function say(side, text) {
    const [from, to] = [selects[side].value, selects[1 - side].value];
    const heard = element("p", { class: "heard", lang: to, dir: "auto" }, "…");
    const said = element("p", { class: "said", lang: from, dir: "auto" }, text);
    const turn = element("div", { class: `turn ${side ? "second" : "first"}` }, said, heard);
    turn.setAttribute("aria-busy", "true"); // it is read out when it is complete
    $("log").append(turn);
    $("log-empty").hidden = true;
    $("log").scrollTop = $("log").scrollHeight;
    tell($("talk-message"), "");
    try {
      const show = ({ translatedText }) => (heard.textContent = translatedText);
      show(await api.translate({ q: text, source: from, target: to }, undefined, show));
      turn.removeAttribute("aria-busy");
      if (canRead(to)) turn.append(readButton(heard.textContent, to));
      if ($("aloud").checked && canRead(to)) readAloud(heard.textContent, to);
      $("log").scrollTop = $("log").scrollHeight;
    } catch (error) {
      turn.remove();
      $("log-empty").hidden = Boolean($("log").querySelector(".turn"));
      $(`talk-text-${side}`).value ||= text;
      tell($("talk-message"), error.message);
    }
  }

  async function hear(side, sound) {
    tell($("talk-message"), "Writing down what was said …", true);
    try {
      const text = await api.transcribe(sound, hearing, selects[side].value);
      tell($("talk-message"), text ? "" : "Nothing was heard.", true);
      if (text) await say(side, text);
    } catch (error) {
      tell($("talk-message"), error.message);
    }
  }

  for (const side of [0, 1]) {
    const input = $(`talk-text-${side}`);
    selects[side].addEventListener("change", chosen);
    $(`side-${side}`).addEventListener("submit", (event) => {
      event.preventDefault();
      const text = input.value.trim();
      input.value = "";
      if (text) say(side, text);
    });
    if (hearing) {
      const button = $(`talk-mic-${side}`);
      button.hidden = false;
      recordButton(button, (sound) => hear(side, sound), (words) => tell($("talk-message"), words));
    }
  }
  whenVoicesChange(() => ($("aloud-label").hidden = !canReadAny()));
  return restore;
}

/** The controls of one of the two, with names and ids of their own. */
function sideOf(side) {
  const made = $("side").content.cloneNode(true);
  for (const part of made.querySelectorAll("[data-id]")) {
    const label = part.dataset.label.replace("{}", PEOPLE[side]);
    part.id = `${part.dataset.id}-${side}`;
    part.setAttribute("aria-label", label[0].toUpperCase() + label.slice(1));
  }
  return made;
}

function readButton(text, code) {
  const button = element("button", { type: "button", class: "icon", "aria-label": "Read aloud", title: "Read aloud" });
  button.append(icon("hear"));
  button.addEventListener("click", () => readAloud(text, code));
  return button;
}
