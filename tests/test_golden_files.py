"""The golden files fit the checkpoints that the tests make, are whole, and are small."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny

GOLDEN = Path(__file__).parent / "golden"


def read(name: str) -> dict[str, Any]:
    return json.loads(gzip.decompress((GOLDEN / f"{name}.json.gz").read_bytes()))


def test_the_golden_files_together_are_small():
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()) < 3_000_000


@pytest.mark.parametrize("name", ["demo", "tiny", "opus-mt-en-fr"])
def test_every_header_names_versions_and_licences(name: str):
    data = read(name)
    assert data["versions"]["torch"].startswith("2.13.0")
    assert data["versions"]["transformers"] == "4.57.6"
    assert data["model"]
    assert data["texts"]


@pytest.mark.parametrize("variant", tiny.VARIANTS)
def test_the_small_checkpoints_are_those_of_the_goldens(variant: str):
    golden = read("tiny")["variants"][variant]
    assert golden["weights_sha256"] == tiny.digest(variant)
    assert golden["inputs"] == tiny.inputs(variant)


def test_the_goldens_cover_every_small_checkpoint_and_no_other():
    assert read("tiny")["variants"].keys() == tiny.VARIANTS.keys()


@pytest.mark.parametrize("variant", tiny.VARIANTS)
def test_small_outputs_vary_and_are_no_ties(variant: str):
    greedy = read("tiny")["variants"][variant]["searches"]["greedy"]
    assert len({tuple(row["ids"]) for row in greedy}) == len(greedy)
    assert any(len(row["ids"]) < 20 for row in greedy), "none ends by itself"
    assert all(margin > 1e-3 for row in greedy for margin, _ in row["near_ties"].values())


@pytest.mark.parametrize("variant", tiny.VARIANTS)
def test_small_logits_lead_to_the_greedy_output(variant: str):
    """Of the raw logits, the greedy token is the best that no processor forbids: it is in the top two."""
    arrays = np.load(GOLDEN / "tiny.npz")
    golden = read("tiny")["variants"][variant]
    start = len(golden["prefix"]) - 1
    for number, row in enumerate(golden["searches"]["greedy"][:3]):
        top = np.argsort(-arrays[f"{variant}/{number}/logits"], axis=1)[start:, :2]
        free = row["ids"][:19]  # the twentieth may be the forced end
        assert all(token in best for token, best in zip(free, top, strict=False))


def test_the_demo_goldens_are_of_the_demo_checkpoint(demo_checkpoint: Path):
    sha256 = hashlib.sha256((demo_checkpoint / "model.safetensors").read_bytes()).hexdigest()
    assert read("demo")["weights_sha256"] == sha256


@pytest.mark.slow
def test_the_opus_goldens_are_of_the_real_checkpoint(opus_mt: Path):
    sha256 = hashlib.sha256((opus_mt / "pytorch_model.bin").read_bytes()).hexdigest()
    assert read("opus-mt-en-fr")["weights_sha256"] == sha256


def test_the_numbers_of_lines_are_what_the_readme_says():
    assert [len(direction["lines"]) for direction in read("demo")["directions"].values()] == [120] * 4
    assert len(read("opus-mt-en-fr")["lines"]) == 300
