"""Finds the weights of an exported encoder or decoder by what they do in the graph, and names them as our graphs do.

Names of nodes and initializers change from release to release of the exporters and are not looked at, but for inputs
and outputs of the graph. What is looked for:

- a linear map is a product with a constant matrix, in float or in 8 bits, and perhaps a constant vector added to it;
- an attention is a Softmax: behind it a product of two linear maps, query and key; before it a product with a third,
  the value, and then a linear map out. It looks at the source where its key is made of `encoder_hidden_states`;
- the other linear maps are feed-forward blocks, two or three for each layer, in the order of the layers, and at last
  the LM head;
- norms are known by their gain, a vector that something is multiplied by, and come in the order of the layers;
- the embedding is gathered by `input_ids`; T5's relative positions are gathered and added before a Softmax;
- an encoder that hears has two convolutions and then a table added, its positions; its decoder gathers those.
"""

import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from quartet.checkpoint.onnx_file import array_of, entry_of, read_graph
from quartet.checkpoint.shards import Tensors
from quartet.checkpoint.tensors import Affine, TensorEntry, read, row_slices
from quartet.errors import CheckpointError

FIRST_INPUT_ONLY = {  # of these the other inputs say how, not what
    "Cast", "DequantizeLinear", "Dropout", "DynamicQuantizeLinear", "Expand", "Flatten", "Identity", "Reshape", "Slice",
    "Split", "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip
RUNTIME_DOMAIN = "com.microsoft"  # of operators that only ONNX Runtime has
FUSED = {"SimplifiedLayerNormalization"}  # its optimiser makes this one too, in ONNX's own domain
IN_4_BITS = {"MatMulNBits", "MatMulBnb4", "GatherBlockQuantized"}  # or fewer, or more
IN_8_BITS = {"MatMulInteger", "ConvInteger"}
POSITIONS = "{}.embed_positions.weight"
NO_DATA = {"Shape", "Size", "ConstantOfShape", "Range", "Constant"}  # nothing of the values in front goes through
COMPARE_BYTES = 16 << 20


@dataclass
class Linear:
    """A linear map: its product, its matrix [out, in], its bias [out], what goes in, and what comes out."""

    node: ir.Node
    weight: TensorEntry
    bias: TensorEntry | None
    x: ir.Value
    y: ir.Value


@dataclass
class Product:
    """A product of two computed matrices, as in attention."""

    a: ir.Value
    b: ir.Value
    y: ir.Value


@dataclass
class Part:
    """A graph with its linear maps and products, by the name of what comes out, in the order of the graph."""

    path: Path
    nodes: list[ir.Node]
    linears: dict[str, Linear] = field(default_factory=dict)
    products: dict[str, Product] = field(default_factory=dict)
    used: set[ir.Node] = field(default_factory=set)  # nodes that belong to a linear map
    claimed: set[str] = field(default_factory=set)  # linear maps that belong to an attention

    def fail(self, what: str) -> CheckpointError:
        """The error that this export cannot be taken apart."""
        return CheckpointError(f"{self.path} cannot be taken apart: {what}")


@dataclass(frozen=True)
class Attention:
    """The linear maps of an attention."""

    q_proj: Linear
    k_proj: Linear
    v_proj: Linear
    out_proj: Linear
    is_cross: bool


# ---- what an export holds ---------------------------------------------------------------------------------------


def encoder_weights(path: Path) -> Tensors:
    """The weights of an exported encoder by canonical name. Raises `CheckpointError` naming what is not found."""
    with _refusing_other_graphs(path):
        part = _part(path, _plain_nodes(path))
        found = _stack(part, "encoder", ("self_attn",))
        rest = _feed_forward(part, "encoder", found, has_head=False)
        convolutions = [node for node in part.nodes if node.op_type in ("Conv", "ConvInteger")]
        tables = _front_end(part, convolutions) if convolutions else _tables(part, "encoder")
        return found | rest | _norms(part, "encoder", found, 2) | tables


def decoder_weights(path: Path, *, positions: bool) -> Tensors:
    """Likewise of a decoder without past, or of the branch without past of a merged one.

    positions: with the table of them; other models than those that hear compute theirs.
    """
    with _refusing_other_graphs(path):
        nodes = _plain_nodes(path)
        part = _part(path, _branch_without_past(nodes) or nodes)
        found = _stack(part, "decoder", ("self_attn", "encoder_attn"))
        rest = _feed_forward(part, "decoder", found, has_head=True)
        tables = _tables(part, "decoder", positions=positions)
        return found | rest | _norms(part, "decoder", found, 3) | tables


@contextlib.contextmanager
def _refusing_other_graphs(path: Path) -> Iterator[None]:
    """A graph that is none of an export may be anything: what is looked for where nothing is has many errors."""
    try:
        yield
    except CheckpointError:
        raise
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be taken apart: its nodes are not connected as in an export") from error


def _plain_nodes(path: Path) -> list[ir.Node]:
    """The nodes of a graph; where operators of ONNX Runtime's own show that its layers are not plain, it is refused.

    Raises `CheckpointError`.
    """
    graph = read_graph(path)
    nodes = ir.traversal.RecursiveGraphIterator(graph)
    own = {node.op_type for node in nodes if node.domain == RUNTIME_DOMAIN or node.op_type in FUSED}
    packed = sorted(own & IN_4_BITS)
    if packed:
        raise CheckpointError(
            f"{path} has weights of 4 bits ({', '.join(packed)}), which are not read: take the export in float32, "
            "float16 or 8 bits"
        )
    if own:
        raise CheckpointError(
            f"{path} is an optimised graph ({', '.join(sorted(own)[:4])}), which cannot be taken apart: export the "
            "model without --optimize"
        )
    return list(graph)


def hears(encoder: Tensors) -> bool:
    """Whether an encoder has positions of its own, as only those do that hear."""
    return POSITIONS.format("encoder") in encoder


def joined(encoder: Tensors, decoder: Tensors) -> Tensors:
    """Encoder and decoder, where what is one tensor in the model is there once."""
    ours, theirs, head = "decoder.embed_tokens.weight", "encoder.embed_tokens.weight", "lm_head.weight"
    tensors = encoder | decoder
    if theirs in tensors and _is_same(tensors[theirs], tensors[ours]):
        tensors[ours] = min(tensors[ours], tensors.pop(theirs), key=_coarseness)
    if _is_same(tensors[head], tensors[ours]):
        del tensors[head]
    return tensors


def _coarseness(entry: TensorEntry) -> int:
    return 2 if entry.affine is not None else int(entry.dtype == "float16")


def _is_same(a: TensorEntry, b: TensorEntry) -> bool:
    """Whether two matrices are equal, up to how each was rounded where they were quantised."""
    if a.shape != b.shape:
        return False
    step = sum(max(entry.affine.scales) for entry in (a, b) if entry.affine)
    slices = row_slices(a.shape, COMPARE_BYTES)
    return all(bool((np.abs(read(a, i, j) - read(b, i, j)) <= step * 0.51).all()) for i, j in slices)


def _branch_without_past(nodes: list[ir.Node]) -> list[ir.Node] | None:
    """The branch of a merged decoder that needs no past: the one that makes keys of the source."""
    for node in nodes:
        if node.op_type == "If":
            branches = [list(attribute.as_graph()) for attribute in node.attributes.values()]
            return max(branches, key=lambda branch: sum(_reads(n, "encoder_hidden_states") for n in branch))
    return None


def _reads(node: ir.Node, name: str) -> bool:
    return any(value is not None and value.name == name for value in node.inputs)


def _stack(part: Part, side: str, kinds: tuple[str, ...]) -> Tensors:
    """Weights of all attentions of the encoder or decoder, which come in the order of `kinds` in each layer."""
    attentions = [_attention(part, node) for node in part.nodes if node.op_type == "Softmax"]
    if not attentions or len(attentions) % len(kinds):
        raise part.fail(f"{len(attentions)} attentions (Softmax) are found, no multiple of {len(kinds)}")
    tensors: Tensors = {}
    for i, attention in enumerate(attentions):
        layer, block = divmod(i, len(kinds))
        if attention.is_cross != (kinds[block] == "encoder_attn"):
            raise part.fail(f"attention {i + 1} should be {kinds[block]}, but its keys are of something else")
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            tensors |= _named(f"{side}.layers.{layer}.{kinds[block]}.{name}", getattr(attention, name))
            part.claimed.add(str(getattr(attention, name).y.name))
    return tensors


def _feed_forward(part: Part, side: str, found: Tensors, *, has_head: bool) -> Tensors:
    """Weights of what is neither attention nor norm: feed-forward blocks, and the LM head at last."""
    rest, layers = [x for name, x in part.linears.items() if name not in part.claimed], _layers(found)
    tensors: Tensors = {}
    if has_head and rest:
        head = rest.pop()
        tensors["lm_head.weight"] = head.weight
        if head.bias is not None:
            tensors["final_logits_bias"] = replace(head.bias, shape=(1, head.bias.size))
    each, odd = divmod(len(rest), layers)
    if odd or each not in (2, 3):
        raise part.fail(f"{len(rest)} linear maps are left for the feed-forward blocks of {layers} layers")
    for layer in range(layers):
        block = rest[layer * each : (layer + 1) * each]
        names = ("fc1", "fc2") if each == 2 else (*_gate_order(part, block[0], block[1]), "fc2")
        for name, linear in zip(names, block, strict=True):
            tensors |= _named(f"{side}.layers.{layer}.{name}", linear)
    return tensors


def _gate_order(part: Part, first: Linear, second: Linear) -> tuple[str, str]:
    """Which of two linear maps that are multiplied is the gate: the one that has an activation before that."""
    plain = [len(uses := _users(x.y)) == 1 and uses[0].op_type == "Mul" for x in (first, second)]
    if plain[0] == plain[1]:
        raise part.fail(f"which of {first.weight.name!r} and {second.weight.name!r} is the gate is not clear")
    return ("fc1", "gate") if plain[0] else ("gate", "fc1")


def _norms(part: Part, side: str, found: Tensors, each: int) -> Tensors:
    """Gains and biases of norms: `each` per layer, and perhaps one after the last."""
    kinds = ("self_attn", "encoder_attn", "final") if each == 3 else ("self_attn", "final")
    layers = _layers(found)
    names = [f"{side}.layers.{layer}.{kind}_layer_norm" for layer in range(layers) for kind in kinds]
    norms = [norm for node in part.nodes if (norm := _norm(part, node))]
    if len(norms) not in (len(names), len(names) + 1):
        raise part.fail(f"{len(norms)} norms are found for {layers} layers with {each} each")
    tensors: Tensors = {}
    for name, (gain, bias) in zip([*names, f"{side}.layer_norm"], norms, strict=False):
        tensors[f"{name}.weight"] = gain
        if bias is not None:
            tensors[f"{name}.bias"] = bias
    return tensors


def _norm(part: Part, node: ir.Node) -> tuple[TensorEntry, TensorEntry | None] | None:
    """Gain and bias of a norm that is one node, or is written out and ends in them; None for other nodes."""
    if node.op_type == "LayerNormalization":
        gain, bias = (_constant(part, value) for value in (*node.inputs[1:], None)[:2])
        return (gain, bias) if gain is not None else None
    gain = _vector(part, node) if node.op_type == "Mul" and node not in part.used else None
    if gain is None:
        return None
    after = _users(node.outputs[0])
    bias = _vector(part, after[0]) if len(after) == 1 and after[0].op_type == "Add" else None
    return gain, bias


def _front_end(part: Part, convolutions: list[ir.Node]) -> Tensors:
    """Whisper's two convolutions, and the positions that are added behind them."""
    if len(convolutions) != 2:
        raise part.fail(f"{len(convolutions)} convolutions are found where a model that hears has 2")
    tensors: Tensors = {}
    for i, node in enumerate(convolutions, 1):
        tensors |= _convolution(part, node, f"encoder.conv{i}")
    added = (_constant(part, value) for node in part.nodes if node.op_type == "Add" for value in node.inputs)
    table = next((entry for entry in added if entry is not None and len(entry.shape) == 2), None)
    if table is None:
        raise part.fail("no table of positions is added behind the convolutions")
    return tensors | {POSITIONS.format("encoder"): table}


def _convolution(part: Part, node: ir.Node, name: str) -> Tensors:
    """Weight [out, in, width] and bias [out] of a convolution, in float or in 8 bits."""
    weight = _constant(part, node.inputs[1])
    if weight is None:
        raise part.fail(f"the weight of convolution {node.name!r} is not constant")
    after = _users(_scaled(part, node))
    if node.op_type == "ConvInteger":  # its bias is brought into shape and added
        weight = replace(weight, affine=_affine(part, _scale_of(part, node), (*node.inputs, None, None)[3]))
        shaped = (value.producer() for value in after[0].inputs if value is not None)
        biases = [_constant(part, made.inputs[0]) for made in shaped if made is not None and made.op_type == "Reshape"]
    else:
        biases = [_constant(part, node.inputs[2])] if len(node.inputs) > 2 else []
    bias = next((entry for entry in biases if entry is not None), None)
    return {f"{name}.weight": weight} | ({} if bias is None else {f"{name}.bias": bias})


def _tables(part: Part, side: str, *, positions: bool = False) -> Tensors:
    """The embedding of the tokens, T5's relative positions, and those that are looked up where they are wanted."""
    gathers = {n: table for n in part.nodes if n.op_type == "Gather" and (table := _table(part, n)) is not None}
    embeddings = [table for node, table in gathers.items() if _is_input(node.inputs[1], "input_ids")]
    if not embeddings:
        raise part.fail("no embedding is gathered by input_ids")
    tensors = {f"{side}.embed_tokens.weight": embeddings[0]}
    others = [table for node, table in gathers.items() if not _is_input(node.inputs[1], "input_ids")]
    if positions and others:
        return tensors | {POSITIONS.format(side): others[0]}
    softmax = next(node for node in part.nodes if node.op_type == "Softmax")
    for node in _behind(part, softmax.inputs[0]):
        if node in gathers:
            tensors[f"{side}.relative_bias.weight"] = gathers[node]
    return tensors


def _table(part: Part, node: ir.Node) -> TensorEntry | None:
    """The matrix that a Gather takes rows of; where it is quantised, the scale is in what follows."""
    entry = _constant(part, node.inputs[0])
    if entry is None or len(entry.shape) != 2 or entry.affine is not None or entry.dtype not in ("int8", "uint8"):
        return entry if entry is not None and len(entry.shape) == 2 else None
    for after in _before(node.outputs[0]):
        if after.op_type == "DequantizeLinear":
            return replace(entry, affine=_affine(part, after.inputs[1], after.inputs[2]))
    return None


def _is_input(value: ir.Value | None, name: str) -> bool:
    """Whether a value is an input of the graph, perhaps in another shape or type."""
    while value is not None and (node := value.producer()) is not None and node.op_type in FIRST_INPUT_ONLY:
        value = node.inputs[0]
    return value is not None and value.producer() is None and value.name == name


def _named(name: str, linear: Linear) -> Tensors:
    tensors = {f"{name}.weight": linear.weight}
    return tensors if linear.bias is None else tensors | {f"{name}.bias": linear.bias}


def _layers(found: Tensors) -> int:
    return 1 + max(int(name.split(".")[2]) for name in found)


# ---- linear maps and attention ----------------------------------------------------------------------------------


def _part(path: Path, nodes: list[ir.Node]) -> Part:
    """The nodes of a graph with its linear maps and products."""
    part = Part(path, nodes)
    for node in nodes:
        if node.op_type in ("MatMul", "MatMulInteger", "Gemm"):
            matrix = _constant(part, node.inputs[1])
            if matrix is None:
                product = Product(_value(node.inputs[0]), _value(node.inputs[1]), _scaled(part, node))
                part.products[str(product.y.name)] = product
            elif len(matrix.shape) == 2:
                linear = _linear(part, node, matrix)
                part.linears[str(linear.y.name)] = linear
    return part


def _linear(part: Part, node: ir.Node, matrix: TensorEntry) -> Linear:
    is_gemm = node.op_type == "Gemm"
    weight = matrix if is_gemm and _is_set(node, "transB") else _transposed(matrix)
    if node.op_type == "MatMulInteger":
        weight = replace(weight, affine=_affine(part, _scale_of(part, node), (*node.inputs, None, None)[3]))
    y = _scaled(part, node)
    bias = _constant(part, node.inputs[2]) if is_gemm and len(node.inputs) > 2 else None
    after = _users(y)
    if bias is None and len(after) == 1 and after[0].op_type == "Add":
        bias = _vector(part, after[0])
        if bias is not None and bias.size == weight.shape[0]:
            part.used.add(after[0])
            bias, y = replace(bias, shape=(bias.size,)), after[0].outputs[0]
        else:
            bias = None
    return Linear(node, weight, bias, _value(node.inputs[0]), y)


def _is_set(node: ir.Node, switch: str) -> bool:
    attribute = node.attributes.get(switch)
    return attribute is not None and bool(attribute.as_int())


def _scaled(part: Part, node: ir.Node) -> ir.Value:
    """The result of a product; in 8 bits what comes out once it is converted and multiplied by the scales."""
    value = node.outputs[0]
    if node.op_type not in IN_8_BITS:
        return value
    for op_type in ("Cast", "Mul"):
        after = _users(value)
        if len(after) != 1 or after[0].op_type != op_type:
            raise part.fail(f"a product in 8 bits ({node.name}) is not followed by {op_type}")
        part.used.add(after[0])
        value = after[0].outputs[0]
    return value


def _scale_of(part: Part, node: ir.Node) -> ir.Value:
    """The scale of the matrix of a product in 8 bits: of the two that are multiplied, the constant one."""
    last = _users(_users(node.outputs[0])[0].outputs[0])[0]
    for value in last.inputs:
        scales = value.producer() if value is not None else None
        if scales is not None and scales.op_type == "Mul":
            part.used.add(scales)
            found = [x for x in scales.inputs if x is not None and x.const_value is not None]
            if len(found) == 1:
                return found[0]
    raise part.fail(f"the scale of a product in 8 bits ({node.name}) is not found")


def _attention(part: Part, softmax: ir.Node) -> Attention:
    """The linear maps around a Softmax."""
    scores = _nearest_product(part, softmax.inputs[0])
    mixed = next((p for node in _before(softmax.outputs[0]) if (p := _product_of(part, node))), None)
    if scores is None or mixed is None:
        raise part.fail(f"no products are found before and after {softmax.name or 'a Softmax'}")
    query, key, value = (_nearest_linear(part, x) for x in (scores.a, scores.b, mixed.b))
    out = next((linear for node in _before(mixed.y) if (linear := _linear_of(part, node))), None)
    parts = {"query": query, "key": key, "value": value, "output": out}
    missing = [name for name, linear in parts.items() if linear is None]
    if query is None or key is None or value is None or out is None:
        raise part.fail(f"no linear map is found for {', '.join(missing)} of {softmax.name or 'a Softmax'}")
    return Attention(query, key, value, out, _is_input(key.x, "encoder_hidden_states"))


def _nearest_product(part: Part, value: ir.Value | None) -> Product | None:
    for reached in _values_behind(part, value):
        if reached.name in part.products:
            return part.products[str(reached.name)]
    return None


def _nearest_linear(part: Part, value: ir.Value) -> Linear | None:
    for reached in _values_behind(part, value):
        if reached.name in part.linears:
            return part.linears[str(reached.name)]
    return None


def _product_of(part: Part, node: ir.Node) -> Product | None:
    if node.op_type not in ("MatMul", "MatMulInteger"):
        return None
    return part.products.get(str(_scaled(part, node).name))


def _linear_of(part: Part, node: ir.Node) -> Linear | None:
    return next((linear for linear in part.linears.values() if linear.node is node), None)


# ---- walking ----------------------------------------------------------------------------------------------------


def _values_behind(part: Part, value: ir.Value | None) -> Iterator[ir.Value]:
    """A value and what it is made of, nearest first; not beyond linear maps and products."""
    waiting, seen = deque([value]), {None if value is None else value}
    while waiting:
        here = waiting.popleft()
        if here is None:
            continue
        yield here
        node = here.producer()
        if node is None or node.op_type in NO_DATA or here.name in part.linears or here.name in part.products:
            continue
        inputs = node.inputs[:1] if node.op_type in FIRST_INPUT_ONLY else node.inputs
        for x in inputs:
            if x not in seen:
                seen.add(x)
                waiting.append(x)


def _behind(part: Part, value: ir.Value | None) -> Iterator[ir.Node]:
    """The nodes that make a value, nearest first; not beyond linear maps and products."""
    nodes = (reached.producer() for reached in _values_behind(part, value))
    return (node for node in nodes if node is not None)


def _before(value: ir.Value) -> Iterator[ir.Node]:
    """The nodes that use a value, nearest first, also after changes of shape and type."""
    waiting = deque([value])
    while waiting:
        for node in _users(waiting.popleft()):
            yield node
            if node.op_type in FIRST_INPUT_ONLY or node.op_type in ("Where", "IsNaN"):
                waiting.append(node.outputs[0])


def _users(value: ir.Value) -> list[ir.Node]:
    """The nodes that use a value, in the order of the graph."""
    return list(dict.fromkeys(usage.node for usage in value.uses()))


def _value(value: ir.Value | None) -> ir.Value:
    assert value is not None
    return value


# ---- constants --------------------------------------------------------------------------------------------------


def _constant(part: Part, value: ir.Value | None) -> TensorEntry | None:
    """Where a constant lies, also one that is handed through, transposed, or quantised; None for what is computed."""
    if value is None:
        return None
    if value.const_value is not None:
        return entry_of(value, part.path.parent) if len(value.const_value.shape) else None
    node = value.producer()
    if node is None or node.op_type not in ("Identity", "Transpose", "DequantizeLinear"):
        return None
    entry = _constant(part, node.inputs[0])
    if entry is None or node.op_type == "Identity":
        return entry
    if node.op_type == "Transpose":
        return _transposed(entry) if len(entry.shape) == 2 else None
    return replace(entry, affine=_affine(part, _value(node.inputs[1]), (*node.inputs, None)[2]))


def _vector(part: Part, node: ir.Node) -> TensorEntry | None:
    """The constant vector [n] or [1, n] among the inputs of an addition or multiplication."""
    for value in node.inputs:
        if value is not None and value.const_value is not None:
            shape = tuple(value.const_value.shape.numpy())
            if shape and shape[-1] > 1 and np.prod(shape) == shape[-1]:
                return _constant(part, value)
        elif value is not None and (entry := _constant(part, value)) is not None and len(entry.shape) == 1:
            return entry
    return None


def _transposed(entry: TensorEntry) -> TensorEntry:
    """A matrix with its axes exchanged, where it lies."""
    strides = entry.strides or (entry.shape[1], 1)
    affine = entry.affine
    if affine is not None and len(affine.scales) > 1:
        raise CheckpointError(f"{entry.path}: {entry.name!r} has a scale for each row, and is used transposed")
    return replace(entry, shape=entry.shape[::-1], strides=strides[::-1])


def _affine(part: Part, scale: ir.Value | None, zero_point: ir.Value | None) -> Affine:
    scales = array_of(_value(scale), part.path.parent).reshape(-1)
    zeros = np.zeros(1) if zero_point is None else array_of(zero_point, part.path.parent).reshape(-1)
    return Affine(tuple(map(float, scales)), tuple(map(float, zeros)))
