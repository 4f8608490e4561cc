"""The files of a quartet as ONNX Runtime sessions, and a model as one batch sees it."""

import contextlib
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime as ort

from quartet.arrays import Ids
from quartet.errors import ManifestError
from quartet.runtime import forking
from quartet.runtime.machine import packing, pages
from quartet.runtime.matrix import MatrixRows
from quartet.spec import LM_HEAD, PAST_LENGTH, Manifest, past_name


@dataclass(frozen=True)
class OpenFile:
    """A session, and where its weights are mapped for as long as it lives.

    Nobody else knows these addresses, and whoever calls a method holds the session: so they are still its own.
    """

    session: ort.InferenceSession
    _mappings: pages.Mappings = ()

    def give_back(self) -> None:
        """Let go of pages that will not be read for a while."""
        pages.give_back(self._mappings)

    def want_large(self) -> None:
        """Ask for large pages where those that went are read again."""
        pages.want_large(self._mappings)


class Residency:
    """Which of a model's mapped weights stay in memory: those that encoding reads, or those that decoding reads.

    While others decode or encode at the same time, all of them. It holds the sessions, so that what it gives back is
    theirs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._encoding: list[OpenFile] = []
        self._decoding: list[OpenFile] = []
        self._encoders = 0  # that run at the moment
        self._decoders: weakref.WeakSet[object] = weakref.WeakSet()  # states of batches that are being decoded

    def add(self, encoding: tuple[OpenFile, ...] = (), decoding: tuple[OpenFile, ...] = ()) -> None:
        """Count further files among those that are read while encoding, or while decoding."""
        with self._lock:
            self._encoding += encoding
            self._decoding += decoding

    @contextlib.contextmanager
    def encoding(self) -> Iterator[None]:
        """While a batch is encoded."""
        with self._lock:
            self._encoders += 1
            if self._encoders == 1 and not self._decoders:
                self._give_back(self._decoding)
        try:
            yield
        finally:
            with self._lock:
                self._encoders -= 1
                if not self._encoders:
                    self._give_back(self._encoding)

    def decodes(self, state: object) -> None:
        """A batch is decoded for as long as its state lives."""
        with self._lock:
            self._decoders.add(state)

    def give_back(self) -> None:
        """Let go of all that can be read again, where nobody is at it."""
        with self._lock:
            if not self._encoders and not self._decoders:
                self._give_back(self._encoding)
                self._give_back(self._decoding)

    @staticmethod
    def _give_back(files: list[OpenFile]) -> None:
        for file in files:
            file.give_back()


@dataclass(frozen=True)
class Model:
    """A model as one batch sees it: with the decoder and the LM head that are the right ones for it."""

    manifest: Manifest
    embedding: MatrixRows
    candidates: MatrixRows | None  # rows of the head to score once more; None: its logits are final
    encoder: ort.InferenceSession
    cache_initializer: ort.InferenceSession
    decoder: ort.InferenceSession
    lm_head: ort.InferenceSession
    head_rows: Ids | None = None  # ids of the tokens that `lm_head` scores, ascending; None: all of them
    residency: Residency = field(default_factory=Residency)
    cache_in_place: bool = field(init=False)  # the decoder writes into its own cache (`machine.in_place`)
    cache_dtype: type[np.float16] | type[np.float32] = field(init=False)  # of that cache
    head_ids: dict[int, int] = field(init=False)  # the head's own numbers of its tokens, where it does not have all

    def __post_init__(self) -> None:
        """Look once at what the decoder takes.

        Not `cached_property`: in Python 3.11 all objects of a class share its lock, which another thread may hold while
        the process forks.
        """
        types = {value.name: value.type for value in self.decoder.get_inputs()}
        half = types.get(past_name(0, "decoder", "key")) == "tensor(float16)"
        rows = () if self.head_rows is None else self.head_rows.tolist()
        object.__setattr__(self, "cache_in_place", PAST_LENGTH in types)
        object.__setattr__(self, "cache_dtype", np.float16 if half else np.float32)
        object.__setattr__(self, "head_ids", {row: place for place, row in enumerate(rows)})

    @property
    def head_size(self) -> int:
        """How many tokens the head scores."""
        return self.manifest.shapes.vocab_size if self.head_rows is None else len(self.head_rows)

    def model_ids(self, head_ids: Ids) -> Ids:
        """The model's ids of tokens that the head numbers by its own rows."""
        return head_ids if self.head_rows is None else self.head_rows[head_ids]


def open_file(
    folder: Path,
    file: str,
    manifest: Manifest,
    threads: int | None,
    *,
    adapt: packing.Adapt = packing.as_it_is,
    arena: bool = False,
) -> OpenFile:
    """Open one graph of a folder. threads: per operator, None for all physical cores. Raises `ManifestError`.

    adapt: changes session options. arena: whether memory is kept from run to run.
    """
    options = _options(file, manifest, threads, arena)
    adapt(options)
    pages.read_in_large_pages(folder / f"{file}.onnx.data")
    return OpenFile(_session(folder / f"{file}.onnx", options))


def open_packed(packed: Path, file: str, manifest: Manifest, threads: int | None, *, arena: bool = False) -> OpenFile:
    """The same of a folder of packed weights, whose pages are let go of while nobody reads them.

    In other folders ONNX Runtime maps next to nothing: it packs the matrices into memory of its own.
    """
    options = _options(file, manifest, threads, arena)
    graph, data = f"{file}.onnx", f"{file}.onnx.data"
    pages.read_in_large_pages(packed / data)
    names = [name for name in (graph, data) if (packed / name).is_file()]
    with pages.own_names(packed, names) as folder:
        try:
            session = _session(folder / graph, options)
        except ManifestError:  # perhaps for the second name
            return OpenFile(_session(packed / graph, options))
        opened = OpenFile(session, pages.mappings_of(folder / data) if folder != packed else ())
    opened.give_back()  # it looked at all weights while loading: until they are used they need not count
    opened.want_large()
    return opened


def _options(file: str, manifest: Manifest, threads: int | None, arena: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    # the graphs are written with fused kernels, the optimiser finds nothing but costs time at load
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    # a step of few rows is 3 % faster with an arena; but it would keep the memory of the largest batch for ever
    options.enable_cpu_mem_arena = options.enable_mem_pattern = arena
    # spinning threads make one run faster, but would compete with the next session's: a step was twice as long
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if threads is not None:
        options.intra_op_num_threads = threads
    if file == LM_HEAD and manifest.precision == "fp32":
        # the mapped matrix is used as it is: packing it would be a copy
        options.add_session_config_entry("session.disable_prepacking", "1")
    return options


def _session(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    try:
        with forking.opening():
            # a second try with the same provider would fail as the first one, and print to stdout that it is made
            session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # ONNX Runtime raises a family of classes that share no public base
        raise ManifestError(f"{path} does not load: {str(error).splitlines()[0]}") from None
    session.disable_fallback()  # after some errors it would open the file anew, under the same object
    return session
