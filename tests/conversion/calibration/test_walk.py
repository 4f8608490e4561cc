"""The walk gives what the four files give, with one layer in memory and nothing left on disk."""

import numpy as np
import pytest

import tiny
from conversion.calibration.conftest import batch_of
from quartet.conversion.calibration.walk import walk
from quartet.conversion.convert import convert_folder
from quartet.runtime.decode import decode_one_token, encode
from quartet.runtime.engine import open_engine
from quartet.spec import CACHE_INITIALIZER, DECODER, ENCODER, KEY_AND_VALUE, past_name, present_name


@pytest.mark.parametrize("variant", tiny.VARIANTS)
def test_gives_what_the_whole_files_give(variant, model_of, tmp_path):
    convert_folder(tiny.make(tmp_path / "whole", variant), tmp_path / "quartet", precision="fp32")
    whole, batch = open_engine(tmp_path / "quartet", 1).model(), batch_of(variant)
    state = encode(whole, tiny.inputs(variant))
    expected = np.stack([decode_one_token(whole, state, ids).numpy()[:, 0] for ids in batch.target_ids.T], axis=1)

    steps = list(walk(model_of(variant), [batch]))
    for step in steps:
        if step.file == CACHE_INITIALIZER:
            for what in KEY_AND_VALUE:
                key = state.encoder_cache[past_name(step.layer, "encoder", what)].numpy().transpose(0, 2, 1, 3)
                found = step.outputs[0][present_name(step.layer, "encoder", what)].transpose(0, 2, 1, 3)
                np.testing.assert_allclose(found[batch.source_mask > 0], key[batch.source_mask > 0], atol=1e-5)
    np.testing.assert_allclose(steps[-1].hidden(), expected[batch.target_mask > 0], atol=1e-5)
    layers = tiny.VARIANTS[variant].encoder_layers, tiny.VARIANTS[variant].decoder_layers
    assert [s.layer for s in steps if s.file == ENCODER] == [None, *range(layers[0])]
    assert [s.layer for s in steps if s.file == DECODER] == [None, *range(layers[1])]


def test_batches_do_not_mix(model_of):
    model, batch = model_of("m2m100-base"), batch_of("m2m100-base")
    *_, alone = walk(model, [batch])
    *_, among = walk(model, [batch_of("m2m100-base", seed=1), batch])
    assert np.array_equal(alone.outputs[0]["next_hidden"], among.outputs[1]["next_hidden"])


@pytest.mark.parametrize("variant", ["m2m100-base", "marian-separate-sizes"])
def test_every_linear_map_gets_its_moments(variant, model_of):
    model, batch = model_of(variant), batch_of(variant)
    found = {
        name: moments for step in walk(model, [batch, batch], moments=True) for name, moments in step.moments.items()
    }
    linear = {
        w.name
        for file, graph in model.graphs.items()
        for w in graph.weights.values()
        if w.scheme and "layers" in w.name
    }
    assert found.keys() == linear
    for name, moments in found.items():
        assert np.array_equal(moments, moments.T)
        columns = next(g.weights[name] for g in model.graphs.values() if name in g.weights).source_shape[1]
        assert moments.shape == (columns, columns)


def test_moments_are_those_of_tokens_not_of_padding(model_of):
    model, batch = model_of("m2m100-base"), batch_of("m2m100-base")
    name = "/encoder/layers.0/self_attn/qkv_proj.weight"
    start, first, *_ = walk(model, [batch], moments=True)
    states = start.hidden()
    assert len(states) == batch.source_mask.sum()
    np.testing.assert_allclose(first.moments[name], states.T @ states / len(states), rtol=1e-4, atol=1e-5)


def test_nothing_is_left_behind(model_of):
    model = model_of("marian-base")
    before = set(model.folder.iterdir())
    assert list(walk(model, [batch_of("marian-base")]))
    assert set(model.folder.iterdir()) == before
