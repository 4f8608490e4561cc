"""The engines of kept.py, each as its users run it: a function from texts to their translations.

Peers are imported where they are used: an engine that is not asked for need not be installed.
"""

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kept_lines import Translate

from quartet import Translator

ARGOS = {"beam_size": 4, "length_penalty": 0.2, "replace_unknowns": True, "max_batch_size": 32, "batch_type": "tokens"}
MARKS = "!?.,;。"  # at the end of a text, LibreTranslate makes the translation's the source's
AS_THE_MODEL_DOES = {"split": "none", "raw": True}  # quartet without anything that keeps text whole


def quartet(translator: Translator, source: str, target: str, **options: Any) -> Translate:
    """The defaults, but for `options`."""
    named = {"source": source, "target": target} if len(translator.target_languages) > 1 else {}

    def translate(texts: list[str]) -> list[str]:
        return [found.text for found in translator.translate_batch(texts, **named, **options)]

    return translate


def transformers(checkpoint: Path, threads: int) -> Translate:
    """The pipeline of the documentation: each text whole, in float32, the search as the checkpoint says."""
    import torch  # noqa: PLC0415
    from transformers import pipeline  # noqa: PLC0415

    torch.set_num_threads(threads)
    translator = pipeline("translation", model=str(checkpoint), dtype=torch.float32, device="cpu")

    def translate(texts: list[str]) -> list[str]:
        return [found["translation_text"] for found in translator(texts, batch_size=16)]

    return translate


def libretranslate(folder: Path, language: str, threads: int) -> Translate:
    """CTranslate2 as Argos Translate 1.11 calls it, with LibreTranslate 1.9's last touches. For opus-mt's models."""
    import ctranslate2  # noqa: PLC0415
    from sentencepiece import SentencePieceProcessor  # noqa: PLC0415

    model = ctranslate2.Translator(str(folder), compute_type="int8", inter_threads=1, intra_threads=threads)
    pieces, target = (SentencePieceProcessor(model_file=str(folder / f"{side}.spm")) for side in ("source", "target"))
    _, split = sentence_splitter(language)

    def translate(texts: list[str]) -> list[str]:
        sentences = [split(text) for text in texts]
        tokens = [[*pieces.encode(one, out_type=str), "</s>"] for some in sentences for one in some]
        found = iter(model.translate_batch(tokens, **ARGOS))
        joined = [[token for _ in some for token in next(found).hypotheses[0]] for some in sentences]
        plain = [target.decode_pieces(row).replace("▁", " ").replace("_", " ").strip() for row in joined]
        return [touched_up(*pair) for pair in zip(texts, plain, strict=True)]

    return translate


def sentence_splitter(language: str) -> tuple[str, Callable[[str], list[str]]]:
    """MiniSBD, which is LibreTranslate's, where its model has been fetched; elsewhere what is right for these lines."""
    try:
        from minisbd import SBDetect, models  # noqa: PLC0415

        if (Path(models.cache_dir) / models.MODELS[language]).is_file():
            return "MiniSBD", SBDetect(language, use_gpu=False).sentences
    except ImportError:
        pass
    return "their marks, which is never wrong here, in place of MiniSBD", lambda text: re.split(r"(?<=[.!?])\s+", text)


def touched_up(source: str, translation: str) -> str:
    """What LibreTranslate does at last: the source's last mark, its case, and entities become letters."""
    if not source or not translation:
        return source
    if source[-1] in MARKS:
        translation = translation.rstrip(MARKS) if translation[-1] != source[-1] else translation
        translation += "" if translation.endswith(source[-1]) else source[-1]
    elif translation[-1] in MARKS:
        translation = translation[:-1]
    return html.unescape(_cased_as(source, translation))


def _cased_as(source: str, translation: str) -> str:
    if source.islower():
        return translation.lower()
    if source.isupper():
        return translation.upper()
    first = str.lower if source[0].islower() else str.upper if source[0].isupper() else str
    return re.sub(r"\A.", lambda found: first(found[0]), translation)
