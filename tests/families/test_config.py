"""What a generation config asks for."""

import json
from pathlib import Path
from typing import Any

import pytest

import tiny
from quartet.conversion.convert import convert_folder
from quartet.errors import CheckpointError
from quartet.families.config import generation


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, {"max_length": 99, "length_penalty": 1.0, "early_stopping": False, "min_length": 0}),
        ({"length_penalty": 0.0}, {"length_penalty": 0.0}),
        ({"length_penalty": None, "early_stopping": None, "min_length": None}, {"length_penalty": 1.0}),
        ({"early_stopping": True}, {"early_stopping": True}),
        ({"early_stopping": "never"}, {"early_stopping": "never"}),
        ({"max_length": 20}, {"max_length": 20, "max_new_tokens": None}),
        ({"max_length": 20, "max_new_tokens": 7}, {"max_length": 8, "max_new_tokens": 7}),  # and the decoder start
        ({"min_length": 5}, {"min_length": 5}),
        ({"min_length": 5, "min_new_tokens": 0}, {"min_length": 1}),
        ({"min_new_tokens": 5}, {"min_length": 6}),
        ({"suppress_tokens": []}, {"suppress_tokens": ()}),
    ],
)
def test_what_is_asked_counts(asked: dict[str, Any], found: dict[str, Any]) -> None:
    read = generation({}, asked, default_length=99)
    assert {key: getattr(read, key) for key in found} == found
    assert generation(asked, {}, default_length=99) == read  # as older checkpoints have it


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"early_stopping": "always"}, r"early_stopping = 'always'; true, false or \"never\" is expected"),
        ({"early_stopping": 3}, "early_stopping = 3"),
        ({"max_new_tokens": "many"}, "max_new_tokens = 'many'; a whole number"),
        ({"max_new_tokens": -1}, "max_new_tokens = -1"),
        ({"max_length": 2.5}, "max_length = 2.5"),
        ({"min_length": True}, "min_length = True"),
        ({"length_penalty": "long"}, "length_penalty = 'long'; a number is expected"),
        ({"length_penalty": float("nan")}, "length_penalty = nan"),
    ],
)
def test_what_makes_no_sense_is_named(asked: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = tiny.make(tmp_path / "checkpoint", "m2m100-base")
    (folder / "generation_config.json").write_text(json.dumps(asked), "utf-8")
    with pytest.raises(CheckpointError, match=message):
        convert_folder(folder, tmp_path / "out", precision="fp32")
