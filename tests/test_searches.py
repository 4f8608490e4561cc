"""What a generation config asks of a search: what transformers finds then, stored (`golden/make_searches.py`)."""

import json
from pathlib import Path

import pytest

import tiny
from quartet.conversion.convert import convert_folder
from quartet.runtime.engine import open_engine
from quartet.runtime.generate import SearchOptions, generate_batch

CONTENT = json.loads((Path(__file__).parent / "golden" / "searches.json").read_text("utf-8"))
VARIANTS = CONTENT["variants"]
ASKED = CONTENT["settings"]


def checkpoint(folder: Path, variant: str, settings: dict) -> Path:
    """The tiny checkpoint with a generation config that asks for this."""
    tiny.make(folder, variant)
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | settings), "utf-8")
    return folder


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("variant", VARIANTS)
def test_searches_end_where_transformers_ends_them(variant: str, name: str, tmp_path: Path) -> None:
    convert_folder(checkpoint(tmp_path / "checkpoint", variant, ASKED[name]), tmp_path / "quartet", precision="fp32")
    model = open_engine(tmp_path / "quartet", 1).model()
    bos = tiny.forced_bos(variant)
    prefix = [model.manifest.tokens.decoder_start, *([bos] if bos is not None else [])]
    rows = tiny.inputs(variant, 6)
    found = [generate_batch(model, rows, [prefix] * len(rows), SearchOptions(beam_size=beams)) for beams in (1, 3)]
    tokens = [[list(one[0].tokens) for one in pair] for pair in zip(*found, strict=True)]
    assert tokens == VARIANTS[variant][name]


@pytest.mark.parametrize("name", ["early long", "never", "never long", "plain", "short", "not short", "not shorter"])
def test_the_settings_make_a_difference(name: str) -> None:
    """Else the comparison above would say nothing of them."""
    assert any(found[name] != found["late"] for found in VARIANTS.values())
