"""Write a file of a quartet as one machine's runtime wants it: what no other reader would understand, or want."""

import shutil
from pathlib import Path

import onnx_ir as ir

from quartet.graph.writer import data_name
from quartet.runtime.machine.in_place import write_into_buffers
from quartet.runtime.machine.row_products import replace_products
from quartet.spec import DECODER


def write_for_this_machine(folder: Path, file: str, out: Path, *, row_products: bool) -> None:
    """Write the graph `file` of `folder` and its data to `out`: a decoder writes into its cache.

    row_products: whether its products are to be those for many rows. Their cache is in float16 then.
    """
    model = ir.load(folder / f"{file}.onnx")
    if file == DECODER:
        write_into_buffers(model.graph, half=row_products)
    if row_products:
        replace_products(model.graph, out / data_name(file))
    else:
        shutil.copyfile(folder / data_name(file), out / data_name(file))
    ir.save(model, out / f"{file}.onnx")
