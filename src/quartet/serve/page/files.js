/** Files that are dropped or chosen, one after the other: sent, translated, offered for download. */

import * as api from "./api.js";
import { $, announce, element, icon } from "./dom.js";

const SOUND = /\.(mp3|m4a|m4b|aac|ogg|oga|opus|wav|flac|webm|mp4|mkv|mov|avi|wma)$/i;

/** Set the view up. `open` shows it, when files are dropped on another one. */
export function filesView({ list, settings, hearing }, open) {
  const [source, target, input] = [$("source"), $("target"), $("file")];
  const formats = list.sources().length ? settings.supportedFilesFormat : [];
  const kinds = [...formats.map((one) => one.slice(1).toUpperCase()), ...(hearing ? ["sound and films"] : [])].join(", ");
  $("formats").textContent = kinds && kinds[0].toUpperCase() + kinds.slice(1);
  input.accept = [...formats, ...(hearing ? ["audio/*", "video/*"] : [])].join(",");
  let before = Promise.resolve(); // the file before this one

  function add(files) {
    for (const file of files) {
      const job = jobOf(file);
      $("jobs").append(job.item);
      const [wantedSource, wantedTarget] = [source.value, target.value];
      before = before.then(() => work(job, file, wantedSource, wantedTarget));
    }
  }

  async function work(job, file, from, to) {
    try {
      if (isSound(file)) await hear(job, file, from, to);
      else await translate(job, file, from, to);
      job.end(to ? `Translated into ${list.name(to)}` : "Written down");
      announce(`${file.name} is ${to ? "translated" : "written down"}`);
    } catch (error) {
      job.fail(error.message);
      announce(`${file.name} failed: ${error.message}`);
    }
  }

  function isSound(file) {
    return hearing && (/^(audio|video)\//.test(file.type) || SOUND.test(file.name));
  }

  async function hear(job, file, from, to) {
    const progress = (share) => job.progress(share, "Listening …");
    const heard = (soFar) => {
      const times = soFar.match(/--> \d\d:\d\d:\d\d/g);
      if (times) job.say(`Heard until ${times.at(-1).slice(4)} …`);
    };
    const subtitles = await api.subtitles(file, hearing, from, progress, heard);
    const written = new File([subtitles], `${file.name.replace(/\.[^.]*$/, "")}.srt`, { type: "application/x-subrip" });
    job.offer(URL.createObjectURL(written), written.name, "What was said");
    if (subtitles.trim() && to) await translate(job, written, from, to);
  }

  async function translate(job, file, from, to) {
    const address = await api.translateFile(file, from, to, (share) => job.progress(share, "Translating …"));
    job.offer(address, decodeURIComponent(address).replace(/^[^.]*\./, ""), "Translation");
  }

  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = "";
  });
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    open();
    $("drop").classList.add("over");
  });
  addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) $("drop").classList.remove("over");
  });
  addEventListener("drop", (event) => {
    $("drop").classList.remove("over");
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });
}

/** A line of the list, and what can happen to it. */
function jobOf(file) {
  const name = element("span", { class: "name" }, file.name);
  const state = element("span", { class: "state" }, "Waiting …");
  const links = element("span", { class: "links" });
  const bar = element("progress", { max: "1", "aria-label": file.name });
  const item = element("li", { class: "card job" }, name, state, links, bar);
  return {
    item,
    progress(share, then) {
      state.textContent = share < 1 ? `Sending … ${Math.round(100 * share)} %` : then;
      if (share < 1) bar.value = share;
      else bar.removeAttribute("value");
    },
    say(words) {
      state.textContent = words;
    },
    offer(href, download, text) {
      links.prepend(element("a", { href, download, "aria-label": `${text} of ${file.name}` }, icon("download"), text));
    },
    end(words) {
      state.textContent = words;
      bar.remove();
    },
    fail(words) {
      item.classList.add("failed");
      this.end(words);
    },
  };
}
