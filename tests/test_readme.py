"""What the README shows is run: its commands as far as they need no network, and its Python."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:^    .*\n|^\n(?=    ))+", README, re.MULTILINE)
LINES = [line.partition("   #")[0].strip() for block in BLOCKS for line in block.splitlines()]
COMMANDS = [line for line in LINES if re.match(r"(echo .*\| *)?quartet ", line)]
NEEDS_NETWORK_OR_FILES = ("opus", "my-checkpoint", ".argosmodel", "base.pt", "talk.mp3")


@pytest.fixture
def shell(tmp_path):
    (tmp_path / "lines.txt").write_text("Good morning.\nThank you.\n", encoding="utf-8")

    def run(command):
        own = command.replace("quartet ", f"{sys.executable} -m quartet ")
        return subprocess.run(own, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("command", [c for c in COMMANDS if not any(x in c for x in NEEDS_NETWORK_OR_FILES)])
def test_commands(command, shell, tmp_path):
    result = shell(command)
    assert result.returncode == 0, result.stderr
    written = tmp_path / "out.txt"
    converted = list(tmp_path.glob("*/quartet.json"))
    assert result.stdout.strip() or converted or len(written.read_text(encoding="utf-8").splitlines()) == 2


def test_the_first_command_prints_what_the_readme_says(shell):
    command = next(line for line in LINES if "pip install . &&" in line).partition("&& ")[2]
    said = re.search(r"^prints `(.*)`", README, re.MULTILINE)
    assert shell(command).stdout == f"{said[1]}\n"


def test_python():
    block = next(block for block in BLOCKS if "from quartet import" in block)
    code = "\n".join(line[4:] for line in block.splitlines())
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()


def test_files_that_the_readme_links_are_there():
    links = re.findall(r"\]\(([^):]+)\)", README)
    assert links
    assert all((Path(__file__).parents[1] / link).exists() for link in links)
