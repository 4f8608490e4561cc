/** Shows what openapi.json says. */

import { $, element } from "./dom.js";

const code = (text) => element("code", {}, text);

/** A text with code between backticks. */
const prose = (text) => text.split("`").map((part, number) => (number % 2 ? code(part) : part));

/** A schema in words: `string`, `list of string`, `json, text or srt`. */
function kind(schema) {
  if (schema.anyOf) return schema.anyOf.map(kind).join(", or ");
  if (schema.enum) return schema.enum.join(", ");
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  if (schema.type === "object") return `{${Object.keys(schema.properties ?? {}).join(", ")}}`;
  if (schema.format === "binary") return "file";
  return [schema.type ?? "anything"].flat().filter((name) => name !== "null").join(", ");
}

/** A table, where there is something in it. */
function table(caption, rows) {
  const lines = rows.map(([name, ...cells]) =>
    element("tr", {}, element("th", { scope: "row" }, code(name)), ...cells.map((cell) => element("td", {}, cell))));
  const made = element("table", {}, element("caption", {}, caption), ...lines);
  return rows.length ? [element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, made)] : [];
}

function body(content) {
  const [schema] = Object.values(content).map((one) => one.schema);
  const needed = new Set(schema.required);
  const rows = Object.entries(schema.properties ?? {}).map(([name, part]) =>
    [name, kind(part), needed.has(name) ? "needed" : "", (part.examples ?? []).map((one) => `“${one}”`).join(", ")]);
  return table(`Body: ${Object.keys(content).join(", ")}`, rows);
}

function answer([status, { description, content = {} }]) {
  const kinds = Object.entries(content).map(([type, { schema }]) => `${type}: ${kind(schema)}`);
  return [status, description, kinds.join("; ")];
}

function operation(path, method, { summary, description, parameters = [], requestBody, responses }) {
  const head = element("summary", {}, code(`${method.toUpperCase()} ${path}`), " ", element("span", {}, ...prose(summary)));
  const asked = parameters.map((one) => [one.name, kind(one.schema), one.in === "path" ? "in the path" : "in the address"]);
  return element("details", {}, head,
    ...(description ? [element("p", {}, ...prose(description))] : []),
    ...table("Parameters", asked),
    ...(requestBody ? body(requestBody.content) : []),
    ...table("Answers", Object.entries(responses).map(answer)));
}

function show(page) {
  const groups = new Map();
  for (const [path, operations] of Object.entries(page.paths))
    for (const [method, one] of Object.entries(operations)) {
      const [tag] = one.tags ?? ["other"];
      groups.set(tag, [...(groups.get(tag) ?? []), operation(path, method, one)]);
    }
  $("docs").replaceChildren(...[...groups].flatMap(([tag, all]) => [element("h2", {}, tag), ...all]));
}

try {
  show(await (await fetch("openapi.json")).json());
} catch {
  $("state").textContent = "The server cannot be reached.";
}
