"""Up to how many tokens at once does a model translate without losing anything?

    python benchmarks/safe_length.py MODEL --source en --target fr --data ../shared/data/flores-dev

Neighbouring sentences of FLORES are joined to paragraphs of 1, 2, 3, ... sentences. Each paragraph is translated
whole (`split="none"`) and sentence by sentence; both are compared with the joined references. Where whole paragraphs
begin to lose against their own sentences, in chrF or in length, is the end of the safe length (`SAFE_LENGTH` in the
family's file).
"""

import argparse

import sacrebleu
from report import add_results_argument, report
from sentences import add_sentence_arguments, read_sentences

from quartet import Translator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    add_sentence_arguments(parser, 120)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6, 8, 10])
    add_results_argument(parser)
    args = parser.parse_args()
    sources, references = read_sentences(args)
    with Translator(args.model) as translator:
        alone = [t.text for t in translator.translate_batch(sources, args.target, args.source, split="none", raw=True)]
        rows = [measure(translator, sources, references, alone, size, args) for size in args.sizes]
    columns = ("sentences", "tokens", "chrF whole", "chrF by sentence", "length whole ÷ by sentence")
    report(args.results, columns, map(cells, rows), {"rows": rows}, packages=("sacrebleu",))


def cells(row: dict[str, float]) -> list[object]:
    scores = [f"{row['whole']:.1f}", f"{row['apart']:.1f}"]
    return [row["size"], f"{row['tokens']:.0f}", *scores, f"{row['length']:.2f}"]


def measure(
    translator: Translator,
    sources: list[str],
    references: list[str],
    alone: list[str],
    size: int,
    args: argparse.Namespace,
) -> dict[str, float]:
    paragraphs, expected, apart = (joined(lines, size) for lines in (sources, references, alone))
    found = translator.translate_batch(paragraphs, args.target, args.source, split="none", raw=True, max_batch_size=8)
    whole = [t.text for t in found]
    return {
        "size": size,
        "tokens": sum(translator.tokenizer.count(p) for p in paragraphs) / len(paragraphs),
        "whole": sacrebleu.corpus_chrf(whole, [expected]).score,
        "apart": sacrebleu.corpus_chrf(apart, [expected]).score,
        "length": sum(map(len, whole)) / sum(map(len, apart)),
    }


def joined(lines: list[str], size: int) -> list[str]:
    return [" ".join(lines[i : i + size]) for i in range(0, len(lines) - size + 1, size)]


if __name__ == "__main__":
    main()
