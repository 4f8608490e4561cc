"""The text of speech that goes on: what is sure of it, and the piece of sound that has to be looked at again.

Every look gives a guess at what follows the sure words. What two guesses agree on is sure, and told as final; it is
never taken back. Sound whose words are sure is forgotten, but for some words that the next look begins with, so that
work and memory stay the same however long somebody speaks without a pause.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from quartet.audio.audio import RATE, Samples
from quartet.live.agreement import Piece, after, agreed
from quartet.live.events import LiveText
from quartet.live.recognizer import SURE, Heard, Look, Recognizer
from quartet.spec import Language
from quartet.text.stops import sentence_starts
from quartet.transcription.segments import Word

APART = 1.0  # seconds of sound between two guesses that have to agree; those between them have to, too
LEAST = 2.0  # seconds of a window that is too short to be sure of anything: Whisper mishears what it knows little of
ENOUGH = 0.4  # of the longest window: from here on it begins with its last sentence
LONG = 0.6  # from here on it begins anywhere between sure words
TOO_LONG = 0.75  # from here on words need not be agreed on
KEPT_WORDS = 4  # sure ones that a window begins with
STILL_OPEN = 0.1  # of the longest window: words in this last part are not sure without being agreed on
LONGEST_PHRASE = 400  # characters without the end of a sentence


@dataclass(frozen=True)
class _Said:
    """A sure piece of the window. Times in seconds since the stream began."""

    piece: Piece
    start: float
    end: float
    begins_sentence: bool


@dataclass(frozen=True)
class _Guess:
    """Pieces after the sure ones, by a look at all sound before a sample."""

    until: int
    pieces: tuple[Piece, ...]


class PhraseText:
    """The text as it grows. language: None where it is to be detected."""

    def __init__(self, recognizer: Recognizer, language: Language | None) -> None:
        self.recognizer, self._given = recognizer, language
        self._language = language  # of the phrase, once it is sure
        self._usual: Language | None = language
        self._sure: list[_Said] = []  # in the window
        self._guesses: list[_Guess] = []  # that have to agree, the newest last
        self._line = ""  # of the phrase, as far as it is sure
        self._until = 0.0  # seconds, where the last final word ends
        self._needed = 0  # sample from which on sound is still to be looked at

    @property
    def language(self) -> Language | None:
        """What is spoken in the phrase that goes on, once it is sure."""
        return self._language

    @property
    def needed_from(self) -> int:
        """The first sample, since the stream began, that another look wants to have."""
        return self._needed

    def begin(self, first: int) -> None:
        """A turn begins at a sample."""
        self._until, self._needed = max(self._until, first / RATE), first

    def look(self, sound: Samples, first: int) -> Iterator[LiveText]:
        """What is told after a look at the window, sound whose first sample is `first`, while somebody speaks."""
        is_too_long = len(sound) > TOO_LONG * self.recognizer.longest * RATE
        asked = self._look(sound, takes_care=is_too_long)
        heard = self.recognizer.hear(asked)
        if heard is None and is_too_long:
            heard = self._last_guess()
        self._needed, until = first, first + len(sound)
        if heard is not None:
            count = self._agreed(heard.pieces, until) if len(sound) >= LEAST * RATE else 0
            if is_too_long:
                count = max(count, self._old(asked, heard))
            self._settle(heard, is_sure=count > 0)
            yield from self._told(asked, heard, count, first)
            self._remember(heard.pieces, count, until)
            text = "".join(piece.text for piece in heard.pieces[count:])
            yield LiveText(text, round(self._until, 2), round(until / RATE, 2), False, language=self._code)
        self._shorten(len(sound), first)

    def finish(self, sound: Samples, first: int) -> Iterator[LiveText]:
        """What is told after the last look at a phrase: all of it is final."""
        asked = self._look(sound, takes_care=True)
        heard = self.recognizer.hear(asked)
        if heard is None:
            heard = self._last_guess()
        self._settle(heard, is_sure=True)
        yield from self._told(asked, heard, len(heard.pieces), first, is_over=True)
        self._sure = []
        self._language, self._guesses, self._needed = self._given, [], first + len(sound)

    @property
    def _code(self) -> str:
        language = self._language or self._usual
        return language.code if language else "en"

    def _last_guess(self) -> Heard:
        return Heard(self._guesses[-1].pieces if self._guesses else (), self._language or self._usual)

    def _look(self, sound: Samples, takes_care: bool) -> Look:
        sure = tuple(one.piece for one in self._sure)
        return Look(sound, sure, self._language, self._usual, takes_care)

    def _settle(self, heard: Heard, is_sure: bool) -> None:
        if self._language is None and heard.language is not None and (is_sure or heard.probability >= SURE):
            self._language = heard.language
        if is_sure and heard.pieces:
            self._usual = heard.language

    def _agreed(self, pieces: Sequence[Piece], until: int) -> int:
        """How many of the pieces are agreed on; guesses are forgotten that are older than has to be."""
        old = [place for place, one in enumerate(self._guesses) if until - one.until >= APART * RATE]
        self._guesses = self._guesses[old[-1] :] if old else self._guesses
        return min(agreed(one.pieces, pieces) for one in self._guesses) if old else 0

    def _remember(self, pieces: Sequence[Piece], count: int, until: int) -> None:
        words = sum(bool(piece.key) for piece in pieces[:count])
        left = [_Guess(one.until, after(one.pieces, words)) for one in self._guesses]
        self._guesses = [*left, _Guess(until, tuple(pieces[count:]))]

    # ---- what becomes final ---------------------------------------------------------------------------------------

    def _told(self, asked: Look, heard: Heard, count: int, first: int, is_over: bool = False) -> Iterator[LiveText]:
        """The first pieces of what was heard as final text, one for each sentence."""
        new = self._timed(asked, heard, count, first) if count else []
        groups: list[list[tuple[_Said, float]]] = [[]]
        for said, probability in new:
            if said.begins_sentence and (self._line or groups[-1]):
                yield self._final([*groups.pop()], ends_phrase=True)
                groups.append([])
            groups[-1].append((said, probability))
        over = is_over and bool(self._line or groups[-1])
        over |= len(self._line) + sum(len(said.piece.text) for said, _ in groups[-1]) > LONGEST_PHRASE
        if groups[-1] or over:
            yield self._final(groups[-1], ends_phrase=over)

    def _final(self, said: Sequence[tuple[_Said, float]], ends_phrase: bool) -> LiveText:
        text = "".join(one.piece.text for one, _ in said)
        start, end = (said[0][0].start, said[-1][0].end) if said else (self._until,) * 2
        self._line = "" if ends_phrase else self._line + text
        self._sure += [one for one, _ in said]
        self._until = said[-1][0].end if said else self._until
        return LiveText(text, round(start, 2), round(end, 2), True, ends_phrase, self._code, _words(said))

    def _timed(self, asked: Look, heard: Heard, count: int, first: int) -> list[tuple[_Said, float]]:
        times = self.recognizer.times(asked, heard)[len(asked.sure) :]
        latest = (first + len(asked.sound)) / RATE
        begins = self._sentence_begins(heard.pieces[:count])
        found, until = [], self._until
        for piece, begins_sentence, (start, end, probability) in zip(heard.pieces, begins, times, strict=False):
            begin = min(latest, max(until, first / RATE + start))
            until = min(latest, max(begin, first / RATE + end))
            found.append((_Said(piece, begin, until, begins_sentence), probability))
        return found

    def _sentence_begins(self, pieces: Sequence[Piece]) -> list[bool]:
        """Whether each of the next pieces begins a sentence that another one is before."""
        line = self._line + "".join(piece.text for piece in pieces)
        starts = set(sentence_starts(line, self._code))
        found, place = [], len(self._line)
        for piece in pieces:
            inner = place + len(piece.text) - len(piece.text.lstrip())
            found.append(inner in starts or place in starts)
            place += len(piece.text)
        return found

    def _old(self, asked: Look, heard: Heard) -> int:
        """Pieces that are long over."""
        limit = len(asked.sound) / RATE - STILL_OPEN * self.recognizer.longest
        times = self.recognizer.times(asked, heard)[len(asked.sure) :]
        return sum(end <= limit for _, end, _ in times)

    # ---- what is forgotten ----------------------------------------------------------------------------------------

    def _shorten(self, samples: int, first: int) -> None:
        """Let the next window begin later, where this one is long."""
        longest = self.recognizer.longest * RATE
        begins = [place for place, one in enumerate(self._sure) if one.begins_sentence and place]
        place = 0
        if samples > ENOUGH * longest and begins:
            place = begins[-1]
        elif samples > LONG * longest:
            place = max(0, len(self._sure) - KEPT_WORDS)
        if place:
            at = (self._sure[place - 1].end + self._sure[place].start) / 2
            self._needed = max(first, min(round(at * RATE), first + samples))
            self._sure = self._sure[place:]
        end = first + samples
        if end - self._needed > TOO_LONG * longest:  # nobody says anything any more
            self._needed = end - round(LONG * longest)
            self._sure = []


def _words(said: Sequence[tuple[_Said, float]]) -> tuple[Word, ...]:
    """Words with the signs around them, at the words' times. Signs that no word comes with are told as one."""
    words: list[Word] = []
    before = ""  # signs that the next word begins with
    for one, probability in said:
        text = one.piece.text
        if one.piece.key:
            words.append(Word(round(one.start, 2), round(one.end, 2), before + text, round(probability, 4)))
            before = ""
        elif words and not before and not text[:1].isspace():
            words[-1] = replace(words[-1], word=words[-1].word + text)
        else:
            before += text
    if before and words:
        words[-1] = replace(words[-1], word=words[-1].word + before)
    elif before:
        (first, probability), (last, _) = said[0], said[-1]
        words.append(Word(round(first.start, 2), round(last.end, 2), before, round(probability, 4)))
    return tuple(words)


def looked(
    growing: PhraseText | None, recognizer: Recognizer, sound: Samples, first: int
) -> tuple[PhraseText, list[LiveText]]:
    """What is told after a look at a turn that is kept as a whole: at as much as fits of what is not sure yet.

    growing: its text so far, None at its beginning. sound: from its first sample, `first`, on.
    """
    if growing is None:
        growing = PhraseText(recognizer, recognizer.candidates[0] if len(recognizer.candidates) == 1 else None)
        growing.begin(first)
    growing.recognizer = recognizer
    start = max(first, growing.needed_from)
    window = sound[start - first :][: round(recognizer.longest * RATE)]
    return growing, list(growing.look(window, start))
