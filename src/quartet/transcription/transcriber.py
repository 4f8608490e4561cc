"""`Transcriber`: speech in, segments out. What comes before the first window is decided here."""

import copy
import dataclasses
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from quartet import provision
from quartet.arrays import Floats
from quartet.audio.audio import RATE, Audio, Source, Wanted, open_audio
from quartet.audio.mel import FRAMES_PER_SECOND
from quartet.audio.voice_activity import VOICE, VadOptions
from quartet.errors import AudioError, LanguageError, OptionError
from quartet.live.events import LiveEvent
from quartet.live.listener import Listener, listened
from quartet.live.recognizer import WhisperRecognizer
from quartet.live.stream import Stream, pcm_of
from quartet.live.translating import Translators, translated
from quartet.live.utterances import TurnDetection
from quartet.options.declared import APPENDED, LISTEN, MODEL, PREPENDED, TEMPERATURES, TRANSCRIPTION, VAD
from quartet.options.kinds import bad_value, checked, shown
from quartet.progress import Progress, silent
from quartet.runtime.engine import Engine, of_this_process, open_engine
from quartet.runtime.machine import packing
from quartet.runtime.model import Model
from quartet.runtime.requests import Runner, Submit
from quartet.runtime.speech import POSITIONS_PER_TOKEN, detect_languages, encode_audio
from quartet.spec import Language, Manifest, Speech
from quartet.text.languages import resolve
from quartet.text.tokenizer import Tokenizer, load_tokenizer
from quartet.transcription.channels import by_time, seconds_kept
from quartet.transcription.first_pass import Recording, in_seconds, prepared
from quartet.transcription.long_form import TranscriptionJob, transcribed
from quartet.transcription.options import TranscriptionOptions, clips_of, temperatures_of
from quartet.transcription.prompts import Prompter
from quartet.transcription.segments import Segment, TranscriptionInfo

log = logging.getLogger("quartet")

ENGLISH = "en"
SPLIT_SILENCE_MS = 500  # of one channel of two, while the other one has its say


class Transcriber:
    """A speech model ready to transcribe.

    model: a folder (a quartet or a checkpoint), an alias (`whisper-base`), or `org/name` on the hub; what is no
    quartet yet is converted once into the cache. threads: per operator, None for all cores. verify: check the files'
    hashes.

    Raises `ModelNotFoundError`, `ManifestError`, `OptionError` for a model of text, and what conversion raises. Usable
    in a `with` statement.
    """

    def __init__(
        self,
        model: str | Path = "whisper-base",
        *,
        precision: str | None = None,
        revision: str | None = None,
        threads: int | None = None,
        verify: bool = False,
    ) -> None:
        threads, verify = checked(MODEL["threads"], threads), checked(MODEL["verify"], verify)
        self.folder = provision.ready(model, precision=precision, revision=revision)
        self._engine: Engine | None = open_engine(self.folder, threads, verify)
        self._submit: Submit = Engine.submit
        self._threads = threads
        self.manifest: Manifest = self._engine.manifest
        if self.manifest.speech is None:
            raise OptionError(f"{self.manifest.name} translates text; a speech model is expected, such as whisper-base")
        if self.manifest.tokenizer is None:
            raise OptionError(f"{self.manifest.name} has no tokeniser; convert it again with its tokeniser's files")
        self._speech: Speech = self.manifest.speech
        self._tokenizer: Tokenizer = load_tokenizer(self.folder, self.manifest.tokenizer)

    def close(self) -> None:
        """Give the memory back. The transcriber cannot be used afterwards."""
        self._engine = None
        packing.trim()

    def __enter__(self) -> "Transcriber":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def supported_languages(self) -> list[str]:
        """Codes of the languages that can be spoken."""
        return [language.code for language in self.manifest.languages] or [ENGLISH]

    def transcribe(
        self,
        audio: Source,
        language: str | None = None,
        task: str = "transcribe",
        *,
        beam_size: int = 5,
        best_of: int = 5,
        patience: float = 1,
        length_penalty: float = 1,
        repetition_penalty: float = 1,
        no_repeat_ngram_size: int = 0,
        temperature: float | Sequence[float] = TEMPERATURES,
        compression_ratio_threshold: float | None = 2.4,
        log_prob_threshold: float | None = -1.0,
        no_speech_threshold: float | None = 0.6,
        condition_on_previous_text: bool = True,
        prompt_reset_on_temperature: float = 0.5,
        initial_prompt: str | Sequence[int] | None = None,
        prefix: str | None = None,
        suppress_blank: bool = True,
        suppress_tokens: Sequence[int] | None = (-1,),
        without_timestamps: bool = False,
        max_initial_timestamp: float = 1.0,
        word_timestamps: bool = False,
        prepend_punctuations: str = PREPENDED,
        append_punctuations: str = APPENDED,
        multilingual: bool = False,
        vad_filter: bool = False,
        vad_parameters: VadOptions | Mapping[str, Any] | None = None,
        max_new_tokens: int | None = None,
        chunk_length: int | None = None,
        clip_timestamps: str | Sequence[float] | Sequence[Mapping[str, float]] = "0",
        hallucination_silence_threshold: float | None = None,
        hotwords: str | None = None,
        language_detection_threshold: float | None = 0.5,
        language_detection_segments: int = 1,
        batch_size: int = 1,
        audio_track: str | int | None = None,
        channels: str = "mixed",
        sampling_rate: int = RATE,
        progress: Progress = silent,
    ) -> tuple[Iterator[Segment], TranscriptionInfo]:
        """Transcribe a recording of any length; the segments come while it is being decoded.

        The parameters are those of faster-whisper's `WhisperModel.transcribe`, with the same defaults, and these:

        audio: a path, an open binary file, bytes of a file, or an array of samples at `sampling_rate`. What can be read
        twice is: the model wants to know how loud a recording gets. Of anything else the loudest so far counts, and
        voices are looked for in two minutes at a time.
        language: a code or name; several, as `en,it` or a list, are all tried on every window, and the likelier one is
        kept; None detects it.
        task: `translate` makes English of any language.
        batch_size: above 1, so many windows are decoded together. They are cut in silences that voice detection finds,
        none goes on from the text before, and `vad_filter` is always on.
        audio_track: which of several tracks of sound of a file: its number from 1 on, its language or its title.
        channels: `split` takes the two channels for two speakers. Each is transcribed by itself; the segments of both
        come in the order in which they begin, each with its `channel`. An open file is read into memory then, and
        `vad_filter` is always on.
        progress: is told how many seconds of how many are done.

        Raises `AudioError`, `LanguageError`, `OptionError`; some of them only while segments are taken.
        """
        options = TranscriptionOptions(
            task=task,
            beam_size=beam_size,
            best_of=best_of,
            patience=patience,
            length_penalty=length_penalty,
            repetition_penalty=repetition_penalty,
            no_repeat_ngram_size=no_repeat_ngram_size,
            temperatures=temperatures_of(temperature),
            compression_ratio_threshold=compression_ratio_threshold,
            log_prob_threshold=log_prob_threshold,
            no_speech_threshold=no_speech_threshold,
            condition_on_previous_text=condition_on_previous_text,
            prompt_reset_on_temperature=prompt_reset_on_temperature,
            initial_prompt=initial_prompt,
            prefix=prefix,
            hotwords=hotwords,
            suppress_blank=suppress_blank,
            suppress_tokens=suppress_tokens,
            without_timestamps=without_timestamps,
            max_initial_timestamp=max_initial_timestamp,
            max_new_tokens=max_new_tokens,
            word_timestamps=word_timestamps,
            prepend_punctuations=prepend_punctuations,
            append_punctuations=append_punctuations,
            hallucination_silence_threshold=hallucination_silence_threshold,
            multilingual=multilingual,
            chunk_length=chunk_length,
            clip_timestamps=clips_of(clip_timestamps),
            batch_size=batch_size,
        )
        options.check_for(self.manifest)
        if not self._speech.multilingual:
            options = dataclasses.replace(options, multilingual=False)
        segments = checked(TRANSCRIPTION["language_detection_segments"], language_detection_segments)
        threshold = checked(TRANSCRIPTION["language_detection_threshold"], language_detection_threshold)
        progress = checked(TRANSCRIPTION["progress"], progress)
        prompter = Prompter(self.manifest, self._speech, self._tokenizer, options)
        prompter.check_room()
        candidates = self._candidates(language, task)
        voices = _vad_options(vad_parameters)
        sounds = _sounds(audio, sampling_rate, _wanted(audio_track, candidates), channels, options.batch_size > 1)
        if len(sounds) > 1:  # where one speaks the other one is silent
            pause = min(voices.min_silence_duration_ms, SPLIT_SILENCE_MS)
            voices = dataclasses.replace(voices, min_silence_duration_ms=pause)
        needed = options.batch_size > 1 or len(sounds) > 1
        vad = voices if checked(TRANSCRIPTION["vad_filter"], vad_filter) or needed else None
        frames, mels, clips = self._window_frames(options.chunk_length), self._speech.mel_bins, options.clip_timestamps
        recordings = [prepared(one, mels, frames, vad, clips, batched=options.batch_size > 1) for one in sounds]
        _tell_late_clips(clips, recordings[0].duration, sounds[0].name)
        odds = [self._odds(recording, candidates, segments, threshold) for recording in recordings]
        surest = max(odds, key=lambda found: found[0][1])
        info = _info(surest, recordings, options, vad)
        jobs = [
            self._job(
                recording,
                prompter,
                candidates or self._candidates(found[0][0], task),
                progress if recording is recordings[-1] else silent,
                min(VOICE, voices.threshold),
            )
            for recording, found in zip(recordings, odds, strict=True)
        ]
        return (transcribed(jobs[0]) if len(jobs) == 1 else by_time([transcribed(job) for job in jobs])), info

    def detect_language(
        self,
        audio: Source,
        *,
        language_detection_segments: int = 1,
        language_detection_threshold: float | None = 0.5,
        audio_track: str | int | None = None,
        sampling_rate: int = RATE,
    ) -> tuple[str, float, list[tuple[str, float]]]:
        """The likeliest language of a recording, its probability, and those of all languages, likeliest first."""
        segments = checked(TRANSCRIPTION["language_detection_segments"], language_detection_segments)
        threshold = checked(TRANSCRIPTION["language_detection_threshold"], language_detection_threshold)
        frames = self._speech.window_frames
        sound = open_audio(audio, sampling_rate, _wanted(audio_track, ()))
        recording = prepared(sound, self._speech.mel_bins, frames, None, (), batched=False)
        odds = self._odds(recording, (), segments, threshold)
        return (*odds[0], odds)

    def listen(
        self,
        stream: Stream,
        *,
        language: str | Sequence[str] | None = None,
        to: str | None = None,
        translation_model: str | None = None,
        initial_prompt: str | None = None,
        hotwords: str | None = None,
        rate: int = RATE,
        vad_threshold: float = 0.5,
        min_silence_duration_ms: int = 500,
    ) -> Iterator[LiveEvent]:
        """Speech while it is spoken: `LiveText`, first as a guess, then final, and with `to` a `LiveTranslation`.

        stream: a binary file of raw PCM (16 bit, little endian, mono) or WAV, as a pipe, which a thread reads ahead of
        the model; or arrays of samples, one by one, each taken when the one before has been listened to. Samples are
        [n], [n, channels] or [channels, n], floats within ±1 or integers of full scale.
        language: as in `transcribe`; None detects it, phrase by phrase.
        to: the language to translate each phrase into when it is over, by `translation_model`; None: the opus-mt of
        the two languages.
        initial_prompt, hotwords: text that might have come before, and words that may come; of every phrase.
        rate: samples per second of arrays and raw PCM.
        vad_threshold, min_silence_duration_ms: when somebody speaks, and how long a pause ends a phrase.

        Words become final when looks at the sound that are a second apart agree on them, or when the phrase is over;
        final words are never taken back. Work and memory stay the same however long the stream is. Raises `AudioError`,
        `LanguageError`, `OptionError`; some of them only while events are taken.
        """
        rate = checked(LISTEN["rate"], rate)
        detection = TurnDetection(
            threshold=checked(LISTEN["vad_threshold"], vad_threshold),
            silence_duration_ms=checked(LISTEN["min_silence_duration_ms"], min_silence_duration_ms),
        )
        target, model = checked(LISTEN["to"], to), checked(LISTEN["translation_model"], translation_model)
        translators = None if target is None else Translators(target, model, self._threads)
        recognizer = self.recognizer(language, initial_prompt, hotwords)
        candidates = recognizer.candidates
        sound = pcm_of(stream, rate)
        known = candidates[0] if len(candidates) == 1 else None
        listener = Listener(recognizer, sound.rate, detection, known)
        texts = listened(listener, sound, ahead=hasattr(stream, "read"))
        if translators is None:
            return texts
        usual = known.code if known else None
        translators.check(usual if self._speech.multilingual else ENGLISH)
        return translated(texts, translators)

    def recognizer(
        self, language: str | Sequence[str] | None, initial_prompt: str | None = None, hotwords: str | None = None
    ) -> WhisperRecognizer:
        """What listens to a piece of speech that goes on, see `listen`. Raises `LanguageError`, `OptionError`."""
        options = TranscriptionOptions(without_timestamps=True, initial_prompt=initial_prompt, hotwords=hotwords)
        prompter = Prompter(self.manifest, self._speech, self._tokenizer, options)
        prompter.check_room()
        return WhisperRecognizer(self._runner, prompter, self._candidates(language, "transcribe"))

    def through(self, submit: Submit) -> "Transcriber":
        """The same transcriber, whose windows are encoded and decoded by whoever `submit` hands them to."""
        found = copy.copy(self)
        found._submit = submit
        return found

    # ---- before the first window --------------------------------------------------------------------------------

    def _window_frames(self, seconds: int | None) -> int:
        longest = self._speech.window_frames
        return longest if seconds is None else min(seconds * FRAMES_PER_SECOND, longest)

    def _candidates(self, language: str | Sequence[str] | None, task: str) -> tuple[Language, ...]:
        """The languages that are named; none where one is to be detected, or the model knows only English."""
        codes = tuple(self.supported_languages)
        if task == "translate" and not self._speech.multilingual:
            raise OptionError(f"{self.manifest.name} knows only English: task translate needs a multilingual model")
        language = checked(TRANSCRIPTION["language"], language)
        names = [] if language is None else language.split(",") if isinstance(language, str) else list(language)
        checked(TRANSCRIPTION["language"], names or None)
        found = [resolve(name.strip(), codes) for name in names]
        if len(set(found)) < len(found):
            raise LanguageError(f"language {language!r} names a language twice")
        known = {one.code: one for one in self.manifest.languages}
        return tuple(known[code] for code in found if code in known)

    def _odds(
        self, recording: Recording, candidates: Sequence[Language], windows: int, threshold: float | None
    ) -> list[tuple[str, float]]:
        """Languages and their probabilities, likeliest first; a language that is named, or the only one, is certain."""
        if not self._speech.multilingual:
            return [(ENGLISH, 1.0)]
        if len(candidates) == 1:
            return [(candidates[0].code, 1.0)]
        detected = self._detected(recording, windows, threshold)
        among = {one.code: detected[one.code] for one in candidates} or detected
        return sorted(among.items(), key=lambda odds: -odds[1])

    def _detected(self, recording: Recording, windows: int, threshold: float | None) -> dict[str, float]:
        """Probabilities by the first windows: of the first that is sure enough, else of the commonest winner's best."""
        frames, start = self._speech.window_frames, recording.clips[0][0]
        found: list[dict[str, float]] = []
        features = recording.stream.features(start, frames * windows)
        for first in range(0, max(1, features.shape[1]), frames):
            window = np.zeros((1, features.shape[0], frames), np.float32)
            piece = features[:, first : first + frames]
            window[0, :, : piece.shape[1]] = piece
            odds = self._odds_of(window)
            if threshold is None or max(odds.values()) > threshold:
                return odds
            found.append(odds)
        winners = [max(odds, key=lambda code: odds[code]) for odds in found]
        best = max(winners, key=winners.count)
        return max((odds for odds, winner in zip(found, winners, strict=True) if winner == best), key=lambda o: o[best])

    def _odds_of(self, window: Floats) -> dict[str, float]:
        """Languages of one window [1, mels, frames] and their probabilities, likeliest first."""

        def detect(model: Model) -> dict[str, float]:
            return detect_languages(model, encode_audio(model, window))[0]

        return self._runner.computed(detect, max(1, window.shape[2] // (2 * POSITIONS_PER_TOKEN)))

    def _job(
        self,
        recording: Recording,
        prompter: Prompter,
        languages: Sequence[Language],
        progress: Progress,
        voice: float,
    ) -> TranscriptionJob:
        return TranscriptionJob(
            runner=self._runner,
            prompter=prompter,
            stream=recording.stream,
            timeline=recording.timeline,
            languages=tuple(languages) or (None,),
            clips=recording.clips,
            frames=self._window_frames(prompter.options.chunk_length),
            reached=in_seconds(recording, progress),
            voice=voice,
        )

    @property
    def _runner(self) -> Runner:
        return Runner(self._open, self._submit)

    @property
    def _open(self) -> Engine:
        engine = self._engine
        if engine is None:
            raise OptionError("this transcriber is closed; make a new one")
        if engine.process != os.getpid():
            self._engine = engine = of_this_process(engine)
        return engine


def _vad_options(given: VadOptions | Mapping[str, Any] | None) -> VadOptions:
    if isinstance(given, VadOptions):
        return given
    if given is not None and not isinstance(given, Mapping):
        raise bad_value("vad_parameters", given, TRANSCRIPTION["vad_parameters"].kind.expected)
    for name in given or ():
        if name not in VAD:
            raise OptionError(f"vad_parameters has no {shown(name)}; it has {', '.join(sorted(VAD))}")
    return dataclasses.replace(VadOptions(), **(given or {}))


def _wanted(track: str | int | None, candidates: Sequence[Language]) -> Wanted:
    named: str | None = checked(TRANSCRIPTION["audio_track"], track)
    return Wanted(named, tuple(language.code for language in candidates))


def _sounds(source: Source, rate: int, wanted: Wanted, channels: str, twice: bool) -> list[Audio]:
    """What is transcribed: a recording, or each of its two channels, which are played at the same time.

    twice: it is played again, for which a pipe is read into memory.
    """
    is_split = checked(TRANSCRIPTION["channels"], channels) == "split"
    again: Source = source
    if (
        not isinstance(source, str | os.PathLike | bytes | np.ndarray)
        and hasattr(source, "read")
        and (is_split or (twice and not open_audio(source, rate, wanted).rewindable))
    ):
        again = _held(source, rate, wanted)
    if not is_split:
        return [open_audio(again, rate, wanted)]
    found = [open_audio(again, rate, dataclasses.replace(wanted, channel=channel)) for channel in (0, 1)]
    count = found[0].channels
    if count is None:
        raise OptionError(f"{found[0].name} can be read only once; two channels are split where it can be read again")
    if count != 2:
        held = "one channel" if count == 1 else f"{count} channels"
        raise OptionError(f"channels is split, but {found[0].name} has {held}; two are expected")
    return found


def _held(file: BinaryIO, rate: int, wanted: Wanted) -> bytes:
    """A file in memory, as `open_audio` hears it: from where it stands, or from its beginning if no sound follows."""
    stands = file.tell() if hasattr(file, "seekable") and file.seekable() else 0
    data = file.read()
    if not stands:
        return data
    try:
        open_audio(data, rate, wanted)
    except AudioError:
        file.seek(0)
        return file.read()
    return data


def _tell_late_clips(times: Sequence[float], duration: float | None, name: str) -> None:
    """Where nothing can be heard, in one line."""
    late = [time for time in times[::2] if duration is not None and time >= duration]
    if late:
        log.warning("a clip begins at %g s, but %s ends at %.1f s: nothing is heard there", late[0], name, duration)


def _info(
    odds: list[tuple[str, float]],
    recordings: Sequence[Recording],
    options: TranscriptionOptions,
    vad: VadOptions | None,
) -> TranscriptionInfo:
    recording = recordings[0]
    language, probability = odds[0]
    return TranscriptionInfo(
        language=language,
        language_probability=probability,
        duration=recording.duration,
        duration_after_vad=recording.kept if len(recordings) == 1 else seconds_kept(recordings),
        all_language_probs=odds if len(odds) > 1 else None,
        transcription_options=options,
        vad_options=vad,
    )
