"""The HTML report needs nothing else, shows what the table says, and its plots hold every row and the frontier."""

import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from quartet.bench.choice import Limits, choose, frontier, parse_size
from quartet.bench.faults import Faults
from quartet.bench.html_report import as_html
from quartet.bench.measure import Cost, Settings
from quartet.bench.plots import PLOTS, as_png, as_svg
from quartet.bench.quality import Judged, judge
from quartet.bench.rows import Choice, Ranking, Row, Text
from quartet.bench.tables import as_markdown, worst
from quartet.errors import OptionError

REFERENCES = tuple(f"Le train {i} part." for i in range(20))
SEVERAL = tuple(f"La voiture {i} part." for i in range(20))
WORST = tuple(text if i else "<b>&nichts</b>" for i, text in enumerate(REFERENCES))


def row(model: str, precision: str, peak: float | None, speed: float, texts=REFERENCES, engine="quartet") -> Row:
    found = judge(texts, REFERENCES, "fr")
    cost = Cost(peak, None, 10, 0.5, 0.01, speed * 20, speed, speed * 80, speed * 4)
    loss = None if precision == "fp32" else (-0.5, -0.9, -0.1)
    faults = Faults(loops=(1, 2), empty=(0,))
    return Row("en-fr", model, engine, precision, 1, found.quality, cost, faults, loss, found.by_sentence, texts, {})


ROWS = (
    row("one", "fp32", 400, 5),
    row("one", "int8", 100, 20, WORST),
    row("two", "int8", 120, 4, SEVERAL, "ctranslate2"),
    row("a|b", "int4", None, 30, SEVERAL),
)
TEXT = Text("en-fr", "my <text>", "fr", tuple(f"Train {i} leaves." for i in range(20)), REFERENCES, {"BLEU": "sig"})
MACHINE = {"cpu": "a CPU", "memory": "2 GiB", "system": "Linux", "python": "3.12"}
CHOICE = Choice("en-fr", "one int8", "it is good")
RANKING = Ranking(MACHINE, Settings(2), (TEXT,), ROWS, (CHOICE,), ("left <out>",))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "path", "circle", "polyline", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def tags() -> Tags:
    parser = Tags()
    parser.feed(as_html(RANKING))
    parser.close()
    assert parser.open == []
    return parser


def test_it_needs_nothing_else(tags):
    page = as_html(RANKING)
    assert "http" not in page
    assert not [a for _, attributes in tags.seen for a in attributes if a in ("src", "href", "srcset")]
    assert "prefers-color-scheme: dark" in page
    assert any(attributes.get("name") == "viewport" for _, attributes in tags.seen)
    assert "$" not in re.sub(r"<script>.*</script>", "", page, flags=re.DOTALL)


def test_it_shows_every_row_and_text(tags):
    words = "\n".join(tags.words)
    assert words.count("400 MB") == 1
    for text in ("my <text>", "left <out>", "<b>&nichts</b>", "2 loops, 1 empty", "-0.50*", "one int8", "sig"):
        assert text in words
    values = [attributes["data-value"] for tag, attributes in tags.seen if tag == "td"]
    assert len(values) % len(ROWS) == 0
    assert str(ROWS[2].quality.chrf) in values
    assert sum(tag == "button" for tag, _ in tags.seen) == len(values) // len(ROWS)


def test_plots_hold_every_row_that_has_the_value():
    memory, speed = (as_svg(ROWS, plot) for plot in PLOTS)
    assert memory.count('class="point') == 3
    assert speed.count('class="point') == 4
    assert "one fp32: chrF++ 100.0, 400.0 MB" in memory
    assert as_svg(ROWS[3:], PLOTS[0]) == ""
    assert all(path.startswith("M") for path in re.findall(r' d="([^"]*)"', memory))


def test_the_frontier_is_what_nothing_beats():
    assert frontier(ROWS[:3], PLOTS[0].cost) == [ROWS[1], ROWS[0]]
    assert frontier(ROWS, PLOTS[1].cost) == [ROWS[3], ROWS[1], ROWS[0]]


def test_images():
    for plot in PLOTS:
        image = as_png(ROWS, plot)
        assert image is not None
        assert image.startswith(b"\x89PNG")
    assert as_png(ROWS[3:], PLOTS[0]) is None


def test_markdown_and_the_worst_sentences():
    page = as_markdown(RANKING)
    assert "a\\|b" in page
    assert "- left <out>" in page
    source, reference, found = next(worst(TEXT, ROWS[1:]))
    assert (source, reference) == (TEXT.sources[0], REFERENCES[0])
    assert [text for _, text in found] == ["<b>&nichts</b>", SEVERAL[0], SEVERAL[0]]


# ---- the choice ----


def judged(rows) -> list[Judged]:
    return [judge(row.hypotheses, REFERENCES, "fr") for row in rows]


def test_of_equals_the_one_with_the_least_memory_is_taken():
    rows = [
        row("one", "fp32", 400, 5),
        row("one", "int8", 100, 20),
        row("one", "int4", 104, 30),
        row("bad", "", 9, 99, SEVERAL),
    ]
    found = choose("en-fr", rows, judged(rows), Limits())
    assert found.name == "one int4"
    assert "of 4 rows, 3 cannot be told apart from the best" in found.why
    assert "is the fastest of those with the least memory: 104 MB, 600 tokens/s" in found.why


def test_limits_count_before_quality():
    rows = [row("one", "fp32", 400, 5), row("bad", "int8", 90, 20, SEVERAL), row("?", "int8", None, 99)]
    assert choose("en-fr", rows, judged(rows), Limits(max_ram=100)).name == "bad int8"
    assert choose("en-fr", rows, judged(rows), Limits(min_speed=450)).name == "? int8"
    nothing = choose("en-fr", rows, judged(rows), Limits(max_ram=50))
    assert nothing.name is None
    assert nothing.why == "none of 3 rows has at most 50 MB; nearest is bad int8: 90 MB, 400 tokens/s"
    assert choose("en-fr", [], [], Limits()).name is None


def test_sizes():
    assert [parse_size(text) for text in ("500MB", "1.5 GB", "2g", "1GiB", "800 kb")] == [
        500,
        1500,
        2000,
        1073.741824,
        0.8,
    ]
    for bad in ("500", "", "MB", "-1MB", "0MB", "5 TBq"):
        with pytest.raises(OptionError, match="as 500MB"):
            parse_size(bad)


# ---- in a browser ----


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_and_sorts_it(tmp_path, width):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    sort = """<script>
      const heads = [...document.querySelectorAll("th button")];
      heads.find(head => head.textContent === "sentences/s").click();
      const models = [...document.querySelectorAll("tbody tr")].map(row => row.cells[1].textContent);
      heads.find(head => head.textContent === "RAM").click();
      const last = [...document.querySelectorAll("tbody tr")].at(-1).cells[1].textContent;
      const wide = document.documentElement.scrollWidth > innerWidth;
      document.title = JSON.stringify([models, last, wide]);
    </script></body>"""
    (tmp_path / "page.html").write_text(as_html(RANKING).replace("</body>", sort), encoding="utf-8")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},800", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "page.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ, timeout=120)
    title = re.search("<title>(.*?)</title>", done.stdout)
    assert title is not None
    assert title[1] == '[["a|b","one","one","two"],"a|b",false]'
