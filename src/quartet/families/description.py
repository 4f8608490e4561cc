"""What a family says of a checkpoint for the manifest."""

from dataclasses import dataclass

from quartet.spec import Generation, Language, TokenizerSpec, Tokens


@dataclass(frozen=True)
class Description:
    """The part of the manifest that depends on the family."""

    tokens: Tokens
    generation: Generation
    source_prompt: tuple[str, ...]
    target_prompt: tuple[str, ...]
    max_source_length: int
    safe_length: int
    languages: tuple[Language, ...]
    tokenizer: TokenizerSpec | None
    tokenizer_files: tuple[str, ...]
