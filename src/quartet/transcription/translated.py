"""Segments in another language: sentences that go over several segments are translated whole, and divided again."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from quartet.text.languages import find, script_of
from quartet.text.sentences import UNSPACED
from quartet.text.spread import goes_on, has_room, may_go_on, spread
from quartet.transcription.segments import Segment

LONGEST_PAUSE = 3.0  # seconds within a sentence

Translate = Callable[[Sequence[str], str], Sequence[str]]  # sentences, and their language


def translated(
    segments: Iterable[Segment], language: str, target: str, translate: Translate
) -> Iterator[tuple[Segment, Segment]]:
    """Each segment in the target language, and as it was said; their number, order and times are the same.

    language: of segments that do not know their own. What is in the target language already passes through. Sentences
    do not go over a change of language, nor over a pause. A segment waits until its last sentence is whole. Where a
    translation has fewer words than the sentence has segments, the last ones of these have no text.
    """
    held: list[Segment] = []
    try:
        for segment in segments:
            if held and not _continues(held, segment, language):
                yield from _of_group(held, language, target, translate)
                held = []
            held.append(segment)
            if not may_go_on(segment.text):
                group, held = held, []
                yield from _of_group(group, language, target, translate)
    except Exception:  # what was heard before an error is not lost
        group, held = held, []
        yield from _of_group(group, language, target, translate)
        raise
    yield from _of_group(held, language, target, translate)


def _continues(held: Sequence[Segment], segment: Segment, language: str) -> bool:
    last, spoken = held[-1], held[-1].language or language
    return (
        (segment.language or language) == spoken
        and segment.channel == last.channel
        and segment.start - last.end <= LONGEST_PAUSE
        and has_room([one.text for one in held])
        and goes_on(last.text, segment.text, spoken, punctuated=True)
    )


def _of_group(
    group: Sequence[Segment], language: str, target: str, translate: Translate
) -> Iterator[tuple[Segment, Segment]]:
    if not group:
        return
    spoken = group[0].language or language
    if find(spoken, [target]) is not None:
        yield from zip(group, group, strict=True)
        return
    found = spread([segment.text.strip() for segment in group], spoken)
    texts = found.divided(translate([one.text for one in found.sentences], spoken), target)
    before = "" if script_of(target) in UNSPACED else " "
    for segment, text in zip(group, texts, strict=True):
        yield replace(segment, text=before + text if text else "", words=None, tokens=[]), segment
