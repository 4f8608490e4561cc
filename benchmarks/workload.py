"""What the engines are given to do: random ids, or real sentences."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quartet.bench.contest import Entry
from quartet.bench.worker import Job
from quartet.spec import Manifest
from quartet.text.tokenizer import load_tokenizer
from quartet.translation.plan import Planner, Reading

ENGLISH, FRENCH = -159, -149  # ids of NLLB's language tokens, from the vocabulary's end
FIRST_ID, LAST_ID = 10, -300  # of what is no special token


@dataclass(frozen=True)
class Vocabulary:
    """What has to be known of a model to make up ids for it."""

    size: int
    start: int
    end: int
    has_languages: bool


def vocabulary(entry: Entry, checkpoint: Path) -> Vocabulary:
    """That of the entry: a quartet may have kept some of the checkpoint's only."""
    if entry.kind.startswith("quartet"):
        manifest = Manifest.load(entry.folder if entry.kind == "quartet" else entry.folder.parent)
        tokens, prompt = manifest.tokens, manifest.target_prompt
        return Vocabulary(manifest.shapes.vocab_size, tokens.decoder_start, tokens.eos, "target" in prompt)
    config = json.loads((checkpoint / "config.json").read_text())
    has_languages = config["model_type"] == "m2m_100"
    return Vocabulary(config["vocab_size"], config["decoder_start_token_id"], config["eos_token_id"], has_languages)


def random_job(words: Vocabulary, rows: int, source_tokens: int, new_tokens: int, beam_size: int = 1) -> Job:
    """Exactly so many new tokens for random sources of exactly so many tokens, special ones included."""
    before = [words.size + ENGLISH] if words.has_languages else []
    size = (rows, source_tokens - len(before) - 1)
    ids = np.random.default_rng(0).integers(FIRST_ID, words.size + LAST_ID, size)
    return Job(
        sources=[[*before, *row, words.end] for row in ids.tolist()],
        prefix=[words.start, words.size + FRENCH] if words.has_languages else [words.start],
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        beam_size=beam_size,
        batch_size=rows,
    )


def planner_of(folder: Path) -> Planner:
    """Languages and tokeniser of a quartet."""
    manifest = Manifest.load(folder)
    if manifest.tokenizer is None:
        raise SystemExit(f"{folder} has no tokeniser; a model that has one is needed")
    return Planner(manifest, load_tokenizer(folder, manifest.tokenizer))


def text_job(
    planner: Planner, texts: list[str], source: str, target: str, beam_size: int, batch_size: int, max_new_tokens: int
) -> Job:
    """Each text whole, as one source."""
    plans = planner.plans(texts, source, target, Reading(split="none", raw=True))
    return Job(
        sources=[planner.source_ids(plan, plan.text.strip()) for plan in plans],
        prefix=planner.prefix_ids(plans[0]),
        max_new_tokens=max_new_tokens,
        beam_size=beam_size,
        batch_size=batch_size,
    )
