"""Whole conversions of models that CTranslate2's converters made: the tokens are those of transformers, or its own."""

import gzip
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ctranslate2_models import unpack
from quartet.conversion.convert import convert_folder
from quartet.runtime.decode import decode_one_token, encode
from quartet.runtime.engine import open_engine
from quartet.runtime.generate import SearchOptions, generate_batch
from quartet.runtime.logits import read_scores

GOLDEN = Path(__file__).parents[2] / "golden" / "tiny.json.gz"
LOG_PROB_TOLERANCE = 2e-4


@cache
def golden() -> dict:
    return json.loads(gzip.decompress(GOLDEN.read_bytes()))


def converted(folder: Path, name: str, kind: str):
    source = unpack(folder / "unpacked", name)
    convert_folder(source / kind, folder / "quartet", precision="fp32")
    return source, open_engine(folder / "quartet", threads=1).model()


@pytest.mark.parametrize(("name", "kind"), [("marian-base", "float32"), ("m2m100-base", "float16")])
def test_searches_give_the_tokens_of_transformers(tmp_path, name, kind):
    _, model = converted(tmp_path, name, kind)
    entry = golden()["variants"][name]
    for search in ("greedy", "beam-4"):
        asked = golden()["searches"][search]
        options = SearchOptions(beam_size=asked["beams"], max_new_tokens=asked["max_new_tokens"])
        found = generate_batch(model, entry["inputs"], [entry["prefix"]] * len(entry["inputs"]), options)
        for expected, hypotheses in zip(entry["searches"][search], found, strict=True):
            ids = expected["ids"] if search == "greedy" else expected["ids"][0]
            assert list(hypotheses[0].tokens) == [i for i in ids if i != model.manifest.tokens.eos]


@pytest.mark.parametrize("name", ["opennmt-py", "opennmt-tf"])
def test_opennmt_gives_what_ctranslate2_gives(tmp_path, name):
    """Greedy tokens, and the log probability of each."""
    source, model = converted(tmp_path, name, "float32")
    shared = source / "float32" / "shared_vocabulary.json"
    names = ("shared", "shared") if shared.exists() else ("source", "target")
    sides = [shared.with_name(f"{name}_vocabulary.json") for name in names]
    ids = [{token: i for i, token in enumerate(json.loads(path.read_text()))} for path in sides]
    tokens, prompt = model.manifest.tokens, model.manifest.source_prompt
    options = SearchOptions(max_new_tokens=24, loop_guard=False)
    for line in json.loads((source / "golden.json").read_text()):
        text = [ids[0][token] for token in line["source"]]
        inputs = [i for word in prompt for i in (text if word == "text" else [tokens.eos])]
        expected = [ids[1][token] for token in line["target"]]
        found = generate_batch(model, [inputs], [[tokens.decoder_start]], options)[0][0]
        assert list(found.tokens) == expected
        state = encode(model, [inputs])
        steps = zip([tokens.decoder_start, *expected], [*expected, tokens.eos], line["log_probs"], strict=True)
        for fed, target, log_prob in steps:
            logits = read_scores(model, decode_one_token(model, state, np.array([fed]))).logits[0].astype(np.float64)
            assert logits[target] - np.log(np.exp(logits).sum()) == pytest.approx(log_prob, abs=LOG_PROB_TOLERANCE)
