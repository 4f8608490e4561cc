"""From a checkpoint to a blueprint: all that a conversion writes, worked out before anything is written."""

import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quartet import families
from quartet.checkpoint import Checkpoint
from quartet.checkpoint.shards import brief
from quartet.checkpoint.tensors import TensorEntry
from quartet.conversion import layouts
from quartet.conversion.layouts import LayoutName
from quartet.conversion.matching import match_tensors
from quartet.conversion.prune import Pruned, prune
from quartet.conversion.request import ConversionRequest
from quartet.errors import CheckpointError
from quartet.families.description import Description
from quartet.graph import files
from quartet.graph.builder import Builder
from quartet.quantize.recipes import Recipe
from quartet.spec import Manifest, ModelSpec, Origin, Pruning, Shapes

log = logging.getLogger("quartet")

INT4 = "int4"
TOKENIZERS = {  # the files that a family's tokeniser is read from
    "m2m100": "sentencepiece.bpe.model with vocab.json (M2M100) or without (NLLB), or tokenizer.json (NLLB)",
    "marian": "source.spm, target.spm and vocab.json",
    "opennmt": "sentencepiece.model, or source.spm and target.spm",
    "t5": "spiece.model or tokenizer.json",
    "whisper": "tokenizer.json, or vocab.json and merges.txt",
}


@dataclass(frozen=True)
class Blueprint:
    """What is to be written."""

    spec: ModelSpec
    recipe: Recipe
    graphs: Mapping[str, Builder]  # of the four files, by name
    tensors: Mapping[str, TensorEntry]  # that these need, by canonical name
    tokenizer_files: Mapping[str, bytes | Path]  # by name: what is in them, or where to copy them from
    manifest: Manifest  # without what is known only afterwards: files, places of matrices, report
    layout: LayoutName


def describe(checkpoint: Checkpoint, request: ConversionRequest, origin: Origin) -> Blueprint:
    """Match a checkpoint with what was asked for.

    Raises `CheckpointError` (tensors that are missing, misshapen or left over: all of them are listed),
    `UnsupportedModelError`, `LanguageError` and `OptionError`.
    """
    family = families.find(checkpoint.config)
    spec = families.spec_of(family, checkpoint)
    layout = layouts.check_layout(request.layout, spec.family, pruned=bool(request.languages))
    description = family.describe(checkpoint)
    if request.tokenizer is not None and description.tokenizer is None:
        raise CheckpointError(
            f"{request.tokenizer} has no tokeniser for a model of the family {spec.family}, "
            f"which is read from {TOKENIZERS[spec.family]}"
        )
    _check_ids(spec, description)
    hears = spec.front_end is not None
    recipe = request.recipe(hears)
    if hears and recipe.name == INT4:
        log.warning("int4 of a speech model mishears more than int8, and may repeat itself; int8 is the default for it")
    if description.tokenizer is None or hears:
        recipe = recipe.for_ids()
    if hears:
        request.check_for_speech(recipe)
    pruned = None
    if request.languages:
        pruned = _pruned(checkpoint, spec, description, request)
    graphs = files.build(spec, recipe)
    layouts.check_sizes(layouts.single_sizes(layout, spec, recipe))
    tensors = match_tensors(checkpoint, family, spec, graphs)
    tokenizer_files = _tokenizer_files(checkpoint.tokenizer_folder, description, pruned)
    if pruned:
        spec, description, tensors = pruned.spec, pruned.description, pruned.select(tensors)
        graphs = files.build(spec, recipe)
    manifest = _manifest(spec, description, recipe, origin, pruned.pruning if pruned else None)
    return Blueprint(spec, recipe, graphs, tensors, tokenizer_files, manifest, layout)


def _pruned(checkpoint: Checkpoint, spec: ModelSpec, description: Description, request: ConversionRequest) -> Pruned:
    """The model cut down to some languages, by the tokeniser's files, those too that the checkpoint has otherwise."""
    texts = [Path(text) for text in request.texts]
    if not description.made_files:
        return prune(checkpoint.tokenizer_folder, spec, description, request.languages, texts)
    with tempfile.TemporaryDirectory(prefix="quartet-") as scratch:
        for name, content in _tokenizer_files(checkpoint.tokenizer_folder, description, None).items():
            if isinstance(content, bytes):
                (Path(scratch) / name).write_bytes(content)
            else:
                shutil.copyfile(content, Path(scratch) / name)
        return prune(Path(scratch), spec, description, request.languages, texts)


def _check_ids(spec: ModelSpec, description: Description) -> None:
    """Raise `CheckpointError` where a token that is fed or generated has no row in the embedding."""
    tokens, generation, speech = description.tokens, description.generation, description.speech
    ids: dict[str, int | None] = {
        "the end token": tokens.eos,
        "the padding token": tokens.pad,
        "the decoder's start token": tokens.decoder_start,
        "forced_bos_token_id": generation.forced_bos,
        "forced_eos_token_id": generation.forced_eos,
        "bad_words_ids": max((i for word in generation.bad_words_ids for i in word), default=None),
        "suppress_tokens": max(generation.suppress_tokens, default=None),
        "begin_suppress_tokens": max(generation.begin_suppress_tokens, default=None),
    }
    if speech is not None:
        names = ("no_timestamps", "no_speech", "previous", "transcribe", "translate")
        ids |= {name: getattr(speech, name) for name in names}
    rows = dict.fromkeys(ids, spec.vocab_size)
    ids |= {f"the token of language {language.code}": language.token_id for language in description.languages}
    for name, i in ids.items():
        most = rows.get(name, max(spec.vocab_size, spec.source_vocab_size or 0))
        if i is not None and not 0 <= i < most:
            raise CheckpointError(f"{name} has id {brief(i)}, which the vocabulary of {most} tokens does not have")


def _tokenizer_files(folder: Path, description: Description, pruned: Pruned | None) -> dict[str, bytes | Path]:
    """The tokeniser's files; of a pruned model those for the new ids alone."""
    if pruned:
        return dict(pruned.files)
    return {name: folder / name for name in description.tokenizer_files} | dict(description.made_files)


def _manifest(
    spec: ModelSpec, description: Description, recipe: Recipe, origin: Origin, pruning: Pruning | None
) -> Manifest:
    return Manifest(
        family=spec.family,
        name=origin.name,
        revision=origin.revision,
        license=origin.license,
        precision=recipe.name,
        method=recipe.final_method,
        layout="quartet",
        shapes=Shapes(
            d_model=spec.d_model,
            vocab_size=spec.vocab_size,
            encoder_layers=spec.encoder.layers,
            decoder_layers=spec.decoder.layers,
            decoder_heads=spec.decoder.heads,
            head_size=spec.size_of_head(spec.decoder),
            max_source_length=description.max_source_length,
            max_target_length=description.max_target_length or description.max_source_length,
            source_vocab_size=spec.source_vocab_size,
            embed_scale=spec.embed_scale,
        ),
        tokens=description.tokens,
        generation=description.generation,
        source_prompt=description.source_prompt,
        target_prompt=description.target_prompt,
        safe_length=origin.safe_length or description.safe_length,
        languages=description.languages,
        tokenizer=description.tokenizer,
        files={},
        pruning=pruning,
        speech=description.speech,
    )
