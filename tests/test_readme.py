"""What the README and the pages for users show is run, as far as it needs no network; what they name is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "quartet"
PAGES = {page.name: page for page in (ROOT / "docs").glob("*.md")} | {"README": ROOT / "README.md"}
SHOWN = (
    "README",
    "translate.md",
    "transcribe.md",
    "convert.md",
    "models.md",
    "clients.md",
    "serve.md",
    "serve-speech.md",
)  # what is run here
NOT_RUN = (  # they need a network or files, or never end
    "opus",
    "my-checkpoint",
    "my-quartet",
    ".argosmodel",
    "base.pt",
    "talk.mp3",
    "quartet listen",
    "quartet serve",
)


def blocks(page: str) -> list[str]:
    """The blocks of code on a page that are indented."""
    return re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGES[page].read_text("utf-8"), re.MULTILINE)


def commands(page: str) -> list[str]:
    """The commands on a page, without comments."""
    lines = [line.partition("   #")[0].strip() for block in blocks(page) for line in block.splitlines()]
    return [line for line in lines if re.match(r"(echo .*\| *)?quartet ", line)]


def local(command: str) -> bool:
    return not any(word in command for word in NOT_RUN)


@pytest.fixture
def shell(tmp_path):
    (tmp_path / "lines.txt").write_text("Good morning.\nThank you.\n", encoding="utf-8")
    (tmp_path / "film.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nGood morning.\n", encoding="utf-8")
    (tmp_path / "page.html").write_text("<p>Good <b>morning</b>.\n", encoding="utf-8")
    (tmp_path / "terms.tsv").write_text("train station\tCentrale\n", encoding="utf-8")

    def run(command):
        own = command.replace("quartet ", f"{sys.executable} -m quartet ", 1)
        return subprocess.run(own, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


# those for phones convert the demo again, into another layout: half a minute
@pytest.mark.parametrize("page", [pytest.param(p, marks=pytest.mark.slow) if p == "clients.md" else p for p in SHOWN])
def test_commands(page, shell, tmp_path):
    for command in filter(local, commands(page)):  # in order: a later one may want what an earlier one has made
        before = set(tmp_path.rglob("*"))
        result = shell(command)
        assert result.returncode == 0, f"{command}\n{result.stderr}"
        made = set(tmp_path.rglob("*")) - before
        assert result.stdout.strip() or made, command
        assert "--output out.txt" not in command or len((tmp_path / "out.txt").read_text("utf-8").splitlines()) == 2


@pytest.mark.parametrize("page", SHOWN)
def test_commands_that_cannot_run_here_can_be_typed(page):
    from quartet.cli.parser import parser

    for command in commands(page):
        words = re.sub(r"^echo .*\| *", "", command)
        parser().parse_args(re.findall(r'"[^"]*"|\S+', words)[1:])


def test_the_first_command_prints_what_the_readme_says(shell):
    text = PAGES["README"].read_text("utf-8")
    command = re.search(r"^    pip install \. && (quartet .*)$", text, re.MULTILINE)[1]
    said = re.search(r"^prints `(.*?)`", text, re.MULTILINE)
    assert shell(command).stdout == f"{said[1]}\n"


PYTHON = [(page, block) for page in SHOWN for block in blocks(page) if "from quartet import" in block]


@pytest.mark.parametrize(("page", "block"), PYTHON, ids=[page for page, _ in PYTHON])
def test_python(page, block, tmp_path):
    code = "\n".join(line[4:] for line in block.splitlines())
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()


LINKING = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def headings(page: Path) -> set[str]:
    """The anchors that a page has."""
    titles = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.name)
def test_what_a_page_links_is_there(page):
    for link in re.findall(r"\]\(([^):]+)\)", page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} links {link}"
        assert not anchor or anchor in headings(target), f"{page.name} links {link}"


def test_every_page_is_in_the_index():
    linked = re.findall(r"\]\(([\w-]+\.md)\)", PAGES["README.md"].read_text("utf-8"))
    assert {*linked, "README.md"} == PAGES.keys() - {"README"}


@pytest.mark.parametrize("page", [ROOT / "docs" / "data-flow.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page):
    named = re.findall(r"`([\w/-]+\.(?:py|tsv|toml|json|md)|[\w/-]+/)`", page.read_text("utf-8"))
    assert len(named) > 10
    lacking = {name for name in named if not any(SOURCE.rglob(name)) and not (ROOT / name).exists()}
    assert lacking - {"families/NAME.py", "quartet.json"} == set()  # to be written, and made by a conversion


def test_the_tree_in_contributing_is_that_of_the_source():
    tree = re.search(r"^src/quartet/\n((?:  .*\n)+)", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE)[1]
    folder, shown = "", []
    for indent, name in re.findall(r"^( +)(\S+)", tree, re.MULTILINE):
        folder = name if len(indent) == 2 else folder
        shown.append(name if len(indent) == 2 else folder + name)
    assert [name for name in shown if not (SOURCE / name).exists()] == []
    whole = {f"{path.name}/" if path.is_dir() else path.name for path in SOURCE.iterdir() if path.name != "__pycache__"}
    modules = {name for name in whole if name.endswith((".py", "/")) and not name.startswith("__")}
    assert modules - set(shown) == set()
