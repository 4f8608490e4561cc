/**
 * node use_page.mjs URL URL_WITH_KEYS FOLDER: uses the page in headless Chromium as people do, and prints what they saw as
 * JSON. Screenshots go to FOLDER.
 */

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [url, urlWithKeys, folder] = process.argv.slice(2);
const require = createRequire(new URL("../../clients/js/", import.meta.url));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const program = {
  executablePath: process.env.CHROMIUM,
  args: [
    ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
    ...["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
  ],
};
const browser = await chromium.launch(program);
const seen = { violations: [], foreign: [], errors: [] };
const settled = "#translation[aria-busy=false]:not(:empty)";

/** A new page of a reader of their own, loaded. */
async function visit({ link = "#from=en&to=fr", base = url, prepare = () => {}, ...options } = {}) {
  const context = await browser.newContext({ locale: "en-GB", serviceWorkers: "block", ...options });
  const page = await context.newPage();
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("console", (message) => /Content.Security/.test(message.text()) && seen.errors.push(message.text()));
  page.on("request", (request) => {
    if (!request.url().startsWith(base) && !request.url().startsWith("blob:")) seen.foreign.push(request.url());
  });
  await prepare(page);
  await page.goto(`${base}/${link}`);
  await page.waitForSelector("html[data-ready]");
  return page;
}

const value = (page, selector) => page.inputValue(selector);
const focused = (page) => page.evaluate(() => document.activeElement.id);

const steps = {
  async types() {
    const page = await visit();
    await page.evaluate(() => {
      globalThis.states = [];
      const shown = document.getElementById("translation");
      new MutationObserver(() => states.push(shown.textContent)).observe(shown, { childList: true, subtree: true });
    });
    await page.locator("#text").pressSequentially("Good morning. Where is the train station?");
    await page.waitForSelector(settled);
    const text = await page.textContent("#translation");
    const result = { text, states: await page.evaluate(() => states), count: await page.textContent("#count") };
    await page.click("#clear");
    await page.waitForSelector("#translation:empty");
    return { ...result, afterwards: await focused(page) };
  },

  async detectsAndSwaps() {
    const page = await visit({ link: "#from=auto&to=fr" });
    const before = await page.isDisabled("#swap");
    await page.fill("#text", "Wo ist der Bahnhof, bitte?");
    await page.waitForSelector(settled);
    const detected = await page.textContent("#source option:checked");
    const first = await page.textContent("#translation");
    await page.click("#swap");
    await page.waitForFunction((text) => document.getElementById("translation").textContent !== text, first);
    await page.waitForSelector(settled);
    const [source, target, text] = [await value(page, "#source"), await value(page, "#target"), await value(page, "#text")];
    return { before, detected, source, target, isSwapped: text === first };
  },

  async link() {
    const page = await visit();
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.fill("#text", "Good morning.");
    await page.waitForSelector(settled);
    await page.click("#copy");
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    await page.click("#link");
    const link = await page.evaluate(() => navigator.clipboard.readText());
    const other = await visit({ link: link.slice(link.indexOf("#")) });
    await other.waitForSelector(settled);
    const [text, target] = [await value(other, "#text"), await value(other, "#target")];
    const shown = await other.textContent("#translation");
    await other.evaluate(() => (location.hash = "#from=de&to=es&text=Danke."));
    await other.waitForFunction(() => document.getElementById("text").value === "Danke.");
    return { copied, text, target, shown, then: await value(other, "#source") };
  },

  async otherWordings() {
    const page = await visit();
    await page.fill("#text", "Good morning.");
    await page.waitForSelector(settled);
    await page.click("#others summary");
    await page.waitForSelector("#alternatives button");
    const [before, offered] = [await page.textContent("#translation"), await page.locator("#alternatives button").allTextContents()];
    await page.locator("#alternatives button").first().click();
    return { before, offered, after: await page.textContent("#translation") };
  },

  async files() {
    const page = await visit();
    await page.click("#tab-files");
    const films = { name: "film.srt", mimeType: "application/x-subrip", buffer: Buffer.from(SUBTITLES) };
    await page.setInputFiles("#file", [films, { name: "program.exe", mimeType: "", buffer: Buffer.from("MZ") }]);
    await page.waitForSelector(".job.failed");
    const states = await page.locator(".job .state").allTextContents();
    const content = await downloaded(page, ".job a");
    const drop = await page.evaluateHandle(() => {
      const data = new DataTransfer();
      data.items.add(new File(["Thank you.\n"], "note.txt", { type: "text/plain" }));
      return data;
    });
    await page.click("#tab-text");
    await page.dispatchEvent("body", "dragover", { dataTransfer: drop });
    await page.dispatchEvent("body", "drop", { dataTransfer: drop });
    await page.waitForSelector(".job:nth-child(3) a");
    return { ...content, states, dropped: await downloaded(page, ".job:nth-child(3) a"), isOpen: await page.isVisible("#files-view") };
  },

  async sound() {
    const page = await visit({ prepare: hears });
    await page.click("#tab-files");
    await page.evaluate(() => {
      globalThis.states = [];
      const look = () => states.push(document.querySelector(".job .state")?.textContent);
      new MutationObserver(look).observe(document.getElementById("jobs"), { childList: true, subtree: true });
    });
    await page.setInputFiles("#file", { name: "talk.mp3", mimeType: "audio/mpeg", buffer: Buffer.from("sound") });
    await page.waitForSelector(".job a + a");
    const states = await page.evaluate(() => states);
    const [translation, said] = [await downloaded(page, ".job a"), await downloaded(page, ".job a + a")];
    await page.click("#tab-text");
    await page.click("#text-mic");
    await page.waitForSelector("#text-mic[aria-pressed=true]");
    await page.waitForTimeout(300);
    await page.click("#text-mic");
    await page.waitForSelector(settled);
    return { states, translation, said, text: await value(page, "#text"), shown: await page.textContent("#translation") };
  },

  async talks() {
    const page = await visit({ link: "#view=talk&a=en&b=de", prepare: hears });
    await page.fill("#talk-text-0", "Good morning.");
    await page.press("#talk-text-0", "Enter");
    const afterwards = await focused(page);
    await page.fill("#talk-text-1", "Danke.");
    await page.click("#side-1 button[type=submit]");
    await page.click("#talk-mic-0");
    await page.waitForTimeout(300);
    await page.click("#talk-mic-0");
    await page.waitForSelector(".turn:nth-of-type(3) .icon");
    const turns = await page.evaluate(() =>
      [...document.querySelectorAll(".turn")].map((turn) => [...turn.querySelectorAll("p")].map((p) => [p.lang, p.textContent])),
    );
    return { turns, afterwards };
  },

  async keyboard() {
    const page = await visit();
    await page.focus("#tab-text");
    const order = [];
    for (let number = 0; number < 5; number++) {
      await page.keyboard.press("Tab");
      order.push(await focused(page));
    }
    await page.focus("#tab-text");
    await page.keyboard.press("ArrowLeft");
    const [last, isOpen] = [await focused(page), await page.isVisible("#talk-view")];
    await page.keyboard.press("ArrowRight");
    return { order, last, isOpen, first: await focused(page), isBack: await page.isVisible("#text-view") };
  },

  async words() {
    const page = await visit();
    let asked = 0;
    await page.route("**/translate", (route) =>
      asked++ ? route.continue() : route.fulfill({ status: 503, headers: { "retry-after": "1" }, json: { error: "busy" } }),
    );
    await page.fill("#text", "Good morning.");
    await page.waitForSelector("#text-message:not(:empty)");
    const busy = await page.textContent("#text-message");
    await page.waitForSelector(settled);
    const after = await page.textContent("#text-message");
    await page.route("**/translate", (route) => route.abort());
    await page.fill("#text", "Thank you.");
    await page.waitForSelector("#text-message:not(:empty)");
    return { busy, after, gone: await page.textContent("#text-message") };
  },

  async key() {
    const page = await visit({ base: urlWithKeys });
    const isAsked = await page.isVisible("#key-form");
    await page.fill("#text", "Good morning, my friend.");
    await page.waitForSelector("#text-message:not(:empty)");
    const without = await page.textContent("#text-message");
    await page.fill("#key", "secret");
    await page.press("#key", "Enter");
    await page.waitForSelector(settled);
    const [shown, isGone] = [await page.textContent("#translation"), await page.isHidden("#key-form")];
    await page.fill("#text", "a".repeat(41));
    await page.waitForSelector("#text-message:not(:empty)");
    return { isAsked, without, shown, isGone, long: await page.textContent("#text-message"), count: await page.textContent("#count") };
  },

  async offline() {
    const context = await chromium.launchPersistentContext(`${folder}/profile`, program); // a passing one installs nothing
    const page = await context.newPage();
    await page.goto(url);
    await page.evaluate(() => navigator.serviceWorker.ready);
    await page.waitForFunction(async () => (await (await caches.open("quartet-page")).keys()).length > 10);
    await context.setOffline(true);
    await page.reload();
    await page.waitForSelector("#notice:visible");
    const session = await context.newCDPSession(page);
    const { installabilityErrors } = await session.send("Page.getInstallabilityErrors");
    const notice = await page.textContent("#notice");
    await context.close();
    return { notice, errors: installabilityErrors.map(({ errorId }) => errorId) };
  },

  /** Every view by day and night, on a desk and in a hand: no rule of axe is broken, nothing sticks out. */
  async looks() {
    const overflow = [];
    const sticksOut = (control) => control.getBoundingClientRect().right > control.parentElement.getBoundingClientRect().right;
    for (const [name, width, height] of [["desk", 1280, 860], ["phone", 360, 740]]) {
      for (const colorScheme of ["light", "dark"]) {
        const page = await visit({ viewport: { width, height }, colorScheme, reducedMotion: "reduce", prepare: hears });
        await page.fill("#text", "Good morning. Where is the train station?");
        await page.waitForSelector(settled);
        for (const view of ["text", "files", "talk"]) {
          await page.click(`#tab-${view}`);
          await check(page, `${name} ${colorScheme} ${view}`);
          for (const control of await page.locator("button, select, input").all()) {
            if (await control.evaluate(sticksOut)) overflow.push(`${name} ${view}: ${await control.getAttribute("id")}`);
          }
          await page.screenshot({ path: `${folder}/${name}-${colorScheme}-${view}.png`, fullPage: true });
        }
        await page.context().close();
      }
    }
    return overflow;
  },

  /** What a view looks like while something goes on or goes wrong, on the smallest phone. */
  async states() {
    for (const [name, act] of Object.entries(STATES)) {
      const viewport = { width: 320, height: 568 };
      const options = { base: name === "key" ? urlWithKeys : url, link: "#from=en&to=fr&a=en&b=de" };
      const page = await visit({ ...options, viewport, reducedMotion: "reduce", prepare: hears });
      await act(page);
      await check(page, name);
      await page.screenshot({ path: `${folder}/state-${name}.png`, fullPage: true });
      await page.context().close();
    }
    return Object.keys(STATES).length;
  },

  /** Models in one direction are for no conversation, and models that hear alone for files alone. */
  async models() {
    const visible = (page) => page.locator("[role=tab]:visible").allTextContents();
    const having = (languages) => (page) => hears(page).then(() => page.route("**/languages", (route) => route.fulfill({ json: languages })));
    const oneWay = await visit({ prepare: having([{ code: "en", name: "English", targets: ["en", "fr"] }]) });
    await oneWay.focus("#tab-text");
    await oneWay.keyboard.press("ArrowLeft");
    const speech = await visit({ link: "#view=talk", prepare: having([]) });
    await speech.setInputFiles("#file", { name: "talk.mp3", mimeType: "audio/mpeg", buffer: Buffer.from("sound") });
    await speech.waitForSelector(".job:not(:has(progress))");
    return {
      oneWay: await visible(oneWay),
      left: await focused(oneWay),
      speech: await visible(speech),
      asksForLanguages: await speech.isVisible("#languages"),
      formats: await speech.textContent("#formats"),
      state: await speech.textContent(".job .state"),
      links: await speech.locator(".job a").allTextContents(),
    };
  },
};

const ARABIC = "صباح الخير. أين محطة القطار؟ سأعود في الساعة 10:30.";
const STATES = {
  async busy(page) {
    await page.fill("#text", "Good morning.");
    await page.waitForSelector(settled);
    await page.route("**/translate", () => {});
    await page.fill("#text", "Thank you.");
    await page.waitForSelector("#busy:visible");
  },
  async error(page) {
    await page.route("**/translate", (route) => route.abort());
    await page.fill("#text", "Good morning.");
    await page.waitForSelector("#text-message:not(:empty)");
  },
  async others(page) {
    await page.fill("#text", "Donaudampfschifffahrtsgesellschaftskapitänskajütentürschlüsselbundanhängerfabrik");
    await page.waitForSelector(settled);
    await page.click("#others summary");
    await page.waitForSelector("#alternatives button");
  },
  async arabic(page) {
    await page.route("**/translate", (route) => route.fulfill({ json: { translatedText: ARABIC } }));
    await page.fill("#text", "Good morning. Where is the train station? I will be back at 10:30.");
    await page.waitForSelector(settled);
    if ((await page.evaluate(() => getComputedStyle(document.getElementById("translation")).direction)) !== "rtl") {
      seen.errors.push("Arabic is not written from right to left");
    }
  },
  async recording(page) {
    await page.click("#text-mic");
    await page.waitForSelector("#text-mic[aria-pressed=true]");
  },
  async jobs(page) {
    await page.click("#tab-files");
    const file = (name, text) => ({ name, mimeType: "text/plain", buffer: Buffer.from(text) });
    await page.setInputFiles("#file", [file(`${"a-long-name-".repeat(9)}.srt`, SUBTITLES), file("program.exe", "MZ")]);
    await page.waitForSelector(".job.failed");
    await page.route("**/translate_file", () => {});
    await page.setInputFiles("#file", file("running.txt", "Thank you."));
    await page.waitForSelector(".job progress");
  },
  async talk(page) {
    await page.click("#tab-talk");
    await page.fill("#talk-text-0", "Good morning. Where is the train station?");
    await page.press("#talk-text-0", "Enter");
    await page.waitForSelector(".turn .icon");
    await page.route("**/translate", (route) => route.abort());
    await page.fill("#talk-text-1", "Der Bahnhof ist dort.");
    await page.press("#talk-text-1", "Enter");
    await page.waitForSelector("#talk-message:not(:empty)");
  },
  async key(page) {
    await page.fill("#key", "wrong");
    await page.press("#key", "Enter");
    await page.waitForSelector("html[data-ready]");
    await page.fill("#text", "Good morning.");
    await page.waitForSelector("#text-message:not(:empty)");
  },
};

/** No rule of axe is broken, and nothing is wider than the window. */
async function check(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  seen.violations.push(...violations.map((one) => `${name}: ${one.id} ${one.nodes[0].target}`));
  if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) seen.violations.push(`${name}: too wide`);
}

const SUBTITLES = "1\n00:00:01,000 --> 00:00:02,500\nGood morning.\n";

/** A browser that has voices, and a server that hears "Thank you." in everything. */
async function hears(page) {
  await page.addInitScript(() => {
    speechSynthesis.getVoices = () => ["en-GB", "fr-FR", "de-DE"].map((lang) => ({ lang, name: lang }));
  });
  await page.route("**/v1/models", (route) => route.fulfill({ json: { data: [{ id: "listener", object: "model", task: "automatic-speech-recognition" }] } }));
  await page.route("**/v1/audio/transcriptions", (route) => {
    const wantsTimes = route.request().postDataBuffer().includes("srt");
    if (!wantsTimes) return route.fulfill({ json: { text: " Thank you." } });
    const events = [{ type: "transcript.text.delta", delta: SUBTITLES }, { type: "transcript.text.done", text: SUBTITLES }];
    const body = events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join("");
    return route.fulfill({ contentType: "text/event-stream", body });
  });
}

async function downloaded(page, selector) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click(selector)]);
  return { name: download.suggestedFilename(), content: readFileSync(await download.path(), "utf8") };
}

const limit = 60_000;
for (const [name, step] of Object.entries(steps)) {
  const late = new Promise((_, fail) => setTimeout(fail, limit, new Error(`no end within ${limit} ms`)).unref());
  seen[name] = await Promise.race([step(), late]).catch((error) => ({ failed: String(error) }));
}
await browser.close();
console.log(JSON.stringify(seen));
