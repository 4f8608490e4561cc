"""CTranslate2, converted from a checkpoint of transformers (which takes torch and transformers)."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quartet.bench.worker import Job, Loaded, Rows

PACKAGES = ("ctranslate2",)
VARIANTS = {"int8": 1.0, "float32": 4.0, "int16": 2.0}
SPEAKS = "tokens"
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def load(folder: Path, threads: int, variant: str) -> "Loaded":
    """Open a converted model, and the SentencePiece models beside it that its users need."""
    # its converters import these where they are; who only translates needs none of them
    sys.modules.update(dict.fromkeys(("huggingface_hub", "torch", "transformers")))  # type: ignore[arg-type]
    import ctranslate2  # noqa: PLC0415
    from sentencepiece import SentencePieceProcessor  # noqa: PLC0415

    start = time.perf_counter()
    model = ctranslate2.Translator(
        str(folder), device="cpu", compute_type=variant, inter_threads=1, intra_threads=threads
    )
    files = sorted(path for ending in ("*.spm", "*.model") for path in folder.glob(ending))
    tokenizer = [SentencePieceProcessor(model_file=str(file)) for file in files]
    loading = time.perf_counter() - start

    def generate(job: "Job") -> "tuple[float, Rows]":
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


def make(checkpoint: Path, folder: Path, variant: str) -> None:
    """Convert; a checkpoint without a tokeniser gets a vocabulary of made-up tokens, whose places are the ids."""
    from ctranslate2.converters import TransformersConverter  # noqa: PLC0415

    files = [path.name for ending in ("*.spm", "*.model") for path in checkpoint.glob(ending)]
    has_tokenizer = (checkpoint / "tokenizer_config.json").exists()
    real = TransformersConverter(str(checkpoint), copy_files=files) if has_tokenizer else _without_tokenizer(checkpoint)
    real.convert(str(folder), quantization=None if variant == "float32" else variant, force=True)


def _without_tokenizer(checkpoint: Path) -> Any:
    from ctranslate2.converters.converter import Converter  # noqa: PLC0415
    from ctranslate2.converters.transformers import M2M100Loader  # noqa: PLC0415
    from transformers import M2M100ForConditionalGeneration  # noqa: PLC0415

    class WithoutTokenizer(Converter):  # type: ignore[misc]
        def _load(self) -> Any:
            model = M2M100ForConditionalGeneration.from_pretrained(checkpoint)
            spec = M2M100Loader().get_model_spec(model)
            tokens = SPECIAL + [f"t{i}" for i in range(len(SPECIAL), model.config.vocab_size)]
            spec.register_source_vocabulary(tokens)
            spec.register_target_vocabulary(tokens)
            spec.config.bos_token, _, spec.config.eos_token, spec.config.unk_token = SPECIAL
            spec.config.decoder_start_token = spec.config.eos_token
            return spec

    return WithoutTokenizer()
