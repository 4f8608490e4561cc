"""The peers live: from the same ids they make the same translations, in their own formats."""

import pytest

from quartet.bench import contest, worker
from quartet.bench.contest import Entry
from quartet.bench.data import open_test_set
from quartet.bench.measure import Settings, measure, planner_of, work_of
from quartet.conversion.convert import convert_folder

KINDS = ["ctranslate2-float32", "ctranslate2-int8", "transformers-float32"]


@pytest.fixture(scope="module")
def quartet(tmp_path_factory, demo_checkpoint):
    folder = tmp_path_factory.mktemp("peers") / "quartet"
    convert_folder(demo_checkpoint, folder, precision="fp32")
    return folder


@pytest.mark.oracle
@pytest.mark.parametrize("kind", KINDS)
def test_a_peer_translates_as_quartet_does(kind, quartet, demo_checkpoint, tmp_path, session_home):
    package = worker.peer_of(kind)[0].PACKAGES[0]
    pytest.importorskip(package)
    made = hasattr(worker.peer_of(kind)[0], "make")
    folder = contest.make(kind, demo_checkpoint, tmp_path / "made") if made else demo_checkpoint
    work = work_of(planner_of(quartet), open_test_set([], "en", "fr", 30))
    settings = Settings(threads=1, timed=2)
    expected = measure(Entry("quartet", "quartet", quartet), work, settings, session_home, 1)
    found = measure(Entry(kind, kind, folder), work, settings, session_home, 1)
    same = sum(one == other for one, other in zip(expected.hypotheses, found.hypotheses, strict=True))
    assert same == 30 if kind.endswith("float32") else same >= 20
    assert set(found.versions) >= {package}


@pytest.mark.oracle
def test_a_failing_conversion_is_one_line(tmp_path):
    pytest.importorskip("ctranslate2")
    from quartet.errors import MeasurementError

    with pytest.raises(MeasurementError, match="ctranslate2 of nothing: ended with status 1: "):
        contest.make("ctranslate2", tmp_path / "nothing", tmp_path / "made")


@pytest.mark.parametrize("kind", ["quartet", "ctranslate2", "transformers"])
def test_every_peer_says_what_it_is(kind):
    peer, variant = worker.peer_of(kind)
    assert variant == next(iter(peer.VARIANTS))
    assert peer.SPEAKS in ("ids", "tokens", "text")
    assert all(0 < size <= 4 for size in peer.VARIANTS.values())
    assert callable(peer.load)
