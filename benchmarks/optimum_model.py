"""Export a checkpoint with Optimum. Needs `optimum-onnx[onnxruntime]` and accelerate, which finds tied weights.

    python benchmarks/optimum_model.py CHECKPOINT FOLDER merged|two
    python benchmarks/optimum_model.py FLOAT32_FOLDER FOLDER int8

merged: one decoder with and without past in one file; two: one file each. int8: a folder of either kind, its matrices
quantised dynamically by ONNX Runtime.
"""

import os
import shutil
import sys
from pathlib import Path

# without these the export of a decoder of more than 2 GB fails half-way
os.environ |= {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python", "FORCE_ONNX_EXTERNAL_DATA": "1"}

from onnxruntime.quantization import QuantType, quantize_dynamic
from optimum.exporters.onnx import main_export

TASK = "text2text-generation-with-past"


def main() -> None:
    source, folder, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    shutil.rmtree(folder, ignore_errors=True)
    if kind == "int8":
        quantize(source, folder)
    else:
        export(source, folder, kind == "merged")


def export(checkpoint: Path, folder: Path, merged: bool) -> None:
    main_export(str(checkpoint), folder, task=TASK, no_post_process=not merged, do_validation=False)
    if merged:  # the parts that it was merged from
        for path in (*folder.glob("decoder_model.onnx*"), *folder.glob("decoder_with_past_model.onnx*")):
            path.unlink()


def quantize(source: Path, folder: Path) -> None:
    folder.mkdir()
    for path in source.iterdir():
        if path.suffix == ".json":
            shutil.copy(path, folder)
        elif path.suffix == ".onnx":
            quantize_dynamic(
                path, folder / path.name, weight_type=QuantType.QInt8, extra_options={"EnableSubgraph": True}
            )


if __name__ == "__main__":
    main()
