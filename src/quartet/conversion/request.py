"""What a conversion is asked for, checked as far as that goes without the checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quartet.errors import OptionError
from quartet.options.declared import CONVERSION
from quartet.options.kinds import check_fields, checked
from quartet.quantize.recipes import DEFAULT_PRECISION, SPEECH_PRECISION, QuantizationOptions, Recipe, recipe_of

REQUEST = {name: CONVERSION[name] for name in ("precision", "report", "languages", "texts", "layout", "force")}


@dataclass(frozen=True)
class CalibrationText:
    """Sentences of the user's own, and the file that they come from."""

    file: Path
    lines: tuple[str, ...]


@dataclass(frozen=True)
class ConversionRequest:
    """The options of `convert_folder`; it says what they mean.

    Raises `OptionError` for values that there are not, and for texts that nothing would be done with.
    """

    precision: str | None = None  # None: what is usual for the kind of model
    options: QuantizationOptions = QuantizationOptions()  # noqa: RUF009  frozen
    calibration: CalibrationText | None = None
    report: bool = False
    tokenizer: Path | None = None
    languages: Sequence[str] = ()
    texts: Sequence[str | Path] = ()
    layout: str = "quartet"
    force: bool = False

    def __post_init__(self) -> None:
        """Refuse values that there are not, and what does not go together."""
        check_fields(self, REQUEST)
        recipe = self.recipe(hears=False)
        if self.report and not recipe.schemes:
            raise OptionError(f"precision {recipe.name} is float32 itself: a report is for int8 and int4")
        if self.calibration is not None and not (recipe.calibrated or self.report):
            file = self.calibration.file
            raise OptionError(f"calibration text ({file}) is for method gptq and for a report; ask for one of them too")
        if self.texts and not self.languages:
            raise OptionError(f"text ({self.texts[0]}) is for the vocabulary of some languages; name them too")
        if not all(name.strip() for name in self.languages):
            raise OptionError(f"languages {','.join(self.languages)!r}: one of them has no name")

    def recipe(self, hears: bool) -> Recipe:
        """How each file's matrices are to be stored. hears: a model of speech, not of text."""
        usual = SPEECH_PRECISION if hears else DEFAULT_PRECISION
        return recipe_of(self.precision or usual, self.options)

    def check_for_speech(self, recipe: Recipe) -> None:
        """Raise `OptionError` for what a model that hears instead of reading cannot be converted with.

        recipe: the one for such a model.
        """
        for asked, option in (
            (recipe.calibrated, "method gptq"),
            (self.calibration is not None, "calibration text"),
            (self.report, "a report"),
            (bool(self.languages), "a vocabulary of some languages"),
        ):
            if asked:
                raise OptionError(f"{option} is for models that translate text; leave it out for a speech model")


def read_calibration_text(given: str | Path) -> CalibrationText:
    """The lines of a text that are not empty; raises `OptionError` where it cannot be read or has none."""
    file: Path = checked(CONVERSION["calibration_text"], given)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise OptionError(f"the calibration text {file} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise OptionError(f"the calibration text {file} is not UTF-8") from None
    kept = tuple(line.strip() for line in lines if line.strip())
    if not kept:
        raise OptionError(f"the calibration text {file} is empty; a few hundred sentences, one per line, are expected")
    return CalibrationText(file, kept)
