"""Open the four files as ONNX Runtime sessions."""

from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from quartet.errors import ManifestError, OptionError
from quartet.spec import CACHE_INITIALIZER, DECODER, EMBED_AND_LM_HEAD, ENCODER, MANIFEST_NAME, Manifest, file_entry


@dataclass(frozen=True)
class Sessions:
    """A loaded quartet."""

    manifest: Manifest
    embed_and_lm_head: ort.InferenceSession
    encoder: ort.InferenceSession
    cache_initializer: ort.InferenceSession
    decoder: ort.InferenceSession


def open_sessions(folder: Path, threads: int | None = None, verify: bool = False) -> Sessions:
    """Load the four files. `threads` per operator; None leaves the choice to ONNX Runtime (all physical cores).

    Sizes are always checked against the manifest, hashes with `verify`. Raises `ManifestError` where a file is
    missing, differs, or does not load.
    """
    if threads is not None and threads < 1:
        raise OptionError(f"threads is {threads}; 1 or more is expected")
    manifest = Manifest.load(folder)
    check_files(folder, manifest, verify)
    return Sessions(
        manifest,
        # in float32 the embedding needs the matrix as it is: a packed form for the head would be a second copy
        embed_and_lm_head=_open(folder, EMBED_AND_LM_HEAD, threads, prepacking=manifest.precision != "fp32"),
        encoder=_open(folder, ENCODER, threads),
        cache_initializer=_open(folder, CACHE_INITIALIZER, threads),
        decoder=_open(folder, DECODER, threads),
    )


def check_files(folder: Path, manifest: Manifest, hashes: bool) -> None:
    """Raise `ManifestError` naming the first file that is missing or is not what the manifest says."""
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ManifestError(f"{folder} is not complete: {name} is missing; convert the model again")
        size = path.stat().st_size
        if size != entry.bytes:
            raise ManifestError(f"{path} has {size} bytes, {MANIFEST_NAME} says {entry.bytes}; convert the model again")
        if hashes and file_entry(path) != entry:
            raise ManifestError(f"{path} is damaged: its SHA-256 differs from {MANIFEST_NAME}; convert the model again")


def _open(folder: Path, file: str, threads: int | None, prepacking: bool = True) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # the graphs are written with fused kernels, the optimiser finds nothing but costs time at load
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    # spinning threads make one run faster, but would compete with the next session's: a step was twice as long
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if threads is not None:
        options.intra_op_num_threads = threads
    if not prepacking:
        options.add_session_config_entry("session.disable_prepacking", "1")
    path = folder / f"{file}.onnx"
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a family of classes that share no public base
        raise ManifestError(f"{path} does not load: {str(error).splitlines()[0]}") from None
