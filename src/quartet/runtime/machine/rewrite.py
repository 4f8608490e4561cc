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
    model = _loaded(folder / f"{file}.onnx", out)
    if file == DECODER:
        write_into_buffers(model.graph, half=row_products)
    if row_products:
        replace_products(model.graph, out / data_name(file))
    else:
        shutil.copyfile(folder / data_name(file), out / data_name(file))
    ir.save(model, out / f"{file}.onnx")


def _loaded(path: Path, out: Path) -> ir.Model:
    """A graph; with copies of its data where these have several names, as in backups by hard links.

    onnx-ir takes such files for an attack. What they hold is known: its hashes were checked.
    """
    model = ir.load(path)
    tensors = [value.const_value for value in model.graph.initializers.values()]
    names = {tensor.location for tensor in tensors if isinstance(tensor, ir.ExternalTensor)}
    if all((path.parent / name).stat().st_nlink == 1 for name in names):
        return model
    copies = out / "copies"
    copies.mkdir(exist_ok=True)
    for name in (path.name, *names):
        shutil.copyfile(path.parent / name, copies / name)
    return ir.load(copies / path.name)
