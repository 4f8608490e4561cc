"""The layouts that a finished quartet can be put into: its own, and that of the Android app RTranslator.

RTranslator opens single files by fixed names, each with its weights inside. Tensors, steps and shapes are those of the
contract (docs/run-anywhere.md), or of `rtranslator` where the app cuts a family's graphs otherwise. A further
family is a further entry of `RTRANSLATOR`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from quartet.conversion.layouts import rtranslator
from quartet.conversion.layouts.detokenizer import DETOKENIZER, detokenizer, token_bytes
from quartet.conversion.layouts.mel_graph import INITIALIZER, initializer
from quartet.conversion.layouts.single import LIMIT, write_single
from quartet.errors import OptionError, UnsupportedModelError
from quartet.graph.builder import Builder
from quartet.graph.writer import data_name, write_sharing
from quartet.quantize.recipes import Recipe
from quartet.spec import FILES, LM_HEAD, FileEntry, Manifest, ModelSpec, unhashed

LayoutName = Literal["quartet", "rtranslator"]
LAYOUTS: tuple[LayoutName, ...] = get_args(LayoutName)

SINGLE_ROWS = {"sources": "b"}  # our decoder may hold each source once for several rows; the contract counts rows

RTRANSLATOR: dict[str, Callable[[ModelSpec, Recipe], dict[str, Builder]]] = {
    "m2m100": rtranslator.translator,
    "t5": rtranslator.translator_with_own_head,
    "whisper": rtranslator.recognizer,
}
SENTENCEPIECE = "sentencepiece_bpe.model"  # as the app calls the tokeniser of all its translators


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


def check_sizes(sizes: Mapping[str, int]) -> None:
    """Raise `OptionError` where the weights of a single file, in bytes by name, are too many for it."""
    for file, size in sizes.items():
        if size > LIMIT - (64 << 20):  # the graph and what is small come on top
            raise OptionError(
                f"{file} has {size / 1e9:.1f} GB of weights, a single ONNX file holds 2 GB; "
                "choose a lower precision for layout rtranslator"
            )


def single_sizes(layout: LayoutName, spec: ModelSpec, recipe: Recipe) -> dict[str, int]:
    """Bytes of the weights in each single file of a layout that is not our own."""
    singles = graphs(layout, spec, recipe)
    return {file: sum(weight.nbytes for weight in graph.weights.values()) for file, graph in singles.items()}


def graphs(layout: LayoutName, spec: ModelSpec, recipe: Recipe) -> dict[str, Builder]:
    """The graphs with weights of a layout that is not our own, by the names of their files."""
    return RTRANSLATOR[spec.family](spec, recipe) if layout == "rtranslator" else {}


def arrange(
    folder: Path, manifest: Manifest, layout: LayoutName, spec: ModelSpec, recipe: Recipe, owners: Iterable[Builder]
) -> Manifest:
    """Put the finished quartet in `folder`, written from `owners`, into a layout; returns its new manifest.

    The new files are not hashed yet.
    """
    if layout == manifest.layout:
        return manifest
    written: dict[str, FileEntry] = {}
    scratch = folder / "shared.onnx"
    for name, graph in (graphs(layout, spec, recipe) | _around(folder, manifest)).items():
        write_sharing(graph, owners, scratch)
        write_single(scratch, folder / name, SINGLE_ROWS)
        written[name] = unhashed(folder / name)
    scratch.unlink()
    ours = {name for file in (*FILES, LM_HEAD) for name in (f"{file}.onnx", data_name(file))}
    for name in ours & manifest.files.keys():
        (folder / name).unlink()
    kept = {name: entry for name, entry in manifest.files.items() if name not in ours}
    tokenizer = manifest.tokenizer
    if tokenizer is not None and tokenizer.kind != "tokenizers":
        (folder / tokenizer.source_model).rename(folder / SENTENCEPIECE)
        kept[SENTENCEPIECE] = kept.pop(tokenizer.source_model)
        tokenizer = replace(tokenizer, source_model=SENTENCEPIECE)
    return replace(manifest, layout=layout, files=written | kept, tokenizer=tokenizer, embedding=None, lm_head=None)


def _around(folder: Path, manifest: Manifest) -> dict[str, Builder]:
    """The graphs before and after a speech model: from samples to what it hears, and from tokens to text."""
    if manifest.speech is None:
        return {}
    around = {f"Whisper_{INITIALIZER}.onnx": initializer(manifest.speech)}
    if manifest.tokenizer is not None:
        tokens = token_bytes(folder / manifest.tokenizer.source_model, manifest.shapes.vocab_size)
        around[f"Whisper_{DETOKENIZER}.onnx"] = detokenizer(tokens)
    return around
