"""Requests whose texts are HTML or XML: what people read of these is translated, and they are put together again."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from quartet.text.detect import Detected
from quartet.text.html_documents import HtmlText, Rules, html_parts
from quartet.text.languages import bcp47
from quartet.translation.translator import Translation

Found = tuple[Translation, Detected | None]  # of a text, and what was detected where no source was named


def translated_markup(
    documents: Sequence[str], target: str, rules: Rules, translate: Callable[[list[str]], Sequence[Found]]
) -> list[Found]:
    """The documents, of whose texts `translate` gets all at once. A document's language is that of most of it."""
    rules = replace(rules, target=bcp47(target))
    parts = [list(html_parts(document, rules)) for document in documents]
    texts = [part.text for of_one in parts for part in of_one if not isinstance(part, str)]
    found = iter(translate(texts) if texts else ())
    return [_joined(of_one, target, found) for of_one in parts]


def _joined(parts: Sequence[str | HtmlText], target: str, found: Iterator[Found]) -> Found:
    whole: list[str] = []
    translations: list[Translation] = []
    sizes: Counter[Detected] = Counter()
    for part in parts:
        if isinstance(part, str):
            whole.append(part)
            continue
        translation, detected = next(found)
        whole.append(part.put(translation.text))
        translations.append(translation)
        if detected is not None:
            sizes[detected] += len(part.text)
    most = max(sizes, key=lambda one: (one.code is not None, sizes[one]), default=None)
    missing = tuple(text for one in translations for text in one.missing)
    source = translations[0].source if translations else None
    is_complete = all(one.complete for one in translations)
    return Translation("".join(whole), None, source, target, (), is_complete, missing), most
