"""Conversion to some of a model's languages: fewer rows in the embedding and the LM head, new ids for them.

Ids are compact in the quartet, so they index the rows of its matrices as in any other: control tokens first, then the
pieces in their old order. The manifest and the tokeniser's files are rewritten to match; a reader sees a model with a
small vocabulary, nothing else.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quartet.checkpoint.tensors import TensorEntry, take_rows
from quartet.errors import CheckpointError, LanguageError, OptionError
from quartet.families.description import Description
from quartet.runtime.vocabulary_ids import NewIds, renamed, renamed_generation, renamed_tokens
from quartet.spec import Language, Learned, ModelSpec, Pruning, RelativeBias, Sinusoidal, TokenizerSpec, file_entry
from quartet.text.languages import resolve
from quartet.text.sentencepiece_file import CONTROL_TYPES, read_pieces, without
from quartet.text.vocabulary import Side, rows_of, sides

TARGET_TENSORS = ("decoder.embed_tokens.weight", "lm_head.weight", "final_logits_bias")  # canonical names
SOURCE_TENSORS = ("encoder.embed_tokens.weight",)


@dataclass(frozen=True)
class Pruned:
    """A model cut down to some languages."""

    spec: ModelSpec
    description: Description
    files: dict[str, bytes]  # the tokeniser's, by name
    pruning: Pruning
    source: NewIds  # in the order of the new ids; the same as `target` where both sides share a vocabulary
    target: NewIds

    def select(self, tensors: Mapping[str, TensorEntry]) -> dict[str, TensorEntry]:
        """The tensors by canonical name, those of the vocabulary with the kept rows only."""
        kept = dict.fromkeys(TARGET_TENSORS, self.target) | dict.fromkeys(SOURCE_TENSORS, self.source)
        return {name: _kept_rows(entry, kept[name]) if name in kept else entry for name, entry in tensors.items()}


def prune(
    folder: Path, spec: ModelSpec, description: Description, languages: Sequence[str], texts: Sequence[Path]
) -> Pruned:
    """Cut the model in `folder` down to `languages`, by their scripts or by `texts` in them (see `text.vocabulary`).

    Raises `LanguageError` where the model has none of a name, or they leave nothing to translate, and `OptionError`.
    """
    if description.tokenizer is None:
        raise OptionError(f"{folder} has no tokeniser files: which rows a language needs is not known")
    kept = _languages(description.languages, languages)
    parts = sides(folder, description.tokenizer)
    if len(parts) == 2 and spec.source_vocab_size is None:
        raise CheckpointError(f"{folder} has two vocabularies but one embedding: it cannot be cut down to languages")
    source, target = _new_ids(spec, description, parts, kept, texts)
    tokenizer = _tokenizer(description.tokenizer, kept, parts[0], source)
    return Pruned(
        replace(
            spec,
            vocab_size=len(target),
            source_vocab_size=None if spec.source_vocab_size is None else len(source),
            positions=_positions(spec, target),
        ),
        replace(
            description,
            tokens=renamed_tokens(description.tokens, target),
            generation=renamed_generation(description.generation, target),
            languages=tuple(replace(language, token_id=renamed(language.token_id, source)) for language in kept),
            tokenizer=tokenizer,
        ),
        _files(folder, description.tokenizer, parts, (source, target)),
        Pruning(tuple(file_entry(text).sha256 for text in texts), spec.vocab_size, spec.source_vocab_size),
        source,
        target,
    )


def _positions(spec: ModelSpec, ids: NewIds) -> Sinusoidal | Learned | RelativeBias:
    """The positions, where some tokens have none by their new ids."""
    if not isinstance(spec.positions, Sinusoidal):
        return spec.positions
    return replace(spec.positions, padding_id=renamed(spec.positions.padding_id, ids))


def _languages(available: tuple[Language, ...], names: Sequence[str]) -> tuple[Language, ...]:
    """The languages that are named, in the model's order."""
    if not available:
        raise LanguageError(f"language {names[0]!r}: the model names no languages, so none can be selected")
    codes = {resolve(name, [language.code for language in available]) for name in names}
    kept = tuple(language for language in available if language.code in codes)
    if not any(a.source and b.target and a != b for a in kept for b in kept):
        raise LanguageError(f"{', '.join(names)}: nothing to translate between; name a source and a target language")
    return kept


# ---- new ids ----------------------------------------------------------------------------------------------------


def _new_ids(
    spec: ModelSpec,
    description: Description,
    parts: tuple[Side, ...],
    kept: tuple[Language, ...],
    texts: Sequence[Path],
) -> tuple[NewIds, NewIds]:
    """New ids of the source and the target side; one and the same where they share a vocabulary."""
    assert description.tokenizer is not None
    tokens, forced = description.tokens, (description.generation.forced_bos, description.generation.forced_eos)
    lost = {language.token_id for language in description.languages if language not in kept}
    controls = [
        {i for text, i in part.specials.items() if description.tokenizer.special_tokens[text] not in lost}
        for part in parts
    ]
    controls[0] |= _numbers([description.tokenizer.unk_id, *(language.token_id for language in kept)])
    controls[-1] |= _numbers(forced) & set(parts[-1].ids.values())
    shared = _numbers([tokens.eos, tokens.pad, tokens.decoder_start, tokens.unk, tokens.space])
    shared |= {word.id for word in description.tokenizer.added_words}
    sources, targets = [x.code for x in kept if x.source], [x.code for x in kept if x.target]
    if len(parts) == 1:
        size = min(spec.vocab_size, spec.source_vocab_size or spec.vocab_size)
        rows = rows_of(parts[0], [*sources, *targets], texts)
        both = _in_order([], controls[0] | shared, rows, parts[0], size)
        return both, both
    assert spec.source_vocab_size is not None
    # a token that both sides know has the same id on both
    first = sorted(i for i in shared if i < min(spec.vocab_size, spec.source_vocab_size))
    return (
        _in_order(first, controls[0], rows_of(parts[0], sources, texts), parts[0], spec.source_vocab_size),
        _in_order(first, controls[1] | shared, rows_of(parts[1], targets, texts), parts[1], spec.vocab_size),
    )


def _numbers(ids: Iterable[int | None]) -> set[int]:
    return {i for i in ids if i is not None}


def _in_order(first: Sequence[int], control: set[int], pieces: set[int], side: Side, size: int) -> NewIds:
    """`first`, then the other control tokens, then the pieces."""
    text = set(side.ids.values())
    order = [*first, *sorted(control - text), *sorted(pieces | (control & text))]
    return {old: new for new, old in enumerate(dict.fromkeys(i for i in order if i < size))}


def _kept_rows(entry: TensorEntry, ids: NewIds) -> TensorEntry:
    """The entry with the kept rows; of a bias [1, v] the kept columns, as [kept, 1]: the same bytes."""
    if entry.shape[0] == 1:
        entry = replace(entry, shape=entry.shape[::-1], strides=entry.strides and entry.strides[::-1])
    return take_rows(entry, tuple(ids))


# ---- the tokeniser -----------------------------------------------------------------------------------------------


def _tokenizer(spec: TokenizerSpec, kept: tuple[Language, ...], side: Side, ids: NewIds) -> TokenizerSpec:
    specials = {text: ids[i] for text, i in spec.special_tokens.items() if i in ids}
    offset = spec.offset
    if spec.kind == "sentencepiece":  # language tokens are now before the pieces, where decoding has to skip them
        specials |= {language.code: ids[language.token_id] for language in kept if language.token_id is not None}
        text = set(side.ids.values())
        controls = sum(piece.type in CONTROL_TYPES for piece in read_pieces(side.models[0]))
        offset = sum(i not in text for i in ids) - controls
    words = tuple(replace(word, id=ids[word.id]) for word in spec.added_words)
    return replace(spec, unk_id=ids[spec.unk_id], offset=offset, special_tokens=specials, added_words=words)


def _files(folder: Path, spec: TokenizerSpec, parts: tuple[Side, ...], ids: tuple[NewIds, NewIds]) -> dict[str, bytes]:
    """The tokeniser's files for the new ids."""
    files: dict[str, bytes] = {}
    for part, new in zip(parts, ids, strict=False):
        dropped = {piece for piece, i in part.ids.items() if i not in new}
        files |= {model.name: without(model, dropped) for model in part.models}
    for name, new in zip((spec.vocab, spec.target_vocab), ids, strict=True):
        if name is not None:
            entries = json.loads((folder / name).read_text(encoding="utf-8"))
            kept = {piece: new[i] for piece, i in entries.items() if i in new}
            files[name] = json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()
    return files
