"""Measured processes that answer as the library does, and say what they cost or why they ended."""

import subprocess
import sys
from pathlib import Path

import pytest

import tiny_text
from quartet import Translator
from quartet.bench import contest, worker
from quartet.bench.contest import Entry, MeasuredProcess, worker_command
from quartet.bench.worker import Job
from quartet.conversion.convert import convert_folder
from quartet.errors import MeasurementError

JOB = Job(sources=[[5, 9, 12, 2], [7, 2]], prefix=[2], max_new_tokens=6, min_new_tokens=6, batch_size=2)
PEER = """
import time
PACKAGES = ("numpy", "no-such-package")
VARIANTS = {"loud": 1.0}
SPEAKS = "ids"
def load(folder, threads, variant):
    print("what libraries print")
    if folder.name == "broken":
        raise ValueError("no such weights")
    return 0.5, lambda job: (0.25, [row * threads for row in job.sources])
def make(checkpoint, folder, variant):
    folder.mkdir()
    if checkpoint.name == "large":
        raise OSError("no space left")
    (folder / variant).write_text(checkpoint.name)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("contest")
    convert_folder(tiny_text.make(folder / "checkpoint"), folder / "model")
    return folder / "model"


@pytest.fixture
def own(tmp_path) -> str:
    """A peer in a file of one's own."""
    (tmp_path / "mine.py").write_text(PEER)
    return str(tmp_path / "mine.py")


def test_quartet_answers_as_in_this_process(model, session_home):
    with Translator(model, threads=1) as translator:
        expected = translator.generate(JOB.sources, JOB.prefix, min_new_tokens=6, max_new_tokens=6)
    with MeasuredProcess(Entry("quartet", "quartet", model), 1, session_home) as process:
        run = process.run(JOB)
        assert run.rows == expected
        assert run.tokens == sum(map(len, expected))
        assert run.seconds > 0
        assert process.loaded.versions.keys() == {"quartet-onnx", "onnxruntime", "numpy"}
        if sys.platform == "linux":
            assert run.memory["peak"] >= run.memory["resident"] > run.memory["anonymous"] > 10


def test_a_peer_of_ones_own(own, tmp_path, session_home):
    with MeasuredProcess(Entry("mine", own, tmp_path), 2, session_home) as process:
        assert process.loaded.seconds == 0.5
        assert process.loaded.versions.keys() == {"numpy"}
        assert process.run(JOB).rows == [row * 2 for row in JOB.sources]
    made = contest.make(own, tmp_path / "checkpoint", tmp_path / "made")
    assert (made / "loud").read_text() == "checkpoint"


def test_a_process_that_fails_says_why_in_one_line(own, tmp_path, model, session_home):
    with pytest.raises(MeasurementError, match=r"^mine: ended with status 1: ValueError: no such weights$"):
        MeasuredProcess(Entry("mine", own, tmp_path / "broken"), 1, session_home)
    for _ in range(2):  # what the first one left is in nobody's way
        with pytest.raises(MeasurementError, match=r"mine.py of large: ended with status 1: OSError: no space left$"):
            contest.make(own, tmp_path / "large", tmp_path / "made")
    with (
        MeasuredProcess(Entry("quartet", "quartet", model), 1, session_home) as process,
        pytest.raises(MeasurementError, match=r"ids.* is 999999;"),
    ):
        process.run(Job(sources=[[999999]], prefix=[2], max_new_tokens=1))


def test_peers_that_are_not_there():
    for kind, message in (
        ("no-such", "no peer"),
        ("ctranslate2-int3", "no variant 'int3' of ctranslate2; it has int8"),
    ):
        with pytest.raises(LookupError, match=message):
            worker.peer_of(kind)
    assert worker.peer_of("ctranslate2")[1] == "int8"
    assert worker.peer_of("transformers-bfloat16")[1] == "bfloat16"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/usr/bin/time").exists(), reason="needs GNU time")
def test_memory_is_what_time_says(session_home, tmp_path, demo_checkpoint):
    convert_folder(demo_checkpoint, tmp_path / "demo", precision="fp32")
    job = '{"sources": [[5, 9, 12, 2]], "prefix": [2], "max_new_tokens": 50, "min_new_tokens": 50}\n'
    command = ["/usr/bin/time", "-f", "%M", *worker_command(sys.executable, "run", "quartet", tmp_path / "demo", 1)]
    done = subprocess.run(command, input=job, capture_output=True, text=True, check=True)
    answer = worker.json.loads(done.stdout.splitlines()[-1])
    assert answer["memory"]["peak"] == pytest.approx(int(done.stderr.splitlines()[-1]) * 1024 / 1e6, rel=0.03)
