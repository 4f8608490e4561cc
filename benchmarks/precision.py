"""What does each precision cost in quality, and what does it save? Size, chrF, BLEU and time on real sentences.

    python benchmarks/precision.py CHECKPOINT --source en --target fr --data ../shared/data/flores-dev

Every precision translates the same sentences, greedily; times are of alternating runs over batches, at batch 1.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import sacrebleu
from report import add_results_argument, report
from sentences import add_sentence_arguments, read_sentences

from quartet import Translator
from quartet.conversion.convert import convert_folder
from quartet.quantize.recipes import RECIPES, QuantizationOptions

TIMED = 12  # sentences of the alternating runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    add_sentence_arguments(parser, 300)
    parser.add_argument("--precisions", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--methods", nargs="*", default=[], help="rows more: INT4 with the tied matrix at 4 bits too")
    parser.add_argument("--threads", type=int)
    add_results_argument(parser)
    args = parser.parse_args()
    sources, references = read_sentences(args)
    with tempfile.TemporaryDirectory(prefix="quartet-") as work:
        recipes = {precision: (precision, QuantizationOptions()) for precision in args.precisions}
        all_4_bits = {m: QuantizationOptions(embedding_bits=4, method=m) for m in args.methods}
        recipes |= {f"int4, all 4 bits, {method}": ("int4", options) for method, options in all_4_bits.items()}
        folders = {name: converted(args.checkpoint, Path(work) / name, *recipe) for name, recipe in recipes.items()}
        models = {precision: Translator(folder, threads=args.threads) for precision, folder in folders.items()}
        seconds = alternating(models, sources[:TIMED], args)
        rows = []
        for precision, translator in models.items():
            found = [t.text for t in translator.translate_batch(sources, args.target, args.source, raw=True)]
            rows.append(
                {
                    "precision": precision,
                    "megabytes": sum(entry.bytes for entry in translator.manifest.files.values()) / 1e6,
                    "chrf": sacrebleu.corpus_chrf(found, [references]).score,
                    "bleu": sacrebleu.corpus_bleu(found, [references]).score,
                    "seconds": seconds[precision],
                }
            )
    columns = ("precision", "files", "chrF", "BLEU", "speed at batch 1")
    shown = (cells(row, rows[0]) for row in rows)
    report(args.results, columns, shown, {"rows": rows}, packages=("sacrebleu",))


def cells(row: dict, first: dict) -> list[str]:
    quality = [f"{row['chrf']:.2f}", f"{row['bleu']:.2f}"]
    return [row["precision"], f"{row['megabytes']:.0f} MB", *quality, f"{first['seconds'] / row['seconds']:.2f}×"]


def converted(
    checkpoint: Path,
    folder: Path,
    precision: str,
    options: QuantizationOptions = QuantizationOptions(),  # noqa: B008  frozen
) -> Path:
    convert_folder(checkpoint, folder, precision=precision, options=options)
    return folder


def alternating(models: dict[str, Translator], texts: list[str], args: argparse.Namespace) -> dict[str, float]:
    """Median seconds for the texts, one after the other, over runs in turn."""
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(5):
        for name, translator in models.items():
            start = time.perf_counter()
            translator.translate_batch(texts, args.target, args.source, raw=True, max_batch_size=1)
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


if __name__ == "__main__":
    main()
