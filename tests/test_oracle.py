"""The same comparison as `test_fidelity`, with transformers running: on sentences that no golden file holds."""

from dataclasses import replace

import numpy as np
import pytest

import tiny
from demo_model import ENGLISH, FRENCH, GERMAN
from fidelity import differences
from quartet import Translator
from quartet.conversion.convert import convert_folder
from quartet.runtime.decode import decode_one_token, encode
from quartet.runtime.engine import open_engine
from quartet.runtime.generate import SearchOptions, generate_batch
from quartet.runtime.logits import read_scores

pytestmark = pytest.mark.oracle
pytest.importorskip("transformers")

from golden import reference  # noqa: E402 - it imports torch and transformers

SENTENCES = slice(500, 504)  # of FLORES dev; the golden files hold the first 300
DEMO_TEXTS = ["We were late for dinner.", "She has two brothers and a sister.", "How much does this book cost?"]


def near_ties(greedy: reference.Greedy) -> dict:
    return {"ids": greedy.ids, "near_ties": {str(i): [margin, 0] for i, margin in enumerate(greedy.margins)}}


def compare(translator, model, rows, prefix, forced_bos):
    greedy = [near_ties(reference.greedy_with_margins(model, row, forced_bos)) for row in rows]
    found = translator.generate(rows, prefix, max_batch_size=4)
    assert all(d.excused for d in differences(greedy, found, translator.manifest.tokens.eos))
    beams = [reference.beam(model, row, forced_bos)[0].ids for row in rows]
    found = translator.generate(rows, prefix, beam_size=4, max_batch_size=4)
    eos = translator.manifest.tokens.eos
    assert sum([i for i in b if i != eos] == f for b, f in zip(beams, found, strict=True)) >= 0.9 * len(rows)


def test_demo(demo_checkpoint):
    with Translator("demo", precision="fp32") as translator:
        rows = [[ENGLISH, *translator.tokenizer.encode(text), 2] for text in DEMO_TEXTS]
        for target in FRENCH, GERMAN:
            compare(translator, reference.load(demo_checkpoint), rows, [2, target], target)


def test_opus_mt(opus_mt, shared):
    lines = (shared / "data" / "flores-dev" / "en.txt").read_text(encoding="utf-8").splitlines()[SENTENCES]
    with Translator(opus_mt, precision="fp32") as translator:
        rows = [[*translator.tokenizer.encode(line), 0] for line in lines]
        compare(translator, reference.load(opus_mt), rows, None, None)


@pytest.mark.parametrize("variant", ["m2m100-heads-differ", "marian-untied", "t5-v1.0", "t5-gated-relu", "madlad"])
def test_tiny_variants_on_other_inputs(variant, tmp_path):
    checkpoint = tiny.make(tmp_path / "checkpoint", variant)
    convert_folder(checkpoint, tmp_path / "quartet", precision="fp32")
    ours, theirs = open_engine(tmp_path / "quartet", 1).model(), reference.load(checkpoint)
    bos = tiny.forced_bos(variant)
    prefix = [ours.manifest.tokens.decoder_start, *([bos] if bos is not None else [])]
    rows = [[*row[:-1], *row[:-1], row[-1]] for row in tiny.inputs(variant, 8)]  # longer than the golden ones
    found = generate_batch(ours, rows, [prefix] * len(rows), SearchOptions(max_new_tokens=20))
    search = reference.Search(max_new_tokens=20)
    expected = [near_ties(reference.greedy_with_margins(theirs, row, bos, search)) for row in rows]
    tokens = [list(hypotheses[0].tokens) for hypotheses in found]
    assert all(d.excused for d in differences(expected, tokens, ours.manifest.tokens.eos))


@pytest.mark.parametrize("variant", ["t5-v1.0", "t5-v1.1", "madlad"])
def test_t5_over_all_distances(variant, tmp_path, monkeypatch):
    """32 buckets up to a distance of 128, as real models have them: 150 tokens on both sides reach every one."""
    shape = replace(tiny.VARIANTS[variant], position_buckets=32, max_distance=128)
    monkeypatch.setitem(tiny.VARIANTS, variant, shape)
    checkpoint = tiny.make(tmp_path / "checkpoint", variant)
    convert_folder(checkpoint, tmp_path / "quartet", precision="fp32")
    ours, theirs = open_engine(tmp_path / "quartet", 1).model(), reference.load(checkpoint)
    # some versions of transformers tie what config.json says is not tied
    assert theirs.lm_head.weight.equal(theirs.shared.weight) == shape.tied_head
    random = np.random.default_rng(0)
    source, fed = random.integers(3, 99, 150).tolist(), [shape.decoder_start, *random.integers(3, 99, 149).tolist()]
    expected = reference.step_logits(theirs, source, fed)
    state = encode(ours, [source])
    found = [read_scores(ours, decode_one_token(ours, state, np.array([token]))).logits[0] for token in fed]
    assert np.abs(np.array(found) - expected).max() < 2e-4
