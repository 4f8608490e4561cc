"""`Engine`: an open model that any number of callers share, from any number of threads.

Its life: `open_engine` opens a folder, or gives out what is open already in this process; it is shared by all who hold
it; with the last one who lets go of it, sessions, memory and files are given back at once.
"""

import ctypes
import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnxruntime as ort

from quartet.arrays import Ids
from quartet.errors import ForkedError, ManifestError, OutputError
from quartet.options.declared import MODEL
from quartet.options.kinds import checked
from quartet.runtime.batching import Batching
from quartet.runtime.contract import check_graphs
from quartet.runtime.machine import packing
from quartet.runtime.machine.head_selection import check_head, load_rows
from quartet.runtime.matrix import MatrixRows
from quartet.runtime.model import Model, OpenFile, Residency, open_file, open_packed
from quartet.runtime.requests import Pending, Request, Result, batches_by_length
from quartet.spec import (
    CACHE_INITIALIZER,
    DECODER,
    ENCODER,
    LM_HEAD,
    MANIFEST_NAME,
    NOT_HASHED,
    Manifest,
    file_entry,
    file_in,
)

ONE_TOKEN_FORMATS = ("1.0", "1.1")  # whose decoders take one token at a time
OPENED = (ENCODER, CACHE_INITIALIZER, DECODER, LM_HEAD)
ENCODING = (ENCODER, CACHE_INITIALIZER)  # a source is many rows to them
MANY_ROWS = 8  # from here on int8 products are faster than those of the stored blocks

log = logging.getLogger("quartet")


class Packs:
    """Weights packed for this machine, of a model and of what is made of it."""

    def __init__(self, manifest: Manifest, verify: bool) -> None:
        """verify: look at every byte of what was packed."""
        self._manifest, self._verify = manifest, verify
        self._told = False  # that something cannot be packed; once is enough

    def get(self, folder: Path, threads: int | None, use: str, files: Mapping[str, packing.Products]) -> Path | None:
        """The folder with packed weights, made where it is missing; None: the model has to do without.

        use: a name for what these files are opened for. Raises `ManifestError` where packing finds the files damaged.
        """
        try:
            packed = packing.packed_folder(folder, self._manifest, use)
        except OutputError as error:  # no home
            self._tell(f"no packed weights can be kept, so {folder.name} is slower: {error}")
            return None
        if packed is None:
            return None

        def load(where: Path, file: str, adapt: packing.Adapt) -> ort.InferenceSession:
            return open_file(where, file, self._manifest, threads, adapt=adapt).session

        def check() -> None:
            if (folder / MANIFEST_NAME).exists():
                check_files(folder, self._manifest, hashes=True)
            elif folder.is_dir():  # else the cache was cleared meanwhile, and what is open has to do
                check_head(folder)

        why_not = packing.pack(folder, packed, files, load, check, verify=self._verify)
        if why_not:
            self._tell(why_not)
        return None if why_not else packed

    def _tell(self, why_not: str) -> None:
        if not self._told:
            log.warning("%s", why_not)
        self._told = True


class Sessions:
    """The four files opened with one number of threads; further forms of them are opened when they are first wanted."""

    def __init__(self, folder: Path, manifest: Manifest, threads: int | None, packs: Packs) -> None:
        """Raises `ManifestError` where a file does not load."""
        self._folder, self._manifest, self._threads, self._packs = folder, manifest, threads, packs
        self._lock = threading.Lock()
        self._many: dict[Path, OpenFile | None] = {}  # by the folder and file that they are made of
        self._heads: dict[Path, tuple[OpenFile, Ids]] = {}  # by the folder that a selected head is in
        self.residency = Residency()
        self.encoder, self.cache_initializer, self.decoder, self.lm_head = _open_all(folder, manifest, threads, packs)
        self.residency.add((self.encoder, self.cache_initializer), (self.decoder, self.lm_head))

    def decoder_for(self, rows: int) -> OpenFile:
        """The decoder that is the faster one for so many rows."""
        return self._many_rows(self._folder, DECODER, rows) or self.decoder

    def lm_head_for(self, rows: int, head: Path | None) -> tuple[OpenFile, Ids | None]:
        """The head that is the right one for so many rows, and the ids of its own rows; None: it has all of them.

        head: the folder of a selected one; None: the whole one.
        """
        if head is None:
            return self._many_rows(self._folder, LM_HEAD, rows) or self.lm_head, None
        with self._lock:
            if head not in self._heads:
                self._heads[head] = self._open_head(head)
            few, ids = self._heads[head]
        return self._many_rows(head, LM_HEAD, rows) or few, ids

    def _open_head(self, head: Path) -> tuple[OpenFile, Ids]:
        packed = self._packs.get(head, self._threads, "few", {LM_HEAD: "blocks"})
        few = _open(packed, head, LM_HEAD, self._manifest, self._threads)
        self.residency.add(decoding=(few,))
        return few, load_rows(head)

    def _many_rows(self, folder: Path, file: str, rows: int) -> OpenFile | None:
        if rows < MANY_ROWS or not _many_rows_pay(self._manifest) or self._manifest.speech is not None:
            return None
        key = folder / file
        with self._lock:
            if key not in self._many:
                self._many[key] = opened = _open_for_many_rows(folder, file, self._manifest, self._threads, self._packs)
                packing.trim()  # opening has freed much of what it took
                self.residency.add(decoding=(opened,) if opened else ())
            return self._many[key]

    def opened(self) -> list[ort.InferenceSession]:
        """All sessions, of whatever form."""
        files = [self.encoder, self.cache_initializer, self.decoder, self.lm_head]
        files += [head for head, _ in self._heads.values()] + [file for file in self._many.values() if file]
        return [file.session for file in files]


class Engine:
    """An open model. `model` gives what a batch is computed with; what is slow to open is opened once, for everyone."""

    def __init__(self, folder: Path, manifest: Manifest, threads: int | None, verify: bool = False) -> None:
        """Use `open_engine`, which shares what is open."""
        if manifest.embedding is None or manifest.lm_head is None:
            raise ManifestError(f"{folder} was made by an older quartet; convert the model again")
        self.folder, self.manifest, self.threads, self.verify = folder, manifest, threads, verify
        check_graphs(folder, manifest)
        self.process = os.getpid()
        self.selecting = threading.Lock()  # held by whoever makes a head for a language
        self._lock = threading.Lock()
        self._embedding = MatrixRows(folder, manifest.embedding)
        two_planes = manifest.lm_head.residual is not None
        self._candidates = MatrixRows(folder, manifest.lm_head) if two_planes else None
        self._packs = Packs(manifest, verify)
        self._alone = Sessions(folder, manifest, threads, self._packs)
        self._parallel: Sessions | None = None  # with fewer threads, for two callers at a time
        self._models: dict[tuple[object, ...], Model] = {}  # that were asked for

    def model(self, rows: int = 1, head: Path | None = None, *, parallel: bool = False) -> Model:
        """The model for a batch of so many rows (sources times beams).

        head: the folder of a head that was selected for a language (`machine.head_selection`); None: the whole one.
        parallel: with the sessions for two batches at a time, which `open_parallel` has opened. Raises `ForkedError`.
        """
        self._check_process()
        sessions = self._parallel if parallel and self._parallel else self._alone
        decoder, (lm_head, head_rows) = sessions.decoder_for(rows), sessions.lm_head_for(rows, head)
        key = sessions is self._parallel, head, id(decoder), id(lm_head)
        found = self._models.get(key)
        if found is None:  # two threads may both make it: it is the same
            found = self._models[key] = Model(
                self.manifest,
                embedding=self._embedding,
                candidates=self._candidates,
                encoder=sessions.encoder.session,
                cache_initializer=sessions.cache_initializer.session,
                decoder=decoder.session,
                lm_head=lm_head.session,
                head_rows=head_rows,
                residency=sessions.residency,
            )
        return found

    @property
    def takes_two(self) -> bool:
        """Whether two batches at a time are worth their while.

        In float32 there would be the weights twice; windows of audio are decoded in one batch.
        """
        is_text = self.manifest.precision != "fp32" and self.manifest.speech is None
        return is_text and threads_of_each(self.threads) > 0

    def open_parallel(self, worth_it: bool) -> bool:
        """Whether two batches may run at a time; opens the sessions for it only where that is worth it.

        They have a thread less each, so that both together have as many as were asked for.
        """
        if not self.takes_two:
            return False
        with self._lock:
            if self._parallel is None and worth_it:
                self._parallel = Sessions(self.folder, self.manifest, threads_of_each(self.threads), self._packs)
            opened = self._parallel is not None
        if opened:
            self._alone.residency.give_back()  # the other ones are read now
        return opened

    def submit(
        self,
        requests: Sequence[Request[Result]],
        batching: Batching = Batching(),  # noqa: B008  frozen
    ) -> list[Pending[Result]]:
        """Hand in rows to be decoded: each gives its result, its tokens as they come, or can be cancelled.

        Raises `ForkedError`.
        """
        self._check_process()
        return batches_by_length(self, requests, batching)

    def _check_process(self) -> None:
        """In a process that was forked the threads of the sessions are not there, and locks may be held for ever."""
        if os.getpid() != self.process:
            raise ForkedError("this was begun before the process forked; begin it anew in the new process")

    def keep_for_ever(self) -> None:
        """Let no session of this engine be destroyed: in a forked process that would wait for threads it has not."""
        for sessions in filter(None, (self._alone, self._parallel)):
            for session in sessions.opened():
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


# ---- opening and sharing --------------------------------------------------------------------------------------------


Key = tuple[Path, str, int | None, bool]  # folder, hash of its manifest, threads, whether all of it was verified


class _Opened:
    """The engines that are open in this process, for as long as somebody holds them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.opening: dict[Key, threading.Lock] = {}  # whoever wants the same model waits for it, and so has it once
        self.engines: weakref.WeakValueDictionary[Key, Engine] = weakref.WeakValueDictionary()

    def get(self, key: Key, make: Callable[[], Engine]) -> Engine:
        """What is open, or what `make` opens."""
        with self.lock:
            opening = self.opening.setdefault(key, threading.Lock())
        with opening:
            engine = self.engines.get(key)
            if engine is None:
                engine = self.engines[key] = make()
            return engine

    def forget_those_of_the_parent(self) -> None:
        """In a process that was forked: its threads are gone, so that no session can run or be destroyed."""
        for engine in list(self.engines.values()):
            engine.keep_for_ever()
        self.__init__()  # type: ignore[misc]


_opened = _Opened()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_opened.forget_those_of_the_parent)


def open_engine(folder: Path, threads: int | None = None, verify: bool = False) -> Engine:
    """The model in `folder`: opened, or what is open of it in this process with as many threads.

    threads: per operator; None leaves the choice to ONNX Runtime (all physical cores). Sizes and the hashes of
    graphs are always checked against the manifest, all hashes with `verify`, those of what is derived from the files
    too.
    Raises `OptionError`, and `ManifestError` where a file is missing, differs, or does not load.
    """
    threads = checked(MODEL["threads"], threads)
    manifest = Manifest.load(folder, verify)
    if manifest.layout != "quartet":
        raise ManifestError(f"{folder} has the layout {manifest.layout}, for other programs; convert without --layout")
    check_files(folder, manifest, verify)
    if manifest.format_version in ONE_TOKEN_FORMATS:
        raise ManifestError(f"{folder} was made by an older quartet; convert the model again")
    packing.keep_freed()
    key = folder.resolve(), file_entry(folder / MANIFEST_NAME).sha256, threads, verify
    return _opened.get(key, lambda: Engine(folder, manifest, threads, verify))


def of_this_process(engine: Engine) -> Engine:
    """The engine; in a process that was forked from the one that opened it, the same model opened anew."""
    return engine if engine.process == os.getpid() else open_engine(engine.folder, engine.threads, engine.verify)


def threads_of_each(threads: int | None) -> int:
    """Threads of sessions with two callers, so that together they are no more than `threads`; 0: there are too few.

    A session has its callers and as many threads more as it may have, less one. None: half of the logical cores, which
    are all of them where a core has two.
    """
    return threads - 1 if threads is not None else all_cores() // 2


def all_cores() -> int:
    """Logical cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_files(folder: Path, manifest: Manifest, hashes: bool) -> None:
    """Raise `ManifestError` naming the first file that is missing or is not what the manifest says.

    hashes: of all files. Those of graphs are checked in any case: they are small, and one that is damaged may load and
    fail while it runs.
    """
    for name, entry in manifest.files.items():
        path = file_in(folder, name)
        size = path.stat().st_size
        if size != entry.bytes:
            raise ManifestError(f"{path} has {size} bytes, {MANIFEST_NAME} says {entry.bytes}; convert the model again")
        is_graph = path.suffix == ".onnx" and entry.sha256 != NOT_HASHED  # not yet, while it is made
        if (hashes or is_graph) and file_entry(path) != entry:
            raise ManifestError(f"{path} is damaged: its SHA-256 differs from {MANIFEST_NAME}; convert the model again")


# ---- files ----------------------------------------------------------------------------------------------------------


def _open_all(folder: Path, manifest: Manifest, threads: int | None, packs: Packs) -> list[OpenFile]:
    """The four files for few rows, packed for this machine where that pays and works."""
    encoding: packing.Products = "rows" if _many_rows_pay(manifest) else "blocks"
    files: dict[str, packing.Products] = {file: encoding if file in ENCODING else "blocks" for file in OPENED}
    packed = packs.get(folder, threads, "few", files)

    def opened(file: str) -> OpenFile:
        return _open(packed, folder, file, manifest, threads, arena=_wants_arena(file, manifest))

    with ThreadPoolExecutor(2) as pool:  # ONNX Runtime packs weights on one core
        return list(pool.map(opened, OPENED))


def _open(
    packed: Path | None, folder: Path, file: str, manifest: Manifest, threads: int | None, *, arena: bool = False
) -> OpenFile:
    """A file of packed weights; the one in `folder`, which is slower, where there are none or they do not load."""
    if packed is not None:
        try:
            return open_packed(packed, file, manifest, threads, arena=arena)
        except ManifestError as error:
            _remove_unreadable(packed, error)
    return open_file(folder, file, manifest, threads, arena=arena)


def _open_for_many_rows(
    folder: Path, file: str, manifest: Manifest, threads: int | None, packs: Packs
) -> OpenFile | None:
    """A decoder or head with int8 products, packed for this machine; None where that does not work."""
    packed = packs.get(folder, threads, f"many-{file}", {file: "rows"})
    if packed is None:
        return None
    try:
        return open_packed(packed, file, manifest, threads)
    except ManifestError as error:
        _remove_unreadable(packed, error)
        return None


def _remove_unreadable(packed: Path, error: ManifestError) -> None:
    """The next process makes it anew."""
    if packed.is_dir():  # the first file that does not load says so for all
        log.warning("%s; slower kernels are used until the next start", str(error))
        packing.remove(packed)


def _many_rows_pay(manifest: Manifest) -> bool:
    """Whether int8 products with 7-bit weights are as good as the stored ones: 8 bits lose by them (docs/log.md)."""
    return manifest.precision == "int4"


def _wants_arena(file: str, manifest: Manifest) -> bool:
    """Whether a session keeps memory from run to run: the decoder of few rows, where there is another one for many."""
    return file == DECODER and _many_rows_pay(manifest)
