"""Declarations, functions, command line and documentation say the same of every option."""

import argparse
import dataclasses
import inspect
import re
from pathlib import Path

import pytest

from quartet import Transcriber, Translator, convert
from quartet.audio.voice_activity import VadOptions
from quartet.cli.parser import parser
from quartet.conversion.layouts import LAYOUTS
from quartet.errors import OptionError
from quartet.options import declared
from quartet.options.kinds import REQUIRED, Choice, Flag, Integer, Many, Real, checked
from quartet.options.page import page
from quartet.progress import silent
from quartet.quantize.numerics import METHODS
from quartet.quantize.recipes import GPTQ, RECIPES, QuantizationOptions
from quartet.runtime.batching import Batching
from quartet.runtime.generate import SearchOptions
from quartet.runtime.speech import DecodingOptions
from quartet.text.line_formats import FORM_OF_SUFFIX
from quartet.transcription.options import TranscriptionOptions
from quartet.transcription.subtitles import FORMATS
from quartet.translation.plan import Reading
from quartet.translation.translator import TranslationOptions

DOCS = Path(__file__).parents[2] / "docs"
TABLES = {name: found for name, found in vars(declared).items() if name.isupper() and isinstance(found, dict)}
AUDIO = {"audio"}  # what is checked where it is read
TEXTS = {"text", "texts"}

CALLS = [
    (Translator.__init__, declared.MODEL, set()),
    (Transcriber.__init__, declared.SPEECH_MODEL, set()),
    (Translator.translate, declared.TRANSLATION, TEXTS),
    (Translator.translate_batch, declared.TRANSLATION, TEXTS),
    (Translator.stream, declared.TRANSLATION, TEXTS),
    (Translator.generate, declared.GENERATION, set()),
    (Transcriber.transcribe, declared.TRANSCRIPTION, AUDIO),
    (Transcriber.detect_language, declared.TRANSCRIPTION, AUDIO),
    (convert, declared.CONVERSION, set()),
    (TranslationOptions, declared.TRANSLATION, set()),
    (SearchOptions, declared.SEARCH, set()),
    (Batching, declared.BATCHING, set()),
    (Reading, declared.TRANSLATION, {"limited"}),
    (DecodingOptions, declared.DECODING, set()),
    (VadOptions, declared.VAD, set()),
    (QuantizationOptions, declared.QUANTIZATION, set()),
]
WHERE_DEFAULTS_DIFFER = {  # a window by itself, without what a whole recording wants
    (DecodingOptions, "beam_size"): 1,
    (DecodingOptions, "best_of"): 1,
}


@pytest.mark.parametrize(("function", "table", "others"), CALLS, ids=lambda x: getattr(x, "__qualname__", ""))
def test_every_keyword_is_declared_with_its_default(function, table, others):
    keywords = {name: p for name, p in inspect.signature(function).parameters.items() if name not in {"self", *others}}
    assert keywords.keys() <= table.keys()
    for name, parameter in keywords.items():
        default = {inspect.Parameter.empty: REQUIRED, silent: "silent"}.get(parameter.default, parameter.default)
        expected = WHERE_DEFAULTS_DIFFER.get((function, name), table[name].default)
        assert default == expected or repr(default).startswith(str(expected).removesuffix("()")), name


def test_fields_of_a_transcription_are_declared_with_their_defaults():
    names = {"temperatures": "temperature"}
    for field in dataclasses.fields(TranscriptionOptions):
        option = declared.TRANSCRIPTION[names.get(field.name, field.name)]
        assert field.default == (() if field.name == "clip_timestamps" else option.default), field.name


def test_choices_are_those_that_there_are():
    of = {option.name: option.kind.values for _, option in all_options() if isinstance(option.kind, Choice)}
    assert set(of["precision"]) == set(RECIPES)
    assert set(of["method"]) == {*METHODS, GPTQ}
    assert set(of["layout"]) == set(LAYOUTS)
    assert set(of["format"]) == set(FORMATS)
    assert {"auto", "text", *FORM_OF_SUFFIX.values()} == set(of["form"])


def all_options():
    return [(name, option) for name, options in TABLES.items() for option in options.values()]


@pytest.mark.parametrize(("table", "option"), all_options(), ids=lambda x: x if isinstance(x, str) else x.name)
def test_a_default_is_a_value_that_is_accepted(table, option):
    if option.default is REQUIRED or option.name in ("progress", "options"):
        return
    checked(option, option.default)
    assert option.about
    assert (option.default is None) <= (option.none is not None)


# ---- the command line -----------------------------------------------------------------------------------------------

COMMANDS = {
    "translate": declared.MODEL | declared.TRANSLATION | declared.TRANSLATE | {"max_batch_size": declared.BATCH_SIZE},
    "transcribe": declared.SPEECH_MODEL | declared.TRANSCRIPTION | declared.TRANSCRIBE,
    "convert": declared.CONVERSION | declared.QUANTIZATION,
    "rank": declared.RANK,
    "bench": declared.BENCH,
    "serve": declared.SERVE,
}
ONLY_IN_PYTHON = {
    "translate": {
        "num_hypotheses",
        "length_penalty",
        "repetition_penalty",
        "no_repeat_ngram_size",
        "strict",  # a switch that is off unless it is typed
        "loop_guard",
        "progress",
    },
    "transcribe": {
        *declared.TRANSCRIPTION.keys()
        - {
            "language",
            "task",
            "beam_size",
            "batch_size",
            "initial_prompt",
            "hotwords",
            "word_timestamps",
            "clip_timestamps",
            "audio_track",
            "channels",
        }
    },
    "convert": {"source", "out_dir", "options", "progress"},
    "rank": set(),
    "bench": set(),
    "serve": set(),
}


def actions(command: str) -> dict[str, argparse.Action]:
    subparsers = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return {a.option_strings[-1]: a for a in subparsers.choices[command]._actions if a.option_strings}


def typed_options():
    return [
        (command, option)
        for command, options in COMMANDS.items()
        for name, option in options.items()
        if name not in ONLY_IN_PYTHON[command]
    ]


@pytest.mark.parametrize(("command", "option"), typed_options(), ids=lambda x: x if isinstance(x, str) else x.typed)
def test_every_option_is_in_the_help_with_its_range_and_default(command, option):
    action = actions(command)[option.typed]
    assert option.about.replace("%", "%%") in action.help
    kind = option.kind.kind if isinstance(option.kind, Many) else option.kind
    if isinstance(kind, Integer | Real):
        assert kind.expected in action.help
    if isinstance(kind, Choice):
        assert all(str(value) in f"{action.metavar} {action.help}" for value in kind.values)
    if isinstance(kind, Flag):
        assert action.default is False is option.default
    elif action.default is not None:
        assert (
            tuple(action.default) == tuple(option.default)
            if isinstance(action.default, list)
            else (action.default == option.default)
        )
    else:
        assert f"default: {option.none}" in action.help


def test_the_command_line_has_no_other_options_with_a_value():
    for command in COMMANDS:
        named = {option.typed for where, option in typed_options() if where == command}
        free = {name for name, action in actions(command).items() if action.nargs != 0}
        assert free <= named


OPERANDS = {"convert": ["a", "b"], "serve": []}
WRONG = ["-1", "99999999999", "nan", "1.5", "x", "9" * 5000, "", "1_0", "\u0663x"]


@pytest.mark.parametrize(("command", "option"), typed_options(), ids=lambda x: x if isinstance(x, str) else x.typed)
def test_python_and_the_command_line_say_the_same_of_a_wrong_value(command, option, capsys):
    kind = option.kind.kind if isinstance(option.kind, Many) else option.kind
    if not isinstance(kind, Integer | Real | Choice):
        return
    told = 0
    for text in WRONG:
        value = kind.read(text)
        alone = dataclasses.replace(option, kind=kind, none=None)
        try:
            checked(alone, value)
        except OptionError as error:
            sentence = option.typed + str(error).removeprefix(option.name)
        else:
            continue
        with pytest.raises(SystemExit) as stop:
            parser().parse_args([command, *OPERANDS.get(command, ["a"]), f"{option.typed}={text}"])
        assert stop.value.code == 2
        assert capsys.readouterr().err == f"quartet {command}: {sentence}; see `quartet {command} --help`\n"
        told += 1
    assert told > 4


# ---- documentation --------------------------------------------------------------------------------------------------


def test_the_page_is_that_of_the_declarations():
    written = (DOCS / "options.md").read_text("utf-8")
    assert written == page(), "python -m quartet.options.page > docs/options.md"


def test_the_page_names_every_option():
    named = set(re.findall(r"^\| `(\w+)` \|", page(), re.MULTILINE))
    shown = {option.name for name, option in all_options() if name not in ("SEARCH", "DECODING")}
    assert shown <= named


def test_the_page_gives_no_numbers_of_this_machine():
    assert str(declared.MOST_THREADS) + " (" not in page()
