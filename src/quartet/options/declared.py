"""All options: what each may be, what it is without a choice, and what it is for.

The tables go by where an option is given: to a model that is opened (`MODEL`), `Translator.translate` (`TRANSLATION`),
`Translator.generate` (`GENERATION`), `Transcriber.transcribe` (`TRANSCRIPTION`, `VAD`), `convert` (`CONVERSION`), and
to what there is on the command line only (`TRANSLATE`, `TRANSCRIBE`, `RANK`, `BENCH`, `SERVE`). Upper limits are what
is of use and fits a machine; docs/options.md says why they are what they are.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import replace

from quartet.options.kinds import (
    REQUIRED,
    Choice,
    Either,
    Flag,
    Integer,
    Many,
    Name,
    Option,
    Other,
    Real,
    Size,
    Text,
    TextOrNumber,
    Times,
    table,
)

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
MOST_THREADS = max(16, 4 * CORES)  # 64 on 2 cores took half a minute to open a small model, and 2 s for a sentence
MOST_WORKERS = 64  # processes
MOST_BEAMS = 64  # rows of the decoder for one text; with NLLB-600M and 256 tokens some 25 MB each
MOST_TOKENS = 100_000  # whatever the model; its window is the limit that counts
MOST_LANGUAGES = 16  # of one recording: each is decoded
PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SPOKEN_IN = "in any common spelling: fr, fra, fra_Latn, fr-FR, French"

_TOKEN = Integer(0, 2**31 - 1)
_TOKENS = Integer(1, MOST_TOKENS, "tokens")
_MODELS_OWN = "the model's own"
_PROGRESS = Option("progress", Other("a function", callable), "silent", "told how much of how much is done")


# ---- models ---------------------------------------------------------------------------------------------------------

MODEL = table(
    Option("model", Name("the name of a model, or its folder", as_path=False), "demo", "folder, alias, org/name"),
    Option(
        "precision",
        Choice(("fp32", "int8", "int4")),
        None,
        "precision to convert to",
        none="int4, int8 for speech, or what a converted folder has",
    ),
    Option("revision", Text(), None, "branch, tag or commit on the hub", none="main"),
    Option(
        "threads",
        Integer(1, MOST_THREADS, why="four for each core, or 16"),
        None,
        "threads of each operator",
        none="all cores",
    ),
    Option("verify", Flag(), False, "check the hashes of the model's files first"),
    Option(
        "vocabulary",
        Name("auto or a file of text", as_path=False),
        None,
        "translate faster with a part of the vocabulary: auto, what is written in the target's script; or what "
        "occurs in this text in the target language",
        none="all of it",
    ),
)
SPEECH_MODEL = table(replace(MODEL["model"], default="whisper-base"), *list(MODEL.values())[1:5])


# ---- text -----------------------------------------------------------------------------------------------------------

_SEARCH = table(
    Option("beam_size", Integer(1, MOST_BEAMS), 1, "hypotheses kept per step; 1 is greedy"),
    Option("num_hypotheses", Integer(1, MOST_BEAMS), 1, "how many of them to return, best first; up to beam_size"),
    Option(
        "length_penalty",
        Real(-10, 10),
        None,
        "exponent of the length that scores are divided by; 0 leaves them as they are",
        none=_MODELS_OWN,
    ),
    Option(
        "repetition_penalty",
        Real(0.01, 100),
        None,
        "above 1, tokens seen before become less likely; 1 is off",
        none=_MODELS_OWN,
    ),
    Option(
        "no_repeat_ngram_size",
        Integer(0, 1000, "tokens"),
        None,
        "no sequence so long comes twice; 0 is off",
        none=_MODELS_OWN,
    ),
)
BATCHING = table(
    Option("max_batch_size", Integer(1, 65_536), 32, "texts decoded together", flag="--batch-size"),
    Option(
        "batch_type",
        Choice(("examples", "tokens")),
        "examples",
        "what the batch size counts: texts, or their tokens with padding",
    ),
)
TRANSLATION = table(
    Option("target", Text(), None, f"target language, {SPOKEN_IN}", none="the model's only one", flag="--to"),
    Option("source", Text(), None, "source language", none="it is detected", flag="--from"),
    *_SEARCH.values(),
    Option("max_length", _TOKENS, None, "most tokens of one translated piece", none=_MODELS_OWN),
    *BATCHING.values(),
    Option(
        "split",
        Choice(("auto", "sentences", "none")),
        "auto",
        "translate sentence by sentence (auto; sentences), or every text in one piece (none)",
    ),
    Option("wrapped", Flag(), False, "lines up to a blank one are one text, as in e-mails"),
    Option(
        "raw",
        Flag(),
        False,
        "give the model the text as it is, and take what it says: nothing tidied, kept, checked or tried again",
    ),
    Option("strict", Flag(), True, "stop at the first text whose language is unknown, instead of leaving it as it is"),
    Option("loop_guard", Flag(), True, "stop a phrase from being repeated without end"),
    Option(
        "glossary",
        Other(
            "a dict of terms and what they become, or a Glossary", lambda x: isinstance(getattr(x, "terms", x), Mapping)
        ),
        None,
        "terms, and what each is to become; one that becomes itself is not translated",
        none="none",
    ),
    _PROGRESS,
)
TEXT = Option("text", Text(), REQUIRED, "what to translate")
TEXTS = Option("texts", Many(Text(), "texts", most=2**31), REQUIRED, "what to translate")
SEARCH = table(
    *_SEARCH.values(),
    Option("min_new_tokens", Integer(0, MOST_TOKENS, "tokens"), 0, "fewest tokens after the prefix"),
    Option("max_new_tokens", _TOKENS, None, "most tokens after the prefix, the end included", none=_MODELS_OWN),
    Option("loop_guard", Flag(), False, "stop a phrase from being repeated without end"),
)
GENERATION = table(
    Option("ids", Many(Many(_TOKEN, "token ids", 1), "rows of token ids", most=2**31), REQUIRED, "source tokens"),
    Option(
        "prefix_ids",
        Many(Other("a token id, or a list of them"), "token ids, or a list of them for each row", 1),
        None,
        "the first decoder tokens, one list for all rows or one per row",
        none="the decoder start alone",
    ),
    *(option for option in SEARCH.values() if option.name != "num_hypotheses"),
    *BATCHING.values(),
)


# ---- speech ---------------------------------------------------------------------------------------------------------

TRANSCRIPTION = table(
    Option(
        "language",
        Either(Text("a language"), Many(Text("a language"), "languages", 1, MOST_LANGUAGES)),
        None,
        "spoken language, or several that are all tried, as en,it",
        none="it is detected",
    ),
    Option(
        "task",
        Choice(("transcribe", "translate")),
        "transcribe",
        "transcribe, or translate to English while transcribing",
    ),
    Option("beam_size", Integer(1, MOST_BEAMS), 5, "hypotheses kept per step"),
    Option("best_of", Integer(1, MOST_BEAMS), 5, "samples at a temperature above 0, of which the likeliest counts"),
    Option("patience", Real(0, 100, above=True), 1.0, "finished hypotheses waited for, in multiples of beam_size"),
    Option("length_penalty", Real(-10, 10), 1.0, "exponent of the length that scores are divided by"),
    Option("repetition_penalty", Real(0.01, 100), 1.0, "above 1, tokens seen before become less likely; 1 is off"),
    Option("no_repeat_ngram_size", Integer(0, 1000, "tokens"), 0, "no sequence so long comes twice; 0 is off"),
    Option(
        "temperature",
        Either(Real(0, 10), Many(Real(0, 10), "numbers", 1, 100)),
        TEMPERATURES,
        "of sampling, 0 being the likeliest tokens; of several, each is tried after the one before has failed",
    ),
    Option(
        "compression_ratio_threshold",
        Real(),
        2.4,
        "text that packs better is a loop: the window has failed",
        none="off, as inf",
    ),
    Option(
        "log_prob_threshold",
        Real(),
        -1.0,
        "tokens less likely on average: the window has failed",
        none="off, as -inf",
    ),
    Option(
        "no_speech_threshold",
        Real(),
        0.6,
        "silence likelier than this, and unlikely tokens: no text",
        none="off, and windows without a voice are decoded too",
    ),
    Option("condition_on_previous_text", Flag(), True, "go on from the text of the window before"),
    Option(
        "prompt_reset_on_temperature",
        Real(),
        0.5,
        "above this temperature the text is not trusted enough to go on from it; inf: always gone on from",
    ),
    Option(
        "initial_prompt",
        Either(Text(), Many(_TOKEN, "token ids")),
        None,
        "text that might have come before the recording, as a hint of style",
        none="no such text",
    ),
    Option("prefix", Text(), None, "text that the first window begins with", none="no such text"),
    Option("suppress_blank", Flag(), True, "a window begins with neither a space nor the end"),
    Option(
        "suppress_tokens",
        Many(Integer(-1, 2**31 - 1), "token ids"),
        (-1,),
        "tokens that never come out; -1 stands for the model's own list",
        none="none but those that steer the model",
    ),
    Option("without_timestamps", Flag(), False, "text alone"),
    Option(
        "max_initial_timestamp",
        Real(0, 30, "seconds"),
        1.0,
        "the first phrase of a window begins no later",
        none="no limit",
    ),
    Option("word_timestamps", Flag(), False, "when each word was said (on the command line: in json)"),
    Option("prepend_punctuations", Text(), PREPENDED, "signs that belong to the word after them"),
    Option("append_punctuations", Text(), APPENDED, "signs that belong to the word before them"),
    Option("multilingual", Flag(), False, "detect the language of every window"),
    Option("vad_filter", Flag(), False, "skip what sounds like nobody speaking"),
    Option(
        "vad_parameters",
        Other("VadOptions, or a dict of them"),
        None,
        "when a sound is speech",
        none="as below",
    ),
    Option("max_new_tokens", _TOKENS, None, "most tokens of a window", none="as many as the model has room for"),
    Option("chunk_length", Integer(1, 30, "seconds"), None, "length of a window", none=_MODELS_OWN),
    Option("clip_timestamps", Times(), "0", "only these seconds: start,end,start,end...", flag="--clips"),
    Option(
        "hallucination_silence_threshold",
        Real(0, 3600, "seconds"),
        None,
        "with word_timestamps: phrases with longer silences around them are looked at",
        none="off",
    ),
    Option("hotwords", Text(), None, "words that may come, as a hint in every window", none="no such words"),
    Option(
        "language_detection_threshold",
        Real(0, 1),
        0.5,
        "a language that is likelier ends the detection",
        none="the first window decides",
    ),
    Option("language_detection_segments", Integer(1, 100, "windows"), 1, "most windows for the detection"),
    Option(
        "batch_size",
        Integer(1, 64),
        1,
        "windows of 30 s decoded together, cut where nobody speaks; 1: one after the other",
    ),
    Option(
        "audio_track",
        TextOrNumber("the number, language or title of a track"),
        None,
        "which of several tracks of sound: its number from 1 on, language or title",
        none="the default one; one in the language that is named goes before one in another language",
    ),
    Option(
        "channels",
        Choice(("mixed", "split")),
        "mixed",
        "split: the two channels are two speakers, as in a recorded call",
    ),
    Option("sampling_rate", Other("an integer"), 16_000, "samples per second of audio that is an array"),
    _PROGRESS,
)
DECODING = {
    **{
        name: TRANSCRIPTION[name]
        for name in (
            "beam_size",
            "best_of",
            "length_penalty",
            "patience",
            "repetition_penalty",
            "no_repeat_ngram_size",
            "suppress_blank",
            "max_initial_timestamp",
            "max_new_tokens",
        )
    },
    **table(
        Option("temperature", Real(0, 10), 0.0, "0: the likeliest tokens; above: sampled"),
        Option("suppress_tokens", Many(_TOKEN, "token ids"), None, "tokens that never come out", none=_MODELS_OWN),
        Option("timestamps", Flag(), True, "whether they come"),
        Option("renormalize", Flag(), True, "probabilities are over what the rules leave"),
        Option("seed", Integer(0, 2**63 - 1), 0, "of the samples", none="another one every time"),
    ),
}
_MILLISECONDS = Integer(0, 3_600_000, "milliseconds")
VAD = table(
    Option("threshold", Real(0.001, 0.999), 0.5, "speech begins at this probability"),
    Option(
        "neg_threshold",
        Real(0.001, 0.999),
        None,
        "below, it may have ended",
        none="0.15 less than threshold",
    ),
    Option("min_speech_duration_ms", _MILLISECONDS, 0, "shorter speech is dropped"),
    Option(
        "max_speech_duration_s",
        Real(1, math.inf, "seconds"),
        math.inf,
        "longer speech is cut where a voice is least likely",
    ),
    Option("min_silence_duration_ms", _MILLISECONDS, 2000, "shorter silence belongs to the speech around it"),
    Option("speech_pad_ms", _MILLISECONDS, 400, "kept before and after speech"),
)


# ---- conversion -----------------------------------------------------------------------------------------------------

QUANTIZATION = table(
    Option(
        "method",
        Choice(("rtn", "mse", "gptq")),
        None,
        "of quantisation; gptq runs sentences",
        none="gptq for int4, rtn for int8",
    ),
    Option(
        "block_size", Choice((16, 32, 64, 128, 256)), None, "weights that share a scale", none="the precision's own"
    ),
    Option("embedding_bits", Choice((4, 8)), None, "bits of a weight of the embedding", none="8"),
)
CONVERSION = table(
    Option(
        "source",
        Name("the name of a model, or its folder", as_path=False),
        REQUIRED,
        "folder of a checkpoint or a CTranslate2 model, .argosmodel, `demo`, alias, or org/name on the hub",
    ),
    Option("out_dir", Name(), REQUIRED, "folder to make"),
    replace(MODEL["precision"], about="bits of a weight", none="int4, and int8 for a speech model"),
    Option("options", Other("QuantizationOptions"), "QuantizationOptions()", "of quantisation, as below"),
    Option(
        "calibration_text",
        Name(),
        None,
        "sentences for gptq and for the report, one per line",
        none="some that come with quartet",
    ),
    Option("report", Flag(), False, "measure how far each file is from float32 on real sentences"),
    MODEL["revision"],
    Option(
        "tokenizer",
        Name("the name of a model, or a folder", as_path=False),
        None,
        "folder, alias, org/name with the tokeniser, where the source has none",
        none="the source's own",
    ),
    Option(
        "languages",
        Many(Text("a language"), "languages"),
        (),
        "keep only the vocabulary of these, as en,fr; none: keep all of it",
    ),
    Option(
        "texts",
        Many(Name("a file of text"), "files"),
        (),
        "with languages: text in them; keep the pieces that occur in it (may be given several times)",
        flag="--text",
    ),
    Option(
        "layout",
        Choice(("quartet", "rtranslator")),
        "quartet",
        "quartet, or rtranslator: single files under the names that the Android app RTranslator opens",
    ),
    Option("force", Flag(), False, "replace a quartet that is there already"),
    _PROGRESS,
)


# ---- the command line only ------------------------------------------------------------------------------------------

_OUTPUT = Option("output", Name(), None, "write there instead of to stdout", none="stdout")
BATCH_SIZE = replace(BATCHING["max_batch_size"], default=16)  # of lines that somebody may wait for
TRANSLATE = table(
    Option("input", Name(), None, "translate the texts of this file", none="TEXT, or standard input"),
    Option(
        "form",
        Choice(("auto", "text", "srt", "vtt", "tsv", "html")),
        "auto",
        "what the input is: lines of text, subtitles, columns with tabs between them, or a page; "
        "auto: by the name of --input",
        flag="--as",
    ),
    Option(
        "glossary",
        Name(),
        None,
        "file of terms: in each line a term, a tab, and what it is to become (.csv: with a comma)",
        none="none",
    ),
    replace(_OUTPUT, about="write there instead of to stdout, when all is done; until then FILE.part grows"),
)
SUBTITLES = table(
    Option(
        "max_line_width",
        Integer(0, 100, "columns"),
        42,
        "longest line of subtitles, East Asian characters being two columns; 0: a cue for each segment, in one line",
    ),
    Option("max_lines", Integer(1, 4), 2, "lines of a cue"),
    Option("max_cps", Real(1, 1000), 17.0, "columns to be read in a second: a cue stays longer where nobody speaks"),
    Option("min_gap", Real(0, 1, "seconds"), 0.08, "time between two cues"),
)
TRANSCRIBE = table(
    replace(
        VAD["threshold"],
        name="vad_threshold",
        kind=Real(0, 1),
        about="how sure voice detection has to be that somebody speaks; lower hears more",
    ),
    Option("to", Text(), None, "translate what was said, with a second model", none="no translation"),
    Option(
        "translation_model",
        MODEL["model"].kind,
        None,
        "model for --to",
        none="opus-mt of the two languages",
    ),
    Option(
        "format",
        Choice(("text", "srt", "vtt", "ass", "json", "tsv")),
        "text",
        "text, subtitles (srt, vtt, ass), or all that is known (json, tsv)",
    ),
    *SUBTITLES.values(),
    _OUTPUT,
)
LISTEN = table(
    TRANSCRIBE["to"],
    TRANSCRIBE["translation_model"],
    Option("rate", Integer(1_000, 384_000), 16_000, "samples a second of raw PCM; a WAV header says it itself"),
    Option("vad_threshold", Real(0.01, 0.99), 0.5, "probability of a voice from which on somebody speaks"),
    Option("min_silence_duration_ms", Integer(100, 10_000), 500, "milliseconds of silence that end a phrase"),
    Option("input_device", Text(), None, "a microphone by its number or a part of its name", none="the system's"),
)
_TIMED = Integer(1, 1_000_000)
RANK = table(
    Option(
        "pair",
        Many(Text(), "pairs of languages"),
        None,
        "source and target language, as en-fr; several may be given",
        none="en-fr",
    ),
    Option(
        "models",
        Many(MODEL["model"].kind, "models"),
        None,
        "folders, aliases, org/name",
        none="demo, and those that are converted and translate the pair",
    ),
    Option("precision", Many(MODEL["precision"].kind, "precisions", 1), ("int8", "int4"), "to measure at"),
    Option(
        "peers",
        Many(Text(), "programs"),
        (),
        "other programs, on the same models: ctranslate2, transformers (-int8, -bfloat16, ...), or a file",
    ),
    Option(
        "data",
        Many(Name(), "files"),
        (),
        "a TSV (source, tab, reference), two parallel files, a folder of FLORES-200, NTREX-128, or with a file like "
        "fr.txt for each language; default: sentences that come with quartet, English and French",
    ),
    Option("sentences", _TIMED, None, "only so many, from the beginning", none="all"),
    Option(
        "max_ram",
        Size(),
        None,
        "choose a model that takes at most so much memory, as 500MB",
        none="no limit",
    ),
    Option(
        "min_speed",
        Real(0, 100_000, "tokens per second", above=True),
        None,
        "choose a model that is at least so fast, one sentence at a time",
        none="no limit",
    ),
    Option("report", Name(), None, "write tables, a page with plots, and all translations there", none="only a table"),
    _SEARCH["beam_size"],
    BATCH_SIZE,
    Option("timed", _TIMED, 20, "sentences translated one by one"),
    MODEL["threads"],
)
BENCH = table(
    MODEL["precision"],
    replace(TRANSLATION["source"], none="English or French"),
    replace(TRANSLATION["target"], about="target language", none="French, English, or any"),
    Option("input", Name(), None, "lines to translate", none="English or French ones that come with quartet"),
    Option("sentences", _TIMED, 40, "how many lines"),
    _SEARCH["beam_size"],
    replace(BATCH_SIZE, about="texts decoded together, beside one at a time"),
    MODEL["threads"],
)
_LIMIT = Integer(-1, 10**9)
_NO_LIMIT = "; -1: no limit"
SERVE_VARIABLES = "QUARTET_SERVE_"  # in the environment, with what is typed behind it
SERVE = table(
    Option(
        "models",
        Many(MODEL["model"].kind, "models"),
        None,
        "folder, alias, org/name; once for each model",
        none="demo",
        flag="--model",
    ),
    MODEL["precision"],
    Option("host", Text("an address"), "127.0.0.1", "address to listen on"),
    Option("port", Integer(0, 65_535), 5000, "port to listen on; 0: a free one"),
    Option(
        "wyoming_port",
        Integer(0, 65_535),
        None,
        "also speak Wyoming, Home Assistant's protocol for speech, on this port; usual is 10300",
        none="not spoken",
    ),
    Option(
        "workers",
        Integer(1, MOST_WORKERS),
        1,
        "processes that answer; they share the port and the pages of the weights; each has its part of the threads, "
        "of the queue and of the memory",
    ),
    replace(MODEL["threads"], about="threads of each operator, of all workers together"),
    replace(_SEARCH["beam_size"], about="hypotheses kept per step for texts; 1 is greedy, as streams are"),
    Option("max_memory", Size(), None, "of the files of models that are open at a time, as 4GB", none="no limit"),
    Option("preload", Flag(), False, "open the models at the start; /ready says when that is done"),
    Option(
        "api_keys",
        Name("a file of keys"),
        None,
        "file of keys that may be used, or their sha256:HEX, one a line, with limits of their own behind them; "
        "it is read again when it changes",
        none="no keys",
    ),
    Option("char_limit", _LIMIT, -1, f"characters of a text{_NO_LIMIT}"),
    Option("req_limit", _LIMIT, -1, f"requests in a minute of a key, or of an address{_NO_LIMIT}"),
    Option("batch_limit", _LIMIT, -1, f"texts in a request{_NO_LIMIT}"),
    Option("upload_limit", Integer(1, 10**12, "bytes"), 100_000_000, "of the body of a request"),
    Option("max_queue", Integer(1, 10**8, "tokens"), 100_000, "of texts that may wait before requests are refused"),
    Option(
        "glossaries",
        Name(),
        None,
        "folder in which the glossaries of DeepL's clients are kept",
        none="they are kept until the server stops",
    ),
    Option("metrics", Flag(), False, "show figures for Prometheus at /metrics"),
    Option("trust_forwarded_for", Flag(), False, "behind a proxy: a client's address is the last in X-Forwarded-For"),
    Option(
        "log_format",
        Choice(("text", "json")),
        "text",
        "of the log: a line of text, or a JSON object, for each request and warning; never with texts, addresses, keys",
    ),
)
