/** Lists of languages, and what can be chosen in them. */

import { element } from "./dom.js";
import { inLink, keep, kept } from "./state.js";

const DETECT = { code: "auto", name: "Detect language" };

/** The languages of a server, as `GET /languages` tells them. */
export function languageList(languages) {
  const byName = (one, other) => one.name.localeCompare(other.name);
  const names = new Map(languages.map(({ code, name }) => [code, name]));
  const targets = (source) => {
    const of = languages.filter(({ code }) => source === "auto" || code === source);
    return [...new Set(of.flatMap((one) => one.targets))];
  };
  const named = (codes) => codes.map((code) => ({ code, name: names.get(code) ?? nameOf(code) })).sort(byName);
  const has = (source, target) => targets(source).includes(target);
  const answers = (one, other) => one !== other && has(one, other) && has(other, one);
  return {
    name: (code) => names.get(code) ?? nameOf(code),
    /** Those in which somebody can talk with somebody of another one. */
    bothWays: () => named([...names.keys()].filter((one) => [...names.keys()].some((other) => answers(one, other)))),
    sources: () => named([...names.keys()]),
    targets: (source) => named(targets(source)),
    has,
  };
}

/** Fill two lists, the second one always with what the first one can be translated into. `changed` when one is chosen. */
export function pair(source, target, list, changed) {
  const fillTargets = () => {
    const offered = list.targets(source.value);
    const wanted = [target.value, ...otherThan(source.value, offered)];
    fill(target, offered, wanted);
  };
  fill(source, [DETECT, ...list.sources()], ["auto"]);
  fillTargets();
  source.addEventListener("change", () => {
    fillTargets();
    changed();
  });
  target.addEventListener("change", changed);
  return {
    set(from, to) {
      choose(source, from);
      fillTargets();
      choose(target, to);
    },
    detected: (code) => (source.options[0].text = code ? `${list.name(code)} (auto)` : DETECT.name),
  };
}

/** Languages to begin with: the link's, those of the last time, or the reader's own. */
export function firstLanguages(list, settings) {
  const own = navigator.languages.flatMap((tag) => [tag, tag.split("-")[0]]);
  const target = own.find((code) => list.has("auto", code)) ?? settings.language.target.code;
  return {
    from: inLink("from") ?? kept("from") ?? "auto",
    to: inLink("to") ?? kept("to") ?? target,
  };
}

/** Remember languages for the next time. */
export function keepLanguages(from, to) {
  keep("from", from);
  keep("to", to);
}

/** Fill a list, and choose the first of the `wanted` that it has. */
export function fill(select, languages, wanted) {
  select.replaceChildren(...languages.map(({ code, name }) => element("option", { value: code }, name)));
  select.value = wanted.find((code) => languages.some((one) => one.code === code)) ?? languages[0]?.code ?? "";
}

/** Choose a language where the list has it. */
export function choose(select, code) {
  if ([...select.options].some((option) => option.value === code)) select.value = code;
}

function otherThan(code, languages) {
  return languages.map((one) => one.code).filter((other) => other !== code);
}

function nameOf(code) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code);
  } catch {
    return code;
  }
}
