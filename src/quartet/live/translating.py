"""Phrases in another language, as soon as each is over."""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from quartet.errors import QuartetError
from quartet.live.events import LiveEvent, LiveText, LiveTranslation
from quartet.text.languages import bcp47, check_known, find, iso639_1

if TYPE_CHECKING:
    from quartet.translation.translator import Translator

Translate = Callable[[str], str]

log = logging.getLogger("quartet")


class Phrases(Protocol):
    """Translates phrases."""

    target: str  # code of the target language

    def translation(self, text: str, language: str) -> str | None:
        """A text of a language in the target language; None where that cannot be."""


def translated(events: Iterable[LiveText], phrases: Phrases) -> Iterator[LiveEvent]:
    """The events, and after each phrase its translation. What is said in the target language stays as it is."""
    phrase: list[LiveText] = []
    for event in events:
        yield event
        if not event.is_final:
            continue
        phrase.append(event)
        if event.ends_phrase:
            said = "".join(one.text for one in phrase).strip()
            text = phrases.translation(said, event.language) if said else None
            if text is not None:
                yield LiveTranslation(text, phrase[0].start, phrase[-1].end, phrases.target, said)
            phrase = []


class Translators:
    """Text models, opened for the languages that are spoken. model: one for all of them; None: an opus-mt for each."""

    def __init__(self, target: str, model: str | None, threads: int | None) -> None:
        """target: a code or a name. Raises `LanguageError` where that is no language and no model is named."""
        if model is None:
            check_known(target)
        self.target = bcp47(target) or target
        self._to, self._model, self._threads = target, model, threads
        self._bare = iso639_1(target) or target
        self._models: dict[str, Translator] = {}
        self._opened: dict[str, Translate | None] = {}

    def check(self, language: str | None) -> None:
        """Open the model for a language now. Raises what that raises.

        None: the language is not known yet; a model that is named has the target language, or this raises.
        """
        if language is not None:
            self._opened[language] = self._open(language)
        elif self._model is not None:
            self._named(self._model).check_languages(self._to, None)

    def translation(self, text: str, language: str) -> str | None:
        """See `Phrases`. A language that cannot be translated is told once."""
        if language not in self._opened:
            try:
                self.check(language)
            except QuartetError as error:
                self._opened[language] = None
                log.warning("what is said in %s is not translated: %s", language, error)
        translate = self._opened[language]
        return translate(text) if translate is not None else None

    def of(self, language: str) -> "Translator":
        """The model for a language that is spoken, opened the first time. Raises what opening it raises."""
        name = self._model or f"opus-mt-{language}-{self._bare}"
        if self._model is None and name not in self._models:
            log.info("translating with %s (--translation-model names another one)", name)
        translator = self._named(name)
        translator.check_languages(self._to, language)
        return translator

    def close(self) -> None:
        """Close all models."""
        for translator in self._models.values():
            translator.close()

    def _open(self, language: str) -> Translate:
        if find(language, [self._bare]) is not None:
            return str
        translator = self.of(language)
        return lambda text: translator.translate(text, self._to, language).text

    def _named(self, name: str) -> "Translator":
        from quartet.translation.translator import Translator  # noqa: PLC0415 - who only transcribes needs it not

        if name not in self._models:
            self._models[name] = Translator(name, threads=self._threads)
        return self._models[name]
