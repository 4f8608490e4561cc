"""`quartet transcribe`: a recording to text or subtitles, in its language or in another one."""

import argparse
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path

from quartet.audio.audio import Source, Wanted, open_audio
from quartet.cli.output import STANDARD_INPUT, Input, Output, opened
from quartet.errors import OptionError, QuartetError
from quartet.live.translating import Translators
from quartet.progress import Progress, silent, terminal_bar
from quartet.text.languages import display_name, find, iso639_1
from quartet.transcription.cues import CueOptions
from quartet.transcription.segments import Segment, TranscriptionInfo
from quartet.transcription.subtitles import Writer, needs_words
from quartet.transcription.transcriber import Transcriber
from quartet.transcription.translated import translated

FROM_STANDARD_INPUT = "-"

log = logging.getLogger("quartet")


def transcribe(args: argparse.Namespace) -> None:
    """Transcribe, and write each segment as soon as it is there."""
    if args.to and args.task == "translate":
        raise OptionError(f"--task translate makes English, --to {args.to} makes that; give one of them")
    check_translation_model(args)
    translators = Translators(args.to, args.translation_model, args.threads) if args.to else None
    source = _source(args)
    open_audio(source, wanted=_wanted(args))  # before a model is fetched for something that is no audio
    with ExitStack() as stack:
        out = stack.enter_context(opened(args.output, *_inputs(args)))
        transcriber = stack.enter_context(opened_transcriber(args))
        on_screen = args.output is None and sys.stdout.isatty()  # then the segments show how far it is
        progress = stack.enter_context(nullcontext(silent) if on_screen else terminal_bar("transcribing", "s"))
        segments, info = _started(transcriber, source, args, progress)
        if args.language in (None, "auto"):
            log.info("language: %s (%.0f %%)", display_name(info.language), 100 * info.language_probability)
        if translators:
            stack.callback(translators.close)
            segments = _translated(segments, info, args, translators)
        _write(segments, Writer(args.format, info, _cue_options(args), args.to), out)
        if info.skipped and info.skipped >= 1:
            hint = f"--vad-threshold below {args.vad_threshold:g} hears more, --no-vad all"
            log.info("skipped %.1f s in which nobody seems to speak; %s", info.skipped, hint)


def check_translation_model(args: argparse.Namespace) -> None:
    """Raise `OptionError` where one is named for nothing."""
    if args.translation_model and not args.to:
        raise OptionError(f"--translation-model {args.translation_model} is for --to LANG, which is not given")


def _wanted(args: argparse.Namespace) -> Wanted:
    languages = () if args.language in (None, "auto") else tuple(args.language.split(","))
    return Wanted(args.audio_track, languages)


def _inputs(args: argparse.Namespace) -> list[Input]:
    """All that is read."""
    audio = STANDARD_INPUT if args.audio == FROM_STANDARD_INPUT else args.audio
    return [audio, *filter(None, [args.model, args.translation_model])]


def _source(args: argparse.Namespace) -> Source:
    if args.audio != FROM_STANDARD_INPUT:
        if not Path(args.audio).exists():
            raise OptionError(f"{args.audio}: no such file")
        return str(args.audio)
    if sys.stdin is None or sys.stdin.isatty():
        raise OptionError("there is no audio on standard input; name a file")
    return open(sys.stdin.fileno(), "rb", closefd=False)


def opened_transcriber(args: argparse.Namespace) -> Transcriber:
    """The model that hears."""
    return Transcriber(
        args.model, precision=args.precision, revision=args.revision, threads=args.threads, verify=args.verify
    )


def _started(
    transcriber: Transcriber, source: Source, args: argparse.Namespace, progress: Progress
) -> tuple[Iterator[Segment], TranscriptionInfo]:
    return transcriber.transcribe(
        source,
        None if args.language == "auto" else args.language,
        args.task,
        beam_size=args.beam_size,
        condition_on_previous_text=not args.no_previous_text,
        initial_prompt=args.initial_prompt,
        hotwords=args.hotwords,
        word_timestamps=args.word_timestamps or needs_words(args.format, _cue_options(args)),
        vad_filter=not args.no_vad,
        vad_parameters={"threshold": min(max(args.vad_threshold, 0.001), 0.999)},
        audio_track=args.audio_track,
        channels=args.channels,
        clip_timestamps=args.clip_timestamps,
        batch_size=args.batch_size,
        progress=progress,
    )


def _cue_options(args: argparse.Namespace) -> CueOptions:
    return CueOptions(args.max_line_width, args.max_lines, args.max_cps, args.min_gap)


def _translated(
    segments: Iterable[Segment], info: TranscriptionInfo, args: argparse.Namespace, translators: Translators
) -> Iterator[Segment]:
    """The segments, each translated out of its own language."""
    target = iso639_1(args.to) or args.to
    left: set[str] = set()  # languages that no model is there for

    def translate(sentences: Sequence[str], spoken: str) -> Sequence[str]:
        if spoken in left:
            return sentences
        try:
            translator = translators.of(spoken)
        except QuartetError as error:
            log.warning("%s is left as it is: %s", display_name(spoken), error)
            left.add(spoken)
            return sentences
        return [one.text for one in translator.translate_batch(sentences, args.to, spoken)]

    languages = [info.language, *(args.language or "").split(",")]
    source = next((one for one in languages if one not in ("", "auto") and find(one, [target]) is None), None)
    if source is None:
        log.info("what was said is in %s already", display_name(target))
    else:
        translators.of(iso639_1(source) or source)  # what is wrong with it is said before anything is heard
    return (segment for segment, _ in translated(segments, info.language, target, translate))


def _write(segments: Iterable[Segment], writer: Writer, out: Output) -> None:
    """Every segment as soon as it can be; the end of the file comes also where the segments break off."""
    out.write(writer.begin())
    try:
        for segment in segments:
            out.write(writer.add(segment))
            out.flush()
    finally:
        out.write(writer.end())
        out.flush()
