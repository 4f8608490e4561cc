"""What is a choice of bits by conversion itself worth beside the fixed recipe? Divergence from float32, and chrF.

    python benchmarks/recipes.py src/quartet/demo --tatoeba ../shared/demo-training --most 200
    python benchmarks/recipes.py CHECKPOINT --tatoeba ../shared/demo-training --flores ../shared/data/flores-dev \\
        --most 2000 --results benchmarks/results/recipes_opus.json

The divergence is Kullback-Leibler of the next token's distribution, whole vocabulary, along float32's own translations,
with all that the files do before the LM head: rounded embeddings, weights and activations. The head is float32's, since
the likely tokens are scored again in all bits. Tatoeba's pairs are those that the demo model
was not trained with (`training/demo.py`); pairs without English are joined by it. With `--seeds` both recipes are also
calibrated on random lines of that text, and compared on the others.
"""

import argparse
import gzip
import hashlib
import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from unittest import mock

import numpy as np
import onnxruntime as ort
import sacrebleu
from report import add_results_argument, report

from quartet import Translator
from quartet.conversion.calibration.examples import generated
from quartet.conversion.convert import convert_folder
from quartet.quantize.recipes import RECIPES
from quartet.runtime.decode import padded
from quartet.spec import Manifest
from quartet.text.languages import find
from quartet.text.prompts import prompt_ids
from quartet.text.tokenizer import load_tokenizer

FIXED, CHOSEN, LANGUAGES = "int4, fixed recipe", "int4, chosen", ("en", "fr", "de", "es")
KINDS = {"fp32": "fp32", "int8": "int8", FIXED: "int4", CHOSEN: "int4"}
BATCH, POSITIONS = 16, 256
SEEDED_LINES = 160
Sentences = tuple[str, str, list[str], list[str]]  # source and target language, texts, references


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--tatoeba", type=Path, help="folder of en-XX.tsv.gz")
    parser.add_argument("--flores", type=Path, help="folder of XX.txt")
    parser.add_argument("--most", type=int, default=200, help="sentences of a direction")
    parser.add_argument("--diverging", type=int, default=100, help="sentences of a direction, for the divergence")
    parser.add_argument("--seeds", type=int, default=0, help="random subsets of text to calibrate on")
    parser.add_argument("--threads", type=int)
    add_results_argument(parser)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quartet-") as work:
        folders = {name: converted(args.checkpoint, Path(work) / name.replace(" ", "-"), name) for name in KINDS}
        sets = dict(sentences(args, Manifest.load(folders["fp32"])))
        rows = list(measured(folders, sets, args))
        seeded = list(stability(args, Path(work), folders["fp32"], sets)) if args.seeds else []
    shown = [[r["set"], r["recipe"], str(r["sentences"]), *map(figure, (r["divergence"], r["chrf"]))] for r in rows]
    shown += [
        [f"{r['set']}, calibrated on subset {r['seed']}", r["recipe"], "", figure(r["divergence"]), ""] for r in seeded
    ]
    columns = ("sentences", "recipe", "how many", "divergence (thousandths of a nat per token)", "chrF")
    report(args.results, columns, shown, {"rows": rows, "seeded": seeded}, packages=("sacrebleu",))


def figure(value: float) -> str:
    return f"{value:.2f}"


def converted(checkpoint: Path, folder: Path, name: str, text: Path | None = None) -> Path:
    """A quartet; without a choice where the name says so."""
    recipes = {"int4": replace(RECIPES["int4"], choices=())} if name == FIXED else {}
    with mock.patch.dict(RECIPES, recipes):
        manifest = convert_folder(checkpoint, folder, precision=KINDS[name], calibration_text=text)
    size = sum(entry.bytes for entry in manifest.files.values())
    print(f"{name}: {size} bytes", flush=True)
    return folder


def sentences(args: argparse.Namespace, manifest: Manifest) -> Iterator[tuple[str, Sentences]]:
    """Sets by name."""
    sources, targets = (
        [lang.code for lang in manifest.languages if getattr(lang, side)] for side in ("source", "target")
    )
    for source, target in permutations(LANGUAGES, 2):
        if not (find(source, sources) and find(target, targets)):
            continue
        if args.tatoeba:
            pairs = list(tatoeba(args.tatoeba, source, target))
            random.Random(0).shuffle(pairs)
            texts, references = map(list, zip(*pairs[: args.most], strict=True))
            yield f"Tatoeba {source}-{target}", (source, target, texts, references)
        if args.flores:
            texts, references = ((args.flores / f"{x}.txt").read_text("utf-8").splitlines() for x in (source, target))
            yield f"FLORES dev {source}-{target}", (source, target, texts, references)


def tatoeba(folder: Path, source: str, target: str) -> Iterator[tuple[str, str]]:
    """Pairs that the demo model was not trained with."""
    known = {language: dict(held_out(folder, language)) for language in (source, target) if language != "en"}
    for english in sorted(set.intersection(*map(set, known.values()))):
        first, second = (english if x == "en" else known[x][english] for x in (source, target))
        yield first, second


def held_out(folder: Path, language: str) -> Iterator[tuple[str, str]]:
    with gzip.open(folder / f"en-{language}.tsv.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            english, other, *_ = line.rstrip("\n").split("\t")
            if int(hashlib.md5(english.encode()).hexdigest(), 16) % 1000 < 6:
                yield english, other


def measured(folders: dict[str, Path], sets: dict[str, Sentences], args: argparse.Namespace) -> Iterator[dict]:
    forced = {name: forced_texts(folders["fp32"], found, args) for name, found in sets.items()}
    for recipe, folder in folders.items():
        with Translator(folder, threads=args.threads) as translator:
            for name, (source, target, texts, references) in sets.items():
                found = [t.text for t in translator.translate_batch(texts, target, source, max_batch_size=BATCH)]
                row = {
                    "set": name,
                    "recipe": recipe,
                    "sentences": len(texts),
                    "divergence": 1000 * divergence(folders["fp32"], folder, forced[name]),
                    "chrf": sacrebleu.corpus_chrf(found, [references]).score,
                }
                print(row, flush=True)
                yield row


def stability(args: argparse.Namespace, work: Path, fp32: Path, sets: dict[str, Sentences]) -> Iterator[dict]:
    """Both recipes, calibrated on random lines of the sets, which are as many from each."""
    for seed in range(args.seeds):
        chosen = random.Random(seed)
        each = SEEDED_LINES // len(sets)
        lines = {name: set(chosen.sample(found[2], min(each, len(found[2]) // 2))) for name, found in sets.items()}
        text = work / f"seed-{seed}.txt"
        text.write_text("\n".join(line for found in lines.values() for line in sorted(found)), "utf-8")
        folders = {
            name: converted(args.checkpoint, work / f"{seed}-{name.replace(' ', '-')}", name, text)
            for name in (FIXED, CHOSEN)
        }
        for name, (source, target, texts, references) in sets.items():
            rest = [line for line in texts if line not in lines[name]]
            forced = forced_texts(fp32, (source, target, rest, references), args)
            for recipe, folder in folders.items():
                row = {
                    "set": name,
                    "seed": seed,
                    "recipe": recipe,
                    "divergence": 1000 * divergence(fp32, folder, forced),
                }
                print(row, flush=True)
                yield row


def forced_texts(fp32: Path, found: Sentences, args: argparse.Namespace) -> list[tuple[list[int], list[int]]]:
    """Ids of some sentences and, behind the decoder's start, of float32's own translations, short ones first."""
    manifest = Manifest.load(fp32)
    tokenizer = load_tokenizer(fp32, manifest.tokenizer)
    known = {language.code: language for language in manifest.languages}
    source, target = (known[find(code, list(known))] for code in found[:2])
    texts = [tokenizer.encode(text) for text in found[2][: args.diverging]]
    sources = [prompt_ids(manifest.source_prompt, manifest.tokens, source, target, ids) for ids in texts]
    prefix = prompt_ids(manifest.target_prompt, manifest.tokens, source, target)
    made = generated(fp32, sources, [prefix] * len(sources))
    return sorted(
        ((ids, [*prefix, *output]) for ids, output in zip(sources, made, strict=True)), key=lambda p: len(p[0])
    )


def divergence(fp32: Path, folder: Path, forced: list[tuple[list[int], list[int]]]) -> float:
    """Mean over all tokens, in nats."""
    total, count = 0.0, 0
    files = [Files(fp32), Files(folder)]
    for start in range(0, len(forced), BATCH):
        batch = forced[start : start + BATCH]
        pads = files[0].manifest.tokens.pad
        arrays = (*padded([s for s, _ in batch], pads), *padded([t for _, t in batch], pads))
        p, q = (files[0].log_probabilities(model.states(*arrays)) for model in files)
        total += float((np.exp(p) * (p - q)).sum(dtype=np.float64))
        count += len(p)
    return total / count


class Files:
    """The four files of a quartet, for texts that are known on both sides."""

    def __init__(self, folder: Path) -> None:
        self.manifest = Manifest.load(folder)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        names = ("embed_and_lm_head", "encoder", "cache_initializer", "decoder")
        self.sessions = [ort.InferenceSession(folder / f"{name}.onnx", options) for name in names]

    def states(self, source, source_mask, target, target_mask) -> np.ndarray:
        """What goes into the LM head after each of the target's tokens: [n, d]."""
        _, encoder, cache, decoder = self.sessions
        shapes = self.manifest.shapes
        feeds = {"input_ids": source, "attention_mask": source_mask, "embed_matrix": self._embedded(source)}
        (states,) = encoder.run(None, feeds)
        presents = cache.run(None, {"encoder_hidden_states": states})
        past = {
            o.name.replace("present", "past_key_values"): x for o, x in zip(cache.get_outputs(), presents, strict=True)
        }
        empty = np.zeros((len(source), shapes.decoder_heads, 0, shapes.head_size), np.float32)
        own = {i.name: empty for i in decoder.get_inputs() if ".decoder." in i.name}
        feeds = {"input_ids": target, "encoder_attention_mask": source_mask, "embed_matrix": self._embedded(target)}
        return decoder.run(["pre_logits"], feeds | past | own)[0][target_mask > 0]

    def log_probabilities(self, hidden: np.ndarray) -> np.ndarray:
        """Of all tokens [n, v] after each of the states [n, d]."""
        logits = np.concatenate([self._logits(hidden[i : i + POSITIONS]) for i in range(0, len(hidden), POSITIONS)])
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    def _embedded(self, ids: np.ndarray) -> np.ndarray:
        nothing = np.zeros((1, 1, self.manifest.shapes.d_model), np.float32)
        feeds = {"use_lm_head": np.array([False]), "input_ids": ids, "pre_logits": nothing}
        return self.sessions[0].run(["embed_matrix"], feeds)[0]

    def _logits(self, states: np.ndarray) -> np.ndarray:
        feeds = {
            "use_lm_head": np.array([True]),
            "input_ids": np.zeros((1, 2), np.int64),
            "pre_logits": states[:, None],
        }
        return self.sessions[0].run(["logits"], feeds)[0][:, 0]


if __name__ == "__main__":
    main()
