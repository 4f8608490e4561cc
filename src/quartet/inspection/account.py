"""Where a model's bytes go, and what one step of its decoder does, in numbers.

Shapes: b rows, h heads, p tokens fed before, s source tokens, k head size, d width, v vocabulary.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from quartet.inspection.folder import Graph, Inspection, Variable
from quartet.inspection.meanings import kind_of
from quartet.spec import CACHE_INITIALIZER, DECODER, EMBED_AND_LM_HEAD

FLOAT_BYTES = 4  # of a number in the cache
DECODERS = (DECODER, "decoder_with_past_model", "decoder_model_merged")


@dataclass(frozen=True)
class Cache:
    """Bytes of keys and values of one row: for each token fed, and for each source token."""

    per_token: int
    per_source_token: int

    def after(self, tokens: int, source_tokens: int) -> int:
        """Bytes once so many tokens were fed."""
        return tokens * self.per_token + source_tokens * self.per_source_token


@dataclass(frozen=True)
class Step:
    """The sizes of one step of the decoder."""

    width: int
    layers: int
    heads: int
    head_size: int
    vocabulary: int
    decoder: Graph
    head: Graph  # the file that makes the scores


def cache_of(inspection: Inspection) -> Cache | None:
    """What the cache takes; None where no decoder with a cache of known size is there."""
    graph = _decoder(inspection)
    if graph is None:
        return None
    sizes: Counter[str] = Counter()
    for variable in graph.inputs:
        part = next((part for part in (".decoder.", ".encoder.") if part in variable.name), None)
        if part and variable.name.startswith("past_key_values.") and len(variable.shape) == 4:
            heads, head_size = variable.shape[1], variable.shape[3]
            if not (isinstance(heads, int) and isinstance(head_size, int)):
                return None
            sizes[part] += variable.count * heads * head_size * FLOAT_BYTES
    return Cache(sizes[".decoder."], sizes[".encoder."]) if sizes[".decoder."] else None


def step_of(inspection: Inspection) -> Step | None:
    """The sizes of one step of a quartet; None for folders of another kind."""
    graphs = {kind_of(graph.file.removesuffix(".onnx")): graph for graph in inspection.graphs}
    decoder, embed = graphs.get(DECODER), graphs.get(EMBED_AND_LM_HEAD)
    if decoder is None:
        return None
    head = next((graph for graph in (decoder, embed) if graph and _named(graph.outputs, "logits")), None)
    key = next((variable for variable in decoder.inputs if variable.name.endswith("decoder.key")), None)
    initializer = graphs.get(CACHE_INITIALIZER)
    vector = _named(initializer.inputs, "encoder_hidden_states") if initializer else None
    scores = _named(head.outputs, "logits") if head else None
    if head is None or key is None or vector is None or scores is None:
        return None
    sizes = [vector.shape[-1], key.count, key.shape[1], key.shape[3], scores.shape[-1]]
    width, layers, heads, head_size, vocabulary = (size if isinstance(size, int) else 0 for size in sizes)
    return Step(width, layers, heads, head_size, vocabulary, decoder, head) if all((width, heads, vocabulary)) else None


def _decoder(inspection: Inspection) -> Graph | None:
    kinds = {kind_of(graph.file.removesuffix(".onnx")): graph for graph in inspection.graphs}
    return next((kinds[kind] for kind in DECODERS if kind in kinds), None)


def _named(variables: Iterable[Variable], name: str) -> Variable | None:
    return next((variable for variable in variables if variable.name == name), None)
