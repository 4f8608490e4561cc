"""The long form: a recording window by window, or several windows at once, to segments as they come."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np

from quartet.arrays import Floats
from quartet.audio.mel import FRAMES_PER_SECOND
from quartet.audio.voice_activity import VOICE, has_speech
from quartet.runtime.requests import Runner
from quartet.runtime.speech import POSITIONS_PER_TOKEN, EncodedAudio, align, detect_languages, encode_audio
from quartet.spec import Language
from quartet.transcription import hallucinations, words
from quartet.transcription.fallback import Outcome, decode
from quartet.transcription.prompts import Prompter
from quartet.transcription.segments import Cut, Phrase, Segment, Word, cut
from quartet.transcription.windows import Timeline, WindowStream


@dataclass(frozen=True)
class TranscriptionJob:
    """A recording, a model, and all that was decided about them."""

    runner: Runner
    prompter: Prompter
    stream: WindowStream
    timeline: Timeline
    languages: tuple[Language | None, ...]  # the candidates; one None for a model that knows only English
    clips: tuple[tuple[int, int | None], ...]  # first frame and end of what is transcribed; None: the end
    frames: int  # of a window
    reached: Callable[[float], None]  # told how many seconds are done
    voice: float = VOICE  # probability from which on a window holds a voice


@dataclass(frozen=True)
class Window:
    """A piece of a recording: its first frame, and its frames [mels, n] as the encoder wants them."""

    seek: int
    features: Floats

    @property
    def frames(self) -> int:
        """Length."""
        return int(self.features.shape[1])

    @property
    def seconds(self) -> float:
        """Where it begins."""
        return self.seek / FRAMES_PER_SECOND


def transcribed(job: TranscriptionJob) -> Iterator[Segment]:
    """The segments, as they are decoded."""
    found = in_sequence(job) if job.prompter.options.batch_size == 1 else in_batches(job)
    for number, segment in enumerate(found, 1):
        yield replace(segment, id=number)


# ---- one window after the other -------------------------------------------------------------------------------------


@dataclass
class _History:
    """What goes from window to window."""

    tokens: list[int]  # of the text so far, as far as it may be gone on from
    speech_until: float = 0.0  # seconds


def in_sequence(job: TranscriptionJob) -> Iterator[Segment]:
    """Each window begins where the last phrase of the one before ended, and may go on from its text."""
    history = _History(job.prompter.initial())
    for start, end in job.clips:
        seek = start
        while (window := _window(job, seek, end)).frames:
            if not _is_worth_it(job, window):
                seek += window.frames
            else:
                segments, frames = _listen(job, window, history, first=seek == 0)
                yield from segments
                seek += frames
            job.reached(seek / FRAMES_PER_SECOND)


def _window(job: TranscriptionJob, seek: int, end: int | None) -> Window:
    length = job.frames if end is None else min(job.frames, end - seek)
    return Window(seek, job.stream.features(seek, max(0, length)))


def _is_worth_it(job: TranscriptionJob, window: Window) -> bool:
    """Whether there is a voice; always, where nobody asked for such checks."""
    if job.prompter.options.no_speech_threshold is None:
        return True
    return has_speech(job.stream.samples(window.seek, window.frames), job.voice)


def _listen(job: TranscriptionJob, window: Window, history: _History, first: bool) -> tuple[list[Segment], int]:
    """The segments of a window, and how many frames further the next one begins."""
    options = job.prompter.options
    audio = _encoded(job, [window])
    (outcome,) = decode(job.runner, job.prompter, audio, _candidates(job, audio), history.tokens, first)
    if outcome.is_silence(options):
        return [], window.frames
    found = _cut(job, window, outcome, whole=False)
    if options.word_timestamps:
        found = _with_words(job, window, audio, outcome, found, history.speech_until)
    segments = [_segment(job, window, outcome, phrase) for phrase in found.phrases if _says_something(job, phrase)]
    if not options.condition_on_previous_text or outcome.temperature > options.prompt_reset_on_temperature:
        history.tokens = []
    else:
        history.tokens = [*history.tokens, *chain(*(segment.tokens for segment in segments))][-job.prompter.room :]
    ends = [phrase.end for phrase in found.phrases if phrase.words]
    history.speech_until = window.seconds + ends[-1] if ends else history.speech_until
    return segments, found.frames


def _with_words(
    job: TranscriptionJob, window: Window, audio: EncodedAudio, outcome: Outcome, found: Cut, speech_until: float
) -> Cut:
    """The phrases with their words; the next window begins after the last word, where the window ends within speech."""
    (phrases,) = _aligned(job, [window], audio, [outcome], [found], speech_until)
    frames = found.frames
    ends = [phrase.end for phrase in phrases if phrase.words]
    if found.unfinished and ends and ends[-1] > 0:
        frames = max(1, round(ends[-1] * FRAMES_PER_SECOND))
    threshold = job.prompter.options.hallucination_silence_threshold
    if threshold is not None:
        duration = window.frames / FRAMES_PER_SECOND
        kept, seconds = hallucinations.without(phrases, duration, speech_until - window.seconds, threshold)
        return Cut(kept, frames if seconds is None else max(1, round(seconds * FRAMES_PER_SECOND)), found.unfinished)
    return Cut(phrases, frames, found.unfinished)


# ---- several windows at once ----------------------------------------------------------------------------------------


def in_batches(job: TranscriptionJob) -> Iterator[Segment]:
    """Windows one after the other without regard to what was said, decoded as many at a time as a batch has."""
    options = job.prompter.options
    windows = (window for window in _windows(job) if _is_worth_it(job, window))
    while group := list(islice(windows, options.batch_size)):
        audio = _encoded(job, group)
        languages = _candidates(job, audio)
        outcomes = decode(job.runner, job.prompter, audio, languages, job.prompter.initial(), group[0].seek == 0)
        cuts = [_cut(job, window, outcome, whole=True) for window, outcome in zip(group, outcomes, strict=True)]
        phrases = [found.phrases for found in cuts]
        if options.word_timestamps:
            phrases = _aligned(job, group, audio, outcomes, cuts, speech_until=0.0)
        for window, outcome, said in zip(group, outcomes, phrases, strict=True):
            if not outcome.is_silence(options):
                yield from (_segment(job, window, outcome, phrase) for phrase in said if _says_something(job, phrase))
        job.reached(group[-1].seconds + group[-1].frames / FRAMES_PER_SECOND)


def _windows(job: TranscriptionJob) -> Iterator[Window]:
    for start, end in job.clips:
        seek = start
        while (window := _window(job, seek, end)).frames:
            yield window
            seek += window.frames


# ---- steps of both --------------------------------------------------------------------------------------------------


def _encoded(job: TranscriptionJob, windows: Sequence[Window]) -> EncodedAudio:
    """Windows through the encoder, each filled up with zeros, as transformers does it."""
    features = np.zeros((len(windows), windows[0].features.shape[0], job.frames), np.float32)
    for row, window in enumerate(windows):
        features[row, :, : window.frames] = window.features
    return job.runner.computed(lambda model: encode_audio(model, features), _work(job, len(windows)))


def _work(job: TranscriptionJob, windows: int) -> int:
    """Tokens of a text that is as much work as encoding so many windows. Two frames are a position."""
    return max(1, job.frames // (2 * POSITIONS_PER_TOKEN)) * windows


def _candidates(job: TranscriptionJob, audio: EncodedAudio) -> list[tuple[Language | None, ...]]:
    """The languages to decode each window in."""
    if not job.prompter.options.multilingual:
        return [job.languages] * audio.windows
    known = {language.code: language for language in job.prompter.manifest.languages}
    detected = job.runner.computed(lambda model: detect_languages(model, audio), audio.windows)
    return [(known[next(iter(found))],) for found in detected]


def _cut(job: TranscriptionJob, window: Window, outcome: Outcome, whole: bool) -> Cut:
    speech = job.prompter.speech
    tokens = outcome.decoded.tokens
    return cut(tokens, speech.timestamp_begin, speech.timestamp_seconds, window.frames, whole)


def _says_something(job: TranscriptionJob, phrase: Phrase) -> bool:
    return phrase.start != phrase.end and bool(job.prompter.text(phrase.tokens).strip())


def _aligned(
    job: TranscriptionJob,
    windows: Sequence[Window],
    audio: EncodedAudio,
    outcomes: Sequence[Outcome],
    cuts: Sequence[Cut],
    speech_until: float,
) -> list[list[Phrase]]:
    """The phrases of each window with their words. speech_until: seconds, where speech before the windows ended."""
    prompter, eos = job.prompter, job.prompter.manifest.tokens.eos
    texts = [[[token for token in phrase.tokens if token < eos] for phrase in found.phrases] for found in cuts]
    heads = [[*prompter.start(outcome.language), prompter.speech.no_timestamps] for outcome in outcomes]
    rows = [[*head, *chain(*text), eos] for head, text in zip(heads, texts, strict=True)]
    alignments = job.runner.computed(lambda model: align(model, audio, rows), max(map(len, rows)) * len(rows))
    result = []
    for window, outcome, found, head, text, alignment in zip(
        windows, outcomes, cuts, heads, texts, alignments, strict=True
    ):
        language = outcome.language.code if outcome.language else "en"
        split = [words.split_words(tokens, prompter.tokenizer.to_text, language) for tokens in text]
        positions = max(1, window.frames // 2)
        attention = alignment.attention[:, len(head) - 1 : -1, :positions]
        probabilities = alignment.probabilities[len(head) : -1]
        said = list(chain(*split))
        timings = words.word_timings(said, attention, probabilities, prompter.speech.timestamp_seconds) if said else []
        usual = words.usual_duration(timings)
        left = iter(words.shorten_at_sentence_ends(timings, 2 * usual))
        options = prompter.options
        of_each = [
            words.merge_punctuation(
                list(islice(left, len(one))), options.prepend_punctuations, options.append_punctuations
            )
            for one in split
        ]
        before = speech_until - window.seconds
        result.append(words.phrases_with_words(found.phrases, of_each, usual, before))
    return result


def _segment(job: TranscriptionJob, window: Window, outcome: Outcome, phrase: Phrase) -> Segment:
    """A phrase as a segment, at its time in the whole recording."""
    start, end = window.seconds + phrase.start, window.seconds + phrase.end
    said = [_in_recording(job.timeline, window.seconds, word) for word in phrase.words]
    if said:
        start, end = said[0].start, said[-1].end
    else:
        start = job.timeline.original(start, job.timeline.span_at(start))
        end = job.timeline.original(end, job.timeline.span_at(end, is_end=True))
    return Segment(
        id=0,
        seek=window.seek,
        start=round(start, 2),
        end=round(end, 2),
        text=job.prompter.text(phrase.tokens),
        tokens=list(phrase.tokens),
        avg_logprob=outcome.decoded.avg_logprob,
        compression_ratio=outcome.compression_ratio,
        no_speech_prob=outcome.decoded.no_speech_prob,
        words=said if job.prompter.options.word_timestamps else None,
        temperature=outcome.temperature,
        language=outcome.language.code if outcome.language else None,
    )


def _in_recording(timeline: Timeline, offset: float, word: Word) -> Word:
    """A word at its time in the whole recording: start and end are in the same stretch of it."""
    start, end = offset + word.start, offset + word.end
    span = timeline.span_at((start + end) / 2)
    start, end = (round(timeline.original(time, span), 2) for time in (start, end))
    return Word(start, end, word.word, round(word.probability, 4))
