"""One model on one test set, in a process of its own: its translations, and what they cost."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quartet.bench.contest import Entry, MeasuredProcess
from quartet.bench.data import TestSet
from quartet.bench.worker import Job, Rows
from quartet.errors import OptionError
from quartet.options.declared import BATCH_SIZE, RANK
from quartet.options.kinds import check_fields
from quartet.progress import Progress, silent
from quartet.spec import Manifest
from quartet.text.tokenizer import load_tokenizer
from quartet.translation.plan import Plan, Planner, Reading

FIRST_TOKENS = 5  # sentences whose first token is timed
ROUNDS = 3  # of the sentences one by one; their median counts
WARM_UP = 2  # new tokens
CHUNK = 4  # batches between two words of progress

SETTINGS = {name: RANK[name] for name in ("threads", "beam_size", "timed")} | {"batch_size": BATCH_SIZE}


@dataclass(frozen=True)
class Settings:
    """How to translate, and how much of it to time. Every engine gets the same."""

    threads: int
    beam_size: int = 1
    batch_size: int = 16
    timed: int = 20  # sentences that are also translated one by one
    max_new_tokens: int = 256

    def __post_init__(self) -> None:
        """Raise `OptionError` for values that make no sense."""
        check_fields(self, SETTINGS)


@dataclass(frozen=True)
class Cost:
    """Memory and disk in MB, times in seconds, speeds per second. None where the system does not tell."""

    peak: float | None  # largest resident set, over all that was translated
    private: float | None  # memory that no file backs, at the end: what a second process would take again
    disk: float
    load: float  # from the page cache, without the imports before it
    first_token: float
    tokens: float  # new tokens per second, one sentence at a time
    sentences: float
    batch_tokens: float
    batch_sentences: float


@dataclass(frozen=True)
class Measurement:
    """What came out of one process."""

    hypotheses: tuple[str, ...]
    cost: Cost
    versions: dict[str, str]


@dataclass(frozen=True)
class Work:
    """A test set as a model reads it: the same for every engine that runs the model."""

    plans: tuple[Plan, ...]
    sources: tuple[Rows, ...]  # of each text's pieces; for engines that speak text a row is a list of one string
    prefix: list[int]
    planner: Planner
    speaks_text: bool = False

    def text_of(self, row: Any) -> str:
        """What an engine made of a piece."""
        return str(row[0]) if self.speaks_text else self.planner.tokenizer.decode(row)

    def tokens_in(self, rows: Any) -> int:
        """How many tokens were made; where only the text is known, as quartet's tokeniser cuts it."""
        if self.speaks_text:
            return sum(self.planner.tokenizer.count(row[0]) for row in rows)
        return sum(map(len, rows))


def planner_of(folder: Path) -> Planner:
    """Languages and tokeniser of a quartet; raises `OptionError` where it has none, or hears instead of reading."""
    manifest = Manifest.load(folder)
    if manifest.speech is not None or manifest.tokenizer is None:
        what = "hears speech" if manifest.speech is not None else "has no tokeniser"
        raise OptionError(f"{manifest.name} {what}; a model that translates text is expected")
    return Planner(manifest, load_tokenizer(folder, manifest.tokenizer))


def work_of(planner: Planner, test_set: TestSet, speaks_text: bool = False) -> Work:
    """The test set in ids, long texts in pieces; raises `LanguageError` where the model lacks the pair.

    speaks_text: leave the pieces as text, for an engine with a tokeniser of its own.
    """
    plans = tuple(planner.plans(test_set.sources, test_set.source, test_set.target, Reading(raw=True)))

    def rows(plan: Plan) -> list[Any]:
        texts = [piece.text for piece in plan.pieces]
        return [[text] for text in texts] if speaks_text else [planner.source_ids(plan, text) for text in texts]

    return Work(plans, tuple(map(rows, plans)), planner.prefix_ids(plans[0]), planner, speaks_text)


def measure(
    entry: Entry, work: Work, settings: Settings, home: Path, disk: float, progress: Progress = silent
) -> Measurement:
    """Let an engine translate; raises `MeasurementError` where its process ends before its time.

    home: where quartet keeps weights packed for this machine. disk: MB of the model. progress: texts, those of the
    rounds one by one and then all of them in batches.
    """
    rows = [row for pieces in work.sources for row in pieces]
    warm_up = _job(_longest(rows, settings.batch_size), work, settings, WARM_UP)
    if entry.kind == "quartet":  # the first process on a machine packs weights; it is another one that is measured
        with MeasuredProcess(entry, settings.threads, home) as process:
            process.run(warm_up)
    with MeasuredProcess(entry, settings.threads, home) as process:
        timed = _spread(work.sources, settings.timed)
        ones = _job([row for pieces in timed for row in pieces], work, settings, batch_size=1)
        process.run(_job(ones.sources[:1], work, settings))
        firsts = [process.run(_job([row], work, settings, 1)).seconds for row in ones.sources[:FIRST_TOKENS]]
        alone = ROUNDS * len(ones.sources)
        rounds = []
        for number in range(1, ROUNDS + 1):
            rounds.append(process.run(ones))
            progress(number * len(ones.sources), alone + len(rows))
        found, seconds, memory = _in_batches(
            process, rows, work, settings, lambda done, total: progress(alone + done, alone + total)
        )
    single = statistics.median(run.seconds for run in rounds)
    made = iter(found)
    hypotheses = tuple(
        plan.join([work.text_of(next(made)) for _ in plan.pieces]) if plan.pieces else plan.text for plan in work.plans
    )
    cost = Cost(
        peak=memory.get("peak"),
        private=memory.get("anonymous"),
        disk=disk,
        load=process.loaded.seconds,
        first_token=statistics.median(firsts),
        tokens=work.tokens_in(rounds[0].rows) / single,
        sentences=len(timed) / single,
        batch_tokens=work.tokens_in(found) / seconds,
        batch_sentences=len(work.plans) / seconds,
    )
    return Measurement(hypotheses, cost, process.loaded.versions)


def _in_batches(
    process: MeasuredProcess, rows: Rows, work: Work, settings: Settings, progress: Progress
) -> tuple[Rows, float, dict[str, float]]:
    """New tokens of every row, the seconds of all, and the memory after them. The longest rows come first."""
    order = sorted(range(len(rows)), key=lambda i: -_size(rows[i]))
    found: Rows = [[] for _ in rows]
    seconds, memory = 0.0, process.loaded.memory
    size = CHUNK * settings.batch_size
    for start in range(0, len(rows), size):
        places = order[start : start + size]
        run = process.run(_job([rows[i] for i in places], work, settings))
        for place, tokens in zip(places, run.rows, strict=True):
            found[place] = tokens
        seconds, memory = seconds + run.seconds, run.memory
        progress(min(start + size, len(rows)), len(rows))
    return found, seconds, memory


def _job(
    rows: Rows, work: Work, settings: Settings, max_new_tokens: int | None = None, batch_size: int | None = None
) -> Job:
    manifest = work.planner.manifest
    room = manifest.shapes.max_target_length - len(work.prefix)
    return Job(
        sources=rows,
        prefix=work.prefix,
        max_new_tokens=max_new_tokens or min(settings.max_new_tokens, room),
        beam_size=settings.beam_size,
        batch_size=batch_size or settings.batch_size,
        loop_guard=True,
        languages=[work.plans[0].source_code, work.plans[0].target_code],
    )


def _longest(rows: Rows, count: int) -> Rows:
    return sorted(rows, key=_size, reverse=True)[:count]


def _size(row: Any) -> int:
    return len(row[0]) if row and isinstance(row[0], str) else len(row)


def _spread(rows: Sequence[Rows], count: int) -> list[Rows]:
    """So many of the texts, evenly spread over all that are not empty."""
    full = [pieces for pieces in rows if pieces]
    step = max(1, len(full) // count)
    return full[::step][:count]
