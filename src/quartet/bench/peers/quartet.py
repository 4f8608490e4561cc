"""quartet itself: a folder with a quartet, or (`selected`) one inside it with a head of some rows."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quartet.bench.worker import Job, Loaded, Rows

PACKAGES = ("quartet-onnx", "onnxruntime", "numpy")
VARIANTS = {"": 1.0, "selected": 1.0}
SPEAKS = "ids"


def load(folder: Path, threads: int, variant: str) -> "Loaded":
    """Open it as its users do."""
    return _selected(folder, threads) if variant == "selected" else _whole(folder, threads)


def _whole(folder: Path, threads: int) -> "Loaded":
    from quartet import Translator  # noqa: PLC0415

    start = time.perf_counter()
    model = Translator(folder, threads=threads)
    loading = time.perf_counter() - start

    def generate(job: "Job") -> "tuple[float, Rows]":
        start = time.perf_counter()
        found = model.generate(
            job.sources,
            job.prefix,
            beam_size=job.beam_size,
            min_new_tokens=job.min_new_tokens,
            max_new_tokens=job.max_new_tokens,
            max_batch_size=job.batch_size,
            loop_guard=job.loop_guard,
        )
        return time.perf_counter() - start, found

    return loading, generate


def _selected(head: Path, threads: int) -> "Loaded":
    from quartet.runtime.engine import open_engine  # noqa: PLC0415
    from quartet.runtime.generate import SearchOptions, generate_batch  # noqa: PLC0415

    start = time.perf_counter()
    engine = open_engine(head.parent, threads)
    engine.model(head=head)
    loading = time.perf_counter() - start

    def generate(job: "Job") -> "tuple[float, Rows]":
        options = SearchOptions(
            beam_size=job.beam_size, min_new_tokens=job.min_new_tokens, max_new_tokens=job.max_new_tokens
        )
        start = time.perf_counter()
        model = engine.model(len(job.sources) * job.beam_size, head)
        found = generate_batch(model, job.sources, [job.prefix] * len(job.sources), options)
        return time.perf_counter() - start, [list(hypotheses[0].tokens) for hypotheses in found]

    return loading, generate
