"""quartet: encoder-decoder models as four small ONNX files that hold every weight once, run fast on plain CPUs.

    from quartet import Transcriber, Translator, convert

The stages, in the order in which data passes them. From a checkpoint to a quartet:

- `catalog`, `provision`: from a model's name to a converted folder; `store`: the cache folder
- `checkpoint`: read a source in slices (safetensors, PyTorch files and others; a folder or the hub)
- `families`: what an architecture is, one file each
- `graph`: write the four ONNX graphs and stream the weights into place
- `quantize`: which tensor gets how many bits
- `conversion`: all of the above on one page

From text or sound to text:

- `text`, `audio`: languages, sentences and tokenisers; samples and log-mel frames
- `runtime`: the four files run, ids in and ids out
- `translation`: texts in pieces, to ids and back; `Translator`
- `transcription`: recordings, window by window, to segments with times; `Transcriber`

And around it: `inspection` says what is in a folder of ONNX files, `bench` measures models, `cli` is the command line.
"""

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quartet.errors import QuartetError
    from quartet.provision import convert
    from quartet.spec import Manifest
    from quartet.text.glossary import Glossary
    from quartet.transcription.transcriber import Transcriber
    from quartet.translation.translator import Translation, Translator

# Nothing is sent by itself (docs/privacy.md); processes that quartet starts inherit it. Who wants that sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when ONNX Runtime is imported, which sends from 1.29 on
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # what else is installed, and how transfers went

__all__ = ["Glossary", "Manifest", "QuartetError", "Transcriber", "Translation", "Translator", "convert"]

_HOMES = {
    "Glossary": "quartet.text.glossary",
    "Manifest": "quartet.spec",
    "QuartetError": "quartet.errors",
    "Transcriber": "quartet.transcription.transcriber",
    "Translation": "quartet.translation.translator",
    "Translator": "quartet.translation.translator",
    "convert": "quartet.provision",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for, so that `quartet --help` does not load a runtime."""
    if name not in _HOMES:
        raise AttributeError(f"module 'quartet' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
