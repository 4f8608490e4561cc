"""Every variant of every family against transformers: encoder, logits, greedy and beam search, from golden files."""

import gzip
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import tiny
from quartet.conversion.convert import convert_folder
from quartet.runtime.decode import decode_one_token, embed, encode, padded
from quartet.runtime.engine import open_engine
from quartet.runtime.generate import SearchOptions, generate_batch
from quartet.runtime.logits import read_scores
from quartet.runtime.model import Model

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = 2e-4  # of logits of order 10


@cache
def golden() -> dict:
    return json.loads(gzip.decompress((GOLDEN / "tiny.json.gz").read_bytes()))


@pytest.fixture(scope="module", params=tiny.VARIANTS)
def case(request, tmp_path_factory) -> tuple[str, dict, Model]:
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    convert_folder(tiny.make(folder / "checkpoint", name), folder / "quartet", precision="fp32")
    entry = golden()["variants"][name]
    assert entry["weights_sha256"] == tiny.digest(name), "tiny.py has changed: make the golden files again"
    return name, entry, open_engine(folder / "quartet", threads=1).model()


def options(search: dict) -> SearchOptions:
    return SearchOptions(
        beam_size=search["beams"],
        num_hypotheses=search["hypotheses"],
        length_penalty=search["length_penalty"],
        repetition_penalty=search["repetition_penalty"],
        no_repeat_ngram_size=search["no_repeat_ngram_size"],
        min_new_tokens=search["min_new_tokens"] or 0,
        max_new_tokens=search["max_new_tokens"],
    )


def test_hidden_states_and_logits(case):
    name, entry, model = case
    arrays = np.load(GOLDEN / "tiny.npz")
    for i, ids in enumerate(entry["inputs"]):
        input_ids, mask = padded([ids], 1)
        inputs = {"input_ids": input_ids, "attention_mask": mask, "embed_matrix": embed(model, input_ids)}
        (hidden,) = model.encoder.run(["last_hidden_state"], inputs)
        assert np.abs(hidden[0] - arrays[f"{name}/{i}/last_hidden_state"]).max() < TOLERANCE
        if f"{name}/{i}/logits" not in arrays:
            continue
        state = encode(model, [ids])
        for token, expected in zip(arrays[f"{name}/{i}/decoder_ids"], arrays[f"{name}/{i}/logits"], strict=True):
            logits = read_scores(model, decode_one_token(model, state, np.array([token]))).logits
            assert np.abs(logits[0] - expected).max() < TOLERANCE


@pytest.mark.parametrize("search", golden()["searches"])
def test_searches_give_the_reference_tokens(case, search):
    _, entry, model = case
    inputs = entry["inputs"]
    wanted = options(golden()["searches"][search])
    prefixes = [entry["prefix"]] * len(inputs)
    together = generate_batch(model, inputs, prefixes, wanted)
    alone = [generate_batch(model, [ids], [entry["prefix"]], wanted)[0] for ids in inputs]
    for expected, batched, single in zip(entry["searches"][search], together, alone, strict=True):
        check(expected, batched, model.manifest.tokens.eos)
        check(expected, single, model.manifest.tokens.eos)


def check(expected, found, eos):
    rows = expected["ids"] if "scores" in expected else [expected["ids"]]
    for row, hypothesis in zip(rows, found, strict=True):
        assert list(hypothesis.tokens) == (row[:-1] if row[-1] == eos else row)
    if "scores" in expected:
        assert [h.score for h in found] == pytest.approx(expected["scores"], abs=1e-4)
