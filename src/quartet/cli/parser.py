"""What can be typed."""

import argparse
import importlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

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
"""
LANGUAGE_HELP = "in any common spelling: fr, fra, fra_Latn, fr-FR, French"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        line = " ".join(message.split()).removeprefix("argument COMMAND ...: ")
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
    _serve(_command(commands, "serve", "serve translations over HTTP", SERVE_EXAMPLES))
    _convert(_command(commands, "convert", "convert a checkpoint to a quartet", CONVERT_EXAMPLES))
    _languages(_command(commands, "languages", "list the languages of a model"))
    _models(_command(commands, "models", "list known and converted models, with licences and sizes"))
    _cache(_command(commands, "cache", "manage converted models"))
    _rank(_command(commands, "rank", "compare models: quality, memory, speed, on this machine", RANK_EXAMPLES))
    _bench(_command(commands, "bench", "measure one model: speed, memory, and where the time goes", BENCH_EXAMPLES))
    _inspect(_command(commands, "inspect", "explain the ONNX files in a folder: inputs, outputs, weights"))
    return top


def _command(commands: Any, name: str, about: str, epilog: str | None = None) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
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
    p.add_argument("--to", dest="target", metavar="LANG", help=f"target language, {LANGUAGE_HELP}")
    p.add_argument("--from", dest="source", metavar="LANG", help="source language; default: auto, it is detected")
    _model_options(p)
    p.add_argument("--input", metavar="FILE", type=Path, help="translate the texts of this file")
    p.add_argument(
        "--as",
        dest="form",
        choices=("auto", "text", "srt", "vtt", "tsv"),
        default="auto",
        help="what the input is: lines of text, subtitles, or columns with tabs between them; default: auto, by the "
        "name of --input",
    )
    output = "write there instead of to stdout, when all is done; until then FILE.part grows"
    p.add_argument("--output", metavar="FILE", type=Path, help=output)
    p.add_argument("--resume", action="store_true", help="go on where an earlier run with these options ended")
    p.add_argument("--beam-size", metavar="N", type=int, default=1, help="hypotheses kept per step; default 1, greedy")
    p.add_argument("--batch-size", metavar="N", type=int, default=16, help="texts decoded together; default 16")
    p.add_argument(
        "--batch-type",
        choices=("examples", "tokens"),
        default="examples",
        help="what --batch-size counts: texts, or their tokens with padding",
    )
    p.add_argument("--max-length", metavar="N", type=int, help="most tokens of one translated piece")
    p.add_argument(
        "--split",
        choices=("auto", "sentences", "none"),
        default="auto",
        help="translate sentence by sentence (auto, default; sentences), or every text in one piece (none)",
    )
    p.add_argument("--wrapped", action="store_true", help="lines up to a blank one are one text, as in e-mails")
    raw = "give the model the text as it is, and take what it says: nothing tidied, kept, checked or tried again"
    p.add_argument("--raw", action="store_true", help=raw)
    strict = "stop at the first text whose language is unknown; default: leave it as it is, and go on"
    p.add_argument("--strict", action="store_true", help=strict)
    p.add_argument(
        "--vocabulary",
        metavar="FILE",
        help="translate faster with a part of the vocabulary: auto, what is written in the target's script; or what "
        "occurs in this text in the target language; default: all of it",
    )
    p.add_argument("--threads", metavar="N", type=int, help="threads; default: all cores")
    p.add_argument("--verify", action="store_true", help="check the hashes of the model's files first")
    _json_option(p)
    _runs(p, "translate", "translate")


def _transcribe(p: argparse.ArgumentParser) -> None:
    p.add_argument("audio", metavar="AUDIO", help="a file with sound, or - for standard input")
    _model_options(p, default="whisper-base")
    language = "spoken language, or several that are all tried, as en,it; default: auto, it is detected"
    p.add_argument("--language", metavar="LANG", default="auto", help=language)
    p.add_argument(
        "--task",
        choices=("transcribe", "translate"),
        default="transcribe",
        help="transcribe (default), or translate to English while transcribing",
    )
    p.add_argument("--to", metavar="LANG", help="translate what was said, with a second model")
    translation_model = "model for --to; default: opus-mt of the two languages"
    p.add_argument("--translation-model", metavar="NAME_OR_DIR", help=translation_model)
    p.add_argument(
        "--format",
        choices=("text", "srt", "vtt", "json", "tsv"),
        default="text",
        help="text (default), subtitles (srt, vtt), or all that is known (json, tsv)",
    )
    p.add_argument("--output", metavar="FILE", type=Path, help="write there instead of to stdout")
    p.add_argument("--word-timestamps", action="store_true", help="when each word was said (in json)")
    p.add_argument("--no-vad", action="store_true", help="do not skip what sounds like nobody speaking")
    p.add_argument("--clips", metavar="TIMES", help="only these seconds: start,end,start,end...")
    p.add_argument("--initial-prompt", metavar="TEXT", help="text that might have come before, as a hint of style")
    p.add_argument("--hotwords", metavar="TEXT", help="words that may come, as a hint in every window")
    p.add_argument("--no-previous-text", action="store_true", help="do not go on from the text of the window before")
    p.add_argument("--beam-size", metavar="N", type=int, default=5, help="hypotheses kept per step; default 5")
    batch_size = "windows of 30 s decoded together, cut where nobody speaks; default 1, one after the other"
    p.add_argument("--batch-size", metavar="N", type=int, default=1, help=batch_size)
    p.add_argument("--threads", metavar="N", type=int, help="threads; default: all cores")
    p.add_argument("--verify", action="store_true", help="check the hashes of the model's files first")
    _runs(p, "transcribe", "transcribe")


def _serve(p: argparse.ArgumentParser) -> None:
    about = "folder, alias or org/name, once for each model; default: demo"
    p.add_argument("--model", dest="models", metavar="NAME", action="append", help=about)
    p.add_argument("--precision", metavar="NAME", help="of models that are not converted yet; default int4")
    p.add_argument("--host", metavar="ADDRESS", default="127.0.0.1", help="to listen on; default 127.0.0.1")
    p.add_argument("--port", metavar="N", type=int, default=5000, help="to listen on, 0 for a free one; default 5000")
    about = "also speak Wyoming, Home Assistant's protocol for speech, on this port; usual is 10300"
    p.add_argument("--wyoming-port", metavar="N", type=int, help=about)
    p.add_argument("--threads", metavar="N", type=int, help="of the processor; default: all cores")
    p.add_argument(
        "--api-keys", metavar="FILE", type=Path, help="keys that may be used, or their sha256:HEX, one a line"
    )
    p.add_argument("--char-limit", metavar="N", type=int, default=-1, help="characters of a text; default: no limit")
    about = "requests in a minute of a key, or of an address; default: no limit"
    p.add_argument("--req-limit", metavar="N", type=int, default=-1, help=about)
    p.add_argument("--batch-limit", metavar="N", type=int, default=-1, help="texts in a request; default: no limit")
    p.add_argument("--upload-limit", metavar="BYTES", type=int, default=100_000_000, help="of a file; default 100 MB")
    about = "tokens of texts that may wait before requests are refused; default 100000"
    p.add_argument("--max-queue", metavar="N", type=int, default=100_000, help=about)
    p.add_argument("--metrics", action="store_true", help="show figures for Prometheus at /metrics")
    about = "behind a proxy: a client's address is the last in X-Forwarded-For"
    p.add_argument("--trust-forwarded-for", action="store_true", help=about)
    _runs(p, "serve", "serve")


def _convert(p: argparse.ArgumentParser) -> None:
    about = "folder of a checkpoint or a CTranslate2 model, .argosmodel, `demo`, alias, or org/name on the hub"
    p.add_argument("source", metavar="SOURCE", help=about)
    p.add_argument("out_dir", metavar="OUT_DIR", type=Path, help="folder to make")
    p.add_argument("--precision", metavar="P", help="int4 (default), int8 or fp32")
    p.add_argument(
        "--method",
        metavar="M",
        help="of quantisation: rtn, mse, or gptq, which runs sentences; default: gptq for int4, rtn for int8",
    )
    p.add_argument("--block-size", metavar="N", type=int, help="weights that share a scale: 16, 32, 64, 128 or 256")
    p.add_argument("--embedding-bits", metavar="N", type=int, help="4 or 8; default: 8")
    p.add_argument("--report", action="store_true", help="measure how far each file is from float32 on real sentences")
    p.add_argument(
        "--calibration-text",
        metavar="FILE",
        type=Path,
        help="sentences for gptq and --report, one per line; default: some that come with quartet",
    )
    p.add_argument("--revision", metavar="REV", help="branch, tag or commit on the hub")
    p.add_argument(
        "--tokenizer", metavar="DIR_OR_NAME", help="folder, alias, org/name with the tokeniser, where SOURCE has none"
    )
    p.add_argument(
        "--languages", metavar="LANGS", help="keep only the vocabulary of these, e.g. en,fr; default: keep all of it"
    )
    p.add_argument(
        "--text",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="with --languages: text in them; keep the pieces that occur in it (may be given several times)",
    )
    p.add_argument(
        "--layout",
        metavar="L",
        default="quartet",
        help="quartet (default), or rtranslator: single files under the names that the Android app RTranslator opens",
    )
    p.add_argument("--force", action="store_true", help="replace a quartet that is there already")
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
    pairs = "source and target language, as en-fr (default); several may be given"
    p.add_argument("--pair", metavar="A-B", nargs="+", help=pairs)
    about = "folders, aliases, org/name; default: demo, and those that are converted and translate the pair"
    p.add_argument("--models", metavar="NAME_OR_DIR", nargs="+", help=about)
    about = "fp32, int8, int4; default: int8 int4"
    p.add_argument("--precision", metavar="P", nargs="+", default=["int8", "int4"], help=about)
    about = "other programs, on the same models: ctranslate2, transformers (-int8, -bfloat16, ...), or a file"
    p.add_argument("--peers", metavar="NAME", nargs="+", default=[], help=about)
    p.add_argument(
        "--data",
        metavar="PATH",
        type=Path,
        nargs="+",
        default=[],
        help="a TSV (source, tab, reference), two parallel files, a folder of FLORES-200, NTREX-128, or with a file "
        "like fr.txt for each language; default: sentences that come with quartet, English and French",
    )
    p.add_argument("--sentences", metavar="N", type=int, help="only the first N; default: all")
    p.add_argument("--max-ram", metavar="SIZE", help="choose a model that takes at most so much memory, as 500MB")
    about = "choose a model that makes at least so many tokens per second, one sentence at a time"
    p.add_argument("--min-speed", metavar="N", type=float, help=about)
    p.add_argument("--report", metavar="DIR", type=Path, help="write tables, a page with plots, and all translations")
    about = "list figures that others have published, with sources and conditions; measures nothing"
    p.add_argument("--published", action="store_true", help=about)
    p.add_argument("--comet", action="store_true", help="score with COMET too (needs unbabel-comet)")
    p.add_argument("--beam-size", metavar="N", type=int, default=1, help="hypotheses kept per step; default 1, greedy")
    p.add_argument("--batch-size", metavar="N", type=int, default=16, help="texts decoded together; default 16")
    p.add_argument("--timed", metavar="N", type=int, default=20, help="sentences translated one by one; default 20")
    p.add_argument("--threads", metavar="N", type=int, help="threads; default: all cores")
    _json_option(p)
    _runs(p, "rank", "rank")


def _bench(p: argparse.ArgumentParser) -> None:
    p.add_argument("model", metavar="DIR", help="a quartet; or a checkpoint, alias, org/name, which is converted first")
    p.add_argument("--precision", metavar="P", help="precision to convert to: int4 (default), int8, fp32")
    p.add_argument("--from", dest="source", metavar="LANG", help="source language; default: English or French")
    p.add_argument("--to", dest="target", metavar="LANG", help="target language; default: French, English, or any")
    about = "lines to translate; default: English or French ones that come with quartet"
    p.add_argument("--input", metavar="FILE", type=Path, help=about)
    p.add_argument("--sentences", metavar="N", type=int, default=40, help="how many lines; default 40")
    p.add_argument("--beam-size", metavar="N", type=int, default=1, help="hypotheses kept per step; default 1, greedy")
    about = "texts decoded together, beside one at a time; default 16"
    p.add_argument("--batch-size", metavar="N", type=int, default=16, help=about)
    p.add_argument("--threads", metavar="N", type=int, help="threads; default: all cores")
    _json_option(p)
    _runs(p, "bench", "bench")


def _model_options(p: argparse.ArgumentParser, default: str = "demo") -> None:
    about = f"folder, alias, org/name; default: {default}"
    p.add_argument("--model", metavar="NAME_OR_DIR", default=default, help=about)
    p.add_argument("--precision", metavar="P", help="precision to convert to: int4 (default), int8, fp32")
    p.add_argument("--revision", metavar="REV", help="branch, tag or commit on the hub")


def _json_option(p: argparse.ArgumentParser) -> None:
    p.add_argument("--json", action="store_true", help="machine-readable results")
