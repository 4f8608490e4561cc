/**
 * Translate with a folder that `quartet convert` made. What goes into the four files, what comes out and in which order
 * is told in docs/run-anywhere.md; the functions here are its steps.
 *
 * Nothing here knows where it runs: `node.js` and `web.js` bring ONNX Runtime and the files.
 *
 * Shapes: n tokens looked up, s source tokens, p tokens fed before, d width, h heads, k head size, v vocabulary.
 */

import { Tokenizer } from "@huggingface/tokenizers";

export const FILES = ["embed_and_lm_head", "encoder", "cache_initializer", "decoder"];
export const TOKENIZER = "tokenizer.json";
const PLAIN_NAME = /^(?!\.)[^\p{Cc}\p{Cs}/\\:]+$/u; // of a file in the model's own folder
const SPACE = "▁"; // how SentencePiece writes a space
const NEVER = "\uffff"; // no letter
const LETTER = /\p{L}/u;
// after what Python takes for the end of a line, and after "…", which no rule of Unicode's has for a sentence's end
const LINE_END = /(?<=\r\n|\r(?!\n)|[\n\v\f\x1c-\x1e\x85\u2028\u2029])|(?=\p{Lu})(?<=…["'”’»)]*\s+)/u;
const WHITE = /[\s\x1c-\x1f\x85]/;
const SENTENCE_END = /(?<!\p{STerm})\p{STerm}+[\p{Pe}\p{Pf}"']*(?:\s+|(?<=[。！？｡」』]))/u;
const BLOCK = 2000; // letters that the segmenter gets at once
const TITLE_END = /(?:^|[^\p{L}\p{N}_])(?:Mr|Mrs|Ms|Dr|Prof|M|MM|Mme|Mlle|Sr|Sra)\.\s+$/u; // no sentence ends here
const UNSPACED = /Hans|Hant|Jpan|Thai|Laoo|Khmr|Mymr|Tibt|^(?:zh|ja|th|lo|km|my|bo)\b/; // no spaces between sentences
const CLEAN_UPS = [" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"];

/**
 * Load a model.
 *
 * @param ort the module of ONNX Runtime: onnxruntime-node or onnxruntime-web
 * @param source where the files are: `text(name)` gives the text of a small file, `session(name)` an InferenceSession
 */
export async function openModel(ort, source) {
  const manifest = JSON.parse(await source.text("quartet.json"));
  checkManifest(manifest);
  const hasTokenizer = manifest.tokenizer && TOKENIZER in manifest.files;
  const tokenizer = hasTokenizer ? readTokenizer(JSON.parse(await source.text(TOKENIZER)), manifest) : null;
  const sessions = {};
  for (const name of FILES) sessions[name] = await source.session(name);
  return { ort, manifest, sessions, tokenizer };
}

/** Throws for a model that this reader does not know, and for names and sizes of files that are none. */
export function checkManifest({ format_version, layout, files }) {
  if (!/^[12]\./.test(format_version)) throw new Error(`format ${format_version}: this reader knows formats 1 and 2`);
  if (layout !== "quartet") throw new Error(`layout ${layout}: convert the model without --layout`);
  for (const [name, entry] of Object.entries(files ?? {})) {
    if (!PLAIN_NAME.test(name)) throw new Error(`files has the name ${JSON.stringify(name)}; expected that of a file beside it`);
    const size = entry?.bytes;
    if (!Number.isSafeInteger(size) || size < 0) throw new Error(`files.${name}.bytes is ${size}; expected an integer of 0 or more`);
  }
}

/**
 * Translate a text, sentence by sentence; lines stay lines, and white space and what has no letter stay as they are.
 * Languages as in the model.
 */
export async function translate(model, text, source, target, onText = () => {}) {
  if (!model.tokenizer) throw new Error(`the model has no ${TOKENIZER}; generate() takes ids and needs none`);
  let done = "";
  for (const part of split(text.toWellFormed())) {
    if (!LETTER.test(part)) {
      done += part;
      continue;
    }
    const [before, sentence, after] = trimmed(part);
    const { sourceIds, prompt } = frame(model.manifest, encode(model, sentence), source, target);
    const tokens = [];
    const begun = () => append(done + before, decode(model, tokens), target);
    for await (const token of generate(model, sourceIds, prompt)) {
      tokens.push(token);
      await onText(begun());
    }
    done = begun() + after;
  }
  return done;
}

/** Sentences with the white space around them, none in two lines; joined they are the text. */
export function split(text) {
  const sentences = new Intl.Segmenter("und", { granularity: "sentence" });
  const found = [];
  for (const line of text.split(LINE_END)) {
    let begun = ""; // ends with a title, as "Mr. "
    for (const { segment } of blocks(line).flatMap((block) => Array.from(sentences.segment(block)))) {
      begun += segment;
      if (TITLE_END.test(segment)) continue;
      found.push(begun);
      begun = "";
    }
    if (begun) found.push(begun);
  }
  return found;
}

/** A long line in parts that end with a sentence: the segmenter's time grows with the square of the length. */
function blocks(line) {
  const found = [];
  const end = new RegExp(SENTENCE_END, "gu");
  for (let start = 0; start < line.length; start = end.lastIndex) {
    end.lastIndex = start + BLOCK;
    if (!end.test(line)) end.lastIndex = line.length;
    found.push(line.slice(start, end.lastIndex));
  }
  return found;
}

/** A part's outer white space, and what is between. */
function trimmed(part) {
  let [start, end] = [0, part.length];
  while (start < end && WHITE.test(part[start])) start++;
  while (end > start && WHITE.test(part[end - 1])) end--;
  return [part.slice(0, start), part.slice(start, end), part.slice(end)];
}

/** A translation behind what is there; after a full stop that no space follows in its own language it gets one. */
function append(done, translation, target) {
  const glued = /\p{Po}/u.test(done.at(-1) ?? "") && /^[\p{L}\p{N}]/u.test(translation);
  return done + (glued && !UNSPACED.test(target) ? " " : "") + translation;
}

/** What the encoder gets, and what the decoder is fed first: the manifest's prompts with ids in place of their words. */
export function frame(manifest, text, source, target) {
  const { eos, decoder_start, space } = manifest.tokens;
  const words = { text, eos: [eos], decoder_start: [decoder_start], space: [space] };
  words.source = [language(manifest, source, "source")];
  words.target = [language(manifest, target, "target")];
  const ids = (pattern) => pattern.flatMap((word) => words[word]);
  const sourceIds = ids(manifest.source_prompt);
  const most = manifest.shapes.max_source_length;
  if (sourceIds.length > most) throw new RangeError(`the text has ${sourceIds.length} tokens, the model takes ${most}`);
  return { sourceIds, prompt: ids(manifest.target_prompt) };
}

function language(manifest, code, side) {
  if (!manifest.languages.length) return null; // none is named: the text says what is wanted
  const known = manifest.languages.filter((entry) => entry[side]);
  const codes = known.map((entry) => entry.code);
  if (!codes.includes(code)) throw new RangeError(`no ${side} language ${code}; there are ${codes.join(", ")}`);
  return known[codes.indexOf(code)].token_id;
}

// ---- the loop ------------------------------------------------------------------------------------------------------

/** The tokens that follow the decoder's `prompt`, one by one, without the end token. Both arguments are lists of ids. */
export async function* generate(model, source, prompt) {
  const { manifest } = model;
  const { max_length, forced_eos, suppress_tokens, bad_words_ids } = manifest.generation;
  const never = [...suppress_tokens, ...bad_words_ids.filter((ids) => ids.length === 1).flat()];
  const most = max_length - (forced_eos === null ? 0 : 1);
  const state = await start(model, source);
  for (const token of prompt.slice(0, -1)) await step(model, state, token);
  let token = prompt.at(-1);
  for (let length = prompt.length; length < most; length++) {
    const logits = await score(model, await step(model, state, token));
    for (const id of never) logits[id] = -Infinity;
    token = best(logits);
    if (token === manifest.tokens.eos) return;
    yield token;
  }
}

/** What the decoder knows before its first step, by its input names: mask, encoder part of the cache, an empty past. */
async function start(model, source) {
  const { ort, sessions, manifest } = model;
  const { d_model, decoder_layers, decoder_heads, head_size, source_vocab_size } = manifest.shapes;
  const ids = integers(ort, source);
  const mask = integers(ort, source.map(() => 1));
  const ownTable = source_vocab_size !== null; // in the encoder; `embed_matrix` is then not read
  const embed_matrix = ownTable ? zeros(ort, [1, source.length, d_model]) : await embed(model, ids);
  const encoded = await sessions.encoder.run({ input_ids: ids, attention_mask: mask, embed_matrix });
  const cache = await sessions.cache_initializer.run({ encoder_hidden_states: encoded.last_hidden_state });
  const state = { encoder_attention_mask: mask };
  remember(state, cache);
  for (let layer = 0; layer < decoder_layers; layer++)
    for (const what of ["key", "value"])
      state[`past_key_values.${layer}.decoder.${what}`] = zeros(ort, [1, decoder_heads, 0, head_size]);
  return state;
}

/** Feed one token: `pre_logits` [1, 1, d]; the past in `state` grows by one. */
async function step(model, state, token) {
  const ids = integers(model.ort, [token]);
  const inputs = { input_ids: ids, embed_matrix: await embed(model, ids), ...state };
  const outputs = await model.sessions.decoder.run(inputs);
  remember(state, outputs);
  return outputs.pre_logits;
}

/** Every `present` becomes the `past_key_values` of the next step. */
function remember(state, outputs) {
  for (const [name, value] of Object.entries(outputs))
    if (name.startsWith("present.")) state[name.replace("present", "past_key_values")] = value;
}

/** Ids [1, n] to vectors [1, n, d]; the LM head is idle. */
async function embed({ ort, sessions, manifest }, input_ids) {
  const idle = zeros(ort, [1, 1, manifest.shapes.d_model]);
  const inputs = { use_lm_head: flag(ort, false), input_ids, pre_logits: idle };
  return (await sessions.embed_and_lm_head.run(inputs, ["embed_matrix"])).embed_matrix;
}

/** The decoder's vector [1, 1, d] to scores [v]; the embedding is idle. */
async function score({ ort, sessions }, pre_logits) {
  const inputs = { use_lm_head: flag(ort, true), input_ids: integers(ort, [0, 0]), pre_logits };
  return (await sessions.embed_and_lm_head.run(inputs, ["logits"])).logits.data;
}

function best(logits) {
  let place = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[place]) place = i;
  return place;
}

const integers = (ort, row) => new ort.Tensor("int64", BigInt64Array.from(row, BigInt), [1, row.length]);
const zeros = (ort, dims) => new ort.Tensor("float32", new Float32Array(dims.reduce((a, b) => a * b)), dims);
const flag = (ort, value) => new ort.Tensor("bool", [value], [1]);

// ---- text and ids --------------------------------------------------------------------------------------------------

/**
 * A tokenizer.json in which text never becomes a control token, the pieces by id without those that are none, and where
 * letters that the vocabulary lacks are spelled in bytes, as MADLAD-400's are, the ids of the 256 bytes.
 */
function readTokenizer(json, manifest) {
  const { unk_id, special_tokens } = manifest.tokenizer;
  const added = (manifest.tokenizer.added_words ?? []).map((word) => word.text);
  if (added.length) console.warn(`words that were added to the model are spelled here: ${added.slice(0, 5).join(", ")}`);
  const languages = manifest.languages.map((entry) => entry.token_id);
  const control = new Set([unk_id, ...Object.values(special_tokens), ...languages]);
  const { vocab } = json.model;
  const entries = Array.isArray(vocab) ? vocab.map(([piece], id) => [piece, id]) : Object.entries(vocab);
  const pieces = new Map(entries.filter(([, id]) => !control.has(id)).map(([piece, id]) => [id, piece]));
  const byPiece = new Map(entries);
  const bytes = json.model.byte_fallback ? Array.from({ length: 256 }, (_, byte) => byPiece.get(bytePiece(byte))) : [];
  const spelled = new Set([...control, ...bytes]);
  const cut = Array.isArray(vocab) // pieces that text must not have get a name that it cannot have
    ? { ...json.model, vocab: vocab.map(([piece, score], id) => [spelled.has(id) ? NEVER + piece : piece, score]) }
    : json.model;
  const byteOf = new Map(bytes.map((id, byte) => [id, byte]));
  return { pieces, bytes, byteOf, unknown: unk_id, text: new Tokenizer({ ...json, model: cut, added_tokens: [] }, {}) };
}

const bytePiece = (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;

/** Ids of the pieces of `text`, without language and end tokens. */
export function encode({ tokenizer }, text) {
  const { bytes, unknown } = tokenizer;
  const { ids, tokens } = tokenizer.text.encode(text, { add_special_tokens: false });
  if (!bytes.length) return ids;
  const spell = (letters) => Array.from(new TextEncoder().encode(letters), (byte) => bytes[byte]);
  return ids.flatMap((id, i) => (id === unknown ? spell(tokens[i]) : id));
}

/** Text of `ids` without control tokens and outer white space. */
export function decode({ tokenizer, manifest }, ids) {
  const text = joined(tokenizer, ids).replaceAll(SPACE, " ").trim();
  if (!manifest.tokenizer.clean_up_spaces) return text;
  return CLEAN_UPS.reduce((cleaned, found) => cleaned.replaceAll(found, found.trim()), text);
}

/** The pieces of ids in a row; letters may be in several, byte by byte. */
function joined({ pieces, byteOf }, ids) {
  const encoder = new TextEncoder();
  const bytes = ids.flatMap((id) => byteOf.get(id) ?? Array.from(encoder.encode(pieces.get(id) ?? "")));
  return new TextDecoder().decode(Uint8Array.from(bytes));
}
