"""The long form: a recording window by window, or several windows at once, to segments as they come."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice

import numpy as np

from quartet.arrays import Floats
from quartet.audio.audio import Samples
from quartet.audio.mel import FRAMES_PER_SECOND, STEP
from quartet.audio.voice_activity import VOICE, has_speech
from quartet.runtime.requests import Runner
from quartet.runtime.speech import POSITIONS_PER_TOKEN, Alignment, EncodedAudio, align, detect_languages, encode_audio
from quartet.spec import Language
from quartet.transcription import hallucinations, words
from quartet.transcription.fallback import Outcome, decode
from quartet.transcription.prompts import Prompter
from quartet.transcription.segments import Cut, Phrase, Segment, Word, cut, hundredths
from quartet.transcription.windows import Timeline, WindowStream

SHORTEST = 2  # frames, one position of the encoder: no sound of speech is shorter


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
    """A piece of a recording: its first frame, its frames [mels, n] as the encoder wants them, and its sound."""

    seek: int
    features: Floats
    samples: Samples

    @property
    def frames(self) -> int:
        """Length."""
        return int(self.features.shape[1])

    @property
    def seconds(self) -> float:
        """Where it begins."""
        return self.seek / FRAMES_PER_SECOND

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / FRAMES_PER_SECOND

    def after(self, frames: int) -> "Window":
        """What is left of it."""
        return Window(self.seek + frames, self.features[:, frames:], self.samples[frames * STEP :])


def transcribed(job: TranscriptionJob) -> Iterator[Segment]:
    """The segments, as they are decoded."""
    found = in_sequence(job) if job.prompter.options.batch_size == 1 else in_batches(job)
    for number, segment in enumerate(found, 1):
        yield replace(segment, id=number)


@dataclass
class _History:
    """What goes from window to window."""

    tokens: list[int]  # of the text so far, as far as it may be gone on from
    speech_until: float  # seconds


# ---- one window after the other -------------------------------------------------------------------------------------


def in_sequence(job: TranscriptionJob) -> Iterator[Segment]:
    """Each window begins where the last phrase of the one before ended, and may go on from its text."""
    tokens, first = job.prompter.initial, True
    for start, end in job.clips:
        seek, history = start, _History(tokens, start / FRAMES_PER_SECOND)
        while (window := _window(job, seek, end)).frames:
            if not _is_worth_it(job, window):
                seek += window.frames
            else:
                ((segments, frames),) = _heard(job, [window], [history], first)
                yield from segments
                seek, first = seek + frames, False
            job.reached(seek / FRAMES_PER_SECOND)
        tokens = history.tokens


def _window(job: TranscriptionJob, seek: int, end: int | None) -> Window:
    length = max(0, job.frames if end is None else min(job.frames, end - seek))
    return Window(seek, job.stream.features(seek, length), job.stream.samples(seek, length))


def _is_worth_it(job: TranscriptionJob, window: Window) -> bool:
    """Whether there is a voice; in any sound long enough for one, where nobody asked for such checks."""
    if window.frames < SHORTEST:
        return False
    return job.prompter.options.no_speech_threshold is None or has_speech(window.samples, job.voice)


# ---- several windows at once ----------------------------------------------------------------------------------------


@dataclass
class _Stretch:
    """A window that is heard in several goes, as one go may leave something: what is left, and what was said so far."""

    end: float  # seconds
    left: Window | None
    history: _History
    said: list[Segment] = field(default_factory=list)


def in_batches(job: TranscriptionJob) -> Iterator[Segment]:
    """Windows one after the other, decoded as many at a time as a batch has, none going on from another's text.

    What a window leaves is in the next batch, so that nothing is lost. Segments come in the order of the recording.
    """
    coming, begun, first = _stretches(job), deque[_Stretch](), True
    while group := _group(coming, begun, job.prompter.options.batch_size):
        windows = [stretch.left for stretch in group if stretch.left is not None]
        found = _heard(job, windows, [stretch.history for stretch in group], first)
        for stretch, window, (segments, frames) in zip(group, windows, found, strict=True):
            stretch.said += segments
            left = window.after(frames)
            stretch.left = left if _is_worth_it(job, left) else None
        yield from _in_order(job, begun)
        first = False
    yield from _in_order(job, begun)


def _stretches(job: TranscriptionJob) -> Iterator[_Stretch]:
    for start, end in job.clips:
        seek = start
        while (window := _window(job, seek, end)).frames:
            left = window if _is_worth_it(job, window) else None
            yield _Stretch(window.seconds + window.duration, left, _History(job.prompter.initial, window.seconds))
            seek += window.frames


def _group(coming: Iterator[_Stretch], begun: deque[_Stretch], size: int) -> list[_Stretch]:
    """What is heard next: first what is left of stretches that have `begun`, then some that are `coming`."""
    group = [stretch for stretch in begun if stretch.left is not None]
    while len(group) < size and (stretch := next(coming, None)) is not None:
        begun.append(stretch)
        if stretch.left is not None:
            group.append(stretch)
    return group


def _in_order(job: TranscriptionJob, begun: deque[_Stretch]) -> Iterator[Segment]:
    """What was said up to the first stretch of which something is left; stretches that are done are forgotten."""
    while begun:
        said, begun[0].said = begun[0].said, []
        yield from said
        if begun[0].left is not None:
            return
        job.reached(begun.popleft().end)


# ---- steps of both --------------------------------------------------------------------------------------------------


def _heard(
    job: TranscriptionJob, windows: Sequence[Window], histories: Sequence[_History], first: bool
) -> list[tuple[list[Segment], int]]:
    """The segments of each window, and how many of its frames they account for; the histories grow.

    first: whether the first of the windows is the first one of all.
    """
    audio = _encoded(job, windows)
    previous = [history.tokens for history in histories]
    outcomes = decode(job.runner, job.prompter, audio, _candidates(job, audio), previous, first)
    cuts = [_cut(job, window, outcome) for window, outcome in zip(windows, outcomes, strict=True)]
    if job.prompter.options.word_timestamps:
        cuts = _with_words(job, windows, audio, outcomes, cuts, [history.speech_until for history in histories])
    return [_said(job, *one) for one in zip(windows, histories, outcomes, cuts, strict=True)]


def _said(
    job: TranscriptionJob, window: Window, history: _History, outcome: Outcome, found: Cut
) -> tuple[list[Segment], int]:
    segments = [_segment(job, window, outcome, phrase) for phrase in found.phrases if _says_something(job, phrase)]
    if not outcome.is_silence(job.prompter.options):
        new = [token for segment in segments for token in segment.tokens]
        history.tokens = [*history.tokens, *new] if _is_gone_on_from(job, outcome) else job.prompter.initial
        history.tokens = history.tokens[-job.prompter.room :]
    ends = [phrase.end for phrase in found.phrases if phrase.words]
    history.speech_until = window.seconds + ends[-1] if ends else history.speech_until
    return segments, found.frames


def _is_gone_on_from(job: TranscriptionJob, outcome: Outcome) -> bool:
    """Whether the next window goes on from this one's text."""
    options = job.prompter.options
    alone = options.batch_size > 1 or not options.condition_on_previous_text
    return not alone and outcome.temperature <= options.prompt_reset_on_temperature


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


def _cut(job: TranscriptionJob, window: Window, outcome: Outcome) -> Cut:
    if outcome.is_silence(job.prompter.options):
        return Cut([], window.frames)
    speech = job.prompter.speech
    return cut(outcome.decoded.tokens, speech.timestamps, speech.timestamp_seconds, window.frames)


def _says_something(job: TranscriptionJob, phrase: Phrase) -> bool:
    return phrase.start != phrase.end and bool(job.prompter.text(phrase.tokens).strip())


# ---- words ----------------------------------------------------------------------------------------------------------


def _with_words(
    job: TranscriptionJob,
    windows: Sequence[Window],
    audio: EncodedAudio,
    outcomes: Sequence[Outcome],
    cuts: Sequence[Cut],
    speech_until: Sequence[float],
) -> list[Cut]:
    """The phrases with their words; what is next begins after the last word, where a window ends within speech.

    speech_until: seconds, where speech before each window ended.
    """
    result = list(cuts)
    prompter = job.prompter
    texts = [prompter.text_tokens(chain(*(phrase.tokens for phrase in found.phrases))) for found in cuts]
    spoken = [row for row, text in enumerate(texts) if text]
    if not spoken:
        return result
    heads = [[*prompter.start(outcomes[row].language), prompter.speech.no_timestamps] for row in spoken]
    rows = [[*head, *texts[row]] for head, row in zip(heads, spoken, strict=True)]
    heard = audio.take(spoken)
    alignments = job.runner.computed(lambda model: align(model, heard, rows), max(map(len, rows)) * len(rows))
    for row, head, alignment in zip(spoken, heads, alignments, strict=True):
        window, found = windows[row], cuts[row]
        before = speech_until[row] - window.seconds
        phrases = _phrases_with_words(prompter, window, outcomes[row], found, len(head), alignment, before)
        result[row] = _finished(prompter, window, found, phrases, before)
    return result


def _phrases_with_words(
    prompter: Prompter, window: Window, outcome: Outcome, found: Cut, head: int, alignment: Alignment, before: float
) -> list[Phrase]:
    """The phrases of a window with their words. head: tokens of the prompt. before: where speech ended before it."""
    language = outcome.language.code if outcome.language else "en"
    texts = [prompter.text_tokens(phrase.tokens) for phrase in found.phrases]
    split = [words.split_words(text, prompter.tokenizer.to_text, language) for text in texts]
    attention = alignment.attention[:, head - 1 :, : max(1, window.frames // 2)]
    said = list(chain(*split))
    timings = words.word_timings(said, attention, alignment.probabilities[head:], prompter.speech.timestamp_seconds)
    usual = words.usual_duration(timings)
    left = iter(words.shorten_at_sentence_ends(timings, 2 * usual))
    options = prompter.options
    of_each = [
        words.merge_punctuation(list(islice(left, len(one))), options.prepend_punctuations, options.append_punctuations)
        for one in split
    ]
    return words.phrases_with_words(found.phrases, of_each, usual, before, window.duration)


def _finished(prompter: Prompter, window: Window, found: Cut, phrases: list[Phrase], before: float) -> Cut:
    """The phrases without those that are made up, and where to go on."""
    frames = found.frames
    ends = [phrase.end for phrase in phrases if phrase.words]
    if found.unfinished and ends:
        frames = max(1, round(ends[-1] * FRAMES_PER_SECOND))
    threshold = prompter.options.hallucination_silence_threshold
    if threshold is not None:
        kept, seconds = hallucinations.without(phrases, window.duration, before, threshold)
        return Cut(kept, frames if seconds is None else max(1, round(seconds * FRAMES_PER_SECOND)), found.unfinished)
    return Cut(phrases, frames, found.unfinished)


# ---- segments -------------------------------------------------------------------------------------------------------


def _segment(job: TranscriptionJob, window: Window, outcome: Outcome, phrase: Phrase) -> Segment:
    """A phrase as a segment, at its time in the whole recording."""
    said = [_in_recording(job.timeline, window.seconds, word) for word in phrase.words]
    start, end = (said[0].start, said[-1].end) if said else _times(job.timeline, window.seconds, phrase)
    return Segment(
        id=0,
        seek=window.seek,
        start=start,
        end=end,
        text=job.prompter.text(phrase.tokens),
        tokens=list(phrase.tokens),
        avg_logprob=outcome.decoded.avg_logprob,
        compression_ratio=outcome.compression_ratio,
        no_speech_prob=outcome.decoded.no_speech_prob,
        words=said if job.prompter.options.word_timestamps else None,
        temperature=outcome.temperature,
        language=outcome.language.code if outcome.language else None,
    )


def _times(timeline: Timeline, offset: float, phrase: Phrase) -> tuple[float, float]:
    """When a phrase begins and ends in the whole recording."""
    start, end = offset + phrase.start, offset + phrase.end
    start, end = (timeline.original(t, timeline.span_at(t, is_end)) for t, is_end in ((start, False), (end, True)))
    return hundredths(start, end)


def _in_recording(timeline: Timeline, offset: float, word: Word) -> Word:
    """A word at its time in the whole recording: start and end are in the same stretch of it."""
    start, end = offset + word.start, offset + word.end
    span = timeline.span_at((start + end) / 2)
    start, end = hundredths(timeline.original(start, span), timeline.original(end, span))
    return Word(start, end, word.word, round(word.probability, 4))
