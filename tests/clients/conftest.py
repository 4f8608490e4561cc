"""What the tests of clients in other languages share: a converted model, and Node with its packages."""

import shutil
import subprocess
from pathlib import Path

import pytest

from quartet.conversion.convert import convert_folder

JS = Path(__file__).parents[2] / "clients" / "js"


@pytest.fixture(scope="session")
def node():
    """Runs a script in `clients/` with Node."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("needs Node.js 20 or newer")
    if not (JS / "node_modules" / "onnxruntime-node").is_dir():
        pytest.skip("needs the packages of clients/js: run `npm install --ignore-scripts` there")

    def run(*args, given=None):
        """Options and code for Node, or a script named from `clients/` and its arguments; `given` on stdin."""
        options = list(args) if args[0].startswith("-") else [JS.parent / args[0], *args[1:]]
        command = [found, *map(str, options)]
        return subprocess.run(command, cwd=JS, input=given, capture_output=True, text=True, check=False, timeout=120)

    return run


@pytest.fixture(scope="session", params=["fp32", "int4"])
def model(request, demo_checkpoint, tmp_path_factory):
    """The demo model at two precisions."""
    folder = tmp_path_factory.mktemp("clients") / str(request.param)
    convert_folder(demo_checkpoint, folder, precision=request.param)
    return folder
