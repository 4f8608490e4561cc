/** The microphone, and the browser's voices. */

import { announce, icon } from "./dom.js";

const KINDS = { "audio/webm;codecs=opus": "webm", "audio/mp4": "mp4", "audio/ogg;codecs=opus": "ogg" };
const LONGEST = 10 * 60 * 1000; // milliseconds of a recording

/** Let a button record: it is pressed to begin and to end. `heard` gets the recording, `failed` what goes wrong. */
export function recordButton(button, heard, failed) {
  const label = button.getAttribute("aria-label");
  let recording = null;
  const show = (records) => {
    button.setAttribute("aria-pressed", String(records));
    button.title = records ? "Stop" : "Speak";
    button.setAttribute("aria-label", records ? "Stop the recording" : label);
    button.replaceChildren(icon(records ? "stop" : "mic"));
    announce(records ? "Recording" : "The recording has ended");
  };
  button.addEventListener("click", async () => {
    if (recording) return recording.stop();
    try {
      recording = await record();
    } catch (error) {
      return failed(inWords(error));
    }
    show(true);
    const sound = await recording.ended;
    recording = null;
    show(false);
    heard(sound);
  });
}

/** A recording that has begun: `stop()` ends it, `ended` is the file. */
async function record() {
  if (!navigator.mediaDevices || !globalThis.MediaRecorder) throw new DOMException("", "SecurityError");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const kind = Object.keys(KINDS).find((type) => MediaRecorder.isTypeSupported(type));
  const recorder = new MediaRecorder(stream, kind ? { mimeType: kind } : {});
  const chunks = [];
  recorder.ondataavailable = ({ data }) => chunks.push(data);
  const ended = new Promise((resolve) => {
    recorder.onstop = () => {
      for (const track of stream.getTracks()) track.stop();
      resolve(new File(chunks, `speech.${KINDS[kind] ?? "webm"}`, { type: recorder.mimeType }));
    };
  });
  recorder.start();
  const limit = setTimeout(() => recorder.stop(), LONGEST);
  ended.then(() => clearTimeout(limit));
  return { stop: () => recorder.stop(), ended };
}

function inWords({ name }) {
  const words = {
    NotAllowedError: "The browser was not allowed to use the microphone.",
    NotFoundError: "There is no microphone.",
    SecurityError: "Browsers give the microphone only to pages at https:// addresses.",
  };
  return words[name] ?? "The microphone does not work.";
}

const voices = () => globalThis.speechSynthesis?.getVoices() ?? [];

/** Whether the browser has a voice for a language. */
export const canRead = (code) => Boolean(voiceFor(code));

/** Whether it has any. */
export const canReadAny = () => voices().length > 0;

/** Call back when the voices are known, which may be at once. */
export function whenVoicesChange(changed) {
  globalThis.speechSynthesis?.addEventListener?.("voiceschanged", changed);
  changed();
}

/** Read a text aloud; once more, and it ends. */
export function readAloud(text, code) {
  const wasReading = speechSynthesis.speaking;
  speechSynthesis.cancel();
  if (wasReading) return;
  const utterance = new SpeechSynthesisUtterance(text);
  utterance.voice = voiceFor(code);
  utterance.lang = utterance.voice?.lang ?? code;
  speechSynthesis.speak(utterance);
}

function voiceFor(code) {
  const short = code.split("-")[0].toLowerCase();
  const known = voices().filter(({ lang }) => lang.toLowerCase().split(/[-_]/)[0] === short);
  const exact = (voice) => voice.lang.replace("_", "-").toLowerCase() === code.toLowerCase();
  return known.find(exact) ?? known.find((voice) => voice.default) ?? known[0] ?? null;
}
