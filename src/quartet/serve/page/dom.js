/** Small things that all views do with the document. */

export const $ = (id) => document.getElementById(id);

/** A new element with attributes and children; texts are never read as markup. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

/** One of the symbols of the page. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** Tell screen readers, and nobody else. */
export function announce(text) {
  $("said").textContent = "";
  setTimeout(() => ($("said").textContent = text), 50);
}

/** Show below a view what went wrong, or calmly what is so. */
export function tell(place, text, calm = false) {
  place.classList.toggle("calm", calm);
  if (place.textContent !== text) place.textContent = text;
}

/** Copy a text; without https browsers have the old way only. */
export async function copy(text, button) {
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else copyOldWay(text);
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), 1500);
}

function copyOldWay(text) {
  const area = element("textarea", { class: "unseen", "aria-hidden": "true", tabindex: "-1" });
  const focused = document.activeElement;
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  focused?.focus();
}
