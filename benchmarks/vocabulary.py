"""What does a smaller vocabulary save, and what does it cost in quality? Rows, size, changed lines and chrF.

    python benchmarks/vocabulary.py CHECKPOINT --source en --target fr --data ../shared/data/flores-dev --text FILE ...

The vocabulary is cut down to the two languages by their scripts, and by the texts (`quartet convert --languages`).
All models translate the same first sentences, greedily; texts should not hold these.
"""

import argparse
import tempfile
from pathlib import Path

import sacrebleu
from report import add_results_argument, report
from sentences import add_sentence_arguments, read_sentences

from quartet import Translator
from quartet.conversion.convert import convert_folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    add_sentence_arguments(parser, 300)
    parser.add_argument("--text", type=Path, nargs="+", default=[], help="text in both languages")
    parser.add_argument("--precision", default="int4")
    parser.add_argument("--threads", type=int)
    add_results_argument(parser)
    args = parser.parse_args()
    sources, references = read_sentences(args)
    pair = [args.source, args.target]
    selections = {"whole": ([], []), "by script": (pair, [])} | ({"by text": (pair, args.text)} if args.text else {})
    rows = [row(name, *selection, args, sources, references) for name, selection in selections.items()]
    whole = rows[0]["lines"]
    for each in rows:
        each["changed"] = sum(a != b for a, b in zip(each.pop("lines"), whole, strict=True))
    columns = ("vocabulary", "rows", "files", "lines changed", "chrF")
    shown = (cells(each, len(sources)) for each in rows)
    report(args.results, columns, shown, {"rows": rows}, packages=("sacrebleu",))


def row(
    name: str,
    languages: list[str],
    texts: list[Path],
    args: argparse.Namespace,
    sources: list[str],
    references: list[str],
) -> dict:
    with tempfile.TemporaryDirectory(prefix="quartet-") as work:
        out = Path(work) / "quartet"
        manifest = convert_folder(args.checkpoint, out, precision=args.precision, languages=languages, texts=texts)
        with Translator(out, threads=args.threads) as translator:
            found = [t.text for t in translator.translate_batch(sources, args.target, args.source, raw=True)]
    return {
        "vocabulary": name,
        "rows": manifest.shapes.vocab_size,
        "megabytes": sum(entry.bytes for entry in manifest.files.values()) / 1e6,
        "chrf": sacrebleu.corpus_chrf(found, [references]).score,
        "lines": found,
    }


def cells(row: dict, lines: int) -> list[str]:
    changed = f"{row['changed']} of {lines}"
    return [row["vocabulary"], f"{row['rows']:,}", f"{row['megabytes']:.0f} MB", changed, f"{row['chrf']:.2f}"]


if __name__ == "__main__":
    main()
