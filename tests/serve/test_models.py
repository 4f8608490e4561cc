"""A budget of memory for the models that are open at a time."""

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from quartet import provision
from quartet.cli import main
from quartet.serve import models
from quartet.serve.models import Models, NoRoomError


@pytest.fixture(scope="module")
def copies(tmp_path_factory) -> list[str]:
    """Three models, of the same size."""
    where, demo = tmp_path_factory.mktemp("models"), provision.ready("demo", precision="fp32")
    return [str(shutil.copytree(demo, where / name)) for name in ("a", "b", "c")]


@pytest.fixture
def two_of_three(copies):
    """Models with room for two of them."""
    found = Models(copies, threads=1)
    found._max_bytes = 2 * found.all[0].bytes
    yield found
    found.close()


def open_ones(found: Models) -> str:
    return "".join(Path(model.name).name for model in found.all if model.opened is not None)


def use(found: Models, *names: str) -> None:
    for model in (model for name in names for model in found.all if Path(model.name).name == name):
        with found.opened(model) as opened:
            assert opened.translate("Good morning.", "fr", "en").text


def test_the_one_that_was_not_used_for_longest_is_closed(two_of_three):
    use(two_of_three, "a", "b", "a", "c")
    assert open_ones(two_of_three) == "ac"
    use(two_of_three, "b")
    assert open_ones(two_of_three) == "bc"


def test_one_in_use_is_not_closed(two_of_three):
    first = two_of_three.all[0]
    with two_of_three.opened(first) as opened:
        use(two_of_three, "b", "c", "b")
        assert open_ones(two_of_three) == "ab"
        assert opened.translate("Good morning.", "fr", "en").text


def test_who_finds_no_room_waits_for_it(two_of_three):
    a, b, c = two_of_three.all
    with ThreadPoolExecutor(1) as pool:
        with two_of_three.opened(a), two_of_three.opened(b):
            waiting = pool.submit(use, two_of_three, "c")
            while not two_of_three._line:
                time.sleep(0.01)
            assert c.opened is None
        waiting.result(30)
    assert c.opened is not None


def test_who_waits_too_long_is_told_so(two_of_three, monkeypatch):
    monkeypatch.setattr(models, "MOST_WAIT", 0.1)
    a, b, c = two_of_three.all
    with two_of_three.opened(a), two_of_three.opened(b), pytest.raises(NoRoomError, match="no memory for c"):
        use(two_of_three, "c")
    assert c.users == 0
    use(two_of_three, "c")


def test_models_that_are_always_in_use_make_room_after_a_while(two_of_three, monkeypatch):
    monkeypatch.setattr(models, "PATIENCE", 0.1)
    stop = threading.Event()

    def busy(name: str) -> None:
        """Two of these together use a model without a pause."""
        model = next(one for one in two_of_three.all if Path(one.name).name == name)
        while not stop.is_set():
            with two_of_three.opened(model):
                time.sleep(0.05)

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(busy, name) for name in "aabb"]
        time.sleep(0.3)
        use(two_of_three, "c")
        stop.set()
        for job in jobs:
            job.result(30)


def test_a_model_that_cannot_be_opened_takes_no_room_for_ever(two_of_three, monkeypatch):
    broken = two_of_three.all[0]
    folder, broken.folder = broken.folder, broken.folder / "none"
    for _ in range(2):
        with pytest.raises(Exception, match="none"), two_of_three.opened(broken):
            pass
    use(two_of_three, "b", "c")
    assert open_ones(two_of_three) == "bc"
    broken.folder = folder
    use(two_of_three, "a")


def test_many_at_once_never_have_more_open_than_there_is_room_for(two_of_three):
    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(use, two_of_three, name) for name in "abcabcacbbac"]
        while not all(job.done() for job in jobs):
            assert sum(model.has_room for model in two_of_three.all) <= 2
            time.sleep(0.005)
    assert all(job.exception() is None for job in jobs)


def test_a_server_without_room_answers_503_and_says_when_to_come_again(serve, monkeypatch):
    monkeypatch.setattr(models, "MOST_WAIT", 0.1)
    monkeypatch.setattr(Models, "_make_room", lambda self, wanted: False)
    body = {"q": "Hello.", "source": "en", "target": "fr"}
    answer = httpx.post(f"{serve()}/translate", json=body, timeout=60)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "no memory for demo" in answer.json()["error"]


def test_what_alone_is_too_large_is_refused_at_the_start(capsys):
    assert main(["serve", "--port", "0", "--precision", "fp32", "--max-memory", "1MB"]) == 2
    assert "--max-memory is 1 MB; demo alone takes" in capsys.readouterr().err
    assert main(["serve", "--port", "0", "--precision", "fp32", "--max-memory", "40MB", "--workers", "8"]) == 2
    assert "each of 8 workers has its part of that" in capsys.readouterr().err


def test_preloading_opens_as_many_as_there_is_room_for(two_of_three):
    two_of_three.preload()
    assert open_ones(two_of_three) == "ab"
