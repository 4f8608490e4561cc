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
