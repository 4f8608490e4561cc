"""Measurements that were made before, by the hashes of all that they depend on: an interrupted ranking goes on."""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path

from quartet import store
from quartet.bench import hardware as machine
from quartet.bench.data import TestSet
from quartet.bench.measure import Cost, Measurement, Settings
from quartet.bench.worker import peer_of
from quartet.errors import OutputError
from quartet.staging import staged_file

LAYOUT = 2  # of an entry; to be raised where what is measured changes

log = logging.getLogger("quartet")


def key_of(kind: str, files: Iterable[Path], test_set: TestSet, settings: Settings) -> str:
    """Hash of the model's files, the test set, the settings, this machine, and the versions of what runs the model."""
    facts = [
        LAYOUT,
        kind,
        [(path.name, _sha256(path)) for path in sorted(files)],
        test_set.digest,
        dataclasses.asdict(settings),
        machine.describe(peer_of(kind)[0].PACKAGES),
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def load(key: str) -> Measurement | None:
    """A measurement made before; None where there is none, or a damaged one, which is told."""
    path = _path(key)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Measurement(tuple(found["hypotheses"]), Cost(**found["cost"]), dict(found["versions"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        log.warning("%s is damaged: what it held is measured again", path)
        return None


def keep(key: str, measurement: Measurement) -> None:
    """Keep a measurement; raises `OutputError` where the cache cannot be written."""
    path = _path(key)
    try:
        with staged_file(path) as partial:
            partial.write_text(json.dumps(dataclasses.asdict(measurement), ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"the cache folder {path.parent} cannot be written ({error.strerror})") from None


def peers_folder() -> Path:
    """Where models are kept that other programs need in formats of their own."""
    return store.cache_folder() / "peers"


def _path(key: str) -> Path:
    return store.cache_folder() / "rank" / f"{key[:32]}.json"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
