"""When clicks are heard in files of many containers and codecs, beside faster-whisper's `decode_audio`.

    python benchmarks/containers.py --peer-python VENV/bin/python

The recordings are made by `click_files.py`. The truth is where players have them: from where the first picture or sound
begins. Without `--peer-python` only quartet is measured; it is the Python of an environment with faster-whisper.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from click_files import RECORDINGS, Recording, onsets, written
from report import add_results_argument, report

from quartet.audio.audio import open_audio

MOST = 30  # ms
PEER = """
import sys, json
from importlib.metadata import version
import numpy as np
from faster_whisper.audio import decode_audio
found = []
for path in sys.argv[2:]:
    np.save(path + ".npy", decode_audio(path))
json.dump({name: version(name) for name in ("faster-whisper", "av")}, open(sys.argv[1], "w"))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, help="Python of an environment with faster-whisper")
    add_results_argument(parser)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quartet-") as work:
        files = [_stored(recording, Path(work), number) for number, recording in enumerate(RECORDINGS)]
        ours = [onsets(np.concatenate(list(open_audio(file).play()))) for file in files]
        theirs, versions = _of_peer(args.peer_python, files, Path(work)) if args.peer_python else ([], {})
    rows = []
    for number, recording in enumerate(RECORDINGS):
        row = [recording.name, *_offsets(ours[number], recording)]
        rows.append([*row, *(_offsets(theirs[number], recording) if theirs else ("", ""))])
    columns = ("file", "first click, ms", "last click, ms", "faster-whisper: first", "last")
    clicks = {one.name: {"truth": one.clicks, "quartet": ours[n]} for n, one in enumerate(RECORDINGS)}
    for number, found in enumerate(theirs):
        clicks[RECORDINGS[number].name]["faster-whisper"] = found
    report(args.results, columns, rows, {"clicks": clicks}, versions=[versions], packages=("av",))
    worst = max(abs(float(cell)) for row in rows for cell in row[1:3])
    if worst > MOST:
        sys.exit(f"a click is {worst:.0f} ms off; at most {MOST} are allowed")


def _stored(recording: Recording, folder: Path, number: int) -> str:
    path = folder / f"{number}.{recording.container}"
    path.write_bytes(written(recording))
    return str(path)


def _of_peer(python: Path, files: list[str], folder: Path) -> tuple[list[list[float]], dict[str, str]]:
    """Clicks as the other program decodes them, and its versions."""
    said = folder / "versions.json"
    subprocess.run([python, "-c", PEER, said, *files], check=True)
    return [onsets(np.load(f"{file}.npy")) for file in files], json.loads(said.read_text())


def _offsets(found: list[float], recording: Recording) -> list[str]:
    """Milliseconds by which the first and the last click are late."""
    expected = recording.clicks
    return [f"{1000 * (heard - true):+.0f}" for heard, true in ((found[0], expected[0]), (found[-1], expected[-1]))]


if __name__ == "__main__":
    main()
