"""How well texts are translated: chrF++, BLEU, spBLEU by sacrebleu, COMET where it is installed; who is really better.

Differences are tested by paired bootstrap (Koehn 2004): the same sentences are drawn again and again for both models,
and one of them is better where it wins in more than 95 % of the draws. Models that are no worse than the best of a
group by this test share its rank, as in the evaluations of WMT.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quartet.errors import OptionError
from quartet.text.languages import find

DRAWS = 1000
CERTAIN = 0.95
COMET_MODEL = "Unbabel/wmt22-comet-da"

Draws = NDArray[np.float64]  # [draws] scores of one model, the same sentences drawn for all models of a test set


@dataclass(frozen=True)
class Quality:
    """Scores of a whole test set, in points of 100 (COMET: of 1)."""

    chrf: float  # chrF++
    low: float  # 95 % of the draws' chrF++ are between these
    high: float
    bleu: float
    spbleu: float | None = None
    comet: float | None = None


@dataclass(frozen=True)
class Judged:
    """Scores of one model, and what comparing it with others takes."""

    quality: Quality
    by_sentence: tuple[float, ...]  # chrF++
    draws: Draws


def judge(hypotheses: Sequence[str], references: Sequence[str], target: str) -> Judged:
    """Score translations [n] into `target` against one reference each [n].

    Raises `OptionError` where sacrebleu is not installed.
    """
    chrf = _chrf()
    # the sums that a score is made of, by sentence: what sacrebleu's own significance tests are built on
    sums = np.array(chrf._extract_corpus_statistics(hypotheses, [references]), np.float64)
    draws = np.array([chrf._compute_score_from_stats(row).score for row in _counts(len(sums)) @ sums])
    low, high = np.quantile(draws, [0.025, 0.975])
    quality = Quality(
        chrf=chrf._compute_score_from_stats(sums.sum(axis=0)).score,
        low=float(low),
        high=float(high),
        bleu=_bleu(_tokenizer(target)).corpus_score(hypotheses, [references]).score,
        spbleu=_bleu("flores200").corpus_score(hypotheses, [references]).score if has_sp_tokenizer() else None,
    )
    return Judged(quality, tuple(chrf._compute_score_from_stats(row).score for row in sums), draws)


def signatures(target: str) -> dict[str, str]:
    """What sacrebleu calls the scores, so that others can repeat them."""
    metrics = {"chrF++": _chrf(), "BLEU": _bleu(_tokenizer(target))}
    metrics |= {"spBLEU": _bleu("flores200")} if has_sp_tokenizer() else {}
    for metric in metrics.values():
        metric.corpus_score(["a"], [["a"]])  # it counts the references, which its signature tells
    return {name: str(metric.get_signature()) for name, metric in metrics.items()}


def difference(one: Judged, other: Judged) -> tuple[float, float, float]:
    """chrF++ of one less that of the other, and the bounds that 95 % of the draws are within."""
    low, high = np.quantile(one.draws - other.draws, [0.025, 0.975])
    return one.quality.chrf - other.quality.chrf, float(low), float(high)


def shared_ranks(judged: Sequence[Judged]) -> list[int]:
    """The rank of each: that of the best model that is not certainly better, which leads a group."""
    order = sorted(range(len(judged)), key=lambda i: -judged[i].quality.chrf)
    ranks = [0] * len(judged)
    leader = order[0] if order else 0
    for place, i in enumerate(order, 1):
        if place == 1 or is_better(judged[leader], judged[i]):
            leader, rank = i, place
        ranks[i] = rank
    return ranks


def is_better(one: Judged, other: Judged) -> bool:
    """Whether one wins in so many draws that it is hardly by chance."""
    return float(np.mean(one.draws > other.draws)) > CERTAIN


def comet_scores(sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """COMET's score of a test set, on the CPU; raises `OptionError` where it is not installed."""
    try:
        import comet  # noqa: PLC0415 - torch, and a model of 2 GB
    except ImportError:
        raise OptionError(
            "--comet needs a package: pip install unbabel-comet 'setuptools<81', then pip install 'numpy>=2'"
        ) from None
    model = _comet_model(comet)
    triples = zip(sources, hypotheses, references, strict=True)
    lines = [{"src": source, "mt": found, "ref": reference} for source, found, reference in triples]
    return float(model.predict(lines, batch_size=16, gpus=0, progress_bar=False).system_score)


def has_sp_tokenizer() -> bool:
    """Whether sacrebleu has downloaded the tokeniser of FLORES-200; it is not fetched for a ranking."""
    home = Path(os.environ.get("SACREBLEU") or Path.home() / ".sacrebleu")
    return (home / "models" / "flores200sacrebleuspm").is_file()


def _chrf() -> Any:
    return _sacrebleu().CHRF(word_order=2)


def _tokenizer(target: str) -> str:
    """How BLEU cuts the target language into words; where it writes no spaces, into characters."""
    if find("zh", [target]) or find("zh-Hant", [target]):
        return "zh"
    return "char" if any(find(code, [target]) for code in ("ja", "th", "km", "lo", "my", "bo", "dz")) else "13a"


def _bleu(tokenizer: str) -> Any:
    return _sacrebleu().BLEU(tokenize=tokenizer)


def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics  # noqa: PLC0415 - slow to import, and of the extra `rank`
    except ImportError:
        raise OptionError("scores need sacrebleu: pip install 'quartet-onnx[rank]'") from None
    return metrics


@lru_cache(maxsize=1)
def _comet_model(comet: Any) -> Any:
    return comet.load_from_checkpoint(comet.download_model(COMET_MODEL))


@lru_cache(maxsize=4)
def _counts(sentences: int) -> NDArray[np.float64]:
    """How often each draw takes each sentence [draws, n]: the same for every model, so that the test is paired."""
    drawn = np.random.default_rng(0).integers(0, sentences, (DRAWS, sentences))
    return np.stack([np.bincount(row, minlength=sentences) for row in drawn]).astype(np.float64)
