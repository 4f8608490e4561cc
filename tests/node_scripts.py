"""Runs scripts of the tests with Node, which finds the packages of `clients/js`."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGES = TESTS.parent / "clients" / "js" / "node_modules"


def chromium() -> str:
    """The browser. The test is skipped where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    return found


def run_node(script: str, *args: object, environment: Mapping[str, str] | None = None) -> str:
    """What a script, named from `tests/`, prints. The test is skipped where Node or packages are missing."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js 20 or newer")
    if not (PACKAGES / "axe-core").is_dir():
        pytest.skip("needs the packages of clients/js: run `npm install --ignore-scripts` there")
    command = [node, str(TESTS / script), *map(str, args)]
    variables = os.environ | (environment or {})
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=variables)
    assert done.returncode == 0, done.stderr
    return done.stdout
