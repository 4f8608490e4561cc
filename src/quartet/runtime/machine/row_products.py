"""Rewrite a graph for many rows: its block-wise products become int8 products with one scale per row.

`MatMulNBits` multiplies row by row, so its time grows with the rows; an int8 GEMM unpacks nothing and shares each
weight among them. The weights get 7 bits and one scale per column of the product: without VNNI a CPU adds two products
in 16 bits, which hold 8 bits times 7. The activations get 8 bits and one scale per row, so that a row's result does not
depend on its neighbours, as it does with the one scale for all of `DynamicQuantizeMatMul`:

    x [.., k]: m = max(|x|) [.., 1], codes = round(127 * x / m);  y [.., n] = m * (codes @ weights) * scales [n] / 127

Such a graph is made for one machine, in the cache (`runtime.packing`); a quartet's own files never hold one.
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quartet.arrays import Floats
from quartet.graph.builder import MICROSOFT
from quartet.graph.writer import ALIGNMENT
from quartet.quantize.numerics import Blocks, Scheme, dequantize, in_7_bits
from quartet.runtime.machine.rewriting import insert, take_over

SLICE_WEIGHTS = 1 << 22  # of a matrix, converted at once


def replace_products(graph: ir.Graph, data: Path) -> None:
    """Rewrite the graph, and write all its weights to the file `data`, which is to lie beside it."""
    with data.open("wb") as out:
        rewriting = _Rewriting(graph, out)
        for node in [node for node in graph if node.op_type == "MatMulNBits"]:
            rewriting.replace(node)
        rewriting.copy_the_rest()


class _Rewriting:
    """A graph on its way, and the data file of its new weights."""

    def __init__(self, graph: ir.Graph, data: BinaryIO) -> None:
        self.graph, self.data = graph, data
        self.folder, self.location = Path(data.name).parent, Path(data.name).name
        self.quantized: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}  # activations -> their codes and scales
        self.constants: dict[str, ir.Value] = {}

    def replace(self, node: ir.Node) -> None:
        """Put an int8 product in the place of a block-wise one."""
        x, *stored = node.inputs
        assert x is not None
        codes, scale = self._quantized_rows(x, node)
        weights, scales = self._weights(node, [value for value in stored if value is not None])
        middle = self._constant("middle", np.uint8(128))
        inputs = [codes, weights, self._constant("127th", np.float32(1 / 127)), scales, middle]
        product = insert(self.graph, node, "MatMulIntegerToFloat", inputs, f"{node.name}/int8", domain=MICROSOFT)
        result = insert(self.graph, node, "Mul", [product, scale], f"{node.name}/scaled")
        take_over(self.graph, node.outputs[0], result)
        self.graph.remove(node, safe=True)
        for value in stored:
            if value is not None and not value.uses():
                self.graph.initializers.pop(value.name or "", None)

    def copy_the_rest(self) -> None:
        """Weights that stay as they are: biases and norms."""
        for value in self.graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor) and Path(tensor.base_dir) != self.folder:
                self._store(value, tensor.numpy())

    def _quantized_rows(self, x: ir.Value, node: ir.Node) -> tuple[ir.Value, ir.Value]:
        """Codes uint8 [.., k] of activations in units of their largest [.., 1]; made once for all their products."""
        if x not in self.quantized:
            name = f"{x.name}/rows"
            size = insert(self.graph, node, "Abs", [x], f"{name}/size")
            last = self._constant("last", np.array([-1], np.int64))
            largest = insert(self.graph, node, "ReduceMax", [size, last], f"{name}/largest", {"keepdims": 1})
            scale = insert(
                self.graph, node, "Max", [largest, self._constant("tiny", np.float32(1e-30))], f"{name}/scale"
            )
            unit = insert(self.graph, node, "Div", [x, scale], f"{name}/unit")
            inputs = [unit, self._constant("127th", np.float32(1 / 127)), self._constant("middle", np.uint8(128))]
            self.quantized[x] = insert(self.graph, node, "QuantizeLinear", inputs, f"{name}/codes"), scale
        return self.quantized[x]

    def _weights(self, node: ir.Node, stored: list[ir.Value]) -> tuple[ir.Value, ir.Value]:
        """The matrix as int8 [k, n], and the scales of its columns [n]."""
        rows, columns = (node.attributes[name].as_int() for name in "NK")
        codes, scales = np.empty((columns, rows), np.int8), np.empty(rows, np.float32)
        step = max(1, SLICE_WEIGHTS // columns)
        for start in range(0, rows, step):
            part = slice(start, min(start + step, rows))
            found, scales[part] = in_7_bits(_rows(node, stored, part))
            codes[:, part] = found.T
        return self._weight(f"{node.name}.codes", codes), self._weight(f"{node.name}.scales", scales)

    def _weight(self, name: str, array: NDArray[np.int8] | Floats) -> ir.Value:
        value = ir.Value(name=name)
        self._store(value, array)
        self.graph.register_initializer(value)
        return value

    def _store(self, value: ir.Value, array: NDArray[np.generic]) -> None:
        """Append an array to the data file as the bytes of an initializer."""
        self.data.write(bytes(-self.data.tell() % ALIGNMENT))
        offset, dtype = self.data.tell(), ir.DataType.from_numpy(array.dtype)
        self.data.write(np.ascontiguousarray(array).data)
        shape = ir.Shape(array.shape)
        value.shape, value.type = shape, ir.TensorType(dtype)
        value.const_value = ir.ExternalTensor(
            self.location, offset, array.nbytes, dtype, shape=shape, name=value.name or "", base_dir=self.folder
        )

    def _constant(self, name: str, array: NDArray[np.generic] | np.generic) -> ir.Value:
        if name not in self.constants:
            tensor = ir.tensor(np.asarray(array), name=f"rows/{name}")
            value = ir.Value(name=tensor.name, type=ir.TensorType(tensor.dtype), const_value=tensor)
            value.shape = ir.Shape(np.shape(array))
            self.graph.register_initializer(value)
            self.constants[name] = value
        return self.constants[name]


def _rows(node: ir.Node, stored: list[ir.Value], part: slice) -> Floats:
    """Rows [n, k] of the matrix that a `MatMulNBits` multiplies with, in float32."""
    bits, block_size, columns = (node.attributes[name].as_int() for name in ("bits", "block_size", "K"))
    arrays = [np.asarray(value.const_value.numpy()) for value in stored if value.const_value is not None]
    codes, scales, zero_points = arrays[0], arrays[1], arrays[2:]
    rows = len(codes)
    scheme = Scheme(8 if bits == 8 else 4, block_size, symmetric=not zero_points)
    blocks = Blocks(
        codes[part],
        scales.reshape(rows, -1)[part],
        zero_points[0].reshape(rows, -1)[part] if zero_points else None,
    )
    return dequantize(blocks, scheme, columns)
