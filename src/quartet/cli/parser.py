"""What can be typed."""

import argparse
import importlib
import os
import re
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from quartet.errors import OptionError
from quartet.options.declared import (
    BATCH_SIZE,
    BENCH,
    CONVERSION,
    LISTEN,
    MODEL,
    QUANTIZATION,
    RANK,
    SERVE,
    SERVE_VARIABLES,
    SPEECH_MODEL,
    SUBTITLES,
    TRANSCRIBE,
    TRANSCRIPTION,
    TRANSLATE,
    TRANSLATION,
)
from quartet.options.environment import from_environment
from quartet.options.kinds import REQUIRED, Choice, Flag, Integer, Many, Option, Real, Table, checked

CONVERT_EXAMPLES = """examples:
  quartet convert Helsinki-NLP/opus-mt-en-de opus-en-de
  quartet convert ./my-checkpoint ./my-quartet --force
  quartet convert demo small-demo --languages en,fr
  quartet convert demo tiny-demo --precision int4 --method gptq --report
"""
TRANSLATE_EXAMPLES = """examples:
  quartet translate --to fr "Where is the train station?"
  quartet translate --model opus-mt-en-de --input book.txt --output buch.txt
  quartet translate --to fr --input film.srt --output film.fr.srt
  tail -f chat.log | quartet translate --from en --to fr
"""
TRANSCRIBE_EXAMPLES = """examples:
  quartet transcribe talk.mp3
  quartet transcribe talk.mp3 --format srt --output talk.srt
  quartet transcribe talk.mp3 --to fr --format vtt --output talk.vtt
  quartet transcribe meeting.m4a --model whisper-small --language en,it --batch-size 8
"""
LISTEN_EXAMPLES = """examples:
  quartet listen
  quartet listen --language en --to fr
  ffmpeg -i http://radio.example/live -f s16le -ac 1 -ar 16000 - | quartet listen - --times
  arecord -f S16_LE -r 16000 | quartet listen - --json
"""
RANK_EXAMPLES = """examples:
  quartet rank --pair en-fr
  quartet rank --pair en-fr --models demo opus-mt-en-fr --precision fp32 int8 int4 --data my.tsv
  quartet rank --pair en-fr --models opus-mt-en-fr --peers ctranslate2 transformers --report out
  quartet rank --pair en-fr --max-ram 500MB --min-speed 50
"""
BENCH_EXAMPLES = """examples:
  quartet bench demo
  quartet bench ./my-quartet --batch-size 4 --threads 2
  quartet bench opus-mt-en-de --precision int8 --input my.txt
"""
SERVE_EXAMPLES = """examples:
  quartet serve
  quartet serve --model opus-mt-en-fr --model opus-mt-fr-en --port 8000
  quartet serve --host 0.0.0.0 --api-keys keys.txt --req-limit 60 --char-limit 5000

each option may also be a variable of the environment, as QUARTET_SERVE_PORT=8000; what is typed counts more
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage above it."""

    environment: tuple[str, Table] | None = None  # a prefix, and options that variables with it may set too

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.environment and namespace is None:
            try:
                namespace = argparse.Namespace(**from_environment(*self.environment, os.environ))
            except OptionError as error:
                self.error(str(error))
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        line = " ".join(message.split()).removeprefix("argument COMMAND ...: ")
        line = re.sub(r"^argument [^:]+: (?=--)", "", line)  # an option of ours says itself which one it is
        self.exit(2, f"{self.prog}: {line}; see `{self.prog} --help`\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line; `args.run` is the function of the command that was named."""
    usage = "quartet [--help] [--version] COMMAND ..."
    top = _Parser(
        prog="quartet",
        usage=usage,
        description="Translate and transcribe offline. A quartet is a model as four small ONNX files, in a folder.",
    )
    top.add_argument("--version", action="version", version=f"quartet {version('quartet-onnx')}")
    # argparse makes the column of names only as wide as the metavar
    commands = top.add_subparsers(title="commands", required=True, prog="quartet", metavar="COMMAND ...")
    _translate(_command(commands, "translate", "translate texts, a file, or standard input", TRANSLATE_EXAMPLES))
    _transcribe(_command(commands, "transcribe", "transcribe speech, to text or subtitles", TRANSCRIBE_EXAMPLES))
    _listen(_command(commands, "listen", "transcribe speech while it is spoken, live", LISTEN_EXAMPLES))
    _serve(_command(commands, "serve", "serve translations over HTTP", SERVE_EXAMPLES))
    _convert(_command(commands, "convert", "convert a checkpoint to a quartet", CONVERT_EXAMPLES))
    _languages(_command(commands, "languages", "list the languages of a model"))
    _models(_command(commands, "models", "list known and converted models, with licences and sizes"))
    _cache(_command(commands, "cache", "manage converted models"))
    _rank(_command(commands, "rank", "compare models: quality, memory, speed, on this machine", RANK_EXAMPLES))
    _bench(_command(commands, "bench", "measure one model: speed, memory, and where the time goes", BENCH_EXAMPLES))
    _inspect(_command(commands, "inspect", "explain the ONNX files in a folder: inputs, outputs, weights"))
    return top


def _command(commands: Any, name: str, about: str, epilog: str | None = None) -> _Parser:
    made: _Parser = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return made


def _runs(parser: argparse.ArgumentParser, module: str, function: str) -> None:
    """Let the command call a function of this package, imported only then."""

    def run(args: argparse.Namespace) -> None:
        found: Callable[[argparse.Namespace], None] = getattr(
            importlib.import_module(f"quartet.cli.{module}"), function
        )
        found(args)

    parser.set_defaults(run=run)


def _translate(p: argparse.ArgumentParser) -> None:
    about = "a text each (after -- where it begins with -); without any, lines are read from stdin"
    p.add_argument("text", metavar="TEXT", nargs="*", help=about)
    _value(p, TRANSLATION["target"], "LANG")
    _value(p, TRANSLATION["source"], "LANG")
    _model_options(p)
    _value(p, TRANSLATE["input"], "FILE")
    _value(p, TRANSLATE["form"], dest="form")
    _value(p, TRANSLATE["glossary"], "FILE")
    _value(p, TRANSLATE["output"], "FILE")
    p.add_argument("--resume", action="store_true", help="go on where an earlier run with these options ended")
    _value(p, TRANSLATION["beam_size"])
    _value(p, BATCH_SIZE, dest="batch_size")
    _value(p, TRANSLATION["batch_type"])
    _value(p, TRANSLATION["max_length"])
    _value(p, TRANSLATION["split"])
    _flag(p, TRANSLATION["wrapped"])
    _flag(p, TRANSLATION["raw"])
    strict = "stop at the first text whose language is unknown; default: leave it as it is, and go on"
    p.add_argument("--strict", action="store_true", help=strict)
    _value(p, MODEL["vocabulary"], "FILE")
    _value(p, MODEL["threads"])
    _flag(p, MODEL["verify"])
    _json_option(p)
    _runs(p, "translate", "translate")


def _transcribe(p: argparse.ArgumentParser) -> None:
    p.add_argument("audio", metavar="AUDIO", help="a file with sound, or - for standard input")
    _model_options(p, SPEECH_MODEL)
    _value(p, TRANSCRIPTION["language"], "LANG")
    _value(p, TRANSCRIPTION["task"])
    _value(p, TRANSCRIBE["to"], "LANG")
    _value(p, TRANSCRIBE["translation_model"], "NAME_OR_DIR")
    _value(p, TRANSCRIBE["format"])
    _value(p, SUBTITLES["max_line_width"])
    _value(p, SUBTITLES["max_lines"])
    _value(p, SUBTITLES["max_cps"])
    _value(p, SUBTITLES["min_gap"], "S")
    _value(p, TRANSCRIBE["output"], "FILE")
    _flag(p, TRANSCRIPTION["word_timestamps"])
    p.add_argument("--no-vad", action="store_true", help="do not skip what sounds like nobody speaking")
    _value(p, TRANSCRIBE["vad_threshold"])
    _value(p, TRANSCRIPTION["audio_track"], "TRACK")
    _value(p, TRANSCRIPTION["channels"])
    _value(p, TRANSCRIPTION["clip_timestamps"], "TIMES")
    _value(p, TRANSCRIPTION["initial_prompt"], "TEXT")
    _value(p, TRANSCRIPTION["hotwords"], "TEXT")
    p.add_argument("--no-previous-text", action="store_true", help="do not go on from the text of the window before")
    _value(p, TRANSCRIPTION["beam_size"])
    _value(p, TRANSCRIPTION["batch_size"])
    _value(p, MODEL["threads"])
    _flag(p, MODEL["verify"])
    _runs(p, "transcribe", "transcribe")


def _listen(p: argparse.ArgumentParser) -> None:
    about = "a pipe or file of 16 bit PCM or WAV, - for standard input; without it, a microphone"
    p.add_argument("audio", metavar="AUDIO", nargs="?", help=about)
    _model_options(p, SPEECH_MODEL)
    _value(p, TRANSCRIPTION["language"], "LANG")
    _value(p, LISTEN["to"], "LANG")
    _value(p, LISTEN["translation_model"], "NAME_OR_DIR")
    _value(p, TRANSCRIPTION["initial_prompt"], "TEXT")
    _value(p, TRANSCRIPTION["hotwords"], "TEXT")
    _value(p, LISTEN["rate"])
    _value(p, LISTEN["vad_threshold"])
    _value(p, LISTEN["min_silence_duration_ms"])
    _value(p, LISTEN["input_device"], "DEVICE")
    p.add_argument("--list-devices", action="store_true", help="list what can be listened to, and do nothing else")
    p.add_argument("--times", action="store_true", help="begin each line with its start and end")
    _value(p, MODEL["threads"])
    _flag(p, MODEL["verify"])
    p.add_argument("--json", action="store_true", help="a JSON object for each event, also for text that may change")
    _runs(p, "listen", "listen")


def _serve(p: _Parser) -> None:
    p.environment = SERVE_VARIABLES, SERVE
    _each(p, SERVE["models"], "NAME", action="append")
    _value(p, SERVE["precision"])
    _value(p, SERVE["host"], "ADDRESS")
    _value(p, SERVE["port"])
    _value(p, SERVE["wyoming_port"])
    _value(p, SERVE["workers"])
    _value(p, SERVE["threads"])
    _value(p, SERVE["beam_size"])
    _value(p, SERVE["max_memory"], "SIZE")
    _flag(p, SERVE["preload"])
    _value(p, SERVE["api_keys"], "FILE")
    _value(p, SERVE["char_limit"])
    _value(p, SERVE["req_limit"])
    _value(p, SERVE["batch_limit"])
    _value(p, SERVE["upload_limit"], "BYTES")
    _value(p, SERVE["max_queue"])
    _value(p, SERVE["glossaries"], "FOLDER")
    _flag(p, SERVE["metrics"])
    _flag(p, SERVE["trust_forwarded_for"])
    _value(p, SERVE["log_format"])
    about = "print a new random key, and its line for the file of --api-keys; nothing is served"
    p.add_argument("--new-key", action="store_true", help=about)
    _runs(p, "serve", "serve")


def _convert(p: argparse.ArgumentParser) -> None:
    p.add_argument("source", metavar="SOURCE", help=CONVERSION["source"].about)
    p.add_argument("out_dir", metavar="OUT_DIR", type=Path, help=CONVERSION["out_dir"].about)
    _value(p, CONVERSION["precision"])
    _value(p, QUANTIZATION["method"])
    _value(p, QUANTIZATION["block_size"])
    _value(p, QUANTIZATION["embedding_bits"])
    _flag(p, CONVERSION["report"])
    _value(p, CONVERSION["calibration_text"], "FILE")
    _value(p, CONVERSION["revision"], "REV")
    _value(p, CONVERSION["tokenizer"], "DIR_OR_NAME")
    _value(p, CONVERSION["languages"], "LANGS")
    _each(p, CONVERSION["texts"], "FILE", action="append")
    _value(p, CONVERSION["layout"])
    _flag(p, CONVERSION["force"])
    _runs(p, "convert", "convert")


def _languages(p: argparse.ArgumentParser) -> None:
    _model_options(p)
    _json_option(p)
    _runs(p, "show", "languages")


def _models(p: argparse.ArgumentParser) -> None:
    _json_option(p)
    _runs(p, "show", "models")


def _cache(p: argparse.ArgumentParser) -> None:
    actions = p.add_subparsers(title="actions", required=True, metavar="ACTION")
    clear = _command(actions, "clear", "delete converted models; they are converted again when needed")
    clear.add_argument("name", metavar="NAME", nargs="?", help="only this model; default: all of them")
    _runs(clear, "show", "cache_clear")
    path = _command(actions, "path", "print the folder of converted models")
    _runs(path, "show", "cache_path")


def _inspect(p: argparse.ArgumentParser) -> None:
    about = "a quartet, or a folder exported by Optimum; two folders are shown side by side"
    p.add_argument("folders", metavar="DIR", type=Path, nargs="+", help=about)
    _json_option(p)
    _runs(p, "show", "inspect")


def _rank(p: argparse.ArgumentParser) -> None:
    _each(p, RANK["pair"], "A-B", nargs="+")
    _each(p, RANK["models"], "NAME_OR_DIR", nargs="+")
    _each(p, RANK["precision"], "P", nargs="+")
    _each(p, RANK["peers"], "NAME", nargs="+")
    _each(p, RANK["data"], "PATH", nargs="+")
    _value(p, RANK["sentences"])
    _value(p, RANK["max_ram"], "SIZE")
    _value(p, RANK["min_speed"])
    _value(p, RANK["report"], "DIR")
    about = "list figures that others have published, with sources and conditions; measures nothing"
    p.add_argument("--published", action="store_true", help=about)
    p.add_argument("--comet", action="store_true", help="score with COMET too (needs unbabel-comet)")
    _value(p, RANK["beam_size"])
    _value(p, BATCH_SIZE, dest="batch_size")
    _value(p, RANK["timed"])
    _value(p, RANK["threads"])
    _json_option(p)
    _runs(p, "rank", "rank")


def _bench(p: argparse.ArgumentParser) -> None:
    p.add_argument("model", metavar="DIR", help="a quartet; or a checkpoint, alias, org/name, which is converted first")
    _value(p, BENCH["precision"])
    _value(p, BENCH["source"], "LANG")
    _value(p, BENCH["target"], "LANG")
    _value(p, BENCH["input"], "FILE")
    _value(p, BENCH["sentences"])
    _value(p, BENCH["beam_size"])
    _value(p, BENCH["max_batch_size"], dest="batch_size")
    _value(p, BENCH["threads"])
    _json_option(p)
    _runs(p, "bench", "bench")


def _model_options(p: argparse.ArgumentParser, options: Table = MODEL) -> None:
    _value(p, options["model"], "NAME_OR_DIR")
    _value(p, options["precision"])
    _value(p, options["revision"], "REV")


def _json_option(p: argparse.ArgumentParser) -> None:
    p.add_argument("--json", action="store_true", help="machine-readable results")


# ---- declared options ---------------------------------------------------------------------------------------------


def _value(p: argparse.ArgumentParser, option: Option, metavar: str = "N", dest: str | None = None) -> None:
    """An option with one value behind it, as it is declared."""
    kind = option.kind
    choices = kind.values if isinstance(kind, Choice) else None
    _remember(p, option)
    p.add_argument(
        option.typed,
        dest=dest or option.name,
        metavar=f"{{{','.join(map(str, choices))}}}" if choices else metavar,
        type=_typed(option),
        choices=choices,
        default=option.default,
        help=help_of(option),
    )


def _each(
    p: argparse.ArgumentParser, option: Option, metavar: str, nargs: str | None = None, action: str | None = None
) -> None:
    """An option with several values of one kind, all behind it or each behind an option of its own."""
    many = option.kind
    assert isinstance(many, Many)
    _remember(p, option)
    values = {"nargs": nargs} if nargs else {"action": action}
    p.add_argument(
        option.typed,
        dest=option.typed.removeprefix("--"),
        metavar=metavar,
        type=_typed(replace(option, kind=many.kind)),
        default=None if option.default is None else list(option.default),
        help=help_of(option),
        **values,
    )


def _flag(p: argparse.ArgumentParser, option: Option) -> None:
    """An option with nothing behind it."""
    _remember(p, option)
    p.add_argument(option.typed, dest=option.name, action="store_true", help=help_of(option))


def _remember(p: argparse.ArgumentParser, option: Option) -> None:
    """Keep how the option is typed: what Python refuses later is told with that name too."""
    p.set_defaults(typed={**(p.get_default("typed") or {}), option.name: option.typed})


def _typed(option: Option) -> Callable[[str], Any]:
    """From what was typed to a value, or argparse's error with our sentence."""
    named = replace(option, name=option.typed, none=None)

    def read(text: str) -> Any:
        try:
            return checked(named, option.kind.read(text))
        except OptionError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def help_of(option: Option) -> str:
    """What it is for, what it may be, and what it is without a choice."""
    parts = [option.about]
    kind = option.kind.kind if isinstance(option.kind, Many) else option.kind
    if isinstance(kind, Integer | Real) or (isinstance(kind, Choice) and kind is not option.kind):
        parts.append(kind.expected)
    if option.none and option.default is None:
        parts.append(f"default: {option.none}")
    elif not isinstance(option.kind, Flag) and option.default not in ((), REQUIRED):
        words = option.default if isinstance(option.default, tuple) else (option.default,)
        parts.append(f"default: {' '.join(map(str, words))}")
    return "; ".join(parts).replace("%", "%%")
