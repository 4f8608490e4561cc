"""What stands around a text: the patterns of the manifest (`source_prompt`, `target_prompt`) as ids."""

from collections.abc import Sequence

from quartet.spec import Language, Tokens


def prompt_ids(
    pattern: Sequence[str],
    tokens: Tokens,
    source: Language | None,
    target: Language | None,
    text_ids: Sequence[int] = (),
) -> list[int]:
    """The ids of a pattern's words; a language or a token that the model does not have has none."""
    words: dict[str, Sequence[int]] = {
        "source": _known(source.token_id if source else None),
        "target": _known(target.token_id if target else None),
        "text": text_ids,
        "eos": [tokens.eos],
        "decoder_start": [tokens.decoder_start],
        "space": _known(tokens.space),
    }
    return [token for word in pattern for token in words[word]]


def _known(token: int | None) -> list[int]:
    return [] if token is None else [token]
