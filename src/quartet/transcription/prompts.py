"""The decoder tokens that a window begins with: what came before, the language and the task, and what it starts with.

[previous, hotwords..., text before...] start, language, task[, no timestamps] [0.00, prefix...]
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

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
        """Most tokens of what comes before a window's own, prefix included: half of what the decoder can hold."""
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
        before = [*self._before(previous, prefix), *self.start(language), *timestamps]
        return [*before, *([self.speech.timestamp_begin] if prefix and not timestamps else []), *prefix]

    @cached_property
    def initial(self) -> list[int]:
        """Tokens of the initial prompt."""
        given = self.options.initial_prompt
        if given is None:
            return []
        return self._encoded(given) if isinstance(given, str) else [int(token) for token in given]

    def check_room(self) -> None:
        """Raise `OptionError` for a prefix that does not fit. Hints are cut to fit, and that is told in one line."""
        prefix = len(self._prefix())
        if prefix > self.room:
            raise too_long("prefix", prefix, self.room, "half the model's window")
        initial = self._newest(self.initial, self.room - len(self._hotwords))
        given = {
            "hotwords": (len(self._all_hotwords), len(self._hotwords), "first"),
            "initial_prompt": (len(self.initial), len(initial), "last"),
        }
        cut = [
            f"{name} has {tokens} tokens, of which the model gets the {end} {kept}"
            for name, (tokens, kept, end) in given.items()
            if kept < tokens
        ]
        if cut:
            log.warning("%s: it has room for %d", "; ".join(cut), self.room)

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
        return whole_text(self.text_tokens(tokens), self.tokenizer.to_text)

    def raw_text(self, tokens: Sequence[int]) -> str:
        """Likewise, with U+FFFD where bytes are no character."""
        return self.tokenizer.to_text(self.text_tokens(tokens))

    def text_tokens(self, tokens: Iterable[int]) -> list[int]:
        """Those that are text: they come before the end token, added words after the timestamps."""
        eos, times = self.manifest.tokens.eos, self.speech.timestamps
        return [token for token in tokens if token < eos or token >= times.stop]

    def _before(self, previous: Sequence[int], prefix: Sequence[int]) -> list[int]:
        """Hotwords, unless a prefix takes their place, and the newest text for which there is room."""
        hotwords = [] if prefix else self._hotwords
        tokens = [*hotwords, *self._newest(previous, self.room - len(hotwords) - len(prefix))]
        return [self.speech.previous, *tokens] if tokens else []

    @cached_property
    def _hotwords(self) -> list[int]:
        """The same in every window: as many as an initial prompt leaves room for, but at least half of the room."""
        return self._all_hotwords[: max(self.room - len(self.initial), self.room // 2)]

    @cached_property
    def _all_hotwords(self) -> list[int]:
        return self._encoded(self.options.hotwords) if self.options.hotwords else []

    @staticmethod
    def _newest(tokens: Sequence[int], room: int) -> Sequence[int]:
        return tokens[max(0, len(tokens) - room) :]

    def _prefix(self) -> list[int]:
        return self._encoded(self.options.prefix) if self.options.prefix else []

    def _encoded(self, text: str) -> list[int]:
        return self.text_tokens(self.tokenizer.encode(" " + text.strip()))
