"""What a conversion is asked for is refused as early as that can be known."""

from pathlib import Path

import pytest

from quartet.conversion.request import CalibrationText, ConversionRequest, read_calibration_text
from quartet.errors import OptionError
from quartet.quantize.recipes import QuantizationOptions

TEXT = CalibrationText(Path("text.txt"), ("A sentence.",))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"precision": "int2"}, "precision is 'int2'; expected fp32, int8 or int4"),
        ({"precision": "fp32", "report": True}, "is float32 itself"),
        ({"precision": "int8", "calibration": TEXT}, r"calibration text \(text\.txt\) is for method gptq"),
        ({"languages": "fr"}, "languages is 'fr'; expected a list of languages"),
        ({"texts": ["a.txt"]}, r"text \(a\.txt\) is for the vocabulary of some languages"),
        ({"languages": ["en", " "]}, "one of them has no name"),
    ],
)
def test_what_does_not_go_together(options, problem):
    with pytest.raises(OptionError, match=problem):
        ConversionRequest(**options)


def test_text_is_for_gptq_and_for_reports():
    ConversionRequest(precision="int8", report=True, calibration=TEXT)
    ConversionRequest(precision="int8", options=QuantizationOptions(method="gptq"), calibration=TEXT)


def test_lines_that_are_empty_are_left_out(tmp_path):
    (tmp_path / "text.txt").write_text("\n One. \n\nTwo.\n", encoding="utf-8")
    assert read_calibration_text(tmp_path / "text.txt").lines == ("One.", "Two.")
    (tmp_path / "text.txt").write_text("\n \n")
    with pytest.raises(OptionError, match="is empty"):
        read_calibration_text(tmp_path / "text.txt")
