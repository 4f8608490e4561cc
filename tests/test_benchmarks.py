"""BENCHMARKS.md is what the committed figures make, and no figure comes with places of the machine it is from."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def page(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import page

    return page


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import report

    return report


def test_the_page_is_made_of_the_figures(page):
    assert (ROOT / "BENCHMARKS.md").read_text(encoding="utf-8") == page.page(), "run python benchmarks/page.py"


def test_a_figure_that_the_summary_wants_has_to_be_there(page, monkeypatch, tmp_path):
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    with pytest.raises(SystemExit, match="speed has no one row with"):
        page.page()
    (tmp_path / "unheard-of.json").write_bytes((ROOT / "benchmarks" / "results" / "speed.json").read_bytes())
    with pytest.raises(SystemExit, match="says nothing of unheard-of"):
        page.page()


def test_links_of_the_summary_lead_to_headings(page):
    text = (ROOT / "BENCHMARKS.md").read_text(encoding="utf-8")
    anchors = {page.anchor(line.removeprefix("## ")) for line in text.splitlines() if line.startswith("## ")}
    links = {part.partition(")")[0] for part in text.split("](#")[1:]}
    assert links
    assert links <= anchors


def test_a_report_is_read_as_it_was_written(report, monkeypatch, tmp_path, capsys):
    command = [
        "/home/me/benchmarks/speed.py",
        "/models/opus",
        "--work",
        "/tmp/w",
        "--data=/d/flores",
        "--quartet",
        "int4",
    ]
    monkeypatch.setattr("sys.argv", [*command, "--results", str(tmp_path / "mine.json")])
    versions = [{"numpy": "0.1", "other": "1"}, {"other": "2"}]
    rows = [["a", 1], ["b", "2.0×"]]
    report.report(
        tmp_path / "mine.json", ("name", "x"), rows, {"exact": [1.25]}, versions=versions, notes=["So it is."]
    )
    found = report.load(tmp_path / "mine.json")
    said = "python benchmarks/speed.py MODELS/opus --work WORK --data=DATA/flores --quartet int4"
    assert found.command == f"{said} --results benchmarks/results/mine.json"
    assert (found.topic, found.rows, found.notes) == ("mine", [["a", "1"], ["b", "2.0×"]], ["So it is."])
    assert found.versions["other"] == "1 and 2"
    assert found.versions["numpy"].endswith(" and 0.1")
    assert set(found.machine) == {"cpu", "memory", "system"}
    assert (found.figures, found.transcribed) == ({"exact": [1.25]}, False)
    assert "| b | 2.0× |\n\nSo it is.\n" in capsys.readouterr().out


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks" / "results").glob("*.json")), ids=lambda file: file.stem)
def test_figures_are_whole_and_of_no_place(file):
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["topic"] == file.stem
    assert found["date"]
    assert all(len(row) == len(found["columns"]) for row in found["rows"])
    assert not [word for word in found["command"].split() if word.startswith(("/", "~"))]


# ---- kept.py: its measures, on what is known ------------------------------------------------------------------------


@pytest.fixture
def kept_lines(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import kept_lines

    return kept_lines


@pytest.fixture
def kept_items(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import kept_items

    return kept_items


FRENCH = [
    ("Est-ce ouvert ?",),
    ("Quand ?",),
    ("Où est-ce que je paie ?", "Où dois-je payer ?"),
    ("Acceptez-vous les cartes ?",),
]


@pytest.mark.parametrize(
    ("translation", "lost"),
    [
        ("Est-ce ouvert ? Quand ? Où est-ce que je paie ? Acceptez-vous les cartes ?", []),
        ("Où est-ce que je paie ?", [0, 1, 3]),
        ("C'est ouvert, quand, où dois-je payer, et vous acceptez les cartes ?", []),
        ("Est-ce ouvert ? Quand ? Où est-ce que je paie ? Où est-ce que je paie ?", [3]),
        ("Quand ? Où est-ce que je paie ? Acceptez-vous les cartes ?", [0]),
        ("Est-ce ouvert ? Quand ? Où est la caisse ? Prenez-vous la carte ?", []),  # in other words
        ("Est-ce ouvert ? Quand ? Oh ! Acceptez-vous les cartes ?", [2]),
        ("", [0, 1, 2, 3]),
        ("\ud800 12", [0, 1, 2, 3]),
    ],
)
def test_which_sentences_are_lost(kept_lines, translation, lost):
    assert [i for i, kept in enumerate(kept_lines.kept_of(FRENCH, translation)) if not kept] == lost


def test_losses_are_counted(kept_lines):
    sentences = [kept_lines.Sentence(text, ()) for text in ("Go.", "Look at me.", "It is late.")]
    alone = {"Go.": "Va.", "Look at me.": "Regarde-moi.", "It is late.": "Il est tard."}
    lines = [tuple(sentences), tuple(sentences[:2])]
    found = kept_lines.loss(lines, ["Va. Il est tard.", "Va, regarde-moi."], alone)
    assert (found.sentences, found.lost, found.lines_with_loss, found.marks) == (5, 1, 1, 2)
    assert found.examples == (("Go. Look at me. It is late.", "Va. Il est tard.", "Look at me."),)
    rates = kept_lines.rates(lines * 20, alone, alone)
    assert (rates.sentences, rates.false_alarms, rates.unseen) == (100, 0, 0)
    assert rates.deleted >= 40


@pytest.mark.parametrize(
    ("kind", "source", "translation", "kept"),
    [
        ("number", "1,250", "Il y en a 1\u202f250.", True),
        ("number", "1,250", "Il y en a 1.250", True),
        ("number", "1,250", "Il y en a 1250,5", False),
        ("number", "3.14", "C'est 3,14.", True),
        ("number", "3.14", "C'est 3145.", False),
        ("number", "4", "Quatre à un", True),
        ("number", "40", "Quarante", False),
        ("number", "8:05", "à 8 h 05", True),
        ("number", "8:05", "à 8 h", False),
        ("number", "20", "le 20e jour", True),
        ("URL", "https://example.org", "voir https://example.org.", True),
        ("URL", "https://example.org", "voir https://exemple.org.", False),
        ("`{name}`", "{name}", "{{name}}", False),
        ("`{name}`", "{name}", "« {name} »", True),
        ("emoji", "👍", "👍🏽", False),
        ("emoji", "👩\u200d💻", "👩\u200d💻!", True),
        ("code", "`ls -la`", "`l -la`", False),
    ],
)
def test_whether_an_item_is_changed(kept_items, kind, source, translation, kept):
    items = [kept_items.Item(kind, (source,))]
    assert (not kept_items.changed_items(items, translation, "fr")) == kept
    assert kept_items.changed_items(items * 2, translation, "fr")  # two want two


def test_items_of_every_kind_are_in_their_lines(kept_items):
    lines = kept_items.make_item_lines(["It is late.", "He has 3 cats."], 600)
    texts = [line.text for line in lines]
    same = kept_items.compare(lines, texts, "fr")
    assert set(same.total) == set(kept_items.KINDS)
    assert same.total.total() >= 600
    assert (same.changed.total(), same.rate) == (0, 0)
    assert all(1 <= len(line.items) <= kept_items.MOST for line in lines)
    assert kept_items.compare(lines, ["" for _ in lines], "fr").changed == same.total
    assert kept_items.make_item_lines(["It is late.", "He has 3 cats."], 600) == lines
