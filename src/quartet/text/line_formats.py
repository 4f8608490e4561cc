"""Files of texts: lines, paragraphs, SubRip, WebVTT, columns and HTML, taken apart and put together again.

Everything but the texts is kept letter for letter: line ends, a byte order mark, blank lines, numbers, times, settings
and comments. (pysubs2, srt and webvtt-py read cues and write new files, in which much of that is lost.)

SubRip has no standard. WebVTT is read as https://www.w3.org/TR/webvtt1/ says.
"""

import bisect
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from quartet.text.html_documents import HtmlText, Rules, html_parts, is_xml
from quartet.text.languages import bcp47
from quartet.text.phrases import columns, divide
from quartet.text.spread import Spread, goes_on, has_room, may_go_on, spread

Form = Literal["text", "srt", "vtt", "tsv", "html"]
FORM_OF_SUFFIX: dict[str, Form] = {
    ".srt": "srt",
    ".vtt": "vtt",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
}

BYTE_ORDER_MARK = "\ufeff"
WHISPER_COLUMNS = "start\tend\ttext"  # the first line of `transcribe --format tsv`: names that programs look for
MOST_TAGS = 8  # around a text; more are no markup

LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
TIMES = re.compile(r"[ \t]*-?[0-9][0-9:.,-]*[ \t]*-->[ \t]*-?[0-9]")
CUE = re.compile(r"\s*(?P<start>[0-9:.,]+)\s*-->\s*(?P<end>[0-9:.,]+)(?P<place>.*)")
MARKUP = frozenset("<>{}")
USUAL_WIDTH = 42  # columns of a line of subtitles
LONGEST_PAUSE = 3.0  # seconds within a sentence
MOST_LINES = 50  # between two cues of a sentence
PLACE = re.compile(r"(?:\{\\[^{}]*\})*")  # of a cue on the screen, and its style
OPENING = re.compile(r"<(?P<name>[A-Za-z]+)[^<>]*>|\{\\[^{}]*\}")
CLOSING = re.compile(r"</(?P<name>[A-Za-z]+)>")
DASH = re.compile(r"[-‐–—][ \t\u00a0]*")
DIALOGUE = re.compile(r"(?:<[^<>]*>|\{[^{}]*\}|[ \t])*[-‐–—]")

# Where a line may be broken: at spaces, or between characters that are written without them; never inside a tag.
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_NEVER_FIRST = "ーぁぃぅぇぉっゃゅょァィゥェォッャュョ"
STEP = re.compile(
    rf"<[^<>]*>|\{{[^{{}}]*\}}"
    rf"|(?P<gap>(?<=[^\s«]) +(?=[^\s?!:;»%])|(?<=[{_CJK}、。！？…」』）])(?![{_NEVER_FIRST}])(?=[{_CJK}「『（]))"
)


@dataclass(frozen=True)
class Part:
    """A text of a file, and what is around it. `put` gives what is written instead of `source`."""

    text: str  # to be translated; its lines are joined by line breaks
    source: str  # all that it is in the file, the end of its last line included
    line: int  # in which it begins, from 1
    ends: tuple[str, ...]  # of its lines; the translation is put on as many
    column: int | None = None  # from 1, where lines have several texts
    before: str = ""  # its first line
    between: tuple[str, str] = ("", "")  # behind each line but the last, and before each but the first
    after: str = ""  # its last line
    breaks: bool = False  # the translation's own line breaks are kept instead
    target: str | None = None  # language of the translation, whose phrases are heeded where lines are broken

    def put(self, translation: str) -> str:
        """The translation in the place of the text; the text itself gives `source`."""
        if translation == self.text:
            return self.source
        if self.breaks:
            inner = next(filter(None, self.ends), "\n")
            return self.before + translation.replace("\n", inner) + self.after + self.ends[-1]
        if self.column is not None:
            translation = translation.replace("\t", " ")
        if "\n" in translation:
            translation = " ".join(line.strip(" \t") for line in translation.split("\n"))
        *others, last = self._in_lines(translation)
        behind, ahead = self.between
        inner = "".join(f"{line}{behind}{end}{ahead}" for line, end in zip(others, self.ends, strict=False))
        return self.before + inner + last + self.after + self.ends[-1]

    def _in_lines(self, translation: str) -> list[str]:
        """At phrases where that makes no line too wide, else of nearly the same length."""
        even = evenly(translation, len(self.ends))
        if self.target is None or len(even) < len(self.ends) or MARKUP & set(translation) or len(even) == 1:
            return even
        lines = divide(translation, [1] * len(even), self.target)
        widest = max(USUAL_WIDTH, *map(columns, even), *map(columns, self.text.split("\n")))
        return lines if all(lines) and max(map(columns, lines)) <= widest else even


@dataclass(frozen=True)
class Run:
    """Cues whose sentences go on from one to the next. Each keeps its place, its time and its number of lines."""

    items: tuple[str | Part, ...]  # the texts, and what is between them
    sentences: Spread
    target: str | None
    column: None = None

    @property
    def text(self) -> str:
        """To be translated, as wrapped text: sentences with a blank line between them."""
        return "\n\n".join(sentence.text for sentence in self.sentences.sentences)

    @property
    def line(self) -> int:
        """In which it begins, from 1."""
        return next(item.line for item in self.items if isinstance(item, Part))

    def put(self, translation: str) -> str:
        """The translation in the places of the texts. A cue for which no word is left shows what is there before."""
        if translation == self.text:
            return "".join(item if isinstance(item, str) else item.source for item in self.items)
        divided = self.sentences.divided(translation.split("\n\n"), self.target)
        texts = itertools.accumulate(divided, _or_before)
        return "".join(item if isinstance(item, str) else item.put(next(texts)) for item in self.items)


def _or_before(before: str, text: str) -> str:
    return text or before


Text = Part | Run | HtmlText  # to be translated: each has `text`, `line`, `column` and `put`


def parts(
    lines: Iterable[str],
    form: Form = "text",
    wrapped: bool = False,
    target: str | None = None,
    source: str | None = None,
    joined: bool = False,
) -> Iterator[str | Text]:
    """A file's texts in order, and between them, as strings, all that is kept letter for letter.

    lines: with their ends, which are line feeds, the last one's may be missing. A text is given out as soon as the line
    is there that ends it. wrapped: of `text`, what is between blank lines is one text. target: language of the
    translation, which a page in HTML names. source: language of the file, if it is known. joined: cues whose sentences
    go on in the next one are one text, a `Run`.
    """
    lines = iter(lines)
    first = next(lines, "")
    if first.startswith(BYTE_ORDER_MARK):
        yield BYTE_ORDER_MARK
        first = first.removeprefix(BYTE_ORDER_MARK)
    lines = itertools.chain([first] if first else [], lines)
    if form == "html":
        source = "".join(lines)
        yield from html_parts(source, Rules(is_xml(source), bcp47(target) if target else None))
    elif form == "tsv":
        yield from _cells(lines)
    elif form == "text":
        yield from _paragraphs(lines) if wrapped else _lines(lines)
    else:
        cues = (item if isinstance(item, str) else replace(item, target=target) for item in _cues(lines, form))
        yield from _runs(cues, target, source) if joined else cues


def evenly(text: str, count: int) -> list[str]:
    """A line as so many lines of nearly the same length, or fewer where it has too few words. Tags have no length."""
    gaps: list[tuple[int, int]] = []  # (end of a line, begin of the next)
    lengths: list[int] = []  # of what is seen up to there
    hidden = 0
    for step in STEP.finditer(text) if count > 1 else ():
        if step["gap"] is None:
            hidden += len(step[0])
        else:
            gaps.append(step.span())
            lengths.append(step.start() - hidden)
    count = min(count, len(gaps) + 1)
    lines, begin, used = [], 0, 0
    for number in range(1, count):
        goal = (len(text) - hidden) * number / count
        nearest = bisect.bisect(lengths, goal)
        if nearest == len(gaps) or (nearest and goal - lengths[nearest - 1] <= lengths[nearest] - goal):
            nearest -= 1
        chosen = min(max(nearest, used), len(gaps) - (count - number))
        lines.append(text[begin : gaps[chosen][0]])
        begin, used = gaps[chosen][1], chosen + 1
    return [*lines, text[begin:]]


def _content_and_end(line: str) -> tuple[str, str]:
    end = next((end for end in ("\r\n", "\n", "\r") if line.endswith(end)), "")
    return line.removesuffix(end), end


def _lines(lines: Iterable[str]) -> Iterator[Part]:
    for number, line in enumerate(lines, 1):
        text, end = _content_and_end(line)
        yield Part(text, line, number, (end,))


def _paragraphs(lines: Iterable[str]) -> Iterator[str | Part]:
    numbered = ((number, line, not line.strip()) for number, line in enumerate(lines, 1))
    for blank, group in itertools.groupby(numbered, key=lambda entry: entry[2]):
        if blank:
            yield from (line for _, line, _ in group)
            continue
        found = list(group)
        contents, ends = zip(*(_content_and_end(line) for _, line, _ in found), strict=True)
        source = "".join(line for _, line, _ in found)
        yield Part("\n".join(contents), source, found[0][0], (ends[0], ends[-1]), breaks=True)


def _cells(lines: Iterable[str]) -> Iterator[str | Part]:
    for number, line in enumerate(lines, 1):
        content, end = _content_and_end(line)
        if number == 1 and content == WHISPER_COLUMNS:
            yield line
            continue
        *cells, last = content.split("\t")
        for column, (cell, behind) in enumerate([*((cell, "\t") for cell in cells), (last, end)], 1):
            yield Part(cell, cell + behind, number, (behind,), column) if cell.strip() else cell + behind


def _cues(lines: Iterable[str], form: Form) -> Iterator[str | Part]:
    """Texts of cues. What is no cue is kept.

    In SubRip a blank line inside a cue does not end it, as for players; in WebVTT it does. Cues without a blank line
    between them are told apart by their times and the number before these.
    """
    split = itertools.chain.from_iterable(LINE.findall(line) for line in lines)
    following = itertools.pairwise(itertools.chain(split, [""]))
    in_cue, after_blank = False, True
    block: list[tuple[int, str]] = []
    for number, (line, coming) in enumerate(following, 1):
        content, _ = _content_and_end(line)
        times = TIMES.match(content) is not None
        named = TIMES.match(coming) is not None and (after_blank or content.strip().isdigit())
        after_blank = not content.strip()
        if in_cue and not (times or named or after_blank):
            block.append((number, line))
            continue
        yield from _texts_of_cue(block)
        yield line
        block = []
        in_cue = times or (in_cue and (form == "srt" or content != ""))
    yield from _texts_of_cue(block)


def _runs(items: Iterable[str | Part], target: str | None, source: str | None) -> Iterator[str | Part | Run]:
    """Cues of which one sentence goes over several, as one item."""
    run: list[str | Part] = []  # begins with a text, and ends with one but for what is behind it so far
    times: re.Match[str] | None = None  # of the cue that is read
    of_run: re.Match[str] | None = None  # of the last cue in the run
    for item in items:
        if isinstance(item, str):
            times = CUE.match(item) or times
            run.append(item)
            if not isinstance(run[0], Part) or not any(isinstance(one, Part) for one in run[-MOST_LINES:]):
                yield from _run(run, target, source)
                run = []
            continue
        texts = [one for one in run if isinstance(one, Part)]
        follows = of_run is not None and times is not None and of_run is not times and _follows(of_run, times)
        if run and not (follows and has_room([one.text for one in texts]) and _continues(texts[-1], item, source)):
            yield from _run(run, target, source)
            run = []
        run.append(item)
        of_run = times
        if not _may_go_on(item):
            yield from _run(run, target, source)
            run = []
    yield from _run(run, target, source)


def _run(items: list[str | Part], target: str | None, source: str | None) -> Iterator[str | Part | Run]:
    """The texts as one, where there are several; what is behind the last one is by itself."""
    texts = [k for k, item in enumerate(items) if isinstance(item, Part)]
    if len(texts) < 2:
        yield from items
        return
    found = spread([item.text for item in items if isinstance(item, Part)], source)
    yield Run(tuple(items[: texts[-1] + 1]), found, target)
    yield from items[texts[-1] + 1 :]


def _may_go_on(part: Part) -> bool:
    return not (MARKUP & set(part.text)) and may_go_on(part.text)  # markup in a text belongs to words of it


def _continues(part: Part, following: Part, source: str | None) -> bool:
    return (
        _markup(part) == _markup(following)
        and not DASH.match(following.before[len(_markup(following)) :])
        and not (MARKUP & set(following.text))
        and goes_on(part.text, following.text, source)
    )


def _markup(part: Part) -> str:
    """What is before a text, but for a dash."""
    return part.before.rstrip(" \t\u00a0-‐–—")


def _follows(cue: re.Match[str], following: re.Match[str]) -> bool:
    """Whether a cue comes soon after another one, in the same place on the screen."""
    pause = _seconds(following["start"]) - _seconds(cue["end"])
    return cue["place"].strip() == following["place"].strip() and -0.1 <= pause <= LONGEST_PAUSE


def _seconds(time: str) -> float:
    """Of `01:02:03,456`; 0 where it is no time."""
    seconds = 0.0
    try:
        for part in time.replace(",", ".").split(":"):
            seconds = 60 * seconds + float(part)
    except ValueError:
        return 0.0
    return seconds


def _texts_of_cue(block: list[tuple[int, str]]) -> Iterator[str | Part]:
    """One text, or one for each speaker of a dialogue."""
    turns: list[list[tuple[int, str]]] = []
    for number, line in block:
        if not turns or DIALOGUE.match(line):
            turns.append([])
        turns[-1].append((number, line))
    for turn in turns:
        part = _turn([line for _, line in turn], turn[0][0])
        yield part if part.text.strip() else part.source


def _turn(lines: list[str], number: int) -> Part:
    contents, ends = zip(*map(_content_and_end, lines), strict=True)
    whole = "\n".join(contents)
    start = len(place[0]) if (place := PLACE.match(whole)) else 0
    each = [_without_tags_around(content) for content in whole[start:].split("\n")]
    before, _, after = each[0]
    between = (after, before)
    if len({(opening, closing) for opening, _, closing in each}) == 1:
        text = "\n".join(inner for _, inner, _ in each)
    else:
        before, text, after = _without_tags_around(whole[start:])
        between = ("", "")
    if dash := DASH.match(text):
        before, text = before + dash[0], text[dash.end() :]
    return Part(text, "".join(lines), number, ends, None, whole[:start] + before, between, after)


def _without_tags_around(text: str) -> tuple[str, str, str]:
    """Tags that the whole text is in, the text, and the tags that close them: `<i>`, `Yes.`, `</i>`.

    A tag that is never closed in the text, such as `<v Ann>`, is around the rest of it.
    """
    begin, end = 0, len(text)
    for _ in range(MOST_TAGS):
        tag = OPENING.match(text, begin, end)
        if tag is None:
            break
        if name := tag["name"]:
            times = text.count(f"</{name}", tag.end(), end)
            if times == 1 and text.endswith(f"</{name}>", tag.end(), end):
                end -= len(f"</{name}>")
            elif times:
                break
        begin = tag.end()
    for _ in range(MOST_TAGS):
        start = text.rfind("</", begin, end)
        closing = CLOSING.fullmatch(text, start, end) if start >= 0 else None
        if closing is None or text.find(f"<{closing['name']}", begin, start) >= 0:
            break
        end = start
    return text[:begin], text[begin:end], text[end:]
