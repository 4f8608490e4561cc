import re
import unicodedata
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cpu_time import cpu_seconds
from quartet.text.kept import KINDS, KeptSpan, kept_spans

# what is kept stands in ⟦kind:…⟧
TABLE = r"""
Go to ⟦url:https://example.org⟧ now.
Go to ⟦url:https://example.org/⟧.
Hello ⟦placeholder:%1$s⟧, open ⟦tag:<b>⟧⟦placeholder:{file}⟧⟦tag:</b>⟧ at ⟦url:https://example.org/a?b=1⟧
⟦url:http://example.org:8080/a/b.html?x=1&y=2#top⟧
See (⟦url:https://en.wikipedia.org/wiki/Foo_(bar)⟧).
(see ⟦url:https://example.org/a⟧)
Is it ⟦url:https://example.org/a?b⟧?
It is ⟦url:https://example.org/a,b;c⟧, I think.
« ⟦url:https://example.org/é/à⟧ »
“⟦url:https://example.org⟧”
"⟦url:ftp://ftp.example.org/pub/file.tar.gz⟧"
<⟦url:https://example.org⟧>
[text](⟦url:https://example.org/page⟧)
⟦url:www.example.com⟧, ⟦url:www.example.com/a/b⟧!
⟦url:example.org⟧ is down.
Ask at ⟦url:example.org⟧.
Ask at ⟦url:example.org/help?q=1⟧.
⟦url:Amazon.com⟧ and ⟦url:booking.com⟧...
⟦url:mail.example.co.uk⟧
⟦url:EXAMPLE.COM⟧ has moved.
Run it on ⟦url:localhost:8080⟧ or ⟦url:127.0.0.1:5000/docs⟧.
⟦url:192.168.0.1⟧ answers.
⟦url:10.0.0.0/8⟧
⟦url:git+ssh://git@example.org/a.git⟧
⟦url:tel:+4930123456⟧
詳しくは⟦url:https://example.org/a⟧を見てください。
看⟦url:https://example.org⟧。
⟦url:https://example.org/{id}/a⟧
Write to ⟦email:anna@example.org⟧.
⟦email:anna.b+news@mail.example.co.uk⟧, please.
<⟦email:anna@example.org⟧>
⟦email:mailto:anna@example.org⟧
(⟦email:a_b-c@example-shop.de⟧)
⟦email:jürgen@müller.de⟧ schreibt.
The file is in ⟦path:/usr/bin⟧.
⟦path:/usr/share/doc/readme.txt⟧, then
⟦path:/etc/⟧ and ⟦path:~/.config⟧
Open ⟦path:C:\x\y.txt⟧ first.
Open ⟦path:C:\Program Files\x\y.txt⟧, then go.
⟦path:D:/data/a.csv⟧
⟦path:\\server\share\a⟧
⟦path:./a/b⟧ or ⟦path:../up⟧ or ⟦path:~/x⟧.
⟦path:../../a/b.c⟧
Read ⟦path:report.pdf⟧.
Read ⟦path:my-report_2.final.docx⟧?
⟦path:README.md⟧, ⟦path:a.tar.gz⟧ and ⟦path:src/main.py⟧
⟦path:IMG_2024.JPG⟧ will not do; ⟦path:Photo.jpeg⟧ will.
Files in ⟦path:.txt⟧ are fine.
Version ⟦version:v2.4.1⟧ is out.
⟦version:1.2.3-rc1⟧ and ⟦version:1.2.3⟧.
⟦version:v2⟧ of ⟦version:2.0b1⟧
⟦version:3.11rc2⟧, ⟦version:1.0-beta.2⟧, ⟦version:2.0.0+build5⟧
⟦version:V1.10⟧
⟦placeholder:%d⟧ files, ⟦placeholder:%s⟧, ⟦placeholder:%@⟧ and ⟦placeholder:%-5.2f⟧.
⟦placeholder:%1$s⟧ of ⟦placeholder:%2$d⟧
⟦placeholder:%s⟧: ⟦placeholder:%ld⟧ or ⟦placeholder:%.2f⟧ or ⟦placeholder:%05d⟧ or ⟦placeholder:%x⟧
⟦placeholder:%d⟧x⟦placeholder:%d⟧ pixels
⟦placeholder:%d⟧⟦placeholder:%%⟧ done
⟦placeholder:%(name)s⟧ has ⟦placeholder:%(count)d⟧ items.
⟦placeholder:%<total>d⟧ and ⟦placeholder:%{total}⟧
⟦placeholder:%name%⟧ is ⟦placeholder:%USERPROFILE%⟧.
⟦placeholder:%1⟧ of ⟦placeholder:%2⟧, ⟦placeholder:%n⟧ files, ⟦placeholder:%L1⟧
⟦placeholder:{name}⟧ has ⟦placeholder:{count}⟧ items.
⟦placeholder:{}⟧ of ⟦placeholder:{0}⟧ or ⟦placeholder:{user.name}⟧ or ⟦placeholder:{a[0]}⟧
⟦placeholder:{x!r:>10}⟧ ⟦placeholder:{price:.2f}⟧ ⟦placeholder:{$name}⟧ ⟦placeholder:{{x}}⟧
⟦placeholder:{count, plural, one {# item} other {# items}}⟧ in the cart
⟦placeholder:{sex, select, male {He has {n, plural, one {# dog} other {# dogs}}} other {They}}⟧ left.
Due ⟦placeholder:{when, date, short}⟧.
⟦placeholder:{{ x }}⟧ and ⟦placeholder:{{ user.name | upper }}⟧ and ⟦placeholder:{{{raw}}}⟧
⟦placeholder:{% if x %}⟧yes⟦placeholder:{% endif %}⟧
⟦placeholder:${x}⟧ and ⟦placeholder:${user.name}⟧ and ⟦placeholder:#{x}⟧
Set ⟦placeholder:$HOME⟧ and ⟦placeholder:$user_name⟧.
⟦placeholder:[[name]]⟧, ⟦placeholder:<%= name %>⟧ and ⟦placeholder:__COUNT__⟧
⟦placeholder:[X14X]⟧ has ⟦placeholder:[X29X]⟧.
(⟦placeholder:{n}⟧)
«⟦placeholder:{name}⟧»
l'⟦placeholder:{objet}⟧
⟦tag:<b>⟧bold⟦tag:</b>⟧ text
One⟦tag:<br/>⟧two⟦tag:<br />⟧three
One ⟦tag:<00:05.200>⟧two ⟦tag:<01:00:05.600>⟧three
⟦tag:<a href="https://example.org?a=1&b=2">⟧here⟦tag:</a>⟧
⟦tag:<a href='x' class="y z">⟧here⟦tag:</a>⟧
⟦tag:<input type=text disabled>⟧
⟦tag:<x:note id="1"/>⟧ and ⟦tag:<my-tag>⟧
⟦tag:<0>⟧Terms⟦tag:</0>⟧ and ⟦tag:<>⟧more⟦tag:</>⟧
⟦tag:<!-- a comment -->⟧ text
⟦tag:<!DOCTYPE html>⟧
⟦tag:<img src="a.png" alt="x > y">⟧
R⟦entity:&amp;⟧D, it⟦entity:&#39;⟧s, a⟦entity:&nbsp;⟧b, ⟦entity:&#x1F600;⟧ ⟦entity:&eacute;⟧
See you soon ⟦emoji:🙂⟧ Bring the keys.
Great work ⟦emoji:👍🏽⟧ everyone!
The ⟦emoji:👨‍👩‍👧⟧ is here, from ⟦emoji:🇫🇷⟧.
⟦emoji:1️⃣⟧ and ⟦emoji:#️⃣⟧ and ⟦emoji:❤️⟧
⟦emoji:🏴󠁧󠁢󠁥󠁮󠁧󠁿⟧ won
⟦emoji:🏳️‍🌈⟧ and ⟦emoji:👩🏽‍⚕️⟧
⟦emoji:🎉🎉👍⟧ done
Call ⟦emoji:☎⟧ or ⟦emoji:☎️⟧
a ⟦emoji:→⟧ b ⟦emoji:✓⟧ ⟦emoji:★⟧
⟦emoji:🫠⟧ and ⟦emoji:🩷⟧
⟦emoji:©️⟧ 2024
Well ⟦emoji::-)⟧ then ⟦emoji:;)⟧
Nice ⟦emoji::D⟧
Nice ⟦emoji::)⟧.
Oh ⟦emoji::'(⟧
I ⟦emoji:<3⟧ you
Done ⟦emoji::tada:⟧ and ⟦emoji::white_check_mark:⟧!
⟦emoji:¯\_(ツ)_/¯⟧
I love ⟦hashtag:#travel⟧.
⟦hashtag:#NewYear2024⟧ ⟦hashtag:#été⟧, ⟦hashtag:#open_source⟧
(⟦hashtag:#a1⟧)
⟦mention:@anna⟧, look!
Ask ⟦mention:@open_source⟧ or ⟦mention:@anna.b⟧.
npm ⟦mention:@scope/package⟧
Use ⟦code:`x = 1`⟧ here.
Use ⟦code:``a`b``⟧ or ⟦code:```let y = `1` ```⟧.
One⟦code:\n⟧Two ⟦code:\t⟧ three
Call ⟦code:foo()⟧ or ⟦code:self.bar()⟧ or ⟦code:std::sort()⟧.
The field ⟦code:user_id⟧ is ⟦code:MAX_VALUE⟧.
We have ⟦code:$x^2$⟧ and ⟦code:$\alpha$⟧.
Order ⟦product:ABC-1234⟧ today.
The first line.⟦code:\n⟧the second one.
⟦tag:<v Mary>⟧I am here. ⟦tag:<v.loud Tom B.>⟧So am I.
Hello ⟦placeholder:{0:N2}⟧ and ⟦placeholder:{1,-10:C}⟧!
The width is ⟦placeholder:{n}px⟧, the price ⟦placeholder:€{price}⟧, the name ⟦placeholder:{name}.txt⟧.
Call ⟦phone:+33 1 23 45 67 89⟧, ⟦phone:+49 (0)30 1234567⟧ or ⟦phone:+1-555-0100-200⟧.
It is +48 today, and 3 + 4 is 7.
⟦product:GX-200B⟧, ⟦product:SKU12345⟧ and ⟦product:RTX3080⟧
The ⟦product:i7-9700K⟧ is fast.
⟦product:f47ac10b-58cc-4372-a567-0e02b2c3d479⟧
Commit ⟦product:deadbeef1⟧ at ⟦product:0x1F⟧
IBAN ⟦product:DE89 3704 0044 0532 0130 00⟧, ⟦product:FR7630006000011234567890189⟧
⟦product:A-1234-XY⟧ is sold.
⟦product:B07XJ8C8F5⟧ in stock
"""

PROSE = r"""
100 % of the people
yüzde %50 ve %20
at 12:30:15 and re:this:that and a :b
a 50% discount and 50%d
100%ig sicher, 100 %ige Sicherheit
5 % des gens, 5 % des gens
About 10% said 20% dropped 30%.
if a < b and c > d
a<b and c>d
1 < 2 > 1
3.14 and 2.5 and 0.5
24.12.2023 and 24.12.23 and 2023.12.24
1.234.567 inhabitants, 15.000.000.000 more
at 10.30.15
at 10:30, 10.30 Uhr
12/24/2023 and 1/2
and/or, he/she/it, km/h, and /or
M.Dupont est là.
the end.It was late.
rain.The end
c'est fini.Il part
z.B. and e.g. and i.e. and a.m. and U.S.A.
Dr. No and St. in
costs $5 and $6, US$50, 5$
that costs $100 or $200.50
R&D and AT&T; x & y; you &me;
C# and F# are languages; we are #1
meet me @ 5 pm
a`b and l`eau
`hello' said he, `bye'
the 21ST, the 1980S, 10AM, 100KM
a 6-YEAR-OLD child
A4 and 3D and G20
ISO 9001 and WORLD
I said: (see below) and (as follows:)
Note:D is missing
well-known, half-open
what?! really... yes!!
"quoted" 'quoted' «quoted» “quoted”
tel: call me; data: more
don't, it's, l'été, d'Anna
snake _emphasis_ *bold* **bold**
x = 5 + 3 * 2
{this is a longer remark in braces}
[a remark] and [1]
Hello, world! 100 200
accede defaced effaced 1234567
§ 5 and № 7 and 5° and 20 °C
© 2024 ™ and ®
Warum nicht? Weil 5.
¿Qué? ¡Sí!
Это тест. 東京タワー。
5th Avenue, 2nd floor, 3rd
2:1 and 3-2 and 1990-2000
The winner:me
"""


def parsed(line: str) -> tuple[str, list[KeptSpan]]:
    text, spans = "", []
    for part in re.split(r"(⟦[a-z]+:[^⟧]*⟧)", line):
        if part.startswith("⟦"):
            kind, _, item = part[1:-1].partition(":")
            spans.append(KeptSpan(len(text), len(text) + len(item), kind))
            text += item
        else:
            text += part
    return text, spans


def written(text: str, spans: list[KeptSpan]) -> str:
    """The text with what is kept in brackets, as in the table."""
    parts, place = [], 0
    for span in spans:
        parts += [text[place : span.start], f"⟦{span.kind}:{text[span.start : span.end]}⟧"]
        place = span.end
    return "".join([*parts, text[place:]])


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_what_is_kept(line):
    text, spans = parsed(line)
    assert written(text, kept_spans(text)) == line
    assert kept_spans(text) == spans


@pytest.mark.parametrize("line", PROSE.strip().splitlines())
def test_what_is_prose(line):
    assert written(line, kept_spans(line)) == line


def test_every_kind_is_in_the_table():
    assert {span.kind for line in TABLE.splitlines() for span in parsed(line)[1]} == set(KINDS)


SIGNS = "%{}<>&;#@`$/\\.:-_()[]'\" \n19aAzéX\u200d\ufe0f\u20e3🙂🇫🏽\ud800東"
ANY = st.one_of(st.text(st.characters(exclude_categories=())), st.text(SIGNS))
MADE = st.lists(st.one_of(ANY, st.sampled_from([parsed(line)[0] for line in TABLE.split("\n")]))).map("".join)


@given(MADE)
@example("\ud83d\ude42 %\udfff {")
def test_spans_are_sorted_disjoint_and_inside(text):
    spans = kept_spans(text)
    edges = [edge for span in spans for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(text[span.start : span.end].strip() == text[span.start : span.end] for span in spans)


@given(MADE)
def test_the_short_cut_for_prose_hides_nothing(text):
    assert kept_spans(text) == [span for span in kept_spans(text + "\n ] ") if span.end <= len(text)]


@given(st.sampled_from(TABLE.strip().splitlines()), st.sampled_from(TABLE.strip().splitlines()))
def test_lines_do_not_disturb_each_other(one, other):
    line = f"{one}\n{other}"
    text, spans = parsed(line)
    assert kept_spans(text) == spans


@given(st.lists(st.sampled_from([chr(c) for c in range(0x1F300, 0x1FAF0) if unicodedata.name(chr(c), "")]), min_size=1))
def test_a_run_of_emoji_is_one_item(emoji):
    text = "".join(emoji)
    assert kept_spans(f"Yes {text} no.") == [KeptSpan(4, 4 + len(text), "emoji")]


REPEATED = [
    *"%{}<>&;#@`$/\\.:-_()[]'\" a1A東🙂",
    *[
        "a.",
        "a@",
        "a/",
        "/a",
        "./",
        "{a",
        "{%",
        "{{",
        "{#",
        "<a",
        "<!--",
        "<a='",
        "`a",
        "``",
        "```",
        "$a",
        "$\\",
        "%a",
        "%1",
        "#a",
        "@a",
        "A1",
        "A-",
        "1.",
        "1-",
        "a_",
        "a-",
        ":(",
        "a://",
        "[[",
        "[",
        "<%",
        "&a",
        "&",
        "C:\\",
        "\\\\a",
    ],
    *(
        "{n,plural,",
        '<a b="',
        "<a b=c ",
        "a.a@",
        "C:\\a ",
        "DE11 1111 ",
        "1.1.1.",
        "v1.",
        "0x1",
        "abc1",
        "www.",
        "http://a(",
        "http://a)",
        "👍\u200d",
        "#\ufe0f",
        "~/../",
        "a::",
        "a() ",
        "{a|",
        "..",
        "__A",
        "...)",
        "a.com/",
        "a.com.",
        "a.pdf.",
    ),
]


@pytest.mark.parametrize("unit", REPEATED, ids=ascii)
def test_no_repetition_takes_more_than_linear_time(unit):
    short, long = unit * (2_000 // len(unit)), unit * (16_000 // len(unit))
    taken = [cpu_seconds(partial(kept_spans, text)) for text in (short, long)]
    assert taken[1] < 8 * 4 * max(taken[0], 1e-3)  # 64 times as long, if it were by the square
