"""Fixtures that all tests share: where the material outside the repository is, and a cache folder of their own."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("quartet", deadline=None)  # a busy machine is no fault
settings.load_profile("quartet")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the repository that holds FLORES sentences and other material."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs {folder.name}/ beside the repository")
    return folder


@pytest.fixture(scope="session")
def opus_mt() -> Path:
    """The real opus-mt-en-fr checkpoint."""
    return _real("opus-mt-en-fr", "pytorch_model.bin")


@pytest.fixture(scope="session")
def whisper_base() -> Path:
    """The real whisper-base checkpoint."""
    return _real("whisper-base", "model.safetensors")


def _real(name: str, weights: str) -> Path:
    models = Path(os.environ.get("QUARTET_TEST_MODELS") or Path.home() / ".cache" / "quartet-models")
    folder = models / name
    if not (folder / weights).is_file():
        pytest.skip(f"{folder} has no checkpoint: fetch it with `python ../shared/models/get_models.py {name}`")
    return folder


@pytest.fixture(scope="session")
def opus_mt_export(opus_mt: Path) -> Path:
    """What Optimum made of it."""
    folder = opus_mt.with_name(f"{opus_mt.name}-optimum")
    if not (folder / "encoder_model.onnx").is_file():
        pytest.skip(f"no export in {folder}: `python benchmarks/optimum_model.py {opus_mt} {folder} merged` makes it")
    return folder


@pytest.fixture(scope="session")
def demo_checkpoint() -> Path:
    """The checkpoint that ships inside the package."""
    return ROOT / "src" / "quartet" / "demo"


@pytest.fixture(scope="session")
def session_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Quartet's cache folder for this session: a model converted once serves all tests, of all workers."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "quartet-home"
    home.mkdir(exist_ok=True)
    return home


@pytest.fixture(autouse=True, scope="session")
def _own_cache(session_home: Path) -> Iterator[None]:
    """No test touches the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUARTET_HOME", str(session_home))
        yield


@pytest.fixture(autouse=True)
def logger_of_a_new_process() -> None:
    """A command that ran in this process, or in a fixture, leaves its handler behind, of a stream closed by now."""
    logger = logging.getLogger("quartet")
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)
