"""Exports that Optimum really made, out of their archives (`tests/fixtures/make_optimum_export.py`)."""

import tarfile
from pathlib import Path

import onnx

FIXTURES = Path(__file__).parent / "fixtures"


def unpacked(name: str, folder: Path, decoders: str = "") -> Path:
    """The export in `folder`; decoders: keep only the `two`, or only the `merged` one."""
    with tarfile.open(FIXTURES / f"optimum-{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    for file in folder.glob("decoder*.onnx"):
        if decoders and ("merged" in file.name) != (decoders == "merged"):
            file.unlink()
    return folder


def with_external_data(path: Path) -> Path:
    """The file with its weights in another one, as in exports of more than 2 GB; returns that one."""
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location=f"{path.name}_data", size_threshold=0)
    return path.with_name(f"{path.name}_data")
