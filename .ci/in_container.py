"""Inside the image: the server serves, and can write where it has to and nowhere else."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

BODY = {"q": "Good morning.", "source": "en", "target": "fr"}


def main() -> None:
    """Translate one sentence, try to write, stop the server."""
    server = subprocess.Popen(["quartet", "serve"], stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    line = server.stderr.readline().strip()
    request = urllib.request.Request(
        f"http://127.0.0.1:{os.environ['QUARTET_SERVE_PORT']}/translate",
        json.dumps(BODY).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        translated = json.load(answer)["translatedText"]
    server.send_signal(signal.SIGTERM)
    status = server.wait(60)
    print(f"{line} as user {os.getuid()}: {translated} Status at the end: {status}")
    assert translated == "Bonjour.", translated
    assert status == 128 + signal.SIGTERM, status
    assert os.getuid() != 0
    for folder in ("/opt/quartet", "/usr", "/etc"):
        try:
            Path(folder, "written").touch()
        except OSError:
            continue
        sys.exit(f"{folder} can be written to")


if __name__ == "__main__":
    main()
