"""A contender: a process that loads one model, then answers jobs, one line of JSON each, on stdin and stdout.

    python benchmarks/contender.py KIND MODEL THREADS

It imports what users of that kind would have to, and nothing else, so that its memory is theirs and it runs in any
environment that has the kind's packages. KIND: quartet, quartet-selected, ctranslate2, transformers-float32,
transformers-bfloat16, optimum. MODEL: a folder. `contest.py` is the other side.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

Rows = list[list[int]]  # of ids; for CTranslate2 of tokens, list[list[str]]


@dataclass(frozen=True)
class Job:
    """Translate. Numbers of tokens are those after the prefix, of which the first is the decoder start."""

    sources: Rows
    prefix: list[int]
    max_new_tokens: int
    min_new_tokens: int = 0
    beam_size: int = 1
    batch_size: int = 64


Generate = Callable[[Job], tuple[float, Rows]]  # seconds of the translation proper, new tokens without the end
Loaded = tuple[float, Generate]  # seconds of loading the model, without those of importing


def quartet(folder: Path, threads: int) -> Loaded:
    from quartet import Translator  # noqa: PLC0415

    start = time.perf_counter()
    model = Translator(folder, threads=threads)
    loading = time.perf_counter() - start

    def generate(job: Job) -> tuple[float, Rows]:
        start = time.perf_counter()
        found = model.generate(
            job.sources,
            job.prefix,
            beam_size=job.beam_size,
            min_new_tokens=job.min_new_tokens,
            max_new_tokens=job.max_new_tokens,
            max_batch_size=job.batch_size,
        )
        return time.perf_counter() - start, found

    return loading, generate


def quartet_selected(head: Path, threads: int) -> Loaded:
    """A quartet with the head of some rows that lies in its folder."""
    from quartet.runtime.generate import SearchOptions, generate_batch  # noqa: PLC0415
    from quartet.runtime.sessions import open_sessions, with_head  # noqa: PLC0415

    start = time.perf_counter()
    model = with_head(open_sessions(head.parent, threads), head, threads)
    loading = time.perf_counter() - start

    def generate(job: Job) -> tuple[float, Rows]:
        lengths = {"min_new_tokens": job.min_new_tokens, "max_new_tokens": job.max_new_tokens}
        options = SearchOptions(beam_size=job.beam_size, **lengths)
        start = time.perf_counter()
        found = generate_batch(model, job.sources, [job.prefix] * len(job.sources), options)
        return time.perf_counter() - start, [list(hypotheses[0].tokens) for hypotheses in found]

    return loading, generate


def ctranslate2(folder: Path, threads: int) -> Loaded:
    # its converters import these where they are; who only translates needs none of them
    sys.modules.update(dict.fromkeys(("huggingface_hub", "torch", "transformers")))
    import ctranslate2 as ct2  # noqa: PLC0415
    from sentencepiece import SentencePieceProcessor  # noqa: PLC0415

    start = time.perf_counter()
    model = ct2.Translator(str(folder), device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads)
    tokenizer = [SentencePieceProcessor(model_file=str(file)) for file in folder.glob("*.spm")]
    loading = time.perf_counter() - start

    def generate(job: Job) -> tuple[float, Rows]:
        _ = tokenizer  # loaded as long as the model is
        prefix = job.prefix[1:]
        start = time.perf_counter()
        found = model.translate_batch(
            job.sources,
            target_prefix=[prefix] * len(job.sources) if prefix else None,
            beam_size=job.beam_size,
            max_batch_size=job.batch_size,
            min_decoding_length=job.min_new_tokens + len(prefix),  # both count the prefix
            max_decoding_length=job.max_new_tokens + len(prefix),
        )
        seconds = time.perf_counter() - start
        return seconds, [one.hypotheses[0][len(prefix) :] for one in found]

    return loading, generate


def transformers(folder: Path, threads: int, dtype: str) -> Loaded:
    import torch  # noqa: PLC0415
    from transformers import AutoModelForSeq2SeqLM  # noqa: PLC0415

    torch.set_num_threads(threads)
    start = time.perf_counter()
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    return time.perf_counter() - start, hugging_face(model)


def optimum(folder: Path, threads: int) -> Loaded:
    import onnxruntime  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from optimum.onnxruntime import ORTModelForSeq2SeqLM  # noqa: PLC0415

    torch.set_num_threads(threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    merged = (folder / "decoder_model_merged.onnx").exists()
    start = time.perf_counter()
    model = ORTModelForSeq2SeqLM.from_pretrained(folder, session_options=options, use_merged=merged)
    return time.perf_counter() - start, hugging_face(model)


def hugging_face(model: object) -> Generate:
    """What generates as models of transformers do."""
    import torch  # noqa: PLC0415

    def generate(job: Job) -> tuple[float, Rows]:
        start = time.perf_counter()
        found: Rows = []
        pad, end = model.config.pad_token_id, model.config.eos_token_id
        for first in range(0, len(job.sources), job.batch_size):
            rows = job.sources[first : first + job.batch_size]
            length = max(map(len, rows))
            ids = torch.tensor([row + [pad] * (length - len(row)) for row in rows])
            with torch.inference_mode():
                output = model.generate(
                    input_ids=ids,
                    attention_mask=ids != pad,
                    decoder_input_ids=torch.tensor([job.prefix] * len(rows)),
                    do_sample=False,
                    num_beams=job.beam_size,
                    min_new_tokens=job.min_new_tokens,
                    max_new_tokens=job.max_new_tokens,
                )
            found += [[i for i in row if i not in (pad, end)] for row in output[:, len(job.prefix) :].tolist()]
        return time.perf_counter() - start, found

    return generate


KINDS: dict[str, tuple[tuple[str, ...], Callable[[Path, int], Loaded]]] = {
    "quartet": (("quartet", "onnxruntime", "numpy"), quartet),
    "quartet-selected": (("quartet", "onnxruntime", "numpy"), quartet_selected),
    "ctranslate2": (("ctranslate2",), ctranslate2),
    "transformers-float32": (("transformers", "torch"), lambda *args: transformers(*args, "float32")),
    "transformers-bfloat16": (("transformers", "torch"), lambda *args: transformers(*args, "bfloat16")),
    "optimum": (("optimum-onnx", "onnxruntime", "transformers", "torch"), optimum),
}


def memory() -> dict[str, float]:
    """Of this process, in MB: the largest resident set, that of now with shared pages in parts, anonymous memory."""
    lines = numbers("/proc/self/status") | numbers("/proc/self/smaps_rollup")
    names = {"peak": "VmHWM", "resident": "VmRSS", "proportional": "Pss", "anonymous": "Anonymous"}
    return {name: lines[line] * 1024 / 1e6 for name, line in names.items()}


def numbers(path: str) -> dict[str, int]:
    """The lines `Name: 123 kB` of a file of the kernel's."""
    parts = [line.split() for line in Path(path).read_text().splitlines()]
    return {part[0].rstrip(":"): int(part[1]) for part in parts if len(part) == 3 and part[2] == "kB"}


def main() -> None:
    kind, folder, threads = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")  # what libraries print goes to stderr
    os.dup2(2, 1)
    sys.path.pop(0)  # this folder is not the user's
    start = time.perf_counter()
    packages, load = KINDS[kind]
    seconds, generate = load(Path(folder), int(threads))
    answer = {
        "seconds": seconds,
        "importing": time.perf_counter() - start - seconds,
        "memory": memory(),
        "versions": {package: version(package) for package in packages},
    }
    print(json.dumps(answer), file=answers, flush=True)
    for line in sys.stdin:
        seconds, found = generate(Job(**json.loads(line)))
        print(json.dumps({"seconds": seconds, "rows": found, "memory": memory()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
