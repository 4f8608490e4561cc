"""Other ids for the same tokens: what the manifest says of them, said anew."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from quartet.spec import Generation, Tokens

NewIds = Mapping[int, int]  # old id -> new id, of the tokens that are kept


def renamed(old: int | None, ids: NewIds) -> int | None:
    """The new id of a token; None for one that is gone."""
    return None if old is None else ids.get(old)


def renamed_tokens(tokens: Tokens, ids: NewIds) -> Tokens:
    """Special tokens, all of which but the unknown one have to be there."""
    return Tokens(
        eos=ids[tokens.eos],
        pad=ids[tokens.pad],
        decoder_start=ids[tokens.decoder_start],
        unk=renamed(tokens.unk, ids),
        space=renamed(tokens.space, ids),
    )


def renamed_generation(generation: Generation, ids: NewIds) -> Generation:
    """What the search is asked for; a token that is gone need not be forbidden."""
    return replace(
        generation,
        forced_bos=renamed(generation.forced_bos, ids),
        forced_eos=renamed(generation.forced_eos, ids),
        bad_words_ids=tuple(_present(word, ids) for word in generation.bad_words_ids if ids.keys() >= set(word)),
        suppress_tokens=_present(generation.suppress_tokens, ids),
        begin_suppress_tokens=_present(generation.begin_suppress_tokens, ids),
    )


def _present(old: Iterable[int], ids: NewIds) -> tuple[int, ...]:
    return tuple(ids[i] for i in old if i in ids)
