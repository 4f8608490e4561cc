"""Make the golden files: what transformers computes, stored so that the tests need neither torch nor transformers.

    python tests/golden/make_goldens.py demo tiny speech logits opus-mt-en-fr

Needs the oracle extra, FLORES sentences and the demo's training pairs (`--shared`), and for `opus-mt-en-fr` and
`logits` the real checkpoint (`--models`). `README.md` beside this file describes what the files hold.
"""

import argparse
import gzip
import hashlib
import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, WhisperForConditionalGeneration

GOLDEN = Path(__file__).parent
TESTS = GOLDEN.parent
sys.path.insert(0, str(TESTS))

import tiny  # noqa: E402 - lives in tests, which is on the path only now
import tiny_speech  # noqa: E402
from golden import reference, speech_reference  # noqa: E402
from golden.reference import Greedy, Search  # noqa: E402

DEMO = TESTS.parent / "src" / "quartet" / "demo"
FLORES = "FLORES-200 dev (Meta, CC-BY-SA 4.0)"
TATOEBA = "Tatoeba (tatoeba.org) as selected by manythings.org/anki, CC-BY 2.0"
OPUS = "opus-mt-en-fr (Language Technology Research Group, University of Helsinki, Apache-2.0)"
DEMO_MODEL = "quartet demo model (CC-BY 4.0, trained on " + TATOEBA + ")"

DEMO_LANGUAGES = {"en": "eng_Latn", "fr": "fra_Latn", "es": "spa_Latn", "de": "deu_Latn"}
DEMO_DIRECTIONS = (("en", "fr"), ("fr", "en"), ("en", "de"), ("es", "en"))
NEAR_TIE = 0.05  # margins below this are stored
AFTER = [1, 2, 4, 8, 1, 2]  # what a window's text may come after
TINY_SEARCHES = {
    "greedy": Search(max_new_tokens=20),
    "greedy-exactly-12": Search(min_new_tokens=12, max_new_tokens=12),
    "greedy-no-repeat-3": Search(max_new_tokens=20, no_repeat_ngram_size=3),
    "greedy-repetition-1.3": Search(max_new_tokens=20, repetition_penalty=1.3),
    "beam-4": Search(beams=4, hypotheses=4, max_new_tokens=20),
    "beam-4-length-0": Search(beams=4, hypotheses=4, max_new_tokens=20, length_penalty=0.0),
    "beam-4-length-2": Search(beams=4, hypotheses=4, max_new_tokens=20, length_penalty=2.0),
    "beam-4-no-repeat-3": Search(beams=4, hypotheses=4, max_new_tokens=20, no_repeat_ngram_size=3),
    "beam-4-repetition-1.3": Search(beams=4, hypotheses=4, max_new_tokens=20, repetition_penalty=1.3),
    "beam-4-5-to-8": Search(beams=4, hypotheses=4, min_new_tokens=5, max_new_tokens=8),
    "beam-3": Search(beams=3, hypotheses=1, max_new_tokens=20),
}


@dataclass(frozen=True)
class Sources:
    """Where the script finds what it reads."""

    shared: Path
    models: Path

    def flores(self, language: str, count: int) -> list[str]:
        """The first `count` sentences of FLORES dev."""
        path = self.shared / "data" / "flores-dev" / f"{language}.txt"
        return path.read_text(encoding="utf-8").splitlines()[:count]

    @property
    def opus(self) -> Path:
        """The real Marian checkpoint."""
        return self.models / "opus-mt-en-fr"


def main() -> None:
    """Make the golden files that the command line names."""
    steps: dict[str, Callable[[Sources], None]] = {
        "demo": make_demo,
        "tiny": make_tiny,
        "speech": make_speech,
        "logits": make_logits,
        "opus-mt-en-fr": make_opus,
    }
    parser = argparse.ArgumentParser(description="Make the golden files from transformers.")
    parser.add_argument("steps", nargs="+", choices=steps, help="which to make")
    parser.add_argument("--shared", type=Path, default=TESTS.parents[1] / "shared")
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache" / "quartet-models")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for step in options.steps:
        steps[step](Sources(options.shared, options.models))


# ---- the golden files -------------------------------------------------------------------------------------------


def make_opus(sources: Sources) -> None:
    """`opus-mt-en-fr.json.gz`: 300 FLORES sentences, greedy and beam 4."""
    model, tokenizer = reference.load(sources.opus), opus_tokenizer(sources.opus)
    lines = [translate(model, tokenizer, text, None) for text in shown(sources.flores("en", 300), "opus-mt-en-fr")]
    head = header("opus-mt-en-fr", OPUS, FLORES, digest_of(sources.opus / "pytorch_model.bin"))
    save("opus-mt-en-fr", head | {"lines": lines})


def make_demo(sources: Sources) -> None:
    """`demo.json.gz`: 60 FLORES sentences and 60 short held-out ones in each direction, greedy and beam 4."""
    model = reference.load(DEMO)
    head = header("demo", DEMO_MODEL, f"{FLORES}; {TATOEBA}", digest_of(DEMO / "model.safetensors"))
    directions = {}
    for source, target in DEMO_DIRECTIONS:
        tokenizer = demo_tokenizer(source)
        texts = sources.flores(source, 60) + spread(held_out(sources, source, target), 60)
        forced = demo_language(tokenizer, target)
        name = f"{source}-{target}"
        lines = [translate(model, tokenizer, text, forced) for text in shown(texts, f"demo {name}")]
        directions[name] = {"forced_bos": forced, "lines": lines}
    save("demo", head | {"directions": directions})


def make_logits(sources: Sources) -> None:
    """`logits.npz`: scores of every greedy step of five sentences per model: the top 16 and 48 fixed other ids."""
    arrays = {"header": np.array(json.dumps(logits_header(sources)))}
    tokenizer, texts = opus_tokenizer(sources.opus), sources.flores("en", 5)
    arrays |= logits_of("opus-mt-en-fr", reference.load(sources.opus), tokenizer, texts, None)
    tokenizer, texts = demo_tokenizer("en"), spread(held_out(sources, "en", "fr"), 5)
    arrays |= logits_of("demo", reference.load(DEMO), tokenizer, texts, demo_language(tokenizer, "fr"))
    np.savez_compressed(GOLDEN / "logits.npz", **arrays)  # type: ignore[arg-type]


def make_tiny(_: Sources) -> None:
    """`tiny.json.gz`: every search of every small random checkpoint; `tiny.npz`: hidden states and logits."""
    results, arrays = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in shown(tiny.VARIANTS, "tiny"):
            model = reference.load(tiny.make(Path(folder) / name, name))
            results[name] = tiny_results(model, name)
            arrays |= tiny_arrays(model, name, results[name]["searches"]["greedy"])
    head = header("tiny", "random weights made by tests/tiny.py", "random ids", None)
    head["searches"] = {name: asdict(search) for name, search in TINY_SEARCHES.items()}
    save("tiny", head | {"variants": results})
    np.savez_compressed(GOLDEN / "tiny.npz", **arrays)  # type: ignore[arg-type]


def make_speech(_: Sources) -> None:
    """`speech.json.gz`: what every small random Whisper hears in four windows; `speech.npz`: its states and logits."""
    results, arrays = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in shown(tiny_speech.VARIANTS, "speech"):
            model = speech_reference.load(tiny_speech.make(Path(folder) / name, name))
            windows = tiny_speech.features(name)
            results[name] = {"weights_sha256": tiny_speech.digest(name), "windows": heard(model, windows)}
            arrays |= speech_arrays(model, name, windows, results[name]["windows"])
    save(
        "speech", header("speech", "random weights made by tests/tiny_speech.py", "noise", None) | {"variants": results}
    )
    np.savez_compressed(GOLDEN / "speech.npz", **arrays)  # type: ignore[arg-type]


# ---- one record -------------------------------------------------------------------------------------------------


def translate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, forced_bos: int | None
) -> dict[str, Any]:
    """Source, greedy output and beam 4 output of one text."""
    ids = tokenizer(text).input_ids
    greedy = reference.greedy_with_margins(model, ids, forced_bos)
    best = reference.beam(model, ids, forced_bos)[0]
    return {
        "source": text,
        "source_ids": ids,
        "ids": greedy.ids,
        "text": decode(tokenizer, greedy.ids),
        "near_ties": near_ties(greedy),
        "beam_ids": best.ids,
        "beam_text": decode(tokenizer, best.ids),
        "beam_score": rounded(best.score),
    }


def tiny_results(model: PreTrainedModel, name: str) -> dict[str, Any]:
    """All searches over all inputs of one small checkpoint."""
    inputs, forced = tiny.inputs(name), tiny.forced_bos(name)
    searches = {
        label: [tiny_search(model, ids, forced, search) for ids in inputs] for label, search in TINY_SEARCHES.items()
    }
    prefix = reference.decoder_start(model, forced)
    return {"weights_sha256": tiny.digest(name), "inputs": inputs, "prefix": prefix, "searches": searches}


def tiny_search(model: PreTrainedModel, ids: Sequence[int], forced: int | None, search: Search) -> dict[str, Any]:
    """One greedy search `{ids, near_ties}`, or one beam search `{ids: [...], scores: [...]}`."""
    if search.beams == 1:
        greedy = reference.greedy_with_margins(model, ids, forced, search)
        return {"ids": greedy.ids, "near_ties": near_ties(greedy)}
    found = reference.beam(model, ids, forced, search)
    return {"ids": [one.ids for one in found], "scores": [rounded(one.score) for one in found]}


def heard(model: WhisperForConditionalGeneration, windows: np.ndarray) -> list[dict[str, Any]]:
    """Of each window: greedy with and without timestamps, after text of another window, as translation; beams."""
    greedy: dict[str, dict[str, Any]] = {
        "timestamps": {},
        "text": {"timestamps": False},
        "after": {"previous": AFTER},
        **({"translate": {"task": "translate"}} if model.generation_config.is_multilingual else {}),
    }
    found = []
    for features in windows:
        entry = {}
        for name, options in greedy.items():
            one = speech_reference.hear(model, features, **options)
            entry[name] = {"ids": one.ids, "margin": rounded(min(one.margins))}
        beams = speech_reference.hear(model, features, beams=3)
        assert beams.score is not None
        found.append(entry | {"beams": {"ids": beams.ids, "score": rounded(beams.score)}})
    return found


def speech_arrays(
    model: WhisperForConditionalGeneration, name: str, windows: np.ndarray, found: list[dict[str, Any]]
) -> dict[str, np.ndarray]:
    """Hidden states, logits along the greedy output, and cross-attention of the alignment heads, of every window."""
    prompt = tiny_speech.VARIANTS[name].prompt
    arrays = {}
    for i, (features, entry) in enumerate(zip(windows, found, strict=True)):
        fed = prompt + entry["timestamps"]["ids"]
        arrays[f"{name}/{i}/last_hidden_state"] = speech_reference.encode(model, features)
        arrays[f"{name}/{i}/logits"] = speech_reference.step_logits(model, features, fed)
        arrays[f"{name}/{i}/attention"] = speech_reference.cross_attention(model, features, fed)
    return arrays


def tiny_arrays(model: PreTrainedModel, name: str, greedy: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Hidden states of every input, and all logits along the greedy output of the first three."""
    inputs, prefix = tiny.inputs(name), reference.decoder_start(model, tiny.forced_bos(name))
    arrays = {f"{name}/{i}/last_hidden_state": reference.encode(model, ids) for i, ids in enumerate(inputs)}
    for i, ids in enumerate(inputs[:3]):
        fed = prefix + greedy[i]["ids"][:-1]
        arrays[f"{name}/{i}/decoder_ids"] = np.array(fed)
        arrays[f"{name}/{i}/logits"] = reference.step_logits(model, ids, fed)
    return arrays


def logits_of(
    name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], forced_bos: int | None
) -> dict[str, np.ndarray]:
    """`{"name/number/what": array}` for every text."""
    arrays = {}
    for number, text in enumerate(shown(texts, f"logits {name}")):
        found = greedy_logits(model, tokenizer(text).input_ids, forced_bos)
        arrays |= {f"{name}/{number}/{what}": array for what, array in found.items()}
    return arrays


def greedy_logits(model: PreTrainedModel, ids: Sequence[int], forced_bos: int | None) -> dict[str, np.ndarray]:
    """Raw logits along the greedy output, before any processor, at the top 16 ids of each step and at 48 fixed ids."""
    new = reference.greedy_with_margins(model, ids, forced_bos).ids
    fed = reference.decoder_start(model, forced_bos) + new[:-1]
    logits = reference.step_logits(model, ids, fed)
    top = np.argsort(-logits, axis=1)[:, :16]
    fixed = fixed_ids(logits.shape[1])
    return {
        "source_ids": np.array(ids),
        "decoder_ids": np.array(fed),
        "top_ids": top.astype(np.int32),
        "top_logits": np.take_along_axis(logits, top, axis=1),
        "fixed_ids": fixed,
        "fixed_logits": logits[:, fixed],
    }


def fixed_ids(vocab_size: int) -> np.ndarray:
    """48 ids spread over the vocabulary, the same in every run."""
    return np.sort(np.random.Generator(np.random.PCG64(48)).permutation(vocab_size)[:48])


def near_ties(greedy: Greedy) -> dict[str, list[float]]:
    """`{step: [margin, runner-up]}` of the steps that were nearly a tie."""
    pairs = enumerate(zip(greedy.margins, greedy.runners_up, strict=True))
    return {str(step): [rounded(margin), other] for step, (margin, other) in pairs if margin < NEAR_TIE}


def rounded(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Text as transformers gives it."""
    return tokenizer.decode(ids, skip_special_tokens=True)


# ---- sources ----------------------------------------------------------------------------------------------------


def opus_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokeniser of the Marian checkpoint."""
    return AutoTokenizer.from_pretrained(folder)


def demo_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The demo model's tokeniser for texts in `source` ("en", "fr", "es" or "de")."""
    return AutoTokenizer.from_pretrained(DEMO, src_lang=DEMO_LANGUAGES[source])


def demo_language(tokenizer: PreTrainedTokenizerBase, language: str) -> int:
    """Id of a language's token."""
    return int(tokenizer.convert_tokens_to_ids(DEMO_LANGUAGES[language]))


def held_out(sources: Sources, source: str, target: str) -> set[str]:
    """Sentences in `source` that the demo model has not seen, by its model card's rule. One of the two is English."""
    other = target if source == "en" else source
    with gzip.open(sources.shared / "demo-training" / f"en-{other}.tsv.gz", "rt", encoding="utf-8") as lines:
        pairs = [line.rstrip("\n").split("\t") for line in lines]
    kept = [pair for pair in pairs if int(hashlib.md5(pair[0].encode()).hexdigest(), 16) % 1000 < 6]
    return {pair[0 if source == "en" else 1] for pair in kept}


def spread(texts: set[str], count: int) -> list[str]:
    """`count` texts at even steps from the shortest to the longest."""
    ordered = sorted(texts, key=lambda text: (len(text), text))
    return [ordered[i * (len(ordered) - 1) // (count - 1)] for i in range(count)]


# ---- files ------------------------------------------------------------------------------------------------------


def header(step: str, model: str, texts: str, weights_sha256: str | None) -> dict[str, Any]:
    """What made a golden file: model and texts with their licences, command, versions, SHA-256 of the weights."""
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
    }
    return {
        "model": model,
        "texts": texts,
        "command": f"python tests/golden/make_goldens.py {step}",
        "settings": "float32, eager attention, batch 1, CPU, the checkpoint's own generation config",
        "versions": versions,
        "weights_sha256": weights_sha256,
    }


def logits_header(sources: Sources) -> dict[str, Any]:
    """The header of `logits.npz`, which speaks of two models."""
    digests = {
        "opus-mt-en-fr": digest_of(sources.opus / "pytorch_model.bin"),
        "demo": digest_of(DEMO / "model.safetensors"),
    }
    return header("logits", f"{OPUS}; {DEMO_MODEL}", f"{FLORES}; {TATOEBA}", None) | {"weights_sha256": digests}


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save(name: str, data: dict[str, Any]) -> None:
    """Write `name.json.gz`, without a time stamp so that equal data give equal files."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    (GOLDEN / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def shown(items: Iterable[str], label: str) -> Iterator[str]:
    """The items, counted on stderr as they are taken."""
    for number, item in enumerate(items, 1):
        print(f"\r{label} {number}", end="", file=sys.stderr, flush=True)
        yield item
    print(file=sys.stderr)


if __name__ == "__main__":
    main()
