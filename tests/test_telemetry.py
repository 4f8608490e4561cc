"""ONNX Runtime leaves no device id behind and keeps no events, however quartet is entered."""

import os
import subprocess
import sys

import pytest

# with any of these set ONNX Runtime takes itself to be in a build pipeline, and sends nothing anyway
PIPELINES = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "JENKINS_URL", "TEAMCITY_VERSION", "TRAVIS", "BUILD_ID", "GITLAB_CI")

WAYS = {
    "the package": "from quartet import Translator; Translator('demo').translate('Hello.', 'fr', 'en')",
    "a module of it": "from quartet.spec import Manifest; import onnxruntime",
    "the command line": "from quartet.cli import main; main(['translate', '--to', 'fr', 'Hello.'])",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_fresh_home_stays_empty(tmp_path, way):
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in PIPELINES}
    kept.pop("ORT_DISABLE_TELEMETRY", None)
    kept.pop("XDG_CACHE_HOME", None)
    env = kept | {"HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}  # QUARTET_HOME is that of all tests
    subprocess.run([sys.executable, "-c", WAYS[way]], env=env, check=True, capture_output=True, timeout=120)
    assert [path.name for path in home.rglob("*") if path.is_file()] == []


def test_whoever_wants_telemetry_may_have_it():
    script = "import os, quartet; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    env = os.environ | {"ORT_DISABLE_TELEMETRY": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "0"
