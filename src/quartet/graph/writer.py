"""Stream the weights of a graph into its data file and write the graph beside it.

`NAME.onnx` holds the nodes, `NAME.onnx.data` the weights. A tensor is read, stored and forgotten before the next one;
a large table goes slice by slice, so memory stays near the largest single matrix.

A matrix whose codes come from elsewhere (GPTQ) can be left out at first, with its place kept free, and filled in later.
"""

import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from quartet.arrays import Floats
from quartet.checkpoint.soundness import refuse_damaged
from quartet.checkpoint.tensors import TensorEntry, read, row_slices
from quartet.errors import CheckpointError
from quartet.graph.builder import Builder, Initializer, Weight
from quartet.quantize.numerics import Blocks, Method, Scheme, quantize, scales_of_columns
from quartet.quantize.recipes import Recipe
from quartet.spec import StoredMatrix

SLICE_BYTES = 16 << 20
ALIGNMENT = 4096  # of tensors large enough to be mapped on their own
SMALL_ALIGNMENT = 64
SMALL = 64 << 10


def data_name(file: str) -> str:
    """Name of the data file of `encoder` and its like."""
    return f"{file}.onnx.data"


def write(
    builder: Builder,
    tensors: Mapping[str, TensorEntry],
    folder: Path,
    advance: Callable[[int], None],
    left_out: Collection[str] = (),
) -> None:
    """Write one of the four files. `tensors` are by canonical name; `advance` is told of bytes as they are written.

    left_out: names of weights that `fill` brings later. Until then, zeros are in their places.
    """
    model = builder.model()
    places: dict[str, int] = {}
    with (folder / data_name(builder.name)).open("wb") as out:
        for weight in builder.weights.values():
            contents: Iterable[Iterable[np.ndarray]] = [()] * len(weight.initializers)
            if weight.name not in left_out:
                contents = _stored(weight, [tensors[source] for source in weight.sources], builder.recipe)
            for initializer, blocks in zip(weight.initializers, contents, strict=True):
                place = out.seek(_aligned(out.tell(), initializer))
                places[initializer.name] = place
                for block in blocks:
                    out.write(block.reshape(-1).view(np.uint8).data)
                    advance(block.nbytes)
                out.seek(place + int(initializer.nbytes))
        out.truncate()  # to here, where the last weight may have been left out
    for name, place in places.items():
        _place(builder.initializers[name], data_name(builder.name), place)
    ir.save(model, folder / f"{builder.name}.onnx")


def data_bytes(builder: Builder) -> int:
    """Bytes of the data file that `write` makes."""
    end = 0
    for weight in builder.weights.values():
        for initializer in weight.initializers:
            end = _aligned(end, initializer) + int(initializer.nbytes)
    return end


def _aligned(end: int, initializer: Initializer) -> int:
    """Where an initializer begins in a file that has `end` bytes; zeros are in between."""
    return end + -end % (ALIGNMENT if initializer.nbytes >= SMALL else SMALL_ALIGNMENT)


def write_borrowing(builder: Builder, location: str, places: Mapping[str, int], folder: Path) -> None:
    """Write a graph all of whose weights lie in a data file that is written already, each at its place in bytes."""
    model = builder.model()
    for name, (original, skipped) in builder.borrowings.items():
        _place(builder.initializers[name], location, places[original] + skipped)
    ir.save(model, folder / f"{builder.name}.onnx")


def write_sharing(builder: Builder, owners: Iterable[Builder], path: Path) -> None:
    """Write a graph all of whose weights lie, under the same names, in data files of other graphs, beside `path`."""
    places = {name: (data_name(owner.name), at) for owner in owners for name, at in written_places(owner).items()}
    model = builder.model()
    for weight in builder.weights.values():
        for initializer in weight.initializers:
            _place(builder.initializers[initializer.name], *places[initializer.name])
    ir.save(model, path)


def stored_matrix(builder: Builder, weight: Weight, bias: Weight | None = None) -> StoredMatrix:
    """Where the rows of a matrix lie that was written, and a bias for each."""
    places = written_places(builder)
    rows, columns = weight.source_shape
    return StoredMatrix(
        data_name(builder.name),
        rows,
        columns,
        bits=weight.scheme.code_bits if weight.scheme else 32,
        block_size=weight.scheme.block_size if weight.scheme else None,
        bias=places[bias.name] if bias else None,
        **{part: places[initializer.name] for part, initializer in weight.parts.items()},
    )


def _place(value: ir.Value, location: str, offset: int) -> None:
    """Let an initializer lie in the data file `location`, `offset` bytes from its beginning."""
    assert value.dtype is not None
    assert isinstance(value.shape, ir.Shape)
    assert value.name is not None
    length = math.prod(value.shape.numpy()) * value.dtype.itemsize
    value.const_value = ir.ExternalTensor(
        location, offset, int(length), value.dtype, shape=value.shape, name=value.name
    )


def _stored(weight: Weight, entries: list[TensorEntry], recipe: Recipe) -> Iterator[Iterable[np.ndarray]]:
    """The bytes of each initializer of a weight, in pieces, in C order."""
    if weight.scheme is not None:
        scales = column_scales(entries) if weight.scheme.scaled_columns else None
        yield from _quantized(weight.name, entries, scales, weight.scheme, recipe.method)
        if scales is not None:
            yield [scales]
    elif weight.transposed:
        yield [np.ascontiguousarray(np.concatenate([_sound(entry, 0, None) for entry in entries]).T)]
    else:
        yield slices(entries)


def slices(entries: list[TensorEntry], scales: Floats | None = None) -> Iterator[np.ndarray]:
    """The rows of matrices put under each other, a few MB at a time, their columns divided by `scales` [k]."""
    for entry in entries:
        for start, stop in row_slices(entry.shape, SLICE_BYTES):
            rows = _sound(entry, start, stop)
            yield rows if scales is None else rows / scales


def _sound(entry: TensorEntry, start: int, stop: int | None) -> Floats:
    """Rows of a tensor; `CheckpointError` where they hold what no trained model has."""
    rows = read(entry, start, stop)
    refuse_damaged(entry, rows, start)
    return rows


def column_scales(entries: list[TensorEntry]) -> Floats:
    """What the columns [k] of matrices put under each other are divided by before they are quantised."""
    columns = entries[0].shape[1]
    sums = np.zeros(columns, np.float64)
    for rows in slices(entries):
        sums += np.einsum("nk,nk->k", rows, rows, dtype=np.float64)
    return scales_of_columns(sums / sum(entry.shape[0] for entry in entries))


def _quantized(
    name: str, entries: list[TensorEntry], of_columns: Floats | None, scheme: Scheme, method: Method
) -> Iterator[Iterable[np.ndarray]]:
    """Codes slice by slice; the scales and zero points, small, are kept until the codes are written.

    The second plane, as large as the codes, is not kept but made in a second pass.
    """
    scales: list[np.ndarray] = []
    zero_points: list[np.ndarray] = []

    def quantized() -> Iterator[Blocks]:
        for rows in slices(entries, of_columns):
            with refusing(name):
                blocks = quantize(rows, scheme, method)
            yield blocks

    def codes() -> Iterator[np.ndarray]:
        for blocks in quantized():
            scales.append(blocks.scales)
            if blocks.zero_points is not None:
                zero_points.append(blocks.zero_points)
            yield blocks.codes

    yield codes()
    yield scales
    if not scheme.symmetric:
        yield zero_points
    if scheme.planes:
        yield (blocks.residual for blocks in quantized() if blocks.residual is not None)


@contextlib.contextmanager
def refusing(weight: str) -> Iterator[None]:
    """Tell in a `CheckpointError` which weight it is that cannot be quantised."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{weight} cannot be quantised: {error}") from None


def fill(builder: Builder, weight: Weight, parts: Iterable[Blocks], scales: Floats | None, folder: Path) -> None:
    """Put the codes of a quantised matrix, given slice by slice, in their places in a file that is written.

    scales: of its columns [k], where it has any.
    """
    written = written_places(builder)
    places = {part: written[initializer.name] for part, initializer in weight.parts.items()}
    with (folder / data_name(builder.name)).open("r+b") as out:
        for blocks in parts:
            arrays: dict[str, np.ndarray | None] = {
                "codes": blocks.codes,
                "scales": blocks.scales,
                "zero_points": blocks.zero_points,
            }
            for part, array in arrays.items():
                if array is not None:
                    out.seek(places[part])
                    out.write(np.ascontiguousarray(array).data)
                    places[part] += array.nbytes
        if scales is not None:
            out.seek(places["column_scales"])
            out.write(scales.data)


def copy(weight: Weight, source: tuple[Builder, Path], target: tuple[Builder, Path]) -> None:
    """Copy what is stored of a weight from one written file to another; each is its graph and the folder it is in."""
    places = [written_places(builder) for builder, _ in (source, target)]
    paths = [folder / data_name(builder.name) for builder, folder in (source, target)]
    with paths[0].open("rb") as read_from, paths[1].open("r+b") as out:
        for initializer in weight.initializers:
            read_from.seek(places[0][initializer.name])
            out.seek(places[1][initializer.name])
            out.write(read_from.read(int(initializer.nbytes)))


def written_places(builder: Builder) -> dict[str, int]:
    """Where each written initializer begins in its data file, in bytes."""
    tensors = {name: value.const_value for name, value in builder.initializers.items()}
    return {name: tensor.offset or 0 for name, tensor in tensors.items() if isinstance(tensor, ir.ExternalTensor)}
