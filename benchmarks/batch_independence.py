"""Does what else is in a batch change a translation? The same sentences at batch 1 and in larger batches, line by line.

    python benchmarks/batch_independence.py CHECKPOINT --source en --target fr --data ../shared/data/flores-dev

Where a kernel rounds otherwise for one row than for many, tokens that are nearly tied change places, and the rest of
the line with them.
"""

import argparse
import tempfile
from pathlib import Path

import sacrebleu
from precision import converted
from report import add_results_argument, report
from sentences import add_sentence_arguments, read_sentences

from quartet import Translator
from quartet.quantize.recipes import RECIPES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    add_sentence_arguments(parser, 300)
    parser.add_argument("--precisions", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int)
    add_results_argument(parser)
    args = parser.parse_args()
    sources, references = read_sentences(args)
    rows = []
    for precision in args.precisions:
        with tempfile.TemporaryDirectory(prefix="quartet-") as work:
            folder = converted(args.checkpoint, Path(work), precision)
            with Translator(folder, threads=args.threads) as translator:
                alone, together = (translations(translator, sources, args, size) for size in (1, args.batch))
        rows.append(
            {
                "precision": precision,
                "lines": len(sources),
                "changed": sum(a != b for a, b in zip(alone, together, strict=True)),
                "chrf_alone": sacrebleu.corpus_chrf(alone, [references]).score,
                "chrf_together": sacrebleu.corpus_chrf(together, [references]).score,
            }
        )
    columns = ("precision", "lines changed", "chrF at batch 1", f"chrF at batch {args.batch}")
    report(args.results, columns, map(cells, rows), {"rows": rows}, packages=("sacrebleu",))


def translations(translator: Translator, texts: list[str], args: argparse.Namespace, size: int) -> list[str]:
    found = translator.translate_batch(texts, args.target, args.source, raw=True, max_batch_size=size)
    return [translation.text for translation in found]


def cells(row: dict) -> list[str]:
    changed = f"{row['changed']} of {row['lines']}"
    return [row["precision"], changed, f"{row['chrf_alone']:.2f}", f"{row['chrf_together']:.2f}"]


if __name__ == "__main__":
    main()
