"""What is told of speech while it is spoken. Times are in seconds since the stream began."""

from dataclasses import dataclass

from quartet.transcription.segments import Word


@dataclass(frozen=True)
class LiveText:
    """Words that were said.

    The texts of all that is final, joined as they are, are the transcript: each begins with the space before it. What
    is not final is a guess at all that follows, which the next event replaces.
    """

    text: str
    start: float
    end: float
    is_final: bool
    ends_phrase: bool = False  # a sentence is over, or somebody paused; always final, and the text may be empty
    language: str = "en"
    words: tuple[Word, ...] = ()  # of what is final

    @property
    def kind(self) -> str:
        """`final` or `partial`."""
        return "final" if self.is_final else "partial"


@dataclass(frozen=True)
class LiveTranslation:
    """A phrase that is over, in another language."""

    text: str
    start: float
    end: float
    language: str  # of the translation
    said: str  # what was translated

    @property
    def kind(self) -> str:
        """`translation`."""
        return "translation"


LiveEvent = LiveText | LiveTranslation
