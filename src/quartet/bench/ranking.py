"""A whole ranking: every model at every precision, and the peers, on every test set; ranks, losses, choices."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from quartet import catalog, provision, store
from quartet.bench import cache, contest, quality
from quartet.bench import hardware as machine
from quartet.bench.choice import Limits, choose
from quartet.bench.contest import Entry
from quartet.bench.data import TestSet
from quartet.bench.faults import find_faults
from quartet.bench.measure import Measurement, Settings, measure, planner_of, work_of
from quartet.bench.quality import Judged, difference, judge, shared_ranks, signatures
from quartet.bench.rows import Choice, Ranking, Row, Text
from quartet.bench.worker import installed, peer_of
from quartet.checkpoint import open_checkpoint
from quartet.checkpoint.source_files import source_files
from quartet.errors import LanguageError, MeasurementError, OptionError, QuartetError
from quartet.progress import Progress, Stage, silent_stage
from quartet.spec import MANIFEST_NAME, Manifest
from quartet.translation.plan import Planner

FLOAT32 = "fp32"
QUARTET = "quartet"
BYTES = {"int4": 0.65, "int8": 1.1, FLOAT32: 4.0}  # per weight, for an estimate of what is not even downloaded
BESIDES = 150e6  # bytes of memory of a process without a model; others import more
BESIDES_OTHERS = 350e6

log = logging.getLogger("quartet")

Bar = Callable[[], AbstractContextManager[Stage]]


@dataclass(frozen=True)
class Candidate:
    """A model at one precision in one program."""

    model: str
    engine: str
    precision: str
    entry: Entry
    files: tuple[Path, ...]  # whose contents identify it
    disk: float  # MB
    memory: float  # MB, an estimate


@dataclass(frozen=True)
class _Task:
    """A row to be."""

    candidate: Candidate
    planner: Planner  # shared by all that runs the model
    test_set: TestSet
    key: str  # in the cache


@dataclass(frozen=True)
class _Measured:
    candidate: Candidate
    test_set: TestSet
    found: Measurement
    judged: Judged


def _no_bar() -> AbstractContextManager[Stage]:
    return nullcontext(silent_stage)


def rank(
    names: Sequence[str],
    precisions: Sequence[str],
    peers: Sequence[str],
    test_sets: Sequence[TestSet],
    settings: Settings,
    limits: Limits,
    *,
    comet: bool = False,
    bar: Bar = _no_bar,
) -> Ranking:
    """Measure what was not measured before, and compare.

    names: models as `catalog.resolve` knows them. peers: kinds of `peers/`. bar: how progress of the measuring is
    shown. What cannot be measured is left out with a line that says why. Everything is converted before anything is
    measured, so that the bar is about measuring alone.
    Raises `ModelNotFoundError` and `OptionError` before anything is measured, and `MeasurementError` where nothing
    could be.
    """
    skipped: list[str] = []
    texts = tuple(map(_text, test_sets))  # without sacrebleu this is the end
    for name in names:
        catalog.resolve(name)
    kinds = list(_installed(peers, skipped))
    tasks = list(_tasks(names, precisions, kinds, test_sets, settings, skipped))
    measured: dict[str, list[_Measured]] = {_pair(test_set): [] for test_set in test_sets}
    for one in _measure_all(tasks, settings, bar, skipped):
        measured[_pair(one.test_set)].append(one)
    nothing = not any(measured.values())
    for line in skipped[1:] if nothing else skipped:
        log.warning("left out: %s", line)
    if nothing:
        raise MeasurementError(f"nothing could be ranked: {skipped[0] if skipped else 'no models are named'}")
    rows: list[Row] = []
    choices: list[Choice] = []
    for test_set in test_sets:
        found = sorted(measured[_pair(test_set)], key=lambda one: -one.judged.quality.chrf)
        of_pair = list(_rows(found, test_set, comet))
        rows += of_pair
        choices.append(choose(_pair(test_set), of_pair, [one.judged for one in found], limits))
    return Ranking(machine.describe(), settings, texts, tuple(rows), tuple(choices), tuple(skipped))


# ---- who takes part -------------------------------------------------------------------------------------------------


def _installed(peers: Sequence[str], skipped: list[str]) -> Iterator[str]:
    """The kinds that can run here; raises `OptionError` for one that is not known."""
    for kind in peers:
        try:
            peer, variant = peer_of(kind)
        except LookupError as error:
            raise OptionError(f"--peers {kind}: {error.args[0]}") from None
        package = peer.PACKAGES[0]
        if installed((package,)):
            yield kind if kind.endswith(".py") else f"{kind.partition('-')[0]}-{variant}"
        else:
            skipped.append(f"{kind}: {package} is not installed (pip install {package})")


def _tasks(
    names: Sequence[str],
    precisions: Sequence[str],
    kinds: Sequence[str],
    test_sets: Sequence[TestSet],
    settings: Settings,
    skipped: list[str],
) -> Iterator[_Task]:
    """All that is to be measured, converted."""
    for name in names:
        try:
            planner, candidates = _candidates(name, precisions, kinds, skipped)
        except QuartetError as error:
            skipped.append(f"{name}: {error}")
            continue
        for test_set in test_sets:
            try:
                work_of(planner, replace(test_set, sources=test_set.sources[:1]))
            except LanguageError as error:
                skipped.append(f"{candidates[0].model}, {_pair(test_set)}: {error}")
                continue
            for candidate in candidates:
                key = cache.key_of(candidate.entry.kind, candidate.files, test_set, settings)
                yield _Task(candidate, planner, test_set, key)


def _candidates(
    name: str, precisions: Sequence[str], kinds: Sequence[str], skipped: list[str]
) -> tuple[Planner, list[Candidate]]:
    """Everything that runs a model, and the tokeniser that they share."""
    source = catalog.resolve(name)
    own = source.kind == "quartet"
    if own and source.folder:
        precisions = [Manifest.load(source.folder).precision]
    shown = source.folder.resolve().name if source.folder and name != catalog.DEMO else name
    found: list[Candidate] = []
    for precision in precisions:
        if _is_too_large(f"{name} {precision}", _estimate_unseen(name, precision), skipped):
            continue
        folder = provision.ready(name, None if own else precision)
        found.append(_quartet(shown, precision, folder))
    if not found:
        raise OptionError("no precision of it fits into memory")
    planner = planner_of(found[0].entry.folder)
    if kinds and own:
        skipped.append(f"{name}: is a quartet already; other programs need the checkpoint that it was made of")
    for kind in () if own else kinds:
        try:
            found.append(_of_peer(shown, kind, source))
        except QuartetError as error:
            skipped.append(f"{name}, {kind}: {error}")
    return planner, found


def _quartet(name: str, precision: str, folder: Path) -> Candidate:
    size = sum(file.bytes for file in Manifest.load(folder).files.values())
    entry, files = Entry(f"{name} {precision}", QUARTET, folder), (folder / MANIFEST_NAME,)
    return Candidate(name, QUARTET, precision, entry, files, size / 1e6, (size + BESIDES) / 1e6)


def _of_peer(name: str, kind: str, source: catalog.Source) -> Candidate:
    peer, variant = peer_of(kind)
    engine = Path(kind).stem if kind.endswith(".py") else kind.partition("-")[0]
    checkpoint, _ = provision.fetch(source)
    read = [path for path in source_files(checkpoint) if path.parent == checkpoint]
    folder = checkpoint
    if hasattr(peer, "make"):
        folder = cache.peers_folder() / provision.entry_name(source, Path(kind).name)
        folder.parent.mkdir(parents=True, exist_ok=True)
        contest.make(kind, checkpoint, folder)
        read = [path for path in folder.iterdir() if path.is_file()]
    read += [Path(kind)] if kind.endswith(".py") else []  # its code decides too
    weights = sum(math.prod(entry.shape) for entry in open_checkpoint(checkpoint).tensors.values())
    memory = (weights * peer.VARIANTS[variant] + BESIDES_OTHERS) / 1e6
    disk = sum(path.stat().st_size for path in read) / 1e6
    return Candidate(name, engine, variant, Entry(f"{name}, {kind}", kind, folder), tuple(read), disk, memory)


def _estimate_unseen(name: str, precision: str) -> float | None:
    """MB of memory that a model of the table of aliases will need; None where its size is not known."""
    found = next((alias for alias in catalog.aliases().values() if name in (alias.name, alias.repo)), None)
    if found is None or found.parameters is None or precision not in BYTES:
        return None
    return found.parameters * BYTES[precision] + BESIDES / 1e6


def _is_too_large(what: str, estimate: float | None, skipped: list[str]) -> bool:
    free = machine.available_memory()
    if estimate is None or free is None or estimate * 1e6 <= free:
        return False
    skipped.append(f"{what}: needs about {estimate:,.0f} MB of memory, {free / 1e6:,.0f} MB are free")
    return True


# ---- measuring ------------------------------------------------------------------------------------------------------


def _measure_all(tasks: Sequence[_Task], settings: Settings, bar: Bar, skipped: list[str]) -> Iterator[_Measured]:
    """What was measured before, then all the rest with a bar over it.

    A larger model takes more time, about in proportion to its bytes: these are its share of the bar.
    """
    new: list[_Task] = []
    for task in tasks:
        found = cache.load(task.key)
        if found is None:
            new.append(task)
        else:
            yield _judged(task, found)
    if not new:
        return
    whole, before = sum(task.candidate.disk for task in new), 0.0
    with bar() as stage:
        for number, task in enumerate(new, 1):
            what = f"{number} of {len(new)}: {task.candidate.entry.name}, {_pair(task.test_set)}"
            stage(what, before / whole)
            progress = _within(stage, what, before / whole, task.candidate.disk / whole)
            found = _measured(task, settings, progress, skipped)
            before += task.candidate.disk
            if found is not None:
                yield _judged(task, found)


def _within(stage: Stage, what: str, start: float, share: float) -> Progress:
    """Progress of one row as a share of the whole."""
    return lambda done, total: stage(what, start + share * done / total)


def _measured(task: _Task, settings: Settings, progress: Progress, skipped: list[str]) -> Measurement | None:
    candidate = task.candidate
    if _is_too_large(candidate.entry.name, candidate.memory, skipped):
        return None
    work = work_of(task.planner, task.test_set, peer_of(candidate.entry.kind)[0].SPEAKS == "text")
    try:
        found = measure(candidate.entry, work, settings, store.cache_folder(), candidate.disk, progress)
    except MeasurementError as error:
        skipped.append(str(error))
        return None
    cache.keep(task.key, found)
    return found


def _judged(task: _Task, found: Measurement) -> _Measured:
    judged = judge(found.hypotheses, task.test_set.references, task.test_set.target)
    return _Measured(task.candidate, task.test_set, found, judged)


# ---- comparing ------------------------------------------------------------------------------------------------------


def _rows(measured: Sequence[_Measured], test_set: TestSet, comet: bool) -> Iterator[Row]:
    """The best first."""
    floats = {
        one.candidate.model: one
        for one in measured
        if one.candidate.engine == QUARTET and one.candidate.precision == FLOAT32
    }
    for one, place in zip(measured, shared_ranks([one.judged for one in measured]), strict=True):
        candidate, found = one.candidate, one.found
        base = floats.get(candidate.model)
        scores = one.judged.quality
        if comet:
            score = quality.comet_scores(test_set.sources, found.hypotheses, test_set.references)
            scores = replace(scores, comet=score)
        yield Row(
            pair=_pair(test_set),
            model=candidate.model,
            engine=candidate.engine,
            precision=candidate.precision,
            rank=place,
            quality=scores,
            cost=found.cost,
            faults=find_faults(found.hypotheses, test_set.references, test_set.target),
            loss=difference(one.judged, base.judged) if base and base is not one else None,
            by_sentence=one.judged.by_sentence,
            hypotheses=found.hypotheses,
            versions=found.versions,
        )


def _text(test_set: TestSet) -> Text:
    return Text(
        pair=_pair(test_set),
        name=test_set.name,
        target=test_set.target,
        sources=test_set.sources,
        references=test_set.references,
        signatures=signatures(test_set.target),
    )


def _pair(test_set: TestSet) -> str:
    return f"{test_set.source}-{test_set.target}"
