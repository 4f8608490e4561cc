#!/usr/bin/env node
/** node translate.js FOLDER SOURCE TARGET [TEXT ...]: a line for each text; without any, lines are read from stdin. */

import { createInterface } from "node:readline";

import { open } from "./node.js";
import { encode, frame, generate, translate } from "./quartet.js";

const USAGE = "usage: node translate.js [--ids] FOLDER SOURCE TARGET [TEXT ...]";

async function main(args) {
  const ids = args[0] === "--ids"; // print the tokens as JSON instead of text
  const [folder, source, target, ...texts] = ids ? args.slice(1) : args;
  if (!target) throw new Error(USAGE);
  const model = await open(folder);
  const work = ids ? tokens : translate;
  for await (const text of texts.length ? texts : createInterface({ input: process.stdin }))
    console.log(await work(model, text, source, target));
}

async function tokens(model, text, source, target) {
  const { sourceIds, prompt } = frame(model.manifest, encode(model, text), source, target);
  const found = [];
  for await (const token of generate(model, sourceIds, prompt)) found.push(token);
  return JSON.stringify({ source: sourceIds, tokens: found });
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`translate.js: ${error.message}`);
  process.exitCode = 1;
});
