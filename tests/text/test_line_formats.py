"""Files of texts are put together again letter for letter, whatever they hold, and texts keep their lines."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cpu_time import cpu_seconds
from quartet.text.line_formats import Part, Run, evenly, parts

TIMES = ["00:00:01,000 --> 00:00:03,500", "00:01.000-->00:02.000 align:start", "-00:00:01,5 --> 0:0:2", " 1:2 --> 3:4"]
WHITE = ["\n", "\r\n", "\r", "\n\n", " ", "\t", "\ufeff"]
SIGNS = [
    "WEBVTT - title",
    "NOTE hidden",
    "STYLE",
    "-->",
    "- ",
    "—",
    "<i>",
    "</i>",
    "<v Ann Lee>",
    "</v>",
    "{\\an8}",
    *"{<>",
]
PIECES = st.sampled_from([*WHITE, *TIMES, *SIGNS, "1", "42", "Yes.", "It is cold today.", "今日は。"])
FILES = st.one_of(
    st.text(), st.lists(PIECES).map("".join), st.lists(st.one_of(PIECES, st.text(max_size=5))).map("".join)
)
FORMS = st.sampled_from(["text", "srt", "vtt", "tsv", "wrapped"])
WORDS = st.lists(st.sampled_from(["Yes.", "where", "the", "station", "is", "extraordinarily", "I"]), min_size=1)


def of(content: str, form: str) -> list[str | Part]:
    lines = re.findall(r"[^\n]*\n|[^\n]+", content)
    return list(parts(lines, "text" if form == "wrapped" else form, wrapped=form == "wrapped"))


def texts(content: str, form: str) -> list[str]:
    return [item.text for item in of(content, form) if isinstance(item, Part)]


def put(content: str, form: str, change) -> str:
    return "".join(item.put(change(item.text)) if isinstance(item, Part) else item for item in of(content, form))


def shouted(text: str) -> str:
    """Letters alone are changed, outside of tags, as a translation would."""
    return "".join(step if step[0] in "<{" else step.upper() for step in re.findall(r"<[^<>]*>|\{[^{}]*\}|.|\n", text))


# ---- any text ----


@given(FILES, FORMS)
@example("1\n00:00:01,000 --> 00:00:02,000\n<i><i></i>\n-", "srt")
def test_what_is_not_changed_stays_letter_for_letter(content, form):
    assert put(content, form, str) == content


@given(FILES, FORMS, st.text())
def test_any_translation_can_be_put(content, form, translation):
    kept = [item for item in of(content, form) if isinstance(item, str)]
    written = put(content, form, lambda text: translation)
    for item in kept:
        at = written.find(item)
        assert at >= 0
        written = written[at + len(item) :]


@given(FILES, FORMS)
def test_every_letter_outside_of_kept_stretches_is_in_a_text(content, form):
    for item in of(content, form):
        if isinstance(item, Part):
            around = item.before + item.after + "".join(item.between) + "".join(item.ends)
            missing = [letter for letter in item.source if letter not in item.text + around]
            assert not [letter for letter in missing if letter.isalnum()]


@given(st.lists(st.lists(WORDS.map(" ".join), min_size=1, max_size=3), max_size=5), st.sampled_from(["\n", "\r\n"]))
def test_cues_stay_cues(cues, end):
    """Times, numbers and the number of lines are what they were; the words are in capitals, in their order."""
    blocks = [[str(n), f"00:00:{n:02},000 --> 00:00:{n:02},900", *lines] for n, lines in enumerate(cues, 1)]
    content = (end * 2).join(end.join(block) for block in blocks)
    written = put(content, "srt", lambda text: shouted(text).replace("\n", " "))
    found = [block.split(end) for block in written.split(end * 2)] if written else []
    assert [block[:2] for block in found] == [block[:2] for block in blocks]
    assert [len(block) for block in found] == [len(block) for block in blocks]
    assert [" ".join(block[2:]) for block in found] == [" ".join(block[2:]).upper() for block in blocks]


@given(WORDS.map(" ".join), st.integers(1, 5))
def test_lines_are_even(text, count):
    lines = evenly(text, count)
    assert " ".join(lines) == text
    assert len(lines) == min(count, len(text.split()))
    longest = max(map(len, text.split()))
    assert all(abs(len(line) - len(text) / len(lines)) <= 2 * longest + 1 for line in lines)


@pytest.mark.parametrize("form", ["wrapped", "srt", "tsv"])
@pytest.mark.parametrize("unit", ["word ", "<i>", "</i>", "<", "{\\an8}", "{", "1\n", "今", "a\tb", " "])
def test_long_ones_take_no_square_of_time(unit, form):
    def seconds(times: int) -> float:
        content = f"1\n{TIMES[0]}\n" + unit * times + "\nsecond line\n"
        return cpu_seconds(lambda: put(content, form, lambda text: text.replace("\n", " ") + "!"), 0.2)

    assert seconds(50_000) < 40 * seconds(5_000) + 0.2


# ---- lines, paragraphs, columns ----


def test_lines():
    assert texts("One.\r\n\n  two\n", "text") == ["One.", "", "  two"]
    assert put("\ufeffOne.\r\n\n  two", "text", str.upper) == "\ufeffONE.\r\n\n  TWO"


def test_paragraphs():
    content = "It is\r\ncold.\r\n \r\n\r\nYes,\r\nit is"
    assert texts(content, "wrapped") == ["It is\ncold.", "Yes,\nit is"]
    assert put(content, "wrapped", lambda text: text.replace("\n", " ")) == "It is cold.\r\n \r\n\r\nYes, it is"
    assert put("- a\r\n- b\r\n", "wrapped", str.upper) == "- A\r\n- B\r\n", "a list stays one"


def test_columns():
    content = "en\tnote\r\nHello.\t\t 3 \r\n\r\nBye.\tOK"
    assert texts(content, "tsv") == ["en", "note", "Hello.", " 3 ", "Bye.", "OK"]
    assert put(content, "tsv", str.upper) == "EN\tNOTE\r\nHELLO.\t\t 3 \r\n\r\nBYE.\tOK"
    assert put("a\tb\n", "tsv", lambda text: f"{text}\t{text}\n{text}") == "a a a\tb b b\n", "columns stay columns"
    assert [(item.line, item.column) for item in of("a\tb\n\tc", "tsv") if isinstance(item, Part)] == [
        (1, 1),
        (1, 2),
        (2, 2),
    ]


def test_the_names_of_the_columns_of_a_transcript_stay():
    content = "start\tend\ttext\n0\t1200\tHello.\n"
    assert put(content, "tsv", str.upper) == "start\tend\ttext\n0\t1200\tHELLO.\n"


# ---- subtitles ----

FILM = """\ufeff1
00:00:01,000 --> 00:00:03,500 X1:40 X2:600
{\\an8}<i>Good morning,</i>
<i>everyone. It is a fine day.</i>

2
00:00:04,000 --> 00:00:06,250
- Where is the station, please?
— Over there.

3
0:06,500 --> -0:07,000
<font color="#ffff00">So this is a cue
of two lines,</font>
4
00:00:08,000-->00:00:09,000
Without a blank line before it.

after a blank line

5
00:00:10,000 --> 00:00:11,000

6
00:00:12,000 --> 00:00:13,000
The end"""


def test_subrip():
    assert texts(FILM, "srt") == [
        "Good morning,\neveryone. It is a fine day.",
        "Where is the station, please?",
        "Over there.",
        "So this is a cue\nof two lines,",
        "Without a blank line before it.",
        "after a blank line",
        "The end",
    ]
    assert [item.line for item in of(FILM, "srt") if isinstance(item, Part)] == [3, 8, 9, 13, 17, 19, 26]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_subrip_translated(end):
    content = FILM.replace("\n", end)
    expected = FILM.replace(
        "Good morning,</i>\n<i>everyone. It is a fine day.", "Good morning, everyone.</i>\n<i>It is a fine day."
    )
    written = put(content, "srt", lambda text: shouted(text).replace("\n", " "))
    wanted = "".join(
        step if step[0] in "<{" else step.upper()
        for step in re.findall(r"<[^<>]*>|\{[^{}]*\}|[^<{]+|.", expected.replace("\n", end))
    )
    assert written == wanted


SHOW = """WEBVTT - A title
Kind: captions

STYLE
::cue { color: white }

REGION
id:fred

NOTE not shown
00 to 01

intro
00:01.000 --> 00:02.000 line:0 position:20%
<v.loud Ann Lee>Come in, and
shut the door.</v>

00:02:00.000 --> 00:03:00.000
<v Bob>No.

not in a cue

99:00:00.000 --> 100:00:00.000
Yes.
7
"""


def test_webvtt():
    assert texts(SHOW, "vtt") == ["Come in, and\nshut the door.", "No.", "Yes.\n7"]
    written = put(SHOW, "vtt", lambda text: shouted(text).replace("\n", " "))
    assert written == SHOW.replace("Come in, and\nshut", "COME IN, AND\nSHUT").replace(
        "the door.", "THE DOOR."
    ).replace("No.", "NO.").replace("Yes.", "YES.")


@pytest.mark.parametrize(
    ("cue", "text", "translation", "written"),
    [
        ("<i>Yes.</i>", "Yes.", "Oui.", "<i>Oui.</i>"),
        ("<i>Yes</i>, I do.", "<i>Yes</i>, I do.", "<i>Oui</i>.", "<i>Oui</i>."),
        ("I <b>do</b>", "I <b>do</b>", "<b>Oui</b>", "<b>Oui</b>"),
        ("<i>Where\nis he?</i>", "Where\nis he?", "Mais où est-il ?", "<i>Mais où\nest-il ?</i>"),
        ("<i>- Yes.", "Yes.", "Oui.", "<i>- Oui."),
        ("-No.</i>", "No.", "Non.", "-Non.</i>"),
        ("- Yes, I\nthink so.", "Yes, I\nthink so.", "Je le pense.", "- Je le\npense."),
        ("a very\nlong line", "a very\nlong line", "une <font size=9>très longue</font> ligne", None),
        ("Yes,\nyes.", "Yes,\nyes.", "Oui.", "Oui."),
        ("It is\ncold.", "It is\ncold.", "Fait-il « froid » ?", "Fait-il\n« froid » ?"),
        ("It is\ncold.", "It is\ncold.", "今日は、とても寒いです。", "今日は、とて\nも寒いです。"),
        ("It is\ncold.", "It is\ncold.", "", ""),
    ],
)
def test_tags_dashes_and_lines(cue, text, translation, written):
    content = f"{TIMES[0]}\n{{}}\n\n"
    written = written if written is not None else "une <font size=9>très\nlongue</font> ligne"
    assert texts(content.format(cue), "srt") == [text]
    assert put(content.format(cue), "srt", lambda _: translation) == content.format(written)


@pytest.mark.parametrize("content", ["", "Just text.\nNo times.\n", "WEBVTT\n", f"1\n{TIMES[0]}", f"{TIMES[0]}\n\n-\n"])
@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_files_without_texts(content, form):
    assert texts(content, form) == []


# ---- sentences over several cues ----

HARBOUR = """1
00:00:01,000 --> 00:00:03,500
The harbour lies between two hills,
and every morning the boats

2
00:00:03,600 --> 00:00:06,000
come back at dawn. A young

3
00:00:06,100 --> 00:00:08,000
woman opens the bakery.
"""


def joined(content: str, form: str = "srt", source: str | None = "en") -> list[str | Part | Run]:
    lines = content.splitlines(keepends=True)
    return list(parts(lines, form, target="fr", source=source, joined=True))


def sentences(content: str, form: str = "srt") -> list[str]:
    """What is translated, by itself or as a sentence."""
    found = [item.text.split("\n\n") for item in joined(content, form) if not isinstance(item, str)]
    return [" ".join(text.split("\n")) for texts in found for text in texts]


def translate_joined(content: str, change, form: str = "srt") -> str:
    items = joined(content, form)
    return "".join(item if isinstance(item, str) else item.put(change(item.text)) for item in items)


def test_a_sentence_over_cues_is_translated_whole():
    assert sentences(HARBOUR) == [
        "The harbour lies between two hills, and every morning the boats come back at dawn.",
        "A young woman opens the bakery.",
    ]
    (run,) = (item for item in joined(HARBOUR) if isinstance(item, Run))
    assert (run.line, run.column) == (3, None)
    french = (
        "Le port se trouve entre deux collines, et chaque matin les bateaux reviennent à l'aube.\n\n"
        "Une jeune femme ouvre la boulangerie."
    )
    assert translate_joined(HARBOUR, lambda _: french) == (
        HARBOUR.replace("The harbour lies between two hills,", "Le port se trouve entre deux collines,")
        .replace("and every morning the boats", "et chaque matin les bateaux")
        .replace("come back at dawn. A young", "reviennent à l'aube. Une jeune")
        .replace("woman opens the bakery.", "femme ouvre la boulangerie.")
    )


@pytest.mark.parametrize("translation", ["", "Oui.", "Oui.\n\nNon.\n\nSi.", "a b c d", "今日は。"])
def test_whatever_comes_back_cues_stay_and_have_text(translation):
    written = translate_joined(HARBOUR, lambda _: translation)
    assert re.findall("(?m)^.*-->.*$", written) == re.findall("(?m)^.*-->.*$", HARBOUR)
    blocks = written.rstrip().split("\n\n") if translation else []
    assert all(block.split("\n")[2].strip() for block in blocks)
    if translation:
        assert len(blocks) == 3


def pair(first: str, second: str, times: tuple[str, str] = (" 00:00:02,000", "00:00:02,100"), rest: str = "") -> str:
    return f"1\n00:00:01,000 -->{times[0]}\n{first}\n\n2\n{times[1]} --> 00:00:04,000{rest}\n{second}\n"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("<i>I think that you</i>", "<i>should go.</i>"),
        ("{\\an8}I think that you", "{\\an8}should go."),
        ("I think that you", "should go."),
        ("- Yes.\n- I think that you", "should go."),
        ("I think\nthat you", "should\ngo."),
    ],
)
def test_markup_around_and_dashes_stay_with_their_cue(first, second):
    content = pair(first, second)
    assert "I think that you should go." in sentences(content)
    assert translate_joined(content, str) == content
    written = translate_joined(content, lambda text: shouted(text).replace("\n", " ").replace("  ", "\n\n"))
    assert written == re.sub(r"(?m)^(?!.*-->|\d).*$", lambda found: shouted(found[0]), content)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (pair("I think that you", "- should go."), "another speaker"),
        (pair("<i>I think that you</i>", "should go."), "another voice"),
        (pair("{\\an8}I think that you", "should go."), "another place"),
        (pair("I think that you", "should go.", rest=" X1:40 X2:600"), "another place"),
        (pair("I think that you", "<b>should</b> go."), "markup inside"),
        (pair("I think that <b>you</b> all", "should go."), "markup inside"),
        (pair("I think that you", "should go.", ("00:00:01,500", "00:00:05,000")), "a pause"),
        (pair("I think that you", "should go.", ("00:00:03,000", "00:00:01,000")), "both at the same time"),
        (pair("[he thinks that]", "should go."), "a sound"),
        (pair("♪ I think that you", "should go ♪"), "a song"),
        (pair("I think so.", "should go."), "a full stop"),
        (pair("- I think that you\n- should go.", "Yes."), "two speakers in a cue"),
    ],
)
def test_what_is_no_sentence_is_not_joined(content, why):
    assert not [item for item in joined(content) if isinstance(item, Run)], why


def test_webvtt_is_joined_by_voices_and_places():
    first, second = "00:01.000 --> 00:02.000 line:0\n<v Ann>I think\n\n", "00:02.000 --> 00:03.000 line:0\n<v Ann>so.\n"
    assert sentences(f"WEBVTT\n\n{first}NOTE hidden\n\n{second}", "vtt") == ["I think so."]
    assert sentences(f"WEBVTT\n\n{first}{second.replace('Ann', 'Bob')}", "vtt") == ["I think", "so."]


def test_a_cue_that_ends_is_given_out_at_once():
    read = []

    def lines():
        for line in pair("Yes.", "No").splitlines(keepends=True):
            read.append(line)
            yield line

    found = parts(lines(), "srt", joined=True)
    assert next(item for item in found if isinstance(item, Part)).text == "Yes."
    assert len(read) <= 5


def test_few_lines_wait_for_a_cue():
    content = ["00:00:01,000 --> 00:00:02,000\n", "And so\n", *["\n"] * 10_000]
    read = 0

    def lines():
        nonlocal read
        for read, line in enumerate(content):  # noqa: B007 - the count is what is looked at
            yield line

    found = parts(lines(), "srt", joined=True)
    assert next(item for item in found if isinstance(item, Part)).text == "And so"
    assert read < 100


@given(FILES, st.sampled_from(["srt", "vtt"]))
@example(HARBOUR, "srt")
def test_joined_files_stay_letter_for_letter(content, form):
    lines = re.findall(r"[^\n]*\n|[^\n]+", content)
    items = list(parts(lines, form, joined=True))
    assert "".join(item if isinstance(item, str) else item.put(item.text) for item in items) == content


@given(st.lists(st.lists(WORDS.map(" ".join), min_size=1, max_size=2), max_size=5))
def test_joined_cues_keep_every_word_in_order(cues):
    blocks = [[str(n), f"00:00:{n:02},000 --> 00:00:{n:02},900", *lines] for n, lines in enumerate(cues, 1)]
    content = "\n\n".join("\n".join(block) for block in blocks)
    written = translate_joined(
        content, lambda text: "\n\n".join(" ".join(one.upper().split()) for one in text.split("\n\n"))
    )
    found = [block.split("\n") for block in written.split("\n\n")] if written else []
    assert [block[:2] for block in found] == [block[:2] for block in blocks]
    words = [" ".join(block[2:]) for block in found]
    assert " ".join(words).split() == " ".join(" ".join(lines) for lines in cues).upper().split()
    assert all(words)


def test_lines_of_a_translation_are_broken_at_phrases_but_not_made_wider():
    (cue,) = (item for item in joined(pair("I think of\nyou.", "No.")) if isinstance(item, Part) and item.ends[1:])
    assert cue.put("Le port de la ville se trouve entre deux collines.") == (
        "Le port de la ville se trouve\nentre deux collines.\n"
    )
    long = "Le port de la très petite ville du nord se trouve, je le dis, entre deux collines."
    assert cue.put(long) == "\n".join(evenly(long, 2)) + "\n"
    tagged = "Le <i>port de la</i> ville se trouve entre deux collines."
    assert cue.put(tagged) == "\n".join(evenly(tagged, 2)) + "\n"
