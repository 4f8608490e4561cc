"""What a folder or a repository holds instead of weights that are read, in words, with the way out.

Told by the names of the files alone, so that it holds for a folder and for a listing of the hub.
"""

import fnmatch
from collections.abc import Iterable

SAVE_ANEW = "load it with transformers and save it with save_pretrained"

ADAPTER_CONFIG = "adapter_config.json"
KINDS = (  # patterns of names, what such files are, and what to do
    ((ADAPTER_CONFIG, "adapter_model.*"), "an adapter (PEFT)", "merge it into its base model"),
    (("*.gguf", "*.ggml", "ggml-*.bin"), "llama.cpp's or whisper.cpp's format", "take the model that it was made from"),
    (("tf_model*.h5", "*.msgpack", "rust_model.ot"), "weights of another framework", SAVE_ANEW),
    (("*.ckpt", "*.ckpt.*"), "a checkpoint of a training script", SAVE_ANEW),
    (("*.mlmodel", "*.mlpackage", "*.tflite", "*.task"), "made for phones", "take the model that it was made from"),
    (("openvino_*.xml", "*.engine", "*.plan"), "compiled for one runtime", "take the model that it was made from"),
    (("*.npz",), "Marian's own weights", "convert them with convert_marian_to_pytorch.py of transformers"),
    (("*.intgemm*.bin", "*.alphas.bin"), "a model of Firefox's translator", "take the model that it was made from"),
    (("model.pt", "checkpoint*.pt", "*.pth"), "fairseq's or a training script's", SAVE_ANEW),
    (("*.onnx",), "an ONNX file that is no export of a whole model by Optimum", "export it with optimum-cli"),
)
SHOWN = 3  # files of a kind


def named(files: Iterable[str]) -> str | None:
    """The first kind that some of the files are of, such as `model.gguf: llama.cpp's format; take ...`; None: nothing.

    files: their names, with slashes where they are in folders.
    """
    names = sorted(files)
    for patterns, kind, way_out in KINDS:
        found = [n for n in names if any(fnmatch.fnmatchcase(n.rpartition("/")[2], pattern) for pattern in patterns)]
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            return f"{', '.join(found[:SHOWN])}{more}, {kind}: {way_out}"
    return None
