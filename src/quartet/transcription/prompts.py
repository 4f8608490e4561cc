"""The decoder tokens that a window begins with: what came before, the language and the task, and what it starts with.

[previous, hotwords..., text before...] start, language, task[, no timestamps] [0.00, prefix...]
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from quartet.options.kinds import too_long
from quartet.spec import Language, Manifest, Speech
from quartet.text.tokenizer import Tokenizer
from quartet.transcription.options import TranscriptionOptions
from quartet.transcription.words import whole_text

log = logging.getLogger("quartet")


@dataclass(frozen=True)
class Prompter:
    """Makes prompts for one transcription."""

    manifest: Manifest
    speech: Speech
    tokenizer: Tokenizer
    options: TranscriptionOptions

    @property
    def room(self) -> int:
        """Most tokens of what came before, and of a prefix: half of what the decoder can hold."""
        return self.manifest.shapes.max_target_length // 2 - 1

    def start(self, language: Language | None) -> list[int]:
        """Start, language and task; for a model that knows only English, the start alone."""
        start = [self.manifest.tokens.decoder_start]
        task = self.speech.translate if self.options.task == "translate" else self.speech.transcribe
        if not self.speech.multilingual or language is None or language.token_id is None or task is None:
            return start
        return [*start, language.token_id, task]

    def prompt(self, language: Language | None, previous: Sequence[int], first: bool) -> list[int]:
        """The whole prompt of a window that follows on `previous`; the first one also has the prefix."""
        prefix = self._prefix() if first else []
        timestamps = [self.speech.no_timestamps] if self.options.without_timestamps else []
        if prefix and not timestamps:
            prefix = [self.speech.timestamp_begin, *prefix]
        return [*self._before(previous, bool(prefix)), *self.start(language), *timestamps, *prefix]

    def initial(self) -> list[int]:
        """Tokens of the initial prompt."""
        given = self.options.initial_prompt
        if given is None:
            return []
        return self._encoded(given) if isinstance(given, str) else [int(token) for token in given]

    def check_room(self) -> None:
        """Raise `OptionError` for a prefix that does not fit. Hints are cut, as in faster-whisper, and that is told."""
        prefix = len(self._encoded(self.options.prefix or ""))
        if prefix > self.room:
            raise too_long("prefix", prefix, self.room, "half the model's window")
        hotwords = self._encoded(self.options.hotwords or "")
        for name, tokens, kept in (("initial_prompt", self.initial(), "last"), ("hotwords", hotwords, "first")):
            if len(tokens) > self.room:
                log.warning("%s has %d tokens; the model gets the %s %d", name, len(tokens), kept, self.room)

    def suppressed(self) -> tuple[int, ...] | None:
        """Tokens that never come out; None stands for the model's own list."""
        given = () if self.options.suppress_tokens is None else self.options.suppress_tokens
        if tuple(given) == (-1,):
            return None
        own = self.manifest.generation.suppress_tokens
        control = [token for token in own if token >= self.manifest.tokens.eos]
        return tuple(sorted({*(token for token in given if token >= 0), *(own if -1 in given else control)}))

    def text(self, tokens: Sequence[int]) -> str:
        """Text of the tokens that are text, with the space that it begins with, without scraps of characters."""
        return whole_text(self._of_text(tokens), self.tokenizer.to_text)

    def raw_text(self, tokens: Sequence[int]) -> str:
        """Likewise, with U+FFFD where bytes are no character."""
        return self.tokenizer.to_text(self._of_text(tokens))

    def _of_text(self, tokens: Sequence[int]) -> list[int]:
        return [token for token in tokens if token < self.manifest.tokens.eos]

    def _before(self, previous: Sequence[int], has_prefix: bool) -> list[int]:
        hotwords = [] if has_prefix or not self.options.hotwords else self._encoded(self.options.hotwords)
        tokens = [*hotwords[: self.room], *previous[-self.room :]] if previous else hotwords[: self.room]
        return [self.speech.previous, *tokens] if tokens else []

    def _prefix(self) -> list[int]:
        return self._encoded(self.options.prefix) if self.options.prefix else []

    def _encoded(self, text: str) -> list[int]:
        return self.tokenizer.encode(" " + text.strip())
