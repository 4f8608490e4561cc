"""Weights packed for this machine, once, and mapped from there by every process that serves the model.

ONNX Runtime packs the matrices of its fast kernels when it loads a file, into memory of its own. It can also write what
it packed to a file and map that at the next load. How weights are packed depends on the CPU and on the version of ONNX
Runtime, so they are no part of a quartet: they lie in the cache folder, and are made anew where either has changed.
"""

import contextlib
import hashlib
import json
import logging
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quartet import derived, store
from quartet.arrays import Floats
from quartet.runtime.machine import pages
from quartet.spec import DECODER, Manifest
from quartet.staging import remove_abandoned, remove_at_once, staged_folder

log = logging.getLogger("quartet")

LAYOUT = 6  # of this cache; to be raised where its contents change
SMALLEST = 32 << 20  # bytes of weights below which packing costs nothing worth keeping
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of glibc's `mallopt`
KEPT_BYTES = 512 << 20  # of memory that is free at its end
LARGEST_KEPT = 32 << 20  # bytes of an array; glibc takes no larger ones from what it keeps

MOST_MACHINES = 4  # whose packs of a model are kept
PACK = re.compile(r"[0-9a-f]{12}-[0-9a-f]{12}")  # name of a folder: hashes of the weights and of the machine
UNUSABLE = "unusable"  # a file in place of packed weights that give other results

FLOAT_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}

Products = Literal["blocks", "rows"]  # as they are stored, or for many rows: see `graph.row_products`
Adapt = Callable[[ort.SessionOptions], None]
Load = Callable[[Path, str, Adapt], ort.InferenceSession]


def packed_folder(folder: Path, manifest: Manifest, use: str) -> Path | None:
    """Where this machine's packed weights of a quartet lie, made already or not; None: none are worth keeping.

    use: a name for which files they are of, and with which products.

    In float32 they would be another copy of a large model for nothing: its matrices are used as they are.
    """
    if manifest.precision == "fp32" or sum(entry.bytes for entry in manifest.files.values()) < SMALLEST:
        return None
    weights = _short_hash({name: entry.sha256 for name, entry in manifest.files.items()})
    machine = _short_hash([LAYOUT, ort.__version__, _cpu()])
    return store.packed_folder(folder) / f"{weights}-{machine}" / use


def _short_hash(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def pack(
    folder: Path,
    packed: Path,
    files: Mapping[str, Products],
    load: Load,
    check: Callable[[], None],
    *,
    verify: bool = False,
) -> str | None:
    """Fill `packed` with the weights of the quartet in `folder`, unless it is there; why not, where that does not work.

    files: which ones, and what their products are to be. load: opens one file of a folder, with session options that
    the function it is given was applied to. check: raises `ManifestError` where what is in `folder` is damaged; it is
    called before anything is packed, since nobody would see the damage afterwards. verify: look at every byte of what
    is there, else at some of them (`derived.damage`). What has changed is removed and made again.

    It does not work for want of space or rights, or because ONNX Runtime gives other results with the weights that it
    saved (1.29 does): they are tried before they are used. Processes that race pack twice, and the
    first one's folder stays.
    """
    if not _is_there(packed, files, verify):
        check()
        try:
            with staged_folder(packed) as staging:
                work = staging.with_name("work")
                work.mkdir()
                _fill(folder, staging, work, files, load)
                derived.seal(staging, _identity(packed))
            if damage := _damage(packed, files, verify):
                raise OSError(f"{damage}, and it cannot be removed")
            _remove_stale(packed.parent)
        except Exception as error:  # a disk that is full shows as one of ONNX Runtime's own classes
            why = next(iter(str(error).splitlines()), type(error).__name__)
            return f"no packed weights can be kept in {packed.parent}, so {folder.name} is slower: {why}"
        finally:
            trim()
    if (packed / UNUSABLE).exists():
        version = f"ONNX Runtime {ort.__version__}"
        return f"{version} reads weights that it has packed as others, so {folder.name} is slower; another one may not"
    with contextlib.suppress(OSError):
        os.utime(packed.parent)  # when it was last used
    return None


def _is_there(packed: Path, files: Mapping[str, Products], verify: bool) -> bool:
    """Whether what was packed is there as it was made; what is not is removed."""
    if not packed.is_dir():
        return False
    damage = _damage(packed, files, verify)
    if damage is None:
        return True
    log.warning("packed weights are damaged and are made again: in %s, %s", packed, damage)
    remove(packed)
    return False


def _damage(packed: Path, files: Mapping[str, Products], verify: bool) -> str | None:
    needed = () if (packed / UNUSABLE).exists() else [f"{file}.onnx" for file in files]
    return derived.damage(packed, _identity(packed), needed, wholly=verify)


def remove(packed: Path) -> None:
    """Remove what is derived from a model, whoever may have opened it; where that does not work, it stays."""
    with contextlib.suppress(OSError):
        remove_at_once(packed)


def _identity(packed: Path) -> str:
    """What packed weights are derived from, by the names of their folders: another model's are of no use."""
    return "/".join(packed.parts[-3:])


def _fill(folder: Path, staging: Path, work: Path, files: Mapping[str, Products], load: Load) -> None:
    """Write packed files to `staging`, or a mark that they are not to be used. work: a folder for what goes again."""
    expected = []
    for file, products in files.items():
        source = _rewritten(folder, file, products, work)
        expected.append(_probe(load(source, file, _saving(staging, file))))
    _lay_out([staging / f"{file}.onnx" for file in files])
    for path in staging.glob("*.data"):
        pages.forget(path)  # written piece by piece, it lies in small pages; a load reads it in large ones
    found = (_probe(load(staging, file, as_it_is)) for file in files)
    if not all(map(_same, expected, found)):
        for path in staging.iterdir():
            path.unlink()
        (staging / UNUSABLE).touch()


def _rewritten(folder: Path, file: str, products: Products, out: Path) -> Path:
    """The folder with the graph as our own runtime wants it, before it is packed."""
    if products == "blocks" and file != DECODER:
        return folder
    from quartet.runtime.machine.rewrite import write_for_this_machine  # noqa: PLC0415 - onnx_ir is slow to import

    write_for_this_machine(folder, file, out, row_products=products == "rows")
    return out


def _lay_out(paths: list[Path]) -> None:
    from quartet.runtime.machine.page_layout import lay_out_in_large_pages  # noqa: PLC0415 - onnx is slow to import

    for path in paths:
        lay_out_in_large_pages(path)


def _probe(session: ort.InferenceSession) -> list[Floats]:
    """The outputs for inputs made up: every dimension that is open is 1."""
    random = np.random.default_rng(0)
    inputs: dict[str, NDArray[np.generic]] = {}
    for value in session.get_inputs():
        shape = [dim if isinstance(dim, int) else 1 for dim in value.shape]
        inputs[value.name] = np.ones(shape, np.int64)
        if value.type in FLOAT_TYPES:
            inputs[value.name] = random.standard_normal(shape, np.float32).astype(FLOAT_TYPES[value.type])
    outputs: list[Floats] = session.run(None, inputs)
    return outputs


def _same(some: list[Floats], others: list[Floats]) -> bool:
    return all(np.array_equal(one, other, equal_nan=True) for one, other in zip(some, others, strict=True))


def as_it_is(_: ort.SessionOptions) -> None:
    """No change to session options."""


def _saving(folder: Path, file: str) -> Adapt:
    def apply(options: ort.SessionOptions) -> None:
        options.optimized_model_filepath = str(folder / f"{file}.onnx")
        for key, value in (
            ("session.optimized_model_external_initializers_file_name", f"{file}.onnx.data"),
            ("session.optimized_model_external_initializers_min_size_in_bytes", "1024"),
            ("session.save_external_prepacked_constant_initializers", "1"),
        ):
            options.add_session_config_entry(key, value)

    return apply


def _remove_stale(own: Path) -> None:
    """What the same folder had packed before it was converted again, and all but the packs of the machines used last.

    Machines, and versions of ONNX Runtime, that share a home keep their packs side by side.
    """
    remove_abandoned(own)
    others = [other for other in own.parent.iterdir() if other != own and PACK.fullmatch(other.name)]
    same_weights = [other for other in others if other.name.partition("-")[0] == own.name.partition("-")[0]]
    sealed = [other for other in same_weights if any(map(derived.is_marked, other.iterdir()))]
    sealed.sort(key=lambda other: other.stat().st_mtime_ns, reverse=True)
    for other in set(others) - set(sealed[: MOST_MACHINES - 1]):
        remove(other)


def _cpu() -> str:
    """What decides how weights are packed: the instructions that the CPU has."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("flags", "Features"):
                return " ".join(sorted(value.split()))
    return f"{platform.machine()} {platform.processor()}"


def keep_freed() -> None:
    """Let the C library (glibc) keep memory that is freed, until `trim`.

    Each step of a batch wants the tens of megabytes again that the one before has freed, and pages that come anew from
    the system made it 14 % slower (NLLB-600M's shape, 16 rows).
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            library = pages.c_library()
            library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
            library.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)


def share_freed() -> None:
    """Let all threads of the process, as many as a server has, keep what is freed together (glibc).

    Each would have a heap of its own, up to eight for a core: with 32 clients 90 MB more (docs/log.md).
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            pages.c_library().mallopt(M_ARENA_MAX, 1)


def trim() -> None:
    """Give memory that was freed back to the system, where the C library keeps it (glibc)."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            pages.c_library().malloc_trim(0)
