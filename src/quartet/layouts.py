"""The layouts that a finished quartet can be put into: its own, and that of the Android app RTranslator.

RTranslator opens single files by fixed names. Tensors, steps and shapes are those of the contract
(docs/run-anywhere.md), so its layout is the same four graphs, each with its weights inside. A further family is a
further entry of `RTRANSLATOR`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from quartet.errors import OptionError, UnsupportedModelError
from quartet.graph.single import LIMIT, write_single
from quartet.graph.writer import data_name
from quartet.spec import FILES, LM_HEAD, FileEntry, Manifest

LayoutName = Literal["quartet", "rtranslator"]
LAYOUTS: tuple[LayoutName, ...] = get_args(LayoutName)

SINGLE_ROWS = {"sources": "b"}  # our decoder may hold each source once for several rows; the contract counts rows


@dataclass(frozen=True)
class Names:
    """How RTranslator calls the files of a family."""

    files: dict[str, str]  # name of ours -> name of theirs
    sentencepiece: str


RTRANSLATOR = {"m2m100": Names({file: f"NLLB_{file}.onnx" for file in FILES}, "sentencepiece_bpe.model")}


def check_layout(layout: str, family: str, pruned: bool) -> LayoutName:
    """The layout, or `OptionError` or `UnsupportedModelError` where there is none of this name for such a model."""
    found = next((known for known in LAYOUTS if known == layout), None)
    if found is None:
        raise OptionError(f"unknown layout {layout!r}; it is one of {', '.join(LAYOUTS)}")
    if found == "rtranslator" and family not in RTRANSLATOR:
        known = ", ".join(RTRANSLATOR)
        raise UnsupportedModelError(f"RTranslator runs no {family} models; layout rtranslator is for {known}")
    if found == "rtranslator" and pruned:
        raise OptionError("layout rtranslator keeps all languages: the app counts on the ids of the whole vocabulary")
    return found


def check_sizes(layout: LayoutName, sizes: Mapping[str, int]) -> None:
    """Raise `OptionError` where the weights of a file, in bytes by name, are too many for one file that holds them."""
    for file, size in sizes.items() if layout == "rtranslator" else ():
        if size > LIMIT - (64 << 20):  # the graph and what is small come on top
            raise OptionError(
                f"{file} has {size / 1e9:.1f} GB of weights, a single ONNX file holds 2 GB; "
                "choose a lower precision for layout rtranslator"
            )


def arrange(folder: Path, manifest: Manifest, layout: LayoutName) -> Manifest:
    """Put the finished quartet in `folder` into a layout; returns its new manifest."""
    return _as_rtranslator(folder, manifest) if layout == "rtranslator" else manifest


def _as_rtranslator(folder: Path, manifest: Manifest) -> Manifest:
    names = RTRANSLATOR[manifest.family]
    written: dict[str, FileEntry] = {}
    for ours, theirs in names.files.items():
        written[theirs] = write_single(folder / f"{ours}.onnx", folder / theirs, SINGLE_ROWS)
    graphs = {name for file in (*FILES, LM_HEAD) for name in (f"{file}.onnx", data_name(file))}
    for name in graphs & manifest.files.keys():
        (folder / name).unlink()
    kept = {name: entry for name, entry in manifest.files.items() if name not in graphs}
    tokenizer = manifest.tokenizer
    if tokenizer is not None and tokenizer.kind != "tokenizers":
        (folder / tokenizer.source_model).rename(folder / names.sentencepiece)
        kept[names.sentencepiece] = kept.pop(tokenizer.source_model)
        tokenizer = replace(tokenizer, source_model=names.sentencepiece)
    return replace(
        manifest, layout="rtranslator", files=written | kept, tokenizer=tokenizer, embedding=None, lm_head=None
    )
