"""The divergence by likely tokens against that of the whole vocabulary."""

import numpy as np
import pytest

from conversion.calibration.conftest import batch_of
from quartet.checkpoint.tensors import read
from quartet.conversion.calibration.divergence import divergences, reference
from quartet.conversion.calibration.walk import walk


def log_probabilities(model, states):
    name = "decoder.embed_tokens.weight" if model.spec.tied_head else "lm_head.weight"
    logits = states @ read(model.tensors[name]).T.astype(np.float64)
    if model.spec.head_bias:
        logits = logits + read(model.tensors["final_logits_bias"])
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("variant", ["m2m100-base", "m2m100-untied", "marian-base"])
def test_it_is_that_of_the_whole_vocabulary(variant, model_of):
    model = model_of(variant)
    *_, last = walk(model, [batch_of(variant)])
    states = last.hidden()
    noise = 0.1 * np.random.default_rng(0).standard_normal(states.shape).astype(np.float32)
    p, q = log_probabilities(model, states), log_probabilities(model, states + noise)
    expected = (np.exp(p) * (p - q)).sum(axis=1)
    found = divergences(reference(model.spec, model.tensors, states), states + noise)
    assert expected.min() > 0
    np.testing.assert_allclose(found, expected, rtol=0.02)


def test_nothing_changed_is_no_divergence(model_of):
    model = model_of("marian-base")
    states = np.random.default_rng(0).standard_normal((5, model.spec.d_model)).astype(np.float32)
    assert divergences(reference(model.spec, model.tensors, states), states).max() == 0
