"""Which tensor of a checkpoint is which weight of the graphs."""

import re

from quartet.checkpoint import Checkpoint
from quartet.checkpoint.shards import brief
from quartet.checkpoint.tensors import TensorEntry, equal
from quartet.errors import CheckpointError
from quartet.families import Family
from quartet.graph.builder import Builder
from quartet.spec import ModelSpec

SIDES = ("encoder", "decoder")
SHOWN = 6  # problems
LONG = 160  # characters of one


def match_tensors(
    checkpoint: Checkpoint, family: Family, spec: ModelSpec, graphs: dict[str, Builder]
) -> dict[str, TensorEntry]:
    """The tensors that the graphs need, by canonical name; `CheckpointError` lists what does not fit."""
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
        raise CheckpointError(f"{checkpoint.folder}: {_half(checkpoint) or _listed(problems)}")
    return found


def _half(checkpoint: Checkpoint) -> str | None:
    """That there is no decoder or no encoder, as in models that classify, embed or go on with a text."""
    sides = {side for name in checkpoint.tensors for side in SIDES if side in name.split(".")}
    missing = [side for side in SIDES if side not in sides]
    if not sides or not missing:
        return None
    architecture = checkpoint.config.get("architectures")
    named = f" ({brief(architecture)})" if architecture else ""
    return f"the model{named} has no {missing[0]}; encoder and decoder are needed, with the LM head"


def _listed(problems: list[str]) -> str:
    """The first problems in full, and how many more there are."""
    each = [problem if len(problem) <= LONG else f"{problem[:LONG]}..." for problem in dict.fromkeys(problems)]
    more = f"; and {len(each) - SHOWN} more" if len(each) > SHOWN else ""
    return f"the tensors do not fit config.json: {'; '.join(each[:SHOWN])}{more}"


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
