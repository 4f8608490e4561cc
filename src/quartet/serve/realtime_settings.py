"""What a realtime session is told to do, by OpenAI's `session.update`: checked, and said back as it is in force.

Only what is named is changed. What is not known, or cannot be done here, is an `ApiError` that names the parameter.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from quartet.live.sound import G711_RATE, PCM_RATES, Format
from quartet.live.utterances import TurnDetection
from quartet.serve.listening import Listening
from quartet.serve.models import Models
from quartet.serve.openai_audio import speech_model
from quartet.serve.web import ApiError
from quartet.text.languages import find

TRANSCRIPTION, TRANSLATION = "transcription", "translation"  # kinds of sessions
DELAYS = {"minimal": 0.5, "low": 1.0, "medium": 2.0, "high": 4.0, "xhigh": 8.0}  # seconds of speech between guesses
LOG_PROBS = "item.input_audio_transcription.logprobs"
OLD_FORMATS = {
    "pcm16": Format(),
    "g711_ulaw": Format("audio/pcmu", G711_RATE),
    "g711_alaw": Format("audio/pcma", G711_RATE),
}
ECHOED = ("id", "object", "expires_at", "model")  # of the session that the server has told: not to be changed
BETWEEN_SENTENCES = 800  # milliseconds of silence that end a turn of a translation: half a sentence translates badly
MOST_WORDS = 100  # keywords, or languages
MOST_MILLISECONDS = 60_000
Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Transcription:
    """How speech becomes text."""

    model: str  # as the client calls it
    language: str | None = None  # that is spoken
    languages: tuple[str, ...] = ()  # or one of these
    prompt: str | None = None
    keywords: tuple[str, ...] = ()
    delay: str = "low"  # how much is heard before text is guessed again


@dataclass(frozen=True)
class Settings:
    """All of it."""

    kind: str
    model: str  # as the client calls it
    transcription: Transcription
    transcribes: bool  # what was said is wanted in its own language
    form: Format = field(default_factory=Format)
    detection: TurnDetection | None = field(default_factory=TurnDetection)  # None: the client says where a turn ends
    log_probs: bool = False
    target: str = "en"  # language, of a translation


def first_settings(kind: str, model: str, language: str | None) -> Settings:
    """Those of a new session."""
    spoken = Transcription(model, language)
    if kind == TRANSLATION:
        return Settings(kind, model, spoken, False, detection=TurnDetection(silence_duration_ms=BETWEEN_SENTENCES))
    return Settings(kind, model, spoken, True)


@dataclass(frozen=True)
class Changes:
    """Reads changes of settings, for the models that a server has."""

    listening: Listening
    models: Models

    def updated(self, settings: Settings, session: Any) -> Settings:
        """After `session.update`. Raises `ApiError`."""
        fields = _object(session, "session")
        known = ("type", "audio", "include", *ECHOED)
        _check_names(fields, "session", known if settings.kind == TRANSCRIPTION else ("type", "audio", *ECHOED))
        if "type" in fields:
            _one_of(fields["type"], "session.type", (settings.kind,))
        settings = _with_include(settings, fields)
        if fields.get("audio") is not None:
            settings = self._with_audio(settings, _object(fields["audio"], "session.audio"))
        return settings

    def updated_as_before(self, settings: Settings, session: Any) -> Settings:
        """After the older `transcription_session.update`. Raises `ApiError`."""
        fields = _object(session, "session")
        names = ("format", "transcription", "noise_reduction")
        known = (*(f"input_audio_{name}" for name in names), "turn_detection", "include", *ECHOED)
        _check_names(fields, "session", (*known, "modalities", "client_secret"))
        settings = _with_include(settings, fields)
        if fields.get("input_audio_format") is not None:
            name = _one_of(fields["input_audio_format"], "session.input_audio_format", tuple(OLD_FORMATS))
            settings = replace(settings, form=OLD_FORMATS[name])
        renamed = {f"input_audio_{name}": name for name in names[1:]}
        parts = {renamed.get(name, name): value for name, value in fields.items()}
        return self._with_parts(settings, parts, "session", "input_audio_")

    def _with_audio(self, settings: Settings, audio: Fields) -> Settings:
        _check_names(audio, "session.audio", ("input", "output") if settings.kind == TRANSLATION else ("input",))
        if audio.get("output") is not None:
            output = _object(audio["output"], "session.audio.output")
            _check_names(output, "session.audio.output", ("language",))
            if output.get("language") is not None:
                settings = replace(settings, target=self._target(output["language"]))
        if audio.get("input") is None:
            return settings
        where = "session.audio.input"
        fields = _object(audio["input"], where)
        known = ("format", "noise_reduction", "transcription", "turn_detection")
        _check_names(fields, where, known if settings.kind == TRANSCRIPTION else known[:3])
        if fields.get("format") is not None:
            settings = replace(settings, form=_format(fields["format"], f"{where}.format"))
        return self._with_parts(settings, fields, where)

    def _with_parts(self, settings: Settings, fields: Fields, where: str, before: str = "") -> Settings:
        if fields.get("noise_reduction") is not None:
            raise _unsupported(f"{where}.{before}noise_reduction", "noise is not reduced here; leave it out, or null")
        if "transcription" in fields:
            path = f"{where}.{before}transcription"
            wanted = fields["transcription"] is not None
            if settings.kind == TRANSCRIPTION and not wanted:
                raise _unsupported(path, "it is null; a transcription session transcribes")
            found = self._transcription(settings.transcription, fields["transcription"] or {}, path)
            settings = replace(settings, transcription=found, transcribes=wanted)
        if "turn_detection" in fields:
            detection = _detection(settings.detection, fields["turn_detection"], f"{where}.turn_detection")
            settings = replace(settings, detection=detection)
        return settings

    def _transcription(self, found: Transcription, value: Any, where: str) -> Transcription:
        fields = _object(value, where)
        _check_names(fields, where, ("model", "language", "languages", "prompt", "keywords", "delay"))
        if fields.get("model") is not None:
            found = replace(found, model=_text(fields["model"], f"{where}.model"))
        model = _named(f"{where}.model", lambda: speech_model(self.listening, found.model))
        codes = model.codes("source") or ["en"]
        if "language" in fields:
            found = replace(found, language=_language(fields["language"], f"{where}.language", codes), languages=())
        if fields.get("languages") and not fields.get("language"):
            given = _texts(fields["languages"], f"{where}.languages")
            languages = dict.fromkeys(code for one in given if (code := _language(*one, codes)) is not None)
            found = replace(found, language=None, languages=tuple(languages))
        if "prompt" in fields:
            prompt = "" if fields["prompt"] is None else _text(fields["prompt"], f"{where}.prompt")
            found = replace(found, prompt=prompt or None)
        if "keywords" in fields:
            found = replace(found, keywords=tuple(one for one, _ in _texts(fields["keywords"], f"{where}.keywords")))
        if fields.get("delay") is not None:
            found = replace(found, delay=_one_of(fields["delay"], f"{where}.delay", tuple(DELAYS)))
        return found

    def _target(self, value: Any) -> str:
        """As the client spells it: models differ in that."""
        targets = ["en", *(one for one in self.models.targets() if find(one, ["en"]) is None)]
        return str(value) if _language(value, "session.audio.output.language", targets) else "en"


def session_told(settings: Settings, session_id: str, expires_at: int) -> dict[str, Any]:
    """The session as clients are told of it."""
    form, found = settings.form, settings.transcription
    transcription = {
        "model": found.model,
        "language": found.language,
        "languages": list(found.languages),
        "prompt": found.prompt or "",
        "keywords": list(found.keywords),
        "delay": found.delay,
    }
    pcm = {"rate": form.rate} if form.kind == "audio/pcm" else {}
    sound: dict[str, Any] = {"format": {"type": form.kind} | pcm, "noise_reduction": None}
    sound["transcription"] = transcription if settings.transcribes else None
    common = {"id": session_id, "type": settings.kind, "expires_at": expires_at}
    if settings.kind == TRANSLATION:
        return common | {"model": settings.model, "audio": {"input": sound, "output": {"language": settings.target}}}
    detection = settings.detection and {
        "type": "server_vad",
        "threshold": settings.detection.threshold,
        "prefix_padding_ms": settings.detection.prefix_padding_ms,
        "silence_duration_ms": settings.detection.silence_duration_ms,
    }
    include = [LOG_PROBS] if settings.log_probs else []
    whole = {"input": sound | {"turn_detection": detection}}
    return common | {"object": "realtime.transcription_session", "audio": whole, "include": include}


def checked_language(listening: Listening, name: str, language: str | None) -> str | None:
    """The language in the address of a new session. Raises `ApiError`."""
    codes = speech_model(listening, name).codes("source") or ["en"]
    return _language(language, "language", codes)


# ---- parts ----------------------------------------------------------------------------------------------------------


def _with_include(settings: Settings, fields: Fields) -> Settings:
    if fields.get("include") is None:
        return settings
    include = [_one_of(*one, (LOG_PROBS,)) for one in _texts(fields["include"], "session.include")]
    return replace(settings, log_probs=bool(include))


def _format(value: Any, where: str) -> Format:
    fields = _object(value, where)
    _check_names(fields, where, ("type", "rate"))
    kind = _one_of(fields.get("type", "audio/pcm"), f"{where}.type", ("audio/pcm", "audio/pcmu", "audio/pcma"))
    rates = PCM_RATES if kind == "audio/pcm" else (G711_RATE,)
    rate = fields.get("rate")
    if rate is not None and (isinstance(rate, bool) or rate not in rates):
        known = " or ".join(map(str, rates))
        raise _unsupported(f"{where}.rate", f"it is {_shown(rate)}; {kind} has {known} samples a second here")
    return Format(kind, rates[0] if rate is None else int(rate))


def _detection(before: TurnDetection | None, value: Any, where: str) -> TurnDetection | None:
    if value is None:
        return None
    fields = _object(value, where)
    numbers = ("threshold", "prefix_padding_ms", "silence_duration_ms")
    ignored = ("create_response", "interrupt_response")  # of responses, which a transcription has none of
    _check_names(fields, where, ("type", *numbers, *ignored, "idle_timeout_ms", "eagerness"))
    _one_of(fields.get("type", "server_vad"), f"{where}.type", ("server_vad",))
    for name in ("idle_timeout_ms", "eagerness"):
        if fields.get(name) is not None:
            raise _unsupported(f"{where}.{name}", "it is not here; leave it out, or null")
    found = before or TurnDetection()

    def number(name: str, most: float) -> float:
        return getattr(found, name) if fields.get(name) is None else _number(fields[name], f"{where}.{name}", most)

    return TurnDetection(
        number("threshold", 1.0),
        int(number("prefix_padding_ms", MOST_MILLISECONDS)),
        int(number("silence_duration_ms", MOST_MILLISECONDS)),
    )


def _object(value: Any, where: str) -> Fields:
    if not isinstance(value, dict):
        raise _invalid(where, f"it is {_shown(value)}; an object is expected")
    return value


def _check_names(fields: Fields, where: str, known: Sequence[str]) -> None:
    for name in fields:
        if name not in known:
            message = f"it is not known here; {where} may have {', '.join(known)}"
            raise _error(f"{where}.{name[:60]}", message, "unknown_parameter")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _invalid(where, f"it is {_shown(value)}; a string is expected")
    return value


def _texts(value: Any, where: str) -> list[tuple[str, str]]:
    """The texts of a list, each with where it stands."""
    if not isinstance(value, list) or len(value) > MOST_WORDS:
        raise _invalid(where, f"it is {_shown(value)}; a list of up to {MOST_WORDS} strings is expected")
    return [(_text(one, f"{where}[{place}]"), f"{where}[{place}]") for place, one in enumerate(value)]


def _one_of(value: Any, where: str, known: Sequence[str]) -> str:
    if value not in known:
        raise _unsupported(where, f"it is {_shown(value)}; it is one of {', '.join(known)} here")
    return str(value)


def _number(value: Any, where: str, most: float) -> float:
    kind = float if isinstance(most, float) else int
    fits = isinstance(value, int) or (kind is float and isinstance(value, float))
    if not fits or isinstance(value, bool) or not 0 <= value <= most:
        raise _invalid(where, f"it is {_shown(value)}; a number from 0 to {most:g} is expected")
    return kind(value)


def _language(value: Any, where: str, known: Sequence[str]) -> str | None:
    """A code of those that are known; None for none, and for `auto`."""
    if value is None or value in ("", "auto"):
        return None
    found = find(_text(value, where), known)
    if found is None:
        raise _unsupported(where, f"it is {_shown(value)}; there is {', '.join(known)}")
    return found


def _named(where: str, get: Callable[[], Any]) -> Any:
    try:
        return get()
    except ApiError as error:
        raise replace(error, param=where, message=f"{where}: {error.message}") from None


def _invalid(where: str, message: str) -> ApiError:
    return _error(where, message, "invalid_value")


def _unsupported(where: str, message: str) -> ApiError:
    return _error(where, message, "unsupported_value")


def _error(where: str, message: str, code: str) -> ApiError:
    return ApiError(400, f"{where}: {message}", param=where, code=code)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
