"""Text that the model made up: phrases of improbable words with silence around them. Rules of OpenAI's `transcribe`."""

from collections.abc import Sequence

from quartet.options.declared import APPENDED, PREPENDED
from quartet.transcription.segments import Phrase, Word

PUNCTUATION = PREPENDED + APPENDED
LOOKED_AT = 8  # words of a phrase
EDGE = 2.0  # seconds: so near to an edge of the window counts as near silence


def without(
    phrases: Sequence[Phrase], duration: float, last_speech: float, threshold: float
) -> tuple[list[Phrase], float | None]:
    """The phrases up to the first made-up one, and where then to go on; all of them and None where none is.

    Times are seconds from the beginning of the window: its duration, the end of speech before it (not above 0), and
    where to go on. threshold: seconds of silence that matter.
    """
    spoken = [phrase for phrase in phrases if phrase.words]
    if spoken and is_anomaly(spoken[0]) and spoken[0].start > threshold:
        return [], spoken[0].start  # look again without the silence at the beginning
    for i, phrase in enumerate(spoken):
        following = spoken[i + 1] if i + 1 < len(spoken) else None
        silence_after = _is_followed_by_silence(phrase, following, duration, threshold)
        if is_anomaly(phrase) and _is_after_silence(phrase, last_speech, threshold) and silence_after:
            kept = list(phrases[: list(phrases).index(phrase)])
            left = duration - phrase.end
            return kept, max(1.0, phrase.start) if left >= threshold else duration
        last_speech = phrase.end
    return list(phrases), None


def is_anomaly(phrase: Phrase) -> bool:
    """Whether the words of a phrase are improbable, very short or very long."""
    words = [word for word in phrase.words if word.word not in PUNCTUATION][:LOOKED_AT]
    score = sum(map(_anomaly, words))
    return bool(phrase.words) and (score >= 3 or score + 0.01 >= len(words))


def _anomaly(word: Word) -> float:
    duration = word.end - word.start
    return (word.probability < 0.15) + max(0.0, 0.133 - duration) * 15 + max(0.0, duration - 2.0)


def _is_after_silence(phrase: Phrase, last_speech: float, threshold: float) -> bool:
    return phrase.start - last_speech > threshold or phrase.start < EDGE


def _is_followed_by_silence(phrase: Phrase, following: Phrase | None, duration: float, threshold: float) -> bool:
    next_start = following.words[0].start if following else duration
    return (
        next_start - phrase.end > threshold
        or (following is not None and is_anomaly(following))
        or duration - phrase.end < EDGE
    )
