/**
 * node browse.mjs URL TEXT PROFILE SCREENSHOT: loads the page in headless Chromium and translates TEXT; then waits for a
 * line on stdin, loads it again and translates once more. Prints what it saw as a line of JSON each time.
 */

import { createRequire } from "node:module";
import { once } from "node:events";

const [url, text, profile, screenshot] = process.argv.slice(2);
const require = createRequire(new URL("../../clients/js/", import.meta.url));
const { chromium } = require("playwright-core");

const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM,
  headless: true,
  args: [
    ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
    ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
  ],
});
const page = context.pages()[0] ?? (await context.newPage());
const errors = [];
page.on("pageerror", (error) => errors.push(String(error)));
await page.addInitScript(() => {
  globalThis.statuses = []; // everything that the page's line of status has said
  const watch = () => statuses.push(document.getElementById("status").textContent);
  addEventListener("DOMContentLoaded", () =>
    new MutationObserver(watch).observe(document.getElementById("status"), { childList: true }),
  );
});

async function visit() {
  await page.goto(url);
  const ended = () => /^Ready|^It failed/.test(document.getElementById("status").textContent);
  await page.waitForFunction(ended, null, { timeout: 120_000 });
  const status = await page.textContent("#status");
  if (status.startsWith("It failed")) throw new Error(status);
  await page.fill("#text", text);
  await page.click("#translate");
  await page.waitForSelector("#translation:not(:empty)");
  await page.waitForSelector("#translate:enabled");
  await page.screenshot({ path: screenshot, fullPage: true });
  const [translation, seen] = [await page.textContent("#translation"), await page.evaluate(() => statuses)];
  console.log(JSON.stringify({ translation, seen, errors }));
}

try {
  await visit();
  process.stdin.resume();
  await once(process.stdin, "data");
  await visit();
} finally {
  await context.close();
}
process.exit(0);
