"""docs/options.md: `python -m quartet.options.page > docs/options.md`. A test compares the page with the options."""

from quartet.options import declared
from quartet.options.kinds import REQUIRED, Flag, Integer, Option, Table

HEAD = """# Options

Every option is declared once, in `src/quartet/options/declared.py`. What it may be is checked in Python and on the
command line alike, before a model is opened, and a value that it may not be is told in one sentence:

    OptionError: beam_size is -1; expected an integer from 1 to 64
    quartet translate: --beam-size is -1; expected an integer from 1 to 64; see `quartet translate --help`

Numbers may be numpy's. A bool is no number, a text is none, and NaN never is one. `None` leaves a choice to the model
where the table says so; an explicit 0, empty text or empty list is what it says. `inf` and `-inf` are taken where the
range has no end, which is how thresholds are switched off.

## Limits

Upper limits are what is of use and what a machine can bear.

- `threads`: each operator has so many, and more than the cores have work only get into each other's way. With 64 of
  them on two cores a small model took half a minute to open. Four for each core are allowed, and 16 anywhere.
- `beam_size`, `num_hypotheses`, `best_of`: each is a row of the decoder with a cache of its own, some 25 MB for 256
  tokens of NLLB-600M. 64 of them are 1.6 GB; nothing is gained beyond ten.
- `max_batch_size`: the engine never decodes more than 128 rows at once, so that the limit is only that of a number of
  tokens that makes sense.
- `batch_size` of a transcription: each window of 30 s has 10 to 500 MB of the encoder's keys and values.
- `length_penalty`: a length to the power of 10 is still a number in float32.
- `max_length`, `max_new_tokens`, `min_new_tokens`: the model's window, less what the decoder is fed first. It is
  checked where the model is known: `max_length is 500; expected an integer from 1 to 198 tokens (the model's window,
  less the prefix)`.
- Token ids (`ids`, `prefix_ids`, `initial_prompt`, `suppress_tokens`) have to be in the model's vocabulary, a row of
  `ids` has to fit the model's window, and a `prefix` half of it. An `initial_prompt` and `hotwords` that are longer
  are cut to half of the window together, hotwords at their end, text at its beginning, and one line on the log says
  so. An `initial_prompt` of token ids holds text and times, none that steer the model.

The environment: `QUARTET_HOME` is the folder of the cache, by default the platform's own for caches.
"""

SECTIONS: tuple[tuple[str, str, Table], ...] = (
    ("A model", "`Translator(...)`, and `Transcriber(...)` without `vocabulary`", declared.MODEL),
    (
        "Translation",
        "`Translator.translate`, `translate_batch`; `stream` without those of beams and batches; `quartet translate`, "
        "where `--batch-size` is 16 and `--strict` is off",
        declared.TRANSLATION,
    ),
    ("Ids", "`Translator.generate`", declared.GENERATION),
    ("Transcription", "`Transcriber.transcribe`, `quartet transcribe`", declared.TRANSCRIPTION),
    ("Voice detection", "`vad_parameters`", declared.VAD),
    ("Conversion", "`convert`, `quartet convert`", declared.CONVERSION),
    ("Quantisation", "`QuantizationOptions`, `quartet convert`", declared.QUANTIZATION),
    ("`quartet translate` alone", "", declared.TRANSLATE),
    ("`quartet transcribe` alone", "", declared.TRANSCRIBE),
    ("Live", "`Transcriber.listen` without `input_device`, `quartet listen`", declared.LISTEN),
    (
        "`quartet serve`",
        "Each may also be a variable of the environment: what is typed, in capitals, behind "
        f"`{declared.SERVE_VARIABLES}`, as `QUARTET_SERVE_MAX_QUEUE`; of a flag, `true` or `false`. Several models "
        "have commas between them. What is typed counts more",
        declared.SERVE,
    ),
    ("`quartet rank`", "", declared.RANK),
    ("`quartet bench`", "", declared.BENCH),
)


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_section(*section) for section in SECTIONS)])


def _section(title: str, where: str, options: Table) -> str:
    lines = [f"## {title}", ""]
    lines += [f"{where}.", ""] if where else []
    lines += ["| option | what it may be | default | what it is for |", "|---|---|---|---|"]
    return "\n".join([*lines, *map(row, options.values()), ""])


def row(option: Option) -> str:
    """An option as a row of a table."""
    cells = f"`{option.name}`", expected(option), default(option), option.about
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def expected(option: Option) -> str:
    """What it may be, on any machine."""
    kind = option.kind
    if isinstance(kind, Integer) and kind.why:
        return f"an integer from {kind.least} to {kind.why}"
    return kind.expected


def default(option: Option) -> str:
    """What it is without a choice."""
    if option.default is REQUIRED:
        return "has to be given"
    if option.default is None:
        return f"None: {option.none}"
    shown = "True" if option.default is True else "off" if isinstance(option.kind, Flag) else f"`{option.default}`"
    return shown if option.none is None else f"{shown}; None: {option.none}"


if __name__ == "__main__":
    print(page(), end="")
