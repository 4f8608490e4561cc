"""Which release of ONNX Runtime runs the files: converts small models, and decodes with them in venvs of old releases.

    python benchmarks/oldest_onnxruntime.py 1.17.3 1.20.1 1.21.1 1.22.1

Every release has to give the tokens of the installed one, for single rows and for a padded batch, and for MADLAD-400
and Whisper in RTranslator's layout, driven as that app drives them. `--child` is the child, which needs numpy and
onnxruntime alone; it has optimiser, memory pattern and arena off, as phones have.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime as ort

STEPS = 16
FILES = ("embed_and_lm_head", "encoder", "cache_initializer", "decoder")
SAID = "I do not know where the train station is"
VARIANTS = (
    *("m2m100-base", "m2m100-gelu", "m2m100-swish", "m2m100-untied", "marian-base", "marian-separate-sizes"),
    *("t5-v1.0", "t5-v1.1", "t5-v1.1-tied", "t5-gelu", "madlad"),
)
ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests"), str(ROOT / "src")]


def run(folder: Path) -> dict[str, list]:
    """Tokens of each row on its own, and of all rows as one padded batch; for an app what it says."""
    rows, prompt = json.loads((folder / "rows.json").read_text("utf-8"))
    if folder.name.startswith("app-"):
        return {"app": [run_app(folder, row, prompt) for row in rows]}
    sessions = {name: open_session(folder / f"{name}.onnx") for name in FILES}
    manifest = json.loads((folder / "quartet.json").read_text("utf-8"))
    single = [decode(sessions, manifest, [row], prompt)[0] for row in rows]
    return {"single": single, "batch": decode(sessions, manifest, rows, prompt)}


def run_app(folder: Path, row: list, prompt: list) -> list:
    """What RTranslator makes of ids, or of samples in two languages: tokens, and the text of the first."""
    import rtranslator  # noqa: PLC0415  has to be found first

    if "whisper" not in folder.name:
        return rtranslator.translate_with_own_head(folder, row, STEPS, end=2)
    samples = np.array(row, np.float32)
    heard = rtranslator.recognize(folder, samples, prompt, STEPS, end=40)
    alone = rtranslator.recognize(folder, samples, prompt[:1], STEPS, end=40)
    return [one.tokens for one in (*heard, *alone)] + [rtranslator.text(folder, list(range(40)))]


def open_session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_mem_pattern = options.enable_cpu_mem_arena = False
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def decode(sessions: dict, manifest: dict, rows: list[list[int]], prompt: list[int]) -> list[list[int]]:
    shapes, count, length = manifest["shapes"], len(rows), max(map(len, rows))

    def lookup(ids: np.ndarray) -> np.ndarray:
        idle = np.zeros((1, 1, shapes["d_model"]), np.float32)
        inputs = {"use_lm_head": np.array([False]), "input_ids": ids, "pre_logits": idle}
        return sessions["embed_and_lm_head"].run(["embed_matrix"], inputs)[0]

    ids = np.array([row + [manifest["tokens"]["pad"]] * (length - len(row)) for row in rows], np.int64)
    mask = np.array([[1] * len(row) + [0] * (length - len(row)) for row in rows], np.int64)
    inputs = {"input_ids": ids, "attention_mask": mask, "embed_matrix": lookup(ids)}
    (hidden,) = sessions["encoder"].run(None, inputs)
    state = {"encoder_attention_mask": mask} | cache(sessions["cache_initializer"], {"encoder_hidden_states": hidden})[
        1
    ]
    empty = np.zeros((count, shapes["decoder_heads"], 0, shapes["head_size"]), np.float32)
    layers = range(shapes["decoder_layers"])
    state |= {f"past_key_values.{i}.decoder.{what}": empty for i in layers for what in ("key", "value")}
    out: list[list[int]] = [[] for _ in rows]
    tokens, fed = np.full((count, 1), prompt[0], np.int64), 1
    while len(out[0]) < STEPS:
        inputs = {"input_ids": tokens, "embed_matrix": lookup(tokens)} | state
        outputs, grown = cache(sessions["decoder"], inputs)
        state |= grown
        scoring = {"use_lm_head": np.array([True]), "input_ids": np.zeros((1, 2), np.int64)}
        scoring["pre_logits"] = outputs["pre_logits"]
        (logits,) = sessions["embed_and_lm_head"].run(["logits"], scoring)
        tokens = logits[:, 0].argmax(-1)[:, None]
        if fed < len(prompt):
            tokens, fed = np.full((count, 1), prompt[fed], np.int64), fed + 1
            continue
        for row, token in zip(out, tokens[:, 0].tolist()):  # noqa: B905  as long as each other
            row.append(token)
    return out


def cache(session: ort.InferenceSession, inputs: dict) -> tuple[dict, dict]:
    """All outputs, and those of the cache as the next step's inputs."""
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(None, inputs)))  # noqa: B905  as long as each other
    return outputs, {n.replace("present", "past_key_values"): x for n, x in outputs.items() if n.startswith("present")}


def make_models(work: Path) -> list[Path]:
    """Every precision of the demo model and of small ones, with rows to decode."""
    import tiny  # noqa: PLC0415  only the parent has what it needs
    import tiny_speech_text  # noqa: PLC0415
    from quartet.conversion.convert import convert_folder  # noqa: PLC0415
    from quartet.provision import DEMO_FOLDER  # noqa: PLC0415
    from quartet.text.tokenizer import load_tokenizer  # noqa: PLC0415

    checkpoints = {"demo": DEMO_FOLDER} | {name: tiny.make(work / name, name) for name in VARIANTS}
    folders = []
    for name, checkpoint in checkpoints.items():
        for precision in ("fp32", "int8", "int4"):
            folder = work / f"{name}-{precision}"
            manifest = convert_folder(checkpoint, folder, precision=precision)
            if manifest.tokenizer:
                words = SAID.split()
                tokenizer = load_tokenizer(folder, manifest.tokenizer)
                ids = {language.code: language.token_id for language in manifest.languages}
                english, french = ids["eng_Latn"], ids["fra_Latn"]
                rows = [[english, *tokenizer.encode(" ".join(words[:n])), 2] for n in (2, 4, 9)]
                prompt = [2, french]
            else:
                rows, language = tiny.inputs(name), tiny.forced_bos(name)
                prompt = [manifest.tokens.decoder_start, *([] if language is None else [language])]
            (folder / "rows.json").write_text(json.dumps([rows, prompt]), "utf-8")
            folders.append(folder)
    noise = np.random.Generator(np.random.PCG64(3)).random((2, 12_000)) * np.sin(np.arange(12_000) / 300)
    apps = {
        "madlad": (checkpoints["madlad"], tiny.inputs("madlad"), [0]),
        "whisper": (tiny_speech_text.make(work / "whisper"), noise.tolist(), [[41, 42, 46, 50], [41, 43, 46, 50]]),
    }
    for name, (checkpoint, rows, prompt) in apps.items():
        for precision in ("fp32", "int8", "int4"):
            folder = work / f"app-{name}-{precision}"
            convert_folder(checkpoint, folder, precision=precision, layout="rtranslator")
            (folder / "rows.json").write_text(json.dumps([rows, prompt]), "utf-8")
            folders.append(folder)
    return folders


def venv(release: str, work: Path) -> Path:
    """A Python with this release of ONNX Runtime, made where it is missing."""
    folder = work / f"ort-{release}"
    if not (folder / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        numpy = "numpy<2" if tuple(map(int, release.split(".")[:2])) < (1, 19) else "numpy"
        subprocess.run([folder / "bin/pip", "install", "-q", f"onnxruntime=={release}", numpy], check=True)
        (folder / "done").touch()
    return folder / "bin/python"


def compare(python: Path, folder: Path) -> str:
    child = subprocess.run([python, __file__, "--child", folder], capture_output=True, text=True, check=False)
    if child.returncode:
        return "does not run"
    found, expected = json.loads(child.stdout), run(folder)
    wrong = [name for name in expected if found[name] != expected[name]]
    return "other tokens: " + ", ".join(wrong) if wrong else "same tokens"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("releases", nargs="*", help="of ONNX Runtime, such as 1.22.1")
    parser.add_argument("--venvs", type=Path, help="folder to keep the environments in")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(run(args.child)))
        return
    with tempfile.TemporaryDirectory() as work:
        folders = make_models(Path(work))
        for release in args.releases:
            python = venv(release, args.venvs or Path(work))
            for folder in folders:
                print(f"{release:8} {folder.name:28} {compare(python, folder)}", flush=True)


if __name__ == "__main__":
    main()
