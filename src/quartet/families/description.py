"""What a family says of a checkpoint for the manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from quartet.spec import Generation, Language, Speech, TokenizerSpec, Tokens


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
    max_target_length: int | None = None  # None: as long as the source
    speech: Speech | None = None
    made_files: Mapping[str, bytes] = field(default_factory=dict)  # tokeniser files that the checkpoint has otherwise
