"""T5's relative positions: buckets against transformers', and biases of one step against those of whole texts."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

import tiny
from quartet.families import t5
from quartet.graph.builder import Builder
from quartet.graph.relative import buckets, step_bias, whole_bias
from quartet.quantize.recipes import Recipe
from quartet.spec import ModelSpec, Part, RelativeBias

# `T5Attention._relative_position_bucket` of transformers 4.57.6 for 32 buckets up to distance 128: the smallest
# distance of each bucket, looking back
BACK = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]
BACK_ONLY = [*range(16), 16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113]


def starts(found: np.ndarray) -> list[int]:
    """The first index of each value of an array in which equal values stand together."""
    return np.unique(found, return_index=True)[1].tolist()


def test_the_buckets_of_t5() -> None:
    positions = RelativeBias(32, 128)
    both, back = buckets(positions, bidirectional=True), buckets(positions, bidirectional=False)
    assert both.shape == back.shape == (257,)
    assert starts(both[128::-1]) == BACK
    assert starts(both[129:] - 16) == [start - 1 for start in BACK[1:]]
    assert starts(back[128::-1]) == BACK_ONLY
    assert not back[129:].any()  # what comes later is masked


@pytest.mark.oracle
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("count", [4, 6, 8, 16, 32, 64])
def test_buckets_are_those_of_transformers(count: int, bidirectional: bool) -> None:
    torch = pytest.importorskip("torch")
    from transformers.models.t5.modeling_t5 import T5Attention

    for farthest in (count // 2 + 1, 20, 128, 200):
        if farthest <= count // 2:
            continue
        offsets = np.arange(-2 * farthest, 2 * farthest + 1)
        expected = T5Attention._relative_position_bucket(torch.tensor(offsets), bidirectional, count, farthest).numpy()
        found = buckets(RelativeBias(count, farthest), bidirectional)
        assert np.array_equal(found[np.clip(offsets, -farthest, farthest) + farthest], expected)


def spec() -> ModelSpec:
    made = t5.read_spec(tiny.config(tiny.VARIANTS["t5-v1.0"]))
    return replace(made, positions=RelativeBias(8, 12))


def run(b: Builder, bias: ir.Value | None, feed: dict[str, np.ndarray], weight: np.ndarray) -> np.ndarray:
    assert bias is not None
    b.output(bias, "bias", ir.DataType.FLOAT, [1, "h", "q", "k"])
    for name in b.weights:
        b.initializers[name].const_value = ir.tensor(weight, name=name)
    session = ort.InferenceSession(ir.to_proto(b.model()).SerializeToString(), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(["bias"], feed)[0]
    return found


def whole(side: Part, length: int, weight: np.ndarray) -> np.ndarray:
    b = Builder("whole", Recipe("fp32"))
    tokens = b.input("tokens", ir.DataType.FLOAT, ["b", "s", 4])
    return run(b, whole_bias(b, spec(), side, tokens), {"tokens": np.zeros((2, length, 4), np.float32)}, weight)


def test_biases_between_all_tokens() -> None:
    weight = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    found = whole("encoder", 30, weight)
    table = buckets(RelativeBias(8, 12), bidirectional=True)
    offsets = np.clip(np.arange(30)[None, :] - np.arange(30)[:, None], -12, 12) + 12
    assert found.shape == (1, 4, 30, 30)
    assert np.array_equal(found[0], weight[table[offsets]].transpose(2, 0, 1))
    assert len(np.unique(table[offsets])) == 7 + 1 - 1  # all but that of distance 0 looking forward


@pytest.mark.parametrize(("past", "new"), [(0, 1), (1, 1), (5, 1), (29, 1), (0, 30), (3, 4)])
def test_the_bias_of_a_step_is_some_rows_of_the_whole(past: int, new: int) -> None:
    weight = np.random.default_rng(1).standard_normal((8, 4)).astype(np.float32)
    b = Builder("step", Recipe("fp32"))
    tokens = b.input("tokens", ir.DataType.INT64, ["b", "t"])
    length = b.input("past_length", ir.DataType.INT64, [1])
    feeds = {"tokens": np.zeros((2, new), np.int64), "past_length": np.array([past])}
    found = run(b, step_bias(b, spec(), tokens, length), feeds, weight)
    assert np.array_equal(found, whole("decoder", 30, weight)[:, :, past : past + new, : past + new])
