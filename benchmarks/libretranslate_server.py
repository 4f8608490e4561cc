"""Starts LibreTranslate on an Argos package, without a network: a server for `serving.py`.

    OMP_NUM_THREADS=1 PYTHON benchmarks/libretranslate_server.py en-fr.argosmodel FOLDER --port 5000 --threads 4

PYTHON has LibreTranslate (1.9.6 was tried), FOLDER is where the package is installed, once. LibreTranslate looks for
its index where fewer than two packages are installed, so that a copy with its languages swapped is the second one. Its
models that split sentences come from the network too: a split behind full stops stands in for them.
"""

import json
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path


def main() -> None:
    package, folder, *options = sys.argv[1:]
    packages = Path(folder) / "packages"
    if not packages.is_dir():
        install(Path(package), packages)
    os.environ |= {"ARGOS_PACKAGES_DIR": str(packages), "XDG_DATA_HOME": folder, "HOME": folder}
    from argostranslate import sbd  # noqa: PLC0415 - reads the variables when it is imported

    sbd.SBDetect = SplitAtStops
    from libretranslate import main as server  # noqa: PLC0415

    sys.argv = ["libretranslate", *options]
    server()


class SplitAtStops:
    """What MiniSBD does, for plain English."""

    def __init__(self, lang: str, use_gpu: bool) -> None:
        del lang, use_gpu

    def sentences(self, text: str) -> list[str]:
        return re.split(r"(?<=[.!?])\s+", text)


def install(package: Path, packages: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        archive.extractall(packages)
    (there,) = packages.iterdir()
    back = packages / f"{there.name}-back"
    shutil.copytree(there, back)
    facts = json.loads((back / "metadata.json").read_text())
    facts |= {"from_code": facts["to_code"], "to_code": facts["from_code"]}
    facts |= {"from_name": facts["to_name"], "to_name": facts["from_name"]}
    (back / "metadata.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
