"""The harm of a matrix is what a walk through a model with that very matrix rounded says."""

from dataclasses import replace

import numpy as np
import pytest

from conversion.calibration.conftest import batch_of
from quartet.checkpoint.tensors import TensorEntry, read
from quartet.conversion.calibration.divergence import divergences, reference
from quartet.conversion.calibration.requantize import calibrated_weights
from quartet.conversion.calibration.sensitivity import harms
from quartet.conversion.calibration.walk import walk
from quartet.progress import silent
from quartet.quantize.numerics import Scheme, dequantize, quantize
from quartet.quantize.recipes import fitting
from quartet.spec import CACHE_INITIALIZER, DECODER, ENCODER

SCHEME = Scheme(4, 128, False)


def with_rounded(model, weights):
    """The model with matrices as they come back from 4 bits."""
    tensors = dict(model.tensors)
    for source in (source for weight in weights for source in weight.sources):
        matrix = read(tensors[source])
        scheme = fitting(SCHEME, matrix.shape[1])
        path = model.folder / f"{source}.rounded"
        path.write_bytes(dequantize(quantize(matrix, scheme), scheme, matrix.shape[1]).tobytes())
        tensors[source] = TensorEntry(path, 0, matrix.shape, "float32", None, source)
    return replace(model, tensors=tensors)


@pytest.mark.parametrize("variant", ["m2m100-base", "marian-base", "madlad"])
def test_each_matrix_is_measured_alone_and_blocks_of_the_encoder_at_once(variant, model_of):
    model, batches = model_of(variant), [batch_of(variant)]
    found = harms(model, batches, SCHEME, silent)
    names = calibrated_weights(model.spec, model.graphs)
    assert found.keys() == names[ENCODER] | names[CACHE_INITIALIZER] | names[DECODER]
    *_, last = walk(model, batches)
    expected = reference(model.spec, model.tensors, last.hidden())

    def harm(weights):
        *_, step = walk(with_rounded(model, weights), batches)
        return float(divergences(expected, step.hidden()).mean(dtype=np.float64))

    for file in (CACHE_INITIALIZER, DECODER):
        for name in names[file]:
            assert found[name] == pytest.approx(harm([model.graphs[file].weights[name]]), rel=0.02, abs=1e-7), name
    block = [name for name in names[ENCODER] if name.startswith("/encoder/layers.0/self_attn/")]
    together = harm([model.graphs[ENCODER].weights[name] for name in block])
    assert sum(found[name] for name in block) == pytest.approx(together, rel=0.02, abs=1e-7)
    assert min(found.values()) >= 0
    assert max(found.values()) > 0
