"""Make a jar of ONNX Runtime 1.17.0 with its Java classes and its libraries for Linux.

    python tests/clients/java_library.py FILE.jar

The runtime's own jar is on no registry for Python or Node; pyserini 1.6.0 on PyPI (Apache-2.0, 165 MB) has one of
Anserini inside that contains it.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "pyserini==1.6.0"


def main() -> None:
    out = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", scratch, PACKAGE]
        subprocess.run(command, check=True)
        (package,) = Path(scratch).iterdir()
        with tarfile.open(package) as archive:
            (jar,) = [member for member in archive if member.name.endswith("-fatjar.jar")]
            found = archive.extractfile(jar)
            assert found is not None
            with zipfile.ZipFile(io.BytesIO(found.read())) as everything:
                copy(everything, out)


def copy(everything: zipfile.ZipFile, out: Path) -> None:
    """The runtime's part of a jar; under its name only once it is complete."""
    partial = out.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as jar:
        for name in everything.namelist():
            wanted = "/native/" not in name or "/native/linux-" in name
            if wanted and name.startswith("ai/onnxruntime/") and not name.endswith("/"):
                jar.writestr(name, everything.read(name))
    partial.rename(out)


if __name__ == "__main__":
    main()
