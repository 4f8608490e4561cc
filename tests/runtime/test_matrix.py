"""Rows read from a file against the graph that other readers use, and against the checkpoint."""

from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from quartet.conversion.convert import convert_folder
from quartet.runtime import matrix
from quartet.runtime.decode import embed
from quartet.runtime.engine import open_engine
from quartet.runtime.logits import read_scores
from quartet.runtime.matrix import MatrixRows, RecentRows
from quartet.spec import Manifest

VARIANTS = ["m2m100-base", "m2m100-untied", "marian-base"]


@pytest.fixture(scope="module", params=[(v, p) for v in VARIANTS for p in ("fp32", "int8", "int4")], ids="-".join)
def quartet(request, tmp_path_factory):
    variant, precision = request.param
    folder = tmp_path_factory.mktemp("matrix")
    convert_folder(tiny.make(folder / "checkpoint", variant), folder / "quartet", precision=precision)
    return folder / "quartet"


def whole_file(folder, **inputs):
    d = Manifest.load(folder).shapes.d_model
    session = ort.InferenceSession(folder / "embed_and_lm_head.onnx", providers=["CPUExecutionProvider"])
    idle = {"input_ids": np.zeros((1, 2), np.int64), "pre_logits": np.zeros((1, 1, d), np.float32)}
    return session.run(None, idle | inputs)


def test_rows_are_those_of_the_graph(quartet):
    model = open_engine(quartet).model()
    ids = np.array([[5, 0, 7], [5, 98, 1]])
    expected, _ = whole_file(quartet, use_lm_head=np.array([False]), input_ids=ids)
    assert embed(model, ids) == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(embed(model, ids)[0], embed(model, ids[:1])[0])


def test_the_head_of_the_runtime_is_that_of_the_graph(quartet):
    """In two planes both score the best ones with both: the graph 64, the runtime fewer."""
    model = open_engine(quartet).model()
    d = model.manifest.shapes.d_model
    pre_logits = np.random.default_rng(3).normal(0, 1, (3, 1, d)).astype(np.float32)
    scores = read_scores(model, ort.OrtValue.ortvalue_from_numpy(pre_logits), count=4)
    _, expected = whole_file(quartet, use_lm_head=np.array([True]), pre_logits=pre_logits)
    best = np.argsort(-expected[:, 0], axis=1)[:, :4]
    found = np.take_along_axis(scores.logits, best, axis=1)
    assert found == pytest.approx(np.take_along_axis(expected[:, 0], best, axis=1), abs=1e-4)
    assert np.isin(best, scores.best(4).ids).all()


def test_a_row_does_not_depend_on_its_neighbours(quartet):
    model = open_engine(quartet).model()
    d = model.manifest.shapes.d_model
    pre_logits = np.random.default_rng(4).normal(0, 1, (3, 1, d)).astype(np.float32)
    together = read_scores(model, ort.OrtValue.ortvalue_from_numpy(pre_logits)).logits
    alone = np.concatenate(
        [read_scores(model, ort.OrtValue.ortvalue_from_numpy(pre_logits[i : i + 1])).logits for i in range(3)]
    )
    assert together == pytest.approx(alone, abs=1e-4)


def test_a_closed_matrix_gives_its_file_back(quartet):
    manifest = Manifest.load(quartet)
    rows = MatrixRows(quartet, manifest.embedding)
    rows.close()
    rows.close()
    with pytest.raises(OSError, match="descriptor"):
        rows.read(np.array([1]))


def test_reading_without_pread_gives_the_same(quartet, monkeypatch):
    manifest = Manifest.load(quartet)
    rows = MatrixRows(quartet, manifest.lm_head)
    expected = rows.read(np.arange(20))
    monkeypatch.setattr(matrix, "_read", matrix.read_by_seeking)
    assert np.array_equal(rows.read(np.arange(20)), expected)


def test_biases_are_those_of_the_file(quartet):
    manifest = Manifest.load(quartet)
    rows = MatrixRows(quartet, replace(manifest.lm_head, bias=None))
    assert rows.bias_of(np.array([1, 2])) == 0
    if manifest.family == "marian":
        assert MatrixRows(quartet, manifest.lm_head).bias_of(np.arange(99)).any()


@given(st.lists(st.sets(st.integers(0, 19), min_size=1), min_size=1, max_size=12))
def test_recent_rows_are_the_right_ones(asked):
    """With room for six rows, whatever was asked for before."""
    whole = np.arange(20 * 4, dtype=np.float32).reshape(20, 4)
    recent = RecentRows(20, 4, room=6 * 4 * 4)
    for ids in map(sorted, asked):
        assert np.array_equal(recent.get(np.array(ids), whole.__getitem__), whole[ids])


def test_recent_rows_are_not_read_again():
    whole, read = np.arange(20 * 4, dtype=np.float32).reshape(20, 4), []

    def reading(ids):
        read.extend(ids.tolist())
        return whole[ids]

    recent = RecentRows(20, 4, room=6 * 4 * 4)
    for ids in [1, 2, 3], [2, 3, 4], [5, 6], [7], [1, 2]:  # 7 takes the place of 1, and 1 then that of 2
        recent.get(np.array(ids), reading)
    assert read == [1, 2, 3, 4, 5, 6, 7, 1]
