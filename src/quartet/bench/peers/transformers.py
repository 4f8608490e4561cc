"""transformers with torch, on the checkpoint as it is; or (`optimum`) over ONNX Runtime, on what Optimum exported."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quartet.bench.worker import Generate, Job, Loaded, Rows

PACKAGES = ("transformers", "torch", "optimum-onnx", "onnxruntime")
VARIANTS = {"float32": 4.0, "bfloat16": 2.0, "optimum": 4.0}
SPEAKS = "ids"


def load(folder: Path, threads: int, variant: str) -> "Loaded":
    """Open it on the CPU. Optimum's folder has two decoders, or the merged one."""
    import torch  # noqa: PLC0415

    torch.set_num_threads(threads)
    return _optimum(folder, threads) if variant == "optimum" else _torch(folder, variant)


def _torch(folder: Path, dtype: str) -> "Loaded":
    import torch  # noqa: PLC0415
    from transformers import AutoModelForSeq2SeqLM  # noqa: PLC0415

    start = time.perf_counter()
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    return time.perf_counter() - start, _generate(model)


def _optimum(folder: Path, threads: int) -> "Loaded":
    import onnxruntime  # noqa: PLC0415
    from optimum.onnxruntime import ORTModelForSeq2SeqLM  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    merged = (folder / "decoder_model_merged.onnx").exists()
    start = time.perf_counter()
    model = ORTModelForSeq2SeqLM.from_pretrained(folder, session_options=options, use_merged=merged)
    return time.perf_counter() - start, _generate(model)


def _generate(model: Any) -> "Generate":
    """Of what generates as models of transformers do."""
    import torch  # noqa: PLC0415

    def generate(job: "Job") -> "tuple[float, Rows]":
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
