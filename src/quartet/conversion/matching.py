"""Which tensor of a checkpoint is which weight of the graphs."""

import re

from quartet.checkpoint import Checkpoint
from quartet.checkpoint.tensors import TensorEntry, equal
from quartet.errors import CheckpointError
from quartet.families import Family
from quartet.graph.builder import Builder
from quartet.spec import ModelSpec


def match_tensors(
    checkpoint: Checkpoint, family: Family, spec: ModelSpec, graphs: dict[str, Builder]
) -> dict[str, TensorEntry]:
    """The tensors that the graphs need, by canonical name; `CheckpointError` lists everything that does not fit."""
    names = family.tensor_names(spec)
    problems: list[str] = []
    found: dict[str, TensorEntry] = {}
    for builder in graphs.values():
        for weight in builder.weights.values():
            for source in weight.sources:
                entry = _find(checkpoint, names[source], weight.source_shape, problems)
                if entry is not None:
                    found[source] = entry
    known = {candidate for candidates in names.values() for candidate in candidates}
    problems += [
        f"{name}: left over, no part of this architecture"
        for name in sorted(checkpoint.tensors.keys() - known)
        if not any(re.fullmatch(pattern, name) for pattern in family.leftovers)
    ]
    if problems:
        listed = "; ".join(dict.fromkeys(problems))
        raise CheckpointError(f"{checkpoint.folder}: the tensors do not fit config.json: {listed}")
    return found


def _find(
    checkpoint: Checkpoint, candidates: tuple[str, ...], shape: tuple[int, ...], problems: list[str]
) -> TensorEntry | None:
    """The tensor under the first of its possible names; tied duplicates under the others must be equal to it."""
    present = [name for name in candidates if name in checkpoint.tensors]
    if not present:
        problems.append(f"{candidates[0]}: missing")
        return None
    entry = checkpoint.tensors[present[0]]
    if entry.shape != shape:
        problems.append(f"{present[0]}: shape {list(entry.shape)}, expected {list(shape)}")
        return None
    for name in present[1:]:
        if not equal(entry, checkpoint.tensors[name]):
            problems.append(f"{name}: differs from {present[0]}, to which it is tied")
    return entry
