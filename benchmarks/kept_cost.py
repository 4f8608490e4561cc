"""What keeping text whole costs on ordinary text: the defaults, the bare model by sentences, and on whole lines.

    python benchmarks/kept_cost.py QUARTET --source en --target fr --data ../shared/data/flores-dev

The three take turns, in one process; the ratios are medians over the rounds. "Whole lines" is what the defaults were
until sentences were translated by themselves, but for lines beyond the model's safe length.
"""

import argparse
import statistics
import time
from pathlib import Path

import sacrebleu
from report import add_results_argument, report
from sentences import add_sentence_arguments, read_sentences

from quartet import Translator

WAYS = {
    "whole lines, bare": {"split": "none", "raw": True},
    "sentences, bare": {"raw": True},
    "defaults": {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    add_sentence_arguments(parser, 997)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int)
    add_results_argument(parser)
    args = parser.parse_args()
    sources, references = read_sentences(args)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    found: dict[str, list[str]] = {}
    incomplete: dict[str, int] = {}
    with Translator(args.model, threads=args.threads) as translator:
        for number in range(args.rounds):
            for way in list(WAYS)[:: 1 if number % 2 else -1]:
                begun = time.perf_counter()
                results = translator.translate_batch(sources, args.target, args.source, max_batch_size=16, **WAYS[way])
                seconds[way].append(time.perf_counter() - begun)
                found[way] = [result.text for result in results]
                incomplete[way] = sum(not result.complete for result in results)

    def ratio(way: str, other: str) -> str:
        pairs = zip(seconds[way], seconds[other], strict=True)
        return f"{statistics.median(one / another for one, another in pairs):.3f}×"

    rows = [
        (
            way,
            f"{1000 * statistics.median(seconds[way]) / len(sources):.1f}",
            *(ratio(way, other) for other in list(WAYS)[:2]),
            f"{sacrebleu.corpus_chrf(found[way], [references]).score:.2f}",
            incomplete[way],
        )
        for way in WAYS
    ]
    columns = ("way", "ms per line", "time ÷ whole lines", "time ÷ sentences", "chrF", "lines reported")
    report(args.results, columns, rows, {"seconds": seconds, "lines": len(sources)}, packages=("sacrebleu",))


if __name__ == "__main__":
    main()
