"""Open the four files as ONNX Runtime sessions."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import onnxruntime as ort

from quartet.arrays import Floats, Ids
from quartet.errors import ManifestError, OptionError
from quartet.runtime.machine import packing, pages
from quartet.runtime.machine.head_selection import load_rows, selected_head
from quartet.runtime.matrix import MatrixRows
from quartet.spec import (
    CACHE_INITIALIZER,
    DECODER,
    ENCODER,
    LM_HEAD,
    MANIFEST_NAME,
    PAST_LENGTH,
    Language,
    Manifest,
    file_entry,
)

ONE_TOKEN_FORMATS = ("1.0", "1.1")  # whose decoders take one token at a time
OPENED = (ENCODER, CACHE_INITIALIZER, DECODER, LM_HEAD)
ENCODING = (ENCODER, CACHE_INITIALIZER)  # a source is many rows to them
MANY_ROWS = 8  # from here on int8 products are faster than those of the stored blocks

Opened = tuple[ort.InferenceSession, pages.Pages]  # a file, and where its weights are mapped
ForManyRows = Callable[[], Opened | None]


@dataclass(frozen=True)
class Sessions:
    """A loaded quartet."""

    manifest: Manifest
    embedding: MatrixRows
    candidates: MatrixRows | None  # rows of the head to score once more; None: its logits are final
    lm_head: ort.InferenceSession
    encoder: ort.InferenceSession
    cache_initializer: ort.InferenceSession
    decoder: ort.InferenceSession
    encoding_pages: pages.Pages  # weights that only encoding reads
    decoder_pages: pages.Pages  # weights that only decoding reads, of `decoder`
    lm_head_pages: pages.Pages
    many_decoder: ForManyRows  # opens the decoder for many rows, at the first call; None: there is none
    many_lm_head: ForManyRows
    keeps_pages: bool = False  # others use it at the same time: no page of its weights may be given back
    rows: Ids | None = None  # of the whole head, those that `lm_head` has, ascending; None: all of them
    for_few_rows: "Sessions | None" = None  # the same model, where this one is for many

    @cached_property
    def cache_in_place(self) -> bool:
        """Whether the decoder writes into its own cache (`graph.in_place`), or returns another one."""
        return any(value.name == PAST_LENGTH for value in self.decoder.get_inputs())

    @property
    def head_size(self) -> int:
        """How many tokens the head scores."""
        return self.manifest.shapes.vocab_size if self.rows is None else len(self.rows)

    def whole_ids(self, ids: Ids) -> Ids:
        """The model's ids of tokens that the head numbers by its own rows."""
        return ids if self.rows is None else self.rows[ids]

    def rows_from(self, first: int) -> Floats:
        """The head's rows [n, d] from `first` on, in float32; read once. The head must have a second plane."""
        if first not in self._rows_read:
            assert self.candidates is not None
            self._rows_read[first] = self.candidates.read(np.arange(first, self.manifest.shapes.vocab_size))
        return self._rows_read[first]

    @cached_property
    def _rows_read(self) -> dict[int, Floats]:
        return {}

    @cached_property
    def places(self) -> dict[int, int]:
        """The head's own numbers of the tokens that it has, by the model's ids; only where it does not have all."""
        return {} if self.rows is None else {row: place for place, row in enumerate(self.rows.tolist())}

    @property
    def decoding_pages(self) -> pages.Pages:
        """Weights that only decoding reads, for many rows or few, and that may be given back."""
        if self.keeps_pages:
            return ()
        others = self.for_few_rows.decoding_pages if self.for_few_rows else ()
        return self.decoder_pages + self.lm_head_pages + others

    def for_rows(self, rows: int) -> "Sessions":
        """The same model, with the decoder and head that are the faster ones for so many rows."""
        return self if rows < MANY_ROWS else self._for_many_rows

    @cached_property
    def _for_many_rows(self) -> "Sessions":
        decoder, lm_head = self.many_decoder(), self.many_lm_head()
        if decoder is None or lm_head is None:
            return self
        return replace(
            self,
            decoder=decoder[0],
            lm_head=lm_head[0],
            decoder_pages=decoder[1],
            lm_head_pages=lm_head[1],
            for_few_rows=self,
        )


def open_sessions(folder: Path, threads: int | None = None, verify: bool = False) -> Sessions:
    """Load the four files. `threads` per operator; None leaves the choice to ONNX Runtime (all physical cores).

    Sizes are always checked against the manifest, hashes with `verify`. Raises `ManifestError` where a file is
    missing, differs, or does not load.
    """
    if threads is not None and threads < 1:
        raise OptionError(f"threads is {threads}; 1 or more is expected")
    manifest = Manifest.load(folder)
    if manifest.layout != "quartet":
        raise ManifestError(f"{folder} has the layout {manifest.layout}, for other programs; convert without --layout")
    check_files(folder, manifest, verify)
    packing.keep_freed()
    if manifest.embedding is None or manifest.lm_head is None or manifest.format_version in ONE_TOKEN_FORMATS:
        raise ManifestError(f"{folder} was made by an older quartet; convert the model again")
    encoding: packing.Products = "rows" if _many_rows_pay(manifest) else "blocks"
    packed = _packed(folder, manifest, threads, "few", {f: encoding if f in ENCODING else "blocks" for f in OPENED})
    try:
        return _load(folder, packed or folder, manifest, threads)
    except ManifestError:
        if packed is None:
            raise
        shutil.rmtree(packed, ignore_errors=True)  # damaged; the next load makes it anew
        return _load(folder, folder, manifest, threads)


def for_several_callers(model: Sessions) -> Sessions:
    """The same model; none of its weights leave memory, since one caller may decode while another encodes."""
    return replace(model, encoding_pages=(), keeps_pages=True)


def _load(folder: Path, weights: Path, manifest: Manifest, threads: int | None) -> Sessions:
    """Sessions over the weights in `weights`: the quartet's own folder, or what was packed from it."""
    assert manifest.embedding is not None
    assert manifest.lm_head is not None
    with ThreadPoolExecutor(2) as pool:  # ONNX Runtime packs weights on one core
        encoder, cache_initializer, decoder, lm_head = pool.map(
            lambda file: _open(weights, file, threads, manifest, arena=_few_rows(file, manifest)), OPENED
        )
    return Sessions(
        manifest,
        embedding=MatrixRows(folder, manifest.embedding),
        candidates=MatrixRows(folder, manifest.lm_head) if manifest.lm_head.residual is not None else None,
        lm_head=lm_head[0],
        encoder=encoder[0],
        cache_initializer=cache_initializer[0],
        decoder=decoder[0],
        encoding_pages=encoder[1] + cache_initializer[1],
        decoder_pages=decoder[1],
        lm_head_pages=lm_head[1],
        many_decoder=_for_many_rows(folder, DECODER, threads, manifest),
        many_lm_head=_for_many_rows(folder, LM_HEAD, threads, manifest),
    )


def _many_rows_pay(manifest: Manifest) -> bool:
    """Whether int8 products with 7-bit weights are as good as the stored ones: 8 bits lose by them (docs/log.md)."""
    return manifest.precision == "int4"


def _few_rows(file: str, manifest: Manifest) -> bool:
    """Whether a session has few rows at a time, since there is another one for many."""
    return file not in ENCODING and _many_rows_pay(manifest)


def _for_many_rows(folder: Path, file: str, threads: int | None, manifest: Manifest) -> ForManyRows:
    @cache
    def opened() -> Opened | None:
        if not _many_rows_pay(manifest):
            return None
        packed = _packed(folder, manifest, threads, f"many-{file}", {file: "rows"})
        if packed is None:
            return None
        try:
            return _open(packed, file, threads, manifest)
        except ManifestError:
            shutil.rmtree(packed, ignore_errors=True)  # damaged; the next process makes it anew
            return None

    return opened


def select_head(
    model: Sessions, folder: Path, target: Language | None, texts: Sequence[Path], threads: int | None = None
) -> Sessions:
    """The model with a head of only those rows that a target language needs (`vocabulary.head.selected_head`)."""
    return with_head(model, selected_head(folder, model.manifest, target, texts), threads)


def with_head(model: Sessions, made: Path, threads: int | None = None) -> Sessions:
    """The model with another head, of some rows of its own, from the folder where it was made."""
    weights = _packed(made, model.manifest, threads, "few", {LM_HEAD: "blocks"}) or made
    lm_head, mapped = _open(weights, LM_HEAD, threads, model.manifest, arena=_few_rows(LM_HEAD, model.manifest))
    return replace(
        model,
        lm_head=lm_head,
        lm_head_pages=mapped,
        many_lm_head=_for_many_rows(made, LM_HEAD, threads, model.manifest),
        rows=load_rows(made),
    )


def _packed(
    folder: Path, manifest: Manifest, threads: int | None, use: str, files: Mapping[str, packing.Products]
) -> Path | None:
    """The folder with weights packed for this machine, made where it is missing; None: the model has to do without.

    use: a name for what these files are opened for.
    """
    packed = packing.packed_folder(folder, manifest, use)
    if packed is None:
        return None

    def load(where: Path, file: str, adapt: packing.Adapt) -> ort.InferenceSession:
        return _open(where, file, threads, manifest, adapt)[0]

    return packed if packing.pack(folder, packed, files, load) else None


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


def _open(
    folder: Path,
    file: str,
    threads: int | None,
    manifest: Manifest,
    adapt: packing.Adapt = packing.as_it_is,
    arena: bool = False,
) -> Opened:
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
    adapt(options)
    path, data = folder / f"{file}.onnx", folder / f"{file}.onnx.data"
    pages.read_in_large_pages(data)
    try:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a family of classes that share no public base
        raise ManifestError(f"{path} does not load: {str(error).splitlines()[0]}") from None
    # it looked at all weights while loading: until they are used they need not count
    mapped = pages.mapped_pages([data])
    pages.give_back(mapped)
    pages.want_large(mapped)
    return session, mapped
